//! `ghbk daemon`: the schedule, the signals, and what systemd is told, over a real notify socket.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ghbk_sandbox::Fault;

use crate::world::{World, finish};

struct Running<'a> {
    world: &'a World,
    child: Child,
    notifications: UnixDatagram,
}

const PATIENCE: Duration = Duration::from_secs(30);

impl<'a> Running<'a> {
    fn start(world: &'a World, change: impl FnOnce(&mut Command)) -> Self {
        let socket = world.folder.path().join("notify");
        let _ = std::fs::remove_file(&socket);
        let notifications = UnixDatagram::bind(&socket).unwrap();
        notifications.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut command = world.ghbk(&["daemon"]);
        let log = std::fs::File::create(world.folder.path().join("daemon.log")).unwrap();
        command.env("NOTIFY_SOCKET", &socket).stdout(Stdio::null()).stderr(log);
        change(&mut command);
        Self { world, child: command.spawn().unwrap(), notifications }
    }

    /// Waits until systemd would have heard a line that begins so.
    #[track_caller]
    fn hears(&self, beginning: &str) -> String {
        let started = Instant::now();
        let mut buffer = [0; 4096];
        let mut heard = Vec::new();
        while started.elapsed() < PATIENCE {
            let Ok(length) = self.notifications.recv(&mut buffer) else { continue };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if let Some(line) = text.lines().find(|line| line.starts_with(beginning)) {
                return line.to_owned();
            }
            heard.push(text);
        }
        panic!("{beginning:?} was never heard, but {heard:?}; log: {}", self.log());
    }

    #[track_caller]
    fn waits_for(&self, what: &str, condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < PATIENCE, "{what} never came; log: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.world.folder.path().join("daemon.log")).unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    fn runs(&self) -> usize {
        std::fs::read_dir(self.world.root.join(".ghbk/runs")).map_or(0, std::iter::Iterator::count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn never(command: &mut Command) {
    command.env("GHBK_SCHEDULE__CATCH_UP", "false");
}

#[test]
fn a_missed_run_is_made_up_for_at_start_and_only_once() {
    let world = World::generated(2);
    let daemon = Running::start(&world, |_| {});
    daemon.hears("READY=1");
    daemon.hears("STATUS=waiting");
    assert!(world.mirror("acme/repository-001").is_dir());
    drop(daemon);
    let before = std::fs::read_dir(world.root.join(".ghbk/runs")).unwrap().count();
    let daemon = Running::start(&world, |_| {});
    daemon.hears("STATUS=waiting");
    assert_eq!(daemon.runs(), before, "{}", daemon.log());
    let status = world.run(&["status", "--json"]).json();
    assert_eq!(status["last_run"]["trigger"], "catch-up");
}

#[test]
fn the_schedule_starts_runs_one_after_another() {
    let world = World::generated(2);
    let daemon = Running::start(&world, |command| {
        command.env("GHBK_SCHEDULE__CRON", "* * * * * *");
        never(command);
    });
    daemon.hears("READY=1");
    daemon.waits_for("a third run", || daemon.runs() >= 3);
    let status = world.run(&["status", "--json"]).json();
    assert_eq!(status["last_run"]["trigger"], "schedule");
    assert_eq!(status["last_run"]["status"], "ok");
}

#[test]
fn runs_that_come_due_meanwhile_do_not_overlap() {
    let world = World::generated(2);
    world.sandbox.fault(Fault::on("/acme/repository-001.git/git-upload-pack").stall_body(50));
    let daemon = Running::start(&world, |command| {
        command.env("GHBK_SCHEDULE__CRON", "* * * * * *");
        never(command);
    });
    daemon.waits_for("the first run", || world.mirror("acme/repository-002").exists());
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(daemon.runs(), 1, "{}", daemon.log());
}

#[test]
fn sigterm_ends_it_within_seconds_with_the_record_closed() {
    let world = World::generated(3);
    world.sandbox.fault(Fault::on("/acme/repository-001.git/git-upload-pack").stall_body(50));
    let mut daemon = Running::start(&world, |_| {});
    daemon.waits_for("a run", || world.mirror("acme/repository-002").exists());
    let stopped = Instant::now();
    daemon.signal("TERM");
    daemon.hears("STOPPING=1");
    let status = daemon.child.wait().unwrap();
    assert!(stopped.elapsed() < Duration::from_secs(15), "it took {:?}", stopped.elapsed());
    assert_eq!(status.code(), Some(143), "{}", daemon.log());
    let status = world.run(&["status", "--json"]).json();
    assert_eq!(status["last_run"]["status"], "cancelled");
}

#[test]
fn sighup_reads_the_configuration_anew_and_keeps_the_old_one_when_the_new_is_wrong() {
    let world = World::generated(1);
    let file = world.folder.path().join("config.toml");
    let write =
        |cron: &str| std::fs::write(&file, format!("[schedule]\ncatch_up = false\ncron = \"{cron}\"\n")).unwrap();
    write("0 0 5 * * Sun");
    let daemon = Running::start(&world, |command| {
        command.env("GHBK_CONFIG", &file);
    });
    daemon.hears("STATUS=waiting");
    write("not a schedule");
    daemon.signal("HUP");
    daemon.hears("RELOADING=1");
    daemon.hears("STATUS=waiting");
    assert!(daemon.log().contains("the old configuration is kept"), "{}", daemon.log());
    write("* * * * * *");
    daemon.signal("HUP");
    daemon.waits_for("a run on the new schedule", || daemon.runs() >= 1);
}

#[test]
fn the_watchdog_is_fed_while_the_store_answers() {
    let world = World::generated(1);
    let daemon = Running::start(&world, |command| {
        never(command);
        command.env("WATCHDOG_USEC", "600000");
    });
    for _ in 0..3 {
        daemon.hears("WATCHDOG=1");
    }
}

#[test]
fn a_run_that_cannot_take_place_does_not_end_the_daemon() {
    let world = World::generated(1);
    let mut daemon = Running::start(&world, |command| {
        command.env("GITHUB_TOKEN", "two words");
    });
    daemon.hears("STATUS=waiting");
    assert!(daemon.log().contains("holds more than one word"), "{}", daemon.log());
    assert!(daemon.child.try_wait().unwrap().is_none());
}

#[test]
fn a_daemon_without_owners_does_not_start() {
    let world = World::generated(1);
    let ended = finish(world.ghbk(&["daemon"]).env_remove("GHBK_GITHUB__OWNERS")).expect(2);
    assert!(ended.stderr.contains("no owner is configured"), "{ended:#?}");
}

/// The heartbeats in a log file, as CloudWatch gets them.
fn heartbeats(log: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter(|line| line["message"] == "heartbeat").collect()
}

#[test]
fn the_heartbeat_says_how_the_backup_stands() {
    let world = World::generated(2);
    let log = world.folder.path().join("ghbk.jsonl");
    let beat = |change: fn(&mut Command), count: usize| {
        let _ = std::fs::remove_file(&log);
        let daemon = Running::start(&world, |command| {
            command.env("GHBK_LOG__FILE", &log);
            change(command);
        });
        daemon.waits_for("a heartbeat", || heartbeats(&log).len() >= count);
        heartbeats(&log).swap_remove(count - 1)
    };
    let before = beat(never, 1);
    assert!(before.get("hours_since_success").is_none() && before.get("last_run_failed").is_none(), "{before}");
    // The alarms of cloudformation/03-ec2.yml are tested against these lines.
    insta::with_settings!({ filters => [(r#""timestamp": "[^"]+""#, r#""timestamp": "[time]""#)] }, {
        // The second comes after the run that was made up for at start.
        insta::assert_json_snapshot!("heartbeat_good", beat(|_| {}, 2));
        world.sandbox.fault(Fault::on("/acme/repository-001.git").status(404));
        world.run(&["run"]).expect(1);
        insta::assert_json_snapshot!("heartbeat_failed", beat(never, 1));
    });
}

#[test]
fn a_store_that_goes_away_leaves_the_heartbeat_without_figures() {
    let world = World::generated(1);
    let log = world.folder.path().join("ghbk.jsonl");
    let daemon = Running::start(&world, |command| {
        command.env("GHBK_LOG__FILE", &log).env("GHBK_SCHEDULE__CRON", "* * * * * *");
        never(command);
    });
    daemon.waits_for("a heartbeat", || !heartbeats(&log).is_empty());
    std::fs::rename(&world.root, world.folder.path().join("elsewhere")).unwrap();
    // The runs that come due fail, and after each there would be a heartbeat.
    daemon.waits_for("a complaint", || std::fs::read_to_string(&log).unwrap_or_default().contains("without figures"));
}

#[test]
fn without_its_store_the_daemon_does_not_start() {
    let world = World::generated(1);
    std::fs::remove_dir(&world.root).unwrap();
    let ended = world.run(&["daemon"]).expect(3);
    assert!(ended.stderr.contains("does not exist"), "{ended:#?}");
    std::fs::create_dir(&world.root).unwrap();
    let daemon = Running::start(&world, |command| {
        command.env("GHBK_STORE__REQUIRE_MOUNT", "true");
    });
    assert!(daemon.hears("STATUS=").contains("is not a mount point"), "{}", daemon.log());
}

/// What a process holds: descriptors, threads, and memory of its own in KiB.
fn held(id: u32) -> (usize, usize, u64) {
    let count = |what: &str| std::fs::read_dir(format!("/proc/{id}/{what}")).unwrap().count();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let memory =
        status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok());
    (count("fd"), count("task"), memory.unwrap())
}

/// `scripts/faults` lets it go on for as many runs as `GHBK_SOAK_RUNS` says.
#[test]
fn after_many_runs_it_holds_no_more_than_after_a_few() {
    let runs: usize = std::env::var("GHBK_SOAK_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(12);
    let world = World::generated(5);
    let daemon = Running::start(&world, |command| {
        command.env("GHBK_SCHEDULE__CRON", "* * * * * *");
        never(command);
    });
    let mut samples = Vec::new();
    for run in 1..=runs {
        daemon.waits_for("the next run", || {
            // Like systemd: who tells something waits until somebody hears it.
            while daemon.notifications.recv(&mut [0; 4096]).is_ok() {}
            daemon.runs() >= run
        });
        world.sandbox.edit("acme/repository-001").commit("main", "run", &run.to_string()).unwrap();
        samples.push(held(daemon.child.id()));
    }
    let (early, late) = (&samples[runs / 4..runs / 2], &samples[runs - runs / 4..]);
    let most = |of: &[(usize, usize, u64)]| {
        let most = |part: fn(&(usize, usize, u64)) -> u64| of.iter().map(part).max().unwrap();
        [most(|held| held.0 as u64), most(|held| held.1 as u64), most(|held| held.2)]
    };
    let (early, late) = (most(early), most(late));
    eprintln!("descriptors, threads, KiB: {early:?}, then {late:?} after {runs} runs");
    // A run may be under way at one time and none at another.
    assert!(
        late[0] <= early[0] + 16 && late[1] <= early[1] + 16 && late[2] <= early[2] + 16 * 1024,
        "{early:?} {late:?}"
    );
}
