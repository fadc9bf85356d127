//! What people see on a terminal: colour, broken lines, and silence where it is asked for.

use std::fs::File;
use std::io::Read;
use std::process::Command;

use ghbk::terminal::Look;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::world::World;

/// Runs a command on a terminal of so many columns; returns its exit status and what the screen got.
fn on_terminal(mut command: Command, columns: u16) -> (Option<i32>, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    command.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap()).stderr(terminal);
    let mut child = command.spawn().unwrap();
    drop(command);
    let reader = std::thread::spawn(move || {
        let mut screen = Vec::new();
        // A terminal that nobody holds any more ends with an error.
        let _ = File::from(master).read_to_end(&mut screen);
        String::from_utf8_lossy(&screen).replace("\r\n", "\n")
    });
    let status = child.wait().unwrap();
    (status.code(), reader.join().unwrap())
}

#[test]
fn a_terminal_gets_colour_and_lines_that_fit() {
    let world = World::generated(2);
    world.run(&["run"]).expect(0);
    std::fs::remove_file(world.mirror("acme/repository-001").join("HEAD")).unwrap();
    let verify = || world.ghbk(&["verify"]);
    let plain = world.run(&["verify"]).expect(1).stdout;
    let at = |columns: u16, settings: &[(&str, &str)]| {
        let mut command = verify();
        command.envs(settings.iter().copied());
        let (code, screen) = on_terminal(command, columns);
        assert_eq!(code, Some(1), "{screen}");
        screen
    };
    let look = |width, has_colour| Look { width: Some(width), has_colour }.show(&plain);
    let is_at_the_end = |screen: &str, expected: &str| assert!(screen.ends_with(expected), "{screen:?}\n{expected:?}");
    is_at_the_end(&at(60, &[("TERM", "xterm")]), &look(60, true));
    is_at_the_end(&at(100, &[("TERM", "xterm")]), &look(100, true));
    for without in [[("TERM", "xterm"), ("NO_COLOR", "1")], [("TERM", "dumb"), ("NO_COLOR", "")]] {
        is_at_the_end(&at(80, &without), &look(80, false));
    }
    assert!(at(80, &[("TERM", "xterm")]).contains("\u{1b}[1m\u{1b}[31mDAMAGED"));
    assert!(!plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn the_end_of_a_run_has_one_voice() {
    let world = World::generated(2);
    let mut command = world.ghbk(&["run"]);
    command.env("TERM", "xterm");
    let (code, screen) = on_terminal(command, 100);
    assert_eq!(code, Some(0), "{screen}");
    for words in ["run started", "run finished", "created repository"] {
        assert!(!screen.contains(words), "{words}: {screen}");
    }
    assert_eq!(screen.matches("backup complete").count() + screen.matches("backup complete\u{1b}").count(), 1 + 1);
}

#[test]
fn quiet_means_silent_when_all_is_well_and_the_rest_on_standard_error() {
    let world = World::generated(2);
    let silent = |arguments: &[&str]| {
        let ended = world.run(arguments).expect(0);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""), "{arguments:?}");
    };
    silent(&["run", "-q"]);
    silent(&["verify", "-q"]);
    silent(&["status", "--check", "-q"]);
    silent(&["restore", "-q", "acme/repository-001", "restored"]);
    silent(&["restore", "-q", "--all", "everything"]);
    let ended = world.run(&["run", "-q", "acme/nope"]).expect(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("failed: acme/nope"), "{ended:#?}");
    std::fs::remove_file(world.mirror("acme/repository-001").join("HEAD")).unwrap();
    let ended = world.run(&["verify", "-q"]).expect(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("DAMAGED acme/repository-001"), "{ended:#?}");
    assert!(!ended.stderr.contains("acme/repository-002"), "{ended:#?}");
}
