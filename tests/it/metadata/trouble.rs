//! What goes wrong on the way: every failure is named, and what is stored stays.

use ghbk_sandbox::Fault;

use super::Kept;

fn written() -> Kept {
    let kept = Kept::new();
    let tracker = kept.world.sandbox.tracker("acme/site");
    for number in 1..=12 {
        tracker.open_issue(&format!("Number {number}"), "");
        tracker.comment(number, "Yes.");
    }
    tracker.open_pull("Mend it", "", "mend", "main");
    tracker.review_comment(13, "src/lib.rs", 3, "Why?");
    kept
}

/// For each list in turn: whatever GitHub answers, the run says so, and the next run is whole.
#[test]
fn a_list_that_cannot_be_read_fails_the_issues_and_nothing_else() {
    for path in ["issues", "issues/comments", "labels", "pulls", "pulls/comments"] {
        for status in [404, 451, 500] {
            let kept = written();
            let endpoint = format!("/repos/acme/site/{path}");
            kept.world.sandbox.fault(Fault::on(&endpoint).status(status));
            let ended = kept.run(&["run", "--json"]);
            let summary = ended.json();
            let is_forbidden = status == 404;
            assert_eq!(ended.code, Some(i32::from(!is_forbidden)), "{path} {status}: {summary:#}");
            let told = if is_forbidden { &summary["warnings"] } else { &summary["failures"] };
            assert!(told.to_string().contains("acme/site (metadata)"), "{path} {status}: {summary:#}");
            assert!(kept.world.mirror("acme/site").exists());
            kept.world.sandbox.clear_faults();
            kept.back_up();
            kept.assert_equals_the_model();
        }
    }
}

#[test]
fn a_permission_that_is_missing_is_named_and_one_that_was_taken_away_is_a_failure() {
    let kept = written();
    kept.world.sandbox.forbid("issues");
    let summary = kept.run(&["run", "--json"]).expect(0).json();
    let warnings = summary["warnings"].to_string();
    assert!(warnings.contains("issues=read"), "{summary:#}");
    assert_eq!(summary["parts"]["issues"]["states"]["forbidden"], 1, "{summary:#}");
    kept.world.sandbox.permit("issues");
    kept.back_up();
    let before = kept.stored();
    kept.world.sandbox.forbid("issues");
    kept.world.sandbox.tracker("acme/site").open_issue("Unseen", "");
    let summary = kept.run(&["run", "--json"]).expect(1).json();
    assert!(summary["failures"].to_string().contains("issues=read"), "{summary:#}");
    assert_eq!(kept.stored(), before);
}

/// A token without the permission is no reason for a thousand warnings.
#[test]
fn a_permission_that_is_missing_everywhere_is_named_once_and_by_the_check() {
    let kept = written();
    for name in ["acme/one", "acme/two", "acme/three"] {
        kept.world.add(name);
        kept.world.sandbox.tracker(name).open_issue("It breaks", "");
    }
    let checked = kept.run(&["check"]).expect(0).stdout;
    assert!(checked.contains("ok       issues         issues and pull requests can be read"), "{checked}");
    kept.world.sandbox.forbid("issues");
    let summary = kept.run(&["run", "--json"]).expect(0).json();
    let warnings: Vec<&str> = summary["warnings"].as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(warnings[0].contains("issues=read"), "{warnings:#?}");
    assert!(warnings[1].contains("of 3 other repositories of acme are not backed up either"), "{warnings:#?}");
    let checked = kept.run(&["check"]).expect(0).stdout;
    let line = checked.lines().find(|line| line.starts_with("warning  issues")).unwrap();
    assert!(line.contains("issues are not backed up") && line.contains("issues=read"), "{checked}");
    kept.world.sandbox.permit("issues");
    kept.world.sandbox.forbid("pull_requests");
    let checked = kept.run(&["check"]).expect(0).stdout;
    assert!(checked.contains("pull requests are not backed up") && checked.contains("pull_requests=read"), "{checked}");
}

#[test]
fn pull_requests_that_the_token_may_not_read_cost_only_themselves() {
    let kept = written();
    kept.world.sandbox.forbid("pull_requests");
    let summary = kept.run(&["run", "--json"]).expect(0).json();
    assert!(summary["warnings"].to_string().contains("pull_requests=read"), "{summary:#}");
    assert_eq!(kept.stored()["1"]["comments"][0]["body"], "Yes.");
}

#[test]
fn graphql_that_fails_leaves_what_rest_gave_and_is_asked_again() {
    let kept = written();
    // The probe is answered, what comes after it is not.
    kept.world.sandbox.fault(Fault::on("/api/graphql").skip(1).status(500));
    let summary = kept.run(&["run", "--json"]).expect(1).json();
    assert!(summary["failures"].to_string().contains("(#1, #2, #3 and 9 more)"), "{summary:#}");
    assert_eq!(kept.stored()["1"]["comments"][0]["body"], "Yes.");
    assert_eq!(kept.files()["issues/0000/1.json"]["ghbk"]["incomplete"], true);
    // Whoever reads it is told, too.
    let shown = kept.run(&["show", "acme/site", "1"]).expect(0).stdout;
    assert!(shown.contains("warning: some of it could not be fetched"), "{shown}");
    let exported = kept.run(&["export", "acme/site", "out"]).expect(1);
    assert!(exported.stdout.contains("#1: some of it could not be fetched"), "{exported:#?}");
    kept.world.sandbox.clear_faults();
    kept.back_up();
    kept.assert_equals_the_model();
}

#[test]
fn a_probe_that_fails_is_a_failure_of_the_run() {
    let kept = written();
    kept.world.sandbox.fault(Fault::on("/api/graphql").status(500));
    let summary = kept.run(&["run", "--json"]).expect(1).json();
    let failures = summary["failures"].to_string();
    assert!(failures.contains("whether something is new in 1 repository could not be asked"), "{summary:#}");
}

/// GitHub's list was empty, with status 200, although the issues were there.
#[test]
fn an_empty_list_marks_nothing_as_gone() {
    let kept = written();
    kept.back_up();
    let before = kept.stored();
    kept.world.sandbox.advance_clock(std::time::Duration::from_hours(1));
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.comment(1, "New.");
    kept.world.sandbox.fault(Fault::on("/repos/acme/*/issues").times(1).status(200).body("[]"));
    let summary = kept.run(&["run", "--json"]).expect(1).json();
    assert!(summary["failures"].to_string().contains("left out of GitHub's list"), "{summary:#}");
    assert_eq!(kept.stored(), before);
    kept.back_up();
    kept.assert_equals_the_model();
}

#[test]
fn a_mirror_that_was_lost_is_made_anew_and_that_is_told() {
    let kept = written();
    kept.back_up();
    std::fs::remove_dir_all(kept.world.root.join("acme/site.meta")).unwrap();
    let shown = kept.run(&["show", "acme/site", "1"]).expect(1).stderr;
    assert!(shown.contains("the metadata of acme/site are missing from the store"), "{shown}");
    // Every hint leads to the mirror that is missing, and never to the code's.
    for ended in [kept.run(&["verify"]), kept.run(&["forget", "acme/site", "--wiki"])] {
        let said = ended.stdout + &ended.stderr;
        let hints = said.lines().filter(|line| line.contains("ghbk forget acme/site"));
        assert!(hints.clone().all(|line| line.contains("--metadata")), "{said}");
    }
    let summary = kept.run(&["run", "--json"]).expect(1).json();
    assert!(summary["failures"].to_string().contains("its mirror was missing"), "{summary:#}");
    kept.assert_equals_the_model();
    kept.back_up();
}

#[test]
fn a_damaged_mirror_is_found_and_repaired_with_what_only_it_has() {
    let kept = written();
    kept.back_up();
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.delete_issue(2);
    kept.world.sandbox.advance_clock(std::time::Duration::from_hours(24));
    kept.back_up();
    let pack = std::fs::read_dir(kept.world.root.join("acme/site.meta/objects/pack"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "pack"))
        .min_by_key(|path| std::fs::metadata(path).unwrap().len())
        .unwrap();
    crate::world::flip_in_the_middle(&pack);
    kept.run(&["verify"]).expect(1);
    kept.run(&["run", "--repair", "acme/site"]);
    kept.assert_equals_the_model();
    kept.run(&["verify", "--deep"]).expect(0);
    assert_eq!(kept.file(2)["issue"]["title"], "Number 2");
}

/// A full reading in which a list was not read marked everything of that list as deleted.
#[test]
fn what_was_not_asked_for_is_not_gone() {
    let kept = written();
    kept.back_up();
    kept.world.sandbox.advance_clock(std::time::Duration::from_hours(24));
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.comment(13, "On the pull request.");
    kept.back_up();
    let before = kept.stored();
    let run_in_full = || {
        let mut command = kept.ghbk(&["run", "--json"]);
        crate::world::finish(command.env("GHBK_METADATA__FULL_EVERY", "1ms"))
    };
    tracker.disable_issues(true);
    run_in_full().expect(0);
    assert_eq!(kept.stored(), before);
    // A comment that comes meanwhile is stored, too.
    tracker.comment(13, "While issues are off.");
    kept.world.sandbox.advance_clock(std::time::Duration::from_hours(24));
    run_in_full().expect(0);
    let comments = kept.file(13)["comments"].clone();
    assert_eq!(comments.as_array().unwrap().len(), 2, "{comments:#}");
    tracker.disable_issues(false);
    kept.back_up();
    let before = kept.stored();
    kept.world.sandbox.fault(Fault::on("/repos/acme/site/pulls").status(403));
    run_in_full().expect(1);
    assert_eq!(kept.stored(), before);
}

/// GitHub's list was cut off after a part, with status 200, and nothing known was missing from it.
#[test]
fn a_first_list_that_is_short_is_a_failure() {
    let kept = written();
    kept.world.sandbox.fault(Fault::on("/repos/acme/*/issues").times(1).status(200).body("[]"));
    let summary = kept.run(&["run", "--json"]).expect(1).json();
    assert!(summary["failures"].to_string().contains("and counts 13"), "{summary:#}");
    kept.back_up();
    kept.assert_equals_the_model();
}

/// Starting a new history would lose what only the old one has.
#[test]
fn a_mirror_that_lost_its_branch_is_damaged_and_not_new() {
    let kept = written();
    kept.back_up();
    let path = kept.world.root.join("acme/site.meta/packed-refs");
    let refs = std::fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = refs.lines().filter(|line| !line.ends_with("refs/heads/main")).collect();
    std::fs::write(&path, without.join("\n") + "\n").unwrap();
    kept.world.sandbox.tracker("acme/site").comment(1, "New.");
    let summary = kept.run(&["run", "--json"]).expect(1).json();
    assert!(summary["failures"].to_string().contains("it has no refs/heads/main"), "{summary:#}");
    kept.run(&["run", "--repair", "acme/site"]);
    kept.assert_equals_the_model();
    kept.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn a_head_that_was_lost_is_written_again() {
    let kept = written();
    kept.back_up();
    let head = kept.world.root.join("acme/site.meta/HEAD");
    std::fs::remove_file(&head).unwrap();
    kept.back_up();
    assert_eq!(std::fs::read_to_string(&head).unwrap(), "ref: refs/heads/main\n");
}

/// The permission for pull requests alone is missing: no repository loses its issues for that.
#[test]
fn issues_of_every_repository_come_without_the_permission_for_pull_requests() {
    let kept = written();
    for name in ["acme/one", "acme/two"] {
        kept.world.add(name);
        kept.world.sandbox.tracker(name).open_issue("It breaks", "");
    }
    kept.world.sandbox.forbid("pull_requests");
    kept.run(&["run", "--json"]).expect(0);
    for name in ["acme/site", "acme/one", "acme/two"] {
        assert!(kept.world.root.join(format!("{name}.meta")).exists(), "{name}");
    }
}

/// Another repository has taken the name since it was listed.
#[test]
fn another_repository_s_issues_are_never_stored_here() {
    let kept = written();
    kept.back_up();
    let before = kept.stored();
    kept.world.sandbox.tracker("acme/site").comment(1, "New.");
    let other = r#"{"id": 4711, "full_name": "acme/site"}"#;
    kept.world.sandbox.fault(Fault::on("/repos/*/site").status(200).body(other));
    let summary = kept.run(&["run", "--json"]).expect(1).json();
    assert!(summary["failures"].to_string().contains("another repository has taken this name"), "{summary:#}");
    assert_eq!(kept.stored(), before);
}
