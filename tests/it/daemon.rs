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
    let status = world.run(&["status", "--json"]).json();
    assert!(status["daemon"] == true && status["next_run"].is_string(), "{status:#}");
    drop(daemon);
    let status = world.run(&["status", "--json"]).json();
    assert!(status["daemon"] == false && status["next_run"].is_null(), "{status:#}");
    let before = std::fs::read_dir(world.root.join(".ghbk/runs")).unwrap().count();
    let daemon = Running::start(&world, |_| {});
    daemon.hears("STATUS=waiting");
    assert_eq!(daemon.runs(), before, "{}", daemon.log());
    let status = world.run(&["status", "--json"]).json();
    assert_eq!(status["last_run"]["trigger"], "catch-up");
}

/// Regression: what `ghbk init` writes, and people paste from a crontab, passed every check and kept the daemon from starting.
#[test]
fn five_fields_and_nicknames_are_schedules_at_start_and_after_a_reload() {
    for cron in ["0 5 * * Sun", "@weekly", "* * * * *"] {
        let world = World::generated(1);
        let daemon = Running::start(&world, |command| {
            command.env("GHBK_SCHEDULE__CRON", cron);
            never(command);
        });
        daemon.hears("READY=1");
        daemon.hears("STATUS=waiting; next run ");
        daemon.signal("HUP");
        daemon.hears("RELOADING=1");
        daemon.hears("READY=1");
        assert!(daemon.log().contains("configuration reloaded"), "{cron}: {}", daemon.log());
    }
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
    assert!(daemon.log().contains("holds characters that no token has"), "{}", daemon.log());
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
    daemon.waits_for("a complaint", || std::fs::read_to_string(&log).unwrap_or_default().contains("without numbers"));
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

/// The runs of a store, oldest first, as their summaries tell of them.
fn summaries(world: &World) -> Vec<serde_json::Value> {
    let mut records: Vec<_> = std::fs::read_dir(world.root.join(".ghbk/runs"))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    records.sort();
    let summary = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.next_back().filter(|line| line["kind"] == "summary")
    };
    records.iter().filter_map(summary).collect()
}

const SOON: &str = "1s,1s,1s,1s,1s,1s,1s,1s,1s";

#[test]
fn only_repositories_whose_trouble_may_pass_are_tried_again_until_it_has() {
    let world = World::generated(3);
    world.sandbox.fault(Fault::on("/acme/repository-001.git").status(502));
    world.sandbox.fault(Fault::on("/acme/repository-002.git").status(451));
    let daemon = Running::start(&world, |command| {
        command.env("GHBK_SCHEDULE__RETRY", SOON).env("GHBK_LIMITS__RETRIES", "0");
    });
    daemon.waits_for("two failed runs", || summaries(&world).len() >= 2);
    world.sandbox.clear_faults();
    daemon.waits_for("the end of the trouble", || summaries(&world).last().is_some_and(|it| it["status"] == "ok"));
    daemon.waits_for("the last report", || world.sandbox.slack_messages().len() >= 2);
    let runs = summaries(&world);
    assert_eq!(runs[0]["retryable"], serde_json::json!(["acme/repository-001"]));
    for run in &runs[1..] {
        assert_eq!(run["trigger"], "retry");
        assert_eq!(run["selection"], serde_json::json!(["acme/repository-001"]), "{run:#}");
    }
    // The first run is told, and how it ended; what was tried in between is not.
    let told = world.sandbox.slack_messages();
    assert_eq!(told.len(), 2, "{}", daemon.log());
    let last = told[1].body.to_string();
    assert!(last.contains("tried again, and now up to date: acme/repository-001"), "{last}");
    // Regression: it said that all was well, and one that cannot be had was not mentioned any more.
    assert!(last.contains("other failures of the last run over everything still stand: acme/repository-002"), "{last}");
    world.assert_mirrors("acme/repository-001");
    assert_eq!(daemon.runs(), runs.len());
}

#[test]
fn a_run_that_could_not_take_place_is_tried_again() {
    let world = World::generated(2);
    world.sandbox.fault(Fault::on("/orgs/acme/repos").status(503));
    let daemon = Running::start(&world, |command| {
        command.env("GHBK_SCHEDULE__RETRY", SOON).env("GHBK_LIMITS__RETRIES", "0");
    });
    daemon.waits_for("a failed run", || !summaries(&world).is_empty());
    assert_eq!(summaries(&world)[0]["status"], "failed", "{}", daemon.log());
    // The retry is kept when the configuration is reloaded.
    daemon.signal("HUP");
    world.sandbox.clear_faults();
    daemon.waits_for("a good run", || summaries(&world).last().is_some_and(|it| it["status"] == "ok"));
    let runs = summaries(&world);
    assert_eq!(runs.last().unwrap()["trigger"], "retry");
    assert!(runs.last().unwrap().get("selection").is_none_or(|it| it == &serde_json::json!([])));
    world.assert_mirrors("acme/repository-001");
}

#[test]
fn what_will_not_pass_waits_for_the_next_due_time() {
    let world = World::generated(2);
    world.sandbox.fault(Fault::on("/acme/repository-001.git").status(451));
    let daemon = Running::start(&world, |command| {
        command.env("GHBK_SCHEDULE__RETRY", "1ms");
    });
    daemon.hears("READY=1");
    daemon.waits_for("a run", || !summaries(&world).is_empty());
    daemon.hears("STATUS=waiting");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(daemon.runs(), 1, "{}", daemon.log());
}

/// Preloaded, it shifts the wall clock of a program by the seconds in a file, and leaves its other clocks alone.
const SHIFTED_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    const char *path = getenv("CLOCK_SHIFT");
    FILE *file = !result && clock == CLOCK_REALTIME && path ? fopen(path, "r") : NULL;
    long seconds = 0;
    if (file) { if (fscanf(file, "%ld", &seconds) == 1) time->tv_sec += seconds; fclose(file); }
    return result;
}
"#;

/// A clock that is set right while the daemon waits for next Sunday: the timers of the scheduler run on.
#[test]
fn a_due_time_that_the_clock_jumps_over_is_noticed_within_a_minute() {
    let world = World::generated(1);
    let (source, library) = (world.folder.path().join("clock.c"), world.folder.path().join("clock.so"));
    std::fs::write(&source, SHIFTED_CLOCK).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if !built.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no C compiler");
        return;
    }
    let shift = world.folder.path().join("shift");
    std::fs::write(&shift, "0").unwrap();
    let daemon = Running::start(&world, |command| {
        never(command);
        command.env("LD_PRELOAD", &library).env("CLOCK_SHIFT", &shift);
    });
    daemon.hears("STATUS=waiting");
    let week = 7 * 24 * 60 * 60;
    std::fs::write(world.folder.path().join("next"), week.to_string()).unwrap();
    std::fs::rename(world.folder.path().join("next"), &shift).unwrap();
    // The clock is looked at whenever anything happens, or after a minute.
    let started = Instant::now();
    while summaries(&world).is_empty() {
        assert!(started.elapsed() < 4 * PATIENCE, "no run; log: {}", daemon.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(summaries(&world)[0]["trigger"], "schedule");
}
