//! Round after round of random changes: after each run, what is stored equals what the sandbox has.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use ghbk_sandbox::Tracker;

use super::Kept;

/// One change of a person; numbers pick from what there is.
#[derive(Clone, Copy, Debug)]
struct Change {
    kind: u8,
    which: usize,
    other: usize,
}

const KINDS: u8 = 14;

fn apply(tracker: &Tracker<'_>, change: Change, step: usize) {
    let model = tracker.model();
    let items = model.as_object().unwrap();
    let numbers: Vec<u64> = items.keys().map(|number| number.parse().unwrap()).collect();
    let pulls: Vec<u64> =
        numbers.iter().copied().filter(|it| items[&it.to_string()].get("reviews").is_some()).collect();
    let pick = |from: &[u64], which: usize| (!from.is_empty()).then(|| from[which % from.len()]);
    let comments: Vec<u64> = items
        .values()
        .flat_map(|item| item["comments"].as_array().unwrap())
        .map(|comment| comment["id"].as_u64().unwrap())
        .collect();
    let text = format!("Step {step}");
    let Some(number) = pick(&numbers, change.which) else {
        tracker.open_issue(&text, "");
        return;
    };
    match change.kind {
        0 => drop(tracker.open_issue(&text, "A body.")),
        1 => drop(tracker.open_pull(&text, "", &format!("branch-{step}"), "main")),
        2 | 3 => drop(tracker.comment(number, &text)),
        4 => tracker.edit_body(number, &text),
        5 => tracker.edit_title(number, &text),
        6 => pick(&comments, change.other).into_iter().for_each(|id| tracker.delete_comment(id)),
        7 => pick(&comments, change.other).into_iter().for_each(|id| tracker.edit_comment(id, &text)),
        8 if items[&number.to_string()]["state"] == "OPEN" => tracker.close(number),
        9 => {
            let name = format!("label-{}", change.other % 5);
            tracker.add_label(number, &name);
        }
        10 => {
            let name = format!("label-{}", change.other % 5);
            tracker.rename_label(&name, &format!("renamed-{step}"));
            // So that there is always one of each name.
            tracker.create_label(&name, "00ff00");
        }
        11 => tracker.react(number, "heart"),
        12 => pick(&pulls, change.which).into_iter().for_each(|pull| {
            tracker.review(pull, "APPROVED", &text);
            tracker.review_comment(pull, "src/lib.rs", 3, &text);
        }),
        13 if numbers.len() > 3 => tracker.delete_issue(number),
        _ => {}
    }
}

#[test]
fn fifty_rounds_of_random_changes_are_followed() {
    let kept = Kept::new();
    let tracker = kept.world.sandbox.tracker("acme/site");
    for number in 0..5 {
        tracker.create_label(&format!("label-{number}"), "ff0000");
        tracker.open_issue(&format!("Number {number}"), "");
    }
    kept.back_up();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let changes = proptest::collection::vec((0..KINDS, 0..1000_usize, 0..1000_usize), 3..8);
    let mut step = 0;
    for _ in 0..50 {
        let round = changes.new_tree(&mut runner).unwrap().current();
        for (kind, which, other) in round {
            step += 1;
            apply(&tracker, Change { kind, which, other }, step);
        }
        kept.world.sandbox.advance_clock(std::time::Duration::from_hours(1));
        kept.back_up();
        kept.assert_equals_the_model();
    }
    kept.run(&["verify", "--deep"]).expect(0);
}
