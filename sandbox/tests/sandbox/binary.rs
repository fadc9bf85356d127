//! The program for scripts.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ghbk-sandbox");

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let repositories = folder.path().join("repositories");
    let made = Command::new(PROGRAM).arg("generate").arg(&repositories).args(["--count", "2"]).output().unwrap();
    assert_eq!(String::from_utf8(made.stdout).unwrap(), "acme/repository-001\nacme/repository-002\n");
    let ready_file = folder.path().join("ready");
    let mut server = Command::new(PROGRAM)
        .args(["serve", "--token", "ghp_mine", "--repositories"])
        .arg(&repositories)
        .arg("--ready-file")
        .arg(&ready_file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(std::fs::read_to_string(ready_file).unwrap(), line);
    let ready: Value = serde_json::from_str(&line).unwrap();
    let url = format!("{}/orgs/acme/repos", ready["api_url"].as_str().unwrap());
    let listing = reqwest::Client::new().get(url).bearer_auth("ghp_mine").send().await.unwrap();
    assert_eq!(listing.json::<Vec<Value>>().await.unwrap().len(), 2);
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
}

#[test]
fn it_generates_issues() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| Command::new(PROGRAM).args(arguments).current_dir(&folder).status().unwrap();
    assert!(run(&["generate", ".", "--count", "1"]).success());
    let arguments = ["generate-issues", ".", "acme/repository-001", "--issues", "3", "--pulls", "2"];
    assert!(run(&arguments).success());
    let sandbox = ghbk_sandbox::Sandbox::start(ghbk_sandbox::Options::new(folder.path())).unwrap();
    assert_eq!(sandbox.tracker("acme/repository-001").model().as_object().unwrap().len(), 5);
    assert!(!run(&["generate-issues", ".", "acme/none"]).success());
}

#[test]
fn an_import_that_fails_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM).arg("import").arg(folder.path()).args(["acme", "none.bundle"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: "));
}
