//! What a run tells people: the terminal, the script, Slack, the log.

use ghbk_sandbox::Fault;

use crate::world::{World, finish};

#[test]
fn every_report_is_one_message_that_slack_takes() {
    let world = World::generated(3);
    world.run_json(0);
    world.sandbox.edit("acme/repository-001").force_push("main").unwrap();
    world.sandbox.rename("acme/repository-002", "acme/renamed").unwrap();
    world.sandbox.fault(Fault::on("/acme/repository-003.git").status(403).body("<!channel> & <b>"));
    world.run_json(1);
    let messages = world.sandbox.slack_messages();
    assert_eq!(messages.len(), 2);
    for message in &messages {
        assert_eq!(message.problems, Vec::<String>::new(), "{}", message.body);
    }
    let text = messages[1].body.to_string();
    for word in ["force-pushed", "acme/repository-002 → acme/renamed", "acme/repository-003", "&lt;!channel&gt; &amp;"]
    {
        assert!(text.contains(word) || text.contains(&word.replace('>', "&gt;")), "{word} is not in {text}");
    }
    assert!(!text.contains("<!channel>"), "{text}");
}

#[test]
fn notify_chooses_the_runs_that_are_reported() {
    for (notify, expected) in [("always", 2), ("failure", 1), ("never", 0)] {
        let world = World::generated(1);
        for code in [0, 1] {
            if code == 1 {
                world.sandbox.fault(Fault::on("/acme/repository-001.git").status(404));
            }
            finish(world.ghbk(&["run"]).env("GHBK_SLACK__NOTIFY", notify)).expect(code);
        }
        assert_eq!(world.sandbox.slack_messages().len(), expected, "{notify}");
    }
}

#[test]
fn slack_s_failure_is_told_and_fails_no_backup() {
    let world = World::generated(1);
    world.sandbox.fault(Fault::on("/services").status(410).body("channel_is_archived"));
    let ended = world.run(&["run"]).expect(0);
    assert!(ended.stderr.contains("channel_is_archived"), "{ended:#?}");
    assert!(ended.stdout.contains("the report did not reach Slack"), "{ended:#?}");
}

#[test]
fn a_busy_slack_is_asked_again() {
    let world = World::generated(1);
    world.sandbox.fault(Fault::on("/services").times(1).status(429).header("retry-after", "1"));
    world.run(&["run"]).expect(0);
    assert_eq!(world.sandbox.slack_messages().len(), 1);
}

#[test]
fn standard_output_carries_the_result_and_standard_error_the_log() {
    let world = World::generated(2);
    let ended = world.run(&["run"]).expect(0);
    assert!(ended.stdout.starts_with("backup complete"), "{ended:#?}");
    assert!(ended.stdout.contains("2 repositories: 2 new"), "{ended:#?}");
    assert!(ended.stderr.contains("created"), "{ended:#?}");
    let quiet = world.run(&["run", "-q"]).expect(0);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn logs_can_be_json_and_go_to_a_file() {
    let world = World::generated(1);
    let file = world.folder.path().join("ghbk.jsonl");
    let mut command = world.ghbk(&["run"]);
    let ended = finish(command.env("GHBK_LOG__FORMAT", "json").env("GHBK_LOG__FILE", &file)).expect(0);
    let lines = |text: &str| -> Vec<serde_json::Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert!(lines(&ended.stderr).iter().any(|line| line["message"] == "run finished"));
    assert_eq!(lines(&std::fs::read_to_string(&file).unwrap()).len(), lines(&ended.stderr).len());
}
