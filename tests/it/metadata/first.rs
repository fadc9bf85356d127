//! The first run, the second, and what is stored.

use super::{Kept, git};

#[test]
fn everything_that_people_wrote_is_stored() {
    let kept = Kept::new();
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.create_label("bug", "ff0000");
    let milestone = tracker.create_milestone("1.0");
    let issue = tracker.open_issue("It breaks", "Every time.");
    tracker.comment(issue, "Here, too.");
    tracker.add_label(issue, "bug");
    tracker.set_milestone(issue, Some(milestone));
    tracker.react(issue, "+1");
    tracker.set_author(None);
    tracker.comment(issue, "Written by somebody who has left.");
    tracker.set_author(Some("ada"));
    tracker.close(issue);
    let pull = tracker.open_pull("Mend it", "Closes #1", "mend", "main");
    tracker.review(pull, "CHANGES_REQUESTED", "Nearly.");
    let line = tracker.review_comment(pull, "src/lib.rs", 3, "Why?");
    tracker.reply_to_review(line, "Because.");
    tracker.resolve_thread(line);
    tracker.merge(pull);

    let summary = kept.back_up();
    assert_eq!(summary["status"], "ok", "{summary:#}");
    assert_eq!(summary["parts"]["issues"]["counts"]["new"], 2, "{summary:#}");
    kept.assert_equals_the_model();

    let files = kept.files();
    assert_eq!(files["labels.json"].as_array().unwrap().iter().filter(|label| label["name"] == "bug").count(), 1);
    assert_eq!(files["milestones.json"][0]["title"], "1.0");
    let about = &files["about.json"];
    assert_eq!(about["kinds"]["issues"]["counts"]["comments"], 2, "{about:#}");
    let file = &files["issues/0000/2.json"];
    assert_eq!(file["pull_request_details"]["merged"], true, "{file:#}");
    assert_eq!(file["pull_request"]["head"]["ref"], "mend");
    assert_eq!(file["review_threads"][0]["isResolved"], true);

    let mirror = kept.world.root.join("acme/site.meta");
    git(&mirror, &["fsck", "--strict"]);
    assert_eq!(
        git(&mirror, &["log", "--format=%s", "main"]),
        "Metadata of acme/site: 1 issue, 1 pull request, 2 comments\n"
    );
    kept.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn a_run_without_news_asks_three_questions_and_changes_nothing() {
    let kept = Kept::new();
    let tracker = kept.world.sandbox.tracker("acme/site");
    let issue = tracker.open_issue("It breaks", "Every time.");
    tracker.comment(issue, "Here, too.");
    // A change in the second of the last one would show in no time that GitHub gives.
    kept.world.sandbox.advance_clock(std::time::Duration::from_hours(1));
    kept.back_up();
    let mirror = kept.world.root.join("acme/site.meta");
    let before = git(&mirror, &["rev-parse", "main", "refs/ghbk/snapshots"]);
    kept.world.sandbox.clear_requests();
    kept.back_up();
    assert_eq!(git(&mirror, &["rev-parse", "main", "refs/ghbk/snapshots"]), before);
    let requests = kept.world.sandbox.requests();
    let asked: Vec<String> = requests
        .iter()
        .filter(|request| request.path.contains("graphql") || request.path.contains("/repos/acme/site/"))
        .map(|request| format!("{} {}", request.status, request.path))
        .collect();
    let expected =
        ["200 /api/graphql", "304 /api/v3/repos/acme/site/issues/comments", "304 /api/v3/repos/acme/site/labels"];
    assert_eq!(asked, expected);
}

#[test]
fn a_repository_in_which_nobody_wrote_has_no_such_mirror() {
    let kept = Kept::new();
    kept.back_up();
    assert!(!kept.world.root.join("acme/site.meta").exists());
}

#[test]
fn nothing_is_asked_if_it_is_switched_off() {
    let kept = Kept::new();
    kept.world.sandbox.tracker("acme/site").open_issue("It breaks", "");
    crate::world::finish(kept.ghbk(&["run"]).env("GHBK_METADATA__KINDS", "[]")).expect(0);
    assert!(!kept.world.root.join("acme/site.meta").exists());
    assert!(kept.world.sandbox.requests().iter().all(|request| !request.path.contains("graphql")));
}

#[test]
fn the_mirror_moves_with_its_repository() {
    let kept = Kept::new();
    kept.world.sandbox.tracker("acme/site").open_issue("It breaks", "");
    kept.back_up();
    kept.world.sandbox.rename("acme/site", "acme/renamed").unwrap();
    kept.back_up();
    assert!(!kept.world.root.join("acme/site.meta").exists());
    let mirror = kept.world.root.join("acme/renamed.meta");
    assert!(git(&mirror, &["show", "main:issues/0000/1.json"]).contains("It breaks"));
    kept.run(&["verify"]).expect(0);
}

#[test]
fn a_plain_clone_is_a_folder_that_a_person_can_read() {
    let kept = Kept::new();
    kept.world.sandbox.tracker("acme/site").open_issue("It breaks", "");
    kept.back_up();
    let clone = kept.world.folder.path().join("clone");
    git(kept.world.folder.path(), &["clone", "-q", kept.world.root.join("acme/site.meta").to_str().unwrap(), "clone"]);
    assert!(std::fs::read_to_string(clone.join("issues/0000/1.json")).unwrap().contains("\"title\": \"It breaks\""));
    assert!(clone.join("about.json").exists());
}
