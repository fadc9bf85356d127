//! What changes between two runs, above all what GitHub does not date.

use super::{Kept, git};

/// Two issues, a pull request and what is around them.
fn written() -> Kept {
    let kept = Kept::new();
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.create_label("bug", "ff0000");
    tracker.open_issue("It breaks", "Every time.");
    tracker.add_label(1, "bug");
    tracker.comment(1, "Here, too.");
    tracker.comment(1, "And here.");
    tracker.open_issue("Another", "");
    tracker.open_pull("Mend it", "", "mend", "main");
    tracker.review_comment(3, "src/lib.rs", 3, "Why?");
    kept.back_up();
    kept.assert_equals_the_model();
    // The next run asks for changes since this one.
    kept.world.sandbox.advance_clock(std::time::Duration::from_hours(24));
    kept
}

fn comments(kept: &Kept) -> Vec<u64> {
    let file = kept.file(1);
    file["comments"].as_array().unwrap().iter().map(|comment| comment["id"].as_u64().unwrap()).collect()
}

#[test]
fn what_is_written_between_two_runs_comes_with_the_next() {
    let kept = written();
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.edit_body(1, "Only on Sundays.");
    tracker.comment(2, "Is it?");
    tracker.open_issue("A third", "");
    tracker.merge(3);
    let summary = kept.back_up();
    assert_eq!(summary["parts"]["issues"]["counts"]["changed"], 3, "{summary:#}");
    assert_eq!(summary["parts"]["issues"]["counts"]["new"], 1, "{summary:#}");
    kept.assert_equals_the_model();
    let mirror = kept.world.root.join("acme/site.meta");
    assert_eq!(git(&mirror, &["log", "-1", "--format=%s", "main"]), "Metadata of acme/site: 1 new, 3 changed\n");
    // The state before is still there.
    assert!(git(&mirror, &["show", "main~:issues/0000/1.json"]).contains("Every time."));
}

/// GitHub dates none of these on the issue, so `since` never shows them.
#[test]
fn a_comment_that_was_deleted_is_noticed_and_kept() {
    let kept = written();
    let tracker = kept.world.sandbox.tracker("acme/site");
    let first = comments(&kept)[0];
    tracker.delete_comment(first);
    // Something else makes the repository look changed.
    tracker.comment(2, "Is it?");
    kept.back_up();
    kept.assert_equals_the_model();
    let file = kept.file(1);
    assert_eq!(file["comments"][0]["ghbk"]["how"], "deleted", "{file:#}");
    assert_eq!(file["comments"][0]["body"], "Here, too.");
}

#[test]
fn a_comment_that_was_edited_is_noticed_though_nothing_else_is_new() {
    let kept = written();
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.edit_comment(comments(&kept)[1], "Not here.");
    kept.back_up();
    kept.assert_equals_the_model();
}

#[test]
fn a_label_that_was_renamed_is_noticed_in_every_issue() {
    let kept = written();
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.rename_label("bug", "fault");
    kept.back_up();
    kept.assert_equals_the_model();
}

#[test]
fn an_issue_that_was_deleted_or_transferred_stays_and_says_so() {
    let kept = written();
    kept.world.add("acme/other");
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.delete_issue(1);
    let there = tracker.transfer(2, "acme/other");
    let summary = kept.back_up();
    assert_eq!(summary["parts"]["issues"]["counts"]["newly_gone"], 2, "{summary:#}");
    let (first, second) = (kept.file(1), kept.file(2));
    assert_eq!(first["ghbk"]["how"], "deleted", "{first:#}");
    assert_eq!(first["comments"][0]["body"], "Here, too.");
    assert_eq!(second["ghbk"]["how"], "transferred");
    assert_eq!(second["ghbk"]["to"], format!("acme/other#{there}"));
    kept.assert_equals_the_model();
    // They are asked about once.
    kept.world.sandbox.clear_requests();
    tracker.comment(3, "Next.");
    kept.back_up();
    assert!(kept.world.sandbox.requests().iter().all(|request| !request.path.ends_with("/issues/1")));
}

/// No list shows these; everything is read again within `metadata.full_every`.
#[test]
fn a_thread_that_was_resolved_and_a_reference_from_elsewhere_come_with_the_next_full_reading() {
    let kept = written();
    let tracker = kept.world.sandbox.tracker("acme/site");
    let line = kept.file(3)["review_comments"][0]["id"].as_u64().unwrap();
    tracker.resolve_thread(line);
    tracker.cross_reference(2, 1);
    let mut command = kept.ghbk(&["run"]);
    crate::world::finish(command.env("GHBK_METADATA__FULL_EVERY", "1ms")).expect(0);
    kept.assert_equals_the_model();
}

#[test]
fn issues_that_are_switched_off_stay_as_they_are() {
    let kept = written();
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.disable_issues(true);
    let before = kept.stored();
    kept.back_up();
    assert_eq!(kept.stored(), before);
    tracker.disable_issues(false);
    tracker.open_issue("On again", "");
    kept.back_up();
    kept.assert_equals_the_model();
}

/// What tells next time whether something is new was asked for after everything was read.
#[test]
fn a_comment_that_was_edited_during_a_run_comes_with_the_next() {
    let kept = written();
    let tracker = kept.world.sandbox.tracker("acme/site");
    let edited = comments(&kept)[0];
    tracker.comment(2, "Next.");
    kept.world.sandbox.advance_clock(std::time::Duration::from_hours(1));
    // The run has read the comments, and now waits for GraphQL.
    kept.world.sandbox.fault(ghbk_sandbox::Fault::on("/api/graphql").skip(1).delay(2000));
    kept.world.sandbox.clear_requests();
    let run = kept.ghbk(&["run"]).spawn().unwrap();
    let has_read = || {
        kept.world
            .sandbox
            .requests()
            .iter()
            .any(|it| it.path.ends_with("/site/pulls/comments") && it.query.contains("asc"))
    };
    while !has_read() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    tracker.edit_comment(edited, "Edited meanwhile.");
    assert!({ run }.wait().unwrap().success());
    kept.world.sandbox.clear_faults();
    kept.back_up();
    kept.assert_equals_the_model();
}

#[test]
fn a_comment_on_a_line_that_was_edited_is_noticed() {
    let kept = written();
    let tracker = kept.world.sandbox.tracker("acme/site");
    kept.world.sandbox.advance_clock(std::time::Duration::from_hours(1));
    kept.back_up();
    let line = kept.file(3)["review_comments"][0]["id"].as_u64().unwrap();
    tracker.edit_comment(line, "Why not?");
    kept.back_up();
    kept.assert_equals_the_model();
}

/// An older ghbk must not remove what a newer one has stored beside issues.
#[test]
fn what_a_later_version_stored_stays() {
    let kept = written();
    let mirror = kept.world.root.join("acme/site.meta");
    let git = |arguments: &[&str]| git(&mirror, arguments).trim().to_owned();
    let file = git(&["rev-parse", "main:about.json"]);
    let folder = crate::world::piped(&mirror, &["mktree"], &format!("100644 blob {file}\trelease.json\n"));
    let tree = git(&["ls-tree", "main"]) + &format!("\n040000 tree {folder}\treleases\n");
    let tree = crate::world::piped(&mirror, &["mktree"], &tree);
    let commit = git(&["commit-tree", "-p", "main", "-m", "a later version", &tree]);
    let refs = std::fs::read_to_string(mirror.join("packed-refs")).unwrap();
    std::fs::write(mirror.join("packed-refs"), refs.replace(&git(&["rev-parse", "main"]), &commit)).unwrap();
    git(&["repack", "-a", "-d", "-q"]);
    kept.world.sandbox.tracker("acme/site").comment(2, "Next.");
    // That somebody else wrote into the mirror is told.
    kept.run(&["run"]).expect(1);
    assert_eq!(kept.file(2)["comments"][0]["body"], "Next.");
    assert_eq!(git(&["rev-parse", "main:releases/release.json"]), file);
}
