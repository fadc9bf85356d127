//! Issues and pull requests, from the sandbox's model to the store and back.

mod changes;
mod first;
mod limits;
mod requests;
mod rounds;
mod secrets;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::{Ended, World};

/// A world in which issues are backed up.
pub(super) struct Kept {
    pub(super) world: World,
}

impl Kept {
    pub(super) fn new() -> Self {
        let world = World::new();
        world.add("acme/site");
        Self { world }
    }

    pub(super) fn ghbk(&self, arguments: &[&str]) -> Command {
        self.world.ghbk(arguments)
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Ended {
        self.world.run(arguments)
    }

    /// Backs everything up, which has to go well.
    #[track_caller]
    pub(super) fn back_up(&self) -> Value {
        self.run(&["run", "--json"]).expect(0).json()
    }

    /// Reads all files of the newest commit, by real git.
    pub(super) fn files(&self) -> BTreeMap<String, Value> {
        let mirror = self.world.root.join("acme/site.meta");
        let names = git(&mirror, &["ls-tree", "-r", "--name-only", "main"]);
        let read = |name: &str| serde_json::from_str(&git(&mirror, &["show", &format!("main:{name}")])).unwrap();
        names.lines().map(|name| (name.to_owned(), read(name))).collect()
    }

    /// Compares all that is stored and not gone with what the sandbox knows.
    #[track_caller]
    pub(super) fn assert_equals_the_model(&self) {
        let (stored, model) = (self.stored(), comparable(self.world.sandbox.tracker("acme/site").model()));
        let numbers = |all: &Value| all.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(numbers(&stored), numbers(&model));
        for number in numbers(&model) {
            let (stored, model) = (&stored[&number], &model[&number]);
            assert_eq!(stored, model, "#{number}: stored {stored:#}, and the sandbox has {model:#}");
        }
    }

    pub(super) fn file(&self, number: u64) -> Value {
        self.files().remove(&format!("issues/{:04}/{number}.json", number / 100)).unwrap()
    }

    /// What is stored, in the words of the sandbox's model, without what is gone.
    pub(super) fn stored(&self) -> Value {
        let numbers = self.files().into_iter().filter_map(|(name, file)| {
            let number = name.strip_prefix("issues/")?.split('/').nth(1)?.strip_suffix(".json")?.to_owned();
            (file["ghbk"].get("gone").is_none()).then(|| (number, in_words_of_the_model(&file)))
        });
        Value::Object(numbers.collect())
    }
}

pub(super) fn git(repository: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(repository).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn live<'a>(file: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    file[member].as_array().into_iter().flatten().filter(|thing| thing.get("ghbk").is_none())
}

/// Says of a stored file what the sandbox's `model()` says of a number.
fn in_words_of_the_model(file: &Value) -> Value {
    let issue = &file["issue"];
    let is_merged = !file["pull_request"]["merged_at"].is_null();
    let login = |thing: &Value| thing["user"]["login"].clone();
    let labels: BTreeSet<&str> =
        issue["labels"].as_array().unwrap().iter().filter_map(|label| label["name"].as_str()).collect();
    let comment = |comment: &Value| {
        json!({
            "id": comment["id"],
            "body": comment["body"],
            "author": login(comment),
            "reactions": reactions(comment),
        })
    };
    let kept_elsewhere = ["IssueComment", "PullRequestReview", "PullRequestReviewThread", "PullRequestCommit"];
    let types: Vec<&str> = live(file, "timeline")
        .filter_map(|event| event["__typename"].as_str())
        .filter(|kind| !kept_elsewhere.contains(kind))
        .collect();
    let mut words = json!({
        "title": issue["title"],
        "body": issue["body"],
        "author": login(issue),
        "state": if is_merged { "MERGED".to_owned() } else { issue["state"].as_str().unwrap().to_uppercase() },
        "locked": issue["locked"],
        "labels": labels,
        "milestone": issue["milestone"]["title"],
        "reactions": reactions(issue),
        "comments": live(file, "comments").map(comment).collect::<Vec<_>>(),
        "timeline": types,
    });
    if issue.get("pull_request").is_some() {
        let id = |thing: &Value| thing["fullDatabaseId"].as_str().unwrap().parse::<u64>().unwrap();
        words["reviews"] = live(file, "reviews")
            .map(|it| json!({"id": id(it), "state": it["state"], "body": it["body"], "author": it["author"]["login"]}))
            .collect();
        words["review_comments"] = live(file, "review_comments").map(comment).collect();
        words["threads"] = live(file, "review_threads")
            .map(|it| json!({"path": it["path"], "line": it["line"], "isResolved": it["isResolved"]}))
            .collect();
    }
    words
}

/// Lists the reactions to something, without those that nobody chose.
fn reactions(thing: &Value) -> Value {
    let counts = thing["reactions"].as_object().into_iter().flatten();
    let given = counts.filter(|(name, count)| *name != "total_count" && count.as_u64().is_some_and(|count| count > 0));
    Value::Object(given.map(|(name, count)| (name.clone(), count.clone())).collect())
}

/// Leaves out of a model what is stored in another form.
fn comparable(mut model: Value) -> Value {
    for item in model.as_object_mut().unwrap().values_mut() {
        let mut labels: Vec<String> = serde_json::from_value(item["labels"].take()).unwrap();
        labels.sort_unstable();
        item["labels"] = labels.into();
        for list in ["comments", "review_comments"] {
            for comment in item.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                comment.as_object_mut().unwrap().remove("minimized");
            }
        }
        for thread in item.get_mut("threads").and_then(Value::as_array_mut).into_iter().flatten() {
            thread.as_object_mut().unwrap().remove("comments");
        }
    }
    model
}
