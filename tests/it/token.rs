//! The token is in no file, argument, log, error, report or URL, whatever fails.

use std::process::Stdio;

use ghbk_sandbox::Fault;

use crate::world::{World, files_below, finish};

/// Looks for a secret as it is and as HTTP's basic authentication encodes it.
fn assert_absent(world: &World, secret: &str, texts: &[(&str, &[u8])]) {
    let basic = base64(format!("x-access-token:{secret}").as_bytes());
    let found = |bytes: &[u8]| {
        [secret, &basic].iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
    };
    for (what, bytes) in texts {
        assert!(!found(bytes), "the secret is in {what}: {}", String::from_utf8_lossy(bytes));
    }
    for folder in ["store", "scratch", "home", "logs"] {
        for (path, content) in files_below(&world.folder.path().join(folder)) {
            assert!(!found(&content), "the secret is in {}", path.display());
            assert!(!found(path.to_string_lossy().as_bytes()), "the secret names {}", path.display());
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    let output = assert_cmd::Command::new("base64").arg("-w0").write_stdin(bytes).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn whatever_fails_and_however_much_is_logged() {
    let token = "ghp_plantedTOKENplantedTOKENplanted0000";
    let slack = "plantedWEBHOOKplantedWEB";
    let world = World::with(|mut options| {
        options.slack_secret = slack.to_owned();
        options.token(token)
    });
    world.add("acme/good");
    world.add("acme/bad");
    std::fs::create_dir(world.folder.path().join("logs")).unwrap();
    let faults: Vec<(&str, Vec<Fault>)> = vec![
        ("nothing", vec![]),
        ("git 401", vec![Fault::on("/acme/bad.git").status(401)]),
        ("git 403", vec![Fault::on("/acme/bad.git").status(403).body(token)]),
        ("api 403", vec![Fault::on("/orgs/acme/repos").status(403).body(token)]),
        ("git 500", vec![Fault::on("/acme/bad.git").status(500)]),
        ("hang up", vec![Fault::on("/acme/bad.git").hang_up()]),
        ("truncated", vec![Fault::on("/acme/bad.git/git-upload-pack").truncate_body(10)]),
        ("api 500", vec![Fault::on("/orgs/acme/repos").status(500)]),
        ("api hang up", vec![Fault::on("/orgs/acme/repos").hang_up()]),
        ("redirect", vec![Fault::on("/acme/bad.git").redirect("http://127.0.0.1:9/acme/bad.git/info/refs")]),
        ("slack 404", vec![Fault::on("/services").status(404).body("no_service")]),
        ("slack hang up", vec![Fault::on("/services").hang_up()]),
    ];
    for (name, faults) in faults {
        world.sandbox.clear_faults();
        for fault in faults {
            world.sandbox.fault(fault);
        }
        for (level, format) in [("-q", "text"), ("-v", "json"), ("-vv", "text")] {
            let mut command = world.ghbk(&["run", level, "--json"]);
            command.env("GHBK_LOG__FORMAT", format).env("GHBK_LOG__FILE", world.folder.path().join("logs/ghbk.log"));
            command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1").env("GHBK_LIMITS__RETRIES", "0");
            let ended = finish(&mut command);
            assert!(matches!(ended.code, Some(0 | 1 | 3)), "{name}: {ended:#?}");
            let outputs = [("standard output", ended.stdout.as_bytes()), ("standard error", ended.stderr.as_bytes())];
            for secret in [token, slack] {
                assert_absent(&world, secret, &outputs);
            }
        }
    }
    for message in world.sandbox.slack_messages() {
        assert!(!message.body.to_string().contains(slack));
    }
    for request in world.sandbox.requests() {
        assert!(!request.path.contains(token) && !request.query.contains(token), "the token is in a URL");
    }
}

#[test]
fn the_arguments_and_the_core_dump_limit_of_the_process_hold_nothing() {
    let world = World::new();
    world.add("acme/site");
    world.sandbox.fault(Fault::on("/acme/site.git").stall_body(10));
    let mut child = world.ghbk(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let arguments = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_absent(&world_without_logs(world), "ghp_sandbox", &[("the arguments", &arguments)]);
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

/// With the token in a file, as under systemd, neither the environment nor a child's could give it away.
#[test]
fn the_environment_holds_nothing_and_no_child_is_started() {
    let world = World::new();
    world.add("acme/site");
    let secrets = world.folder.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("github-token"), world.sandbox.token()).unwrap();
    world.sandbox.fault(Fault::on("/acme/site.git/git-upload-pack").stall_body(10));
    let mut command = world.ghbk(&["run"]);
    command.env_remove("GITHUB_TOKEN").env_remove("SLACK_WEBHOOK_URL");
    command.env("GHBK_SECRETS__SOURCE", "file").env("GHBK_SECRETS__DIRECTORY", &secrets);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = std::time::Instant::now();
    let is_fetching = || world.sandbox.requests().iter().any(|request| request.path.ends_with("git-upload-pack"));
    while !is_fetching() && started.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let environment = std::fs::read(format!("/proc/{}/environ", child.id())).unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let children: Vec<String> = tasks
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default())
        .filter(|children| !children.is_empty())
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_fetching());
    assert_eq!(children, Vec::<String>::new());
    assert!(!environment.is_empty());
    let token = world.sandbox.token().to_owned();
    assert_absent(&world_without_logs(world), &token, &[("the environment", &environment)]);
}

fn world_without_logs(world: World) -> World {
    std::fs::create_dir(world.folder.path().join("logs")).unwrap();
    world
}
