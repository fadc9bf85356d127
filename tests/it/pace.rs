//! A GitHub that is asked too fast: nothing is lost, it is soon asked more slowly, and what it cannot give stops nothing else.

use ghbk_sandbox::{Fault, GitPace, Options};
use serde_json::Value;

use crate::world::{World, finish};

/// The statuses of all requests to git, in the order of their answers.
fn git_statuses(world: &World) -> Vec<u16> {
    world.sandbox.requests().into_iter().filter(|request| request.git).map(|request| request.status).collect()
}

fn run_against(pace: GitPace, repositories: usize) -> Vec<u16> {
    let world = World::with(|options| Options { git_pace: Some(pace), ..options });
    for number in 0..repositories {
        world.add(&format!("acme/r{number:02}"));
    }
    let mut command = world.ghbk(&["run", "--json"]);
    command.env("GHBK_GITHUB__WIKIS", "false").env("GHBK_LIMITS__RETRIES", "0");
    let summary = finish(&mut command).expect(0).json();
    assert_eq!(summary["counts"]["created"], repositories, "{summary:#}");
    for number in 0..repositories {
        world.assert_mirrors(&format!("acme/r{number:02}"));
    }
    git_statuses(&world)
}

fn refused(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| **status == 429).count()
}

#[test]
fn a_server_that_takes_few_at_once_is_soon_asked_less_and_nothing_is_lost() {
    let statuses = run_against(GitPace { at_once: Some(2), retry_after: Some(1), ..GitPace::default() }, 30);
    // Eight begin, six of them too many; then at most four, and then two at once.
    assert!((1..=12).contains(&refused(&statuses)), "{} refused: {statuses:?}", refused(&statuses));
    let second_half = &statuses[statuses.len() / 2..];
    assert!(refused(second_half) <= 2, "it does not settle: {statuses:?}");
}

#[test]
fn a_server_that_takes_few_in_a_second_is_soon_asked_more_slowly_and_nothing_is_lost() {
    let statuses = run_against(GitPace { per_second: Some(12), retry_after: Some(1), ..GitPace::default() }, 30);
    assert!((1..=20).contains(&refused(&statuses)), "{} refused: {statuses:?}", refused(&statuses));
    let second_half = &statuses[statuses.len() / 2..];
    assert!(refused(second_half) <= 4, "it does not settle: {statuses:?}");
}

#[test]
fn a_server_in_trouble_is_given_the_time_it_asks_for() {
    let world = World::new();
    world.add("acme/site");
    for path in ["/orgs/acme/repos", "/acme/site.git/info/refs"] {
        world.sandbox.fault(Fault::on(path).times(3).status(503).header("retry-after", "1"));
    }
    let mut command = world.ghbk(&["run", "--json"]);
    finish(command.env("GHBK_LIMITS__RETRIES", "0")).expect(0);
    world.assert_mirrors("acme/site");
}

/// A pause that GitHub asks for made every repository under way fail by its timeout.
#[test]
fn a_pause_is_nobody_s_timeout() {
    let world = World::new();
    for number in 0..4 {
        world.add(&format!("acme/r{number}"));
    }
    world.sandbox.fault(Fault::on("/acme/*").times(1).status(429).header("retry-after", "6"));
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = finish(command.env("GHBK_LIMITS__REPOSITORY_TIMEOUT", "5s")).expect(0).json();
    assert_eq!(summary["counts"]["created"], 4, "{summary:#}");
}

/// After a budget was spent, everything else was asked once more, and the run ended under the name of the first repository
/// that failed for whatever reason.
#[test]
fn a_spent_budget_stops_what_needs_it_and_is_named_as_the_cause() {
    let world = World::new();
    for name in ["acme/one", "acme/two", "beta/three", "gamma/four"] {
        world.add(name);
    }
    world.sandbox.fault(Fault::on("/acme/one.git").status(500));
    let reset = chrono::Utc::now().timestamp() + 7200;
    let limit = Fault::on("/orgs/beta*").status(403).header("x-ratelimit-remaining", "0");
    world.sandbox.fault(limit.header("x-ratelimit-reset", reset.to_string()));
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = finish(command.env("GHBK_GITHUB__OWNERS", "acme,beta,gamma")).expect(1).json();
    assert_eq!(summary["status"], "partial", "{summary:#}");
    assert_eq!(summary["counts"]["created"], 1, "git is not limited: {summary:#}");
    let error = |subject: &str| -> String {
        let failures: &Vec<Value> = summary["failures"].as_array().unwrap();
        let failure = failures.iter().find(|failure| failure["repository"] == subject);
        failure.unwrap_or_else(|| panic!("{subject}: {summary:#}"))["error"].as_str().unwrap().to_owned()
    };
    assert!(error("acme/one").contains("500"), "{summary:#}");
    assert!(error("beta").contains("rate limit") && error("gamma").contains("rate limit"), "{summary:#}");
    let asked = world.sandbox.requests();
    assert_eq!(asked.iter().filter(|request| request.path.contains("/orgs/beta")).count(), 1, "{asked:#?}");
    assert!(!asked.iter().any(|request| request.path.contains("gamma")), "{asked:#?}");
}

#[test]
fn what_is_corrupt_at_github_is_not_downloaded_again_and_again() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("main", "large", &"content ".repeat(1000)).unwrap();
    world.sandbox.fault(Fault::on("/acme/site.git/git-upload-pack").flip_byte(600));
    let mut command = world.ghbk(&["run", "--json"]);
    finish(command.env("GHBK_LIMITS__RETRIES", "4")).expect(1);
    let asked = world.sandbox.requests().iter().filter(|request| request.path.ends_with("git-upload-pack")).count();
    assert_eq!(asked, 2, "{:?}", git_statuses(&world));
}
