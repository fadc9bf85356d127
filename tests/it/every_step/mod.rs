//! A fault at every step: for each system call of a command that touches the store, one execution in which the process
//! is killed right there, and one for each error that the call may return.
//!
//! A bare run tries a sample. `scripts/faults` tries them all (`GHBK_FAULTS=all`) and says how many there were.

mod holdings;
mod scenes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ghbk_faults::{Call, Ended, Fault, Plan};
use rustix::io::Errno;
use serde_json::json;
use tempfile::TempDir;

use holdings::{Expectations, Holdings, holdings};
use scenes::Scene;

use crate::world::is_everything;

/// Longer than any command here takes; a hang is a finding.
const PATIENCE: Duration = Duration::from_mins(1);
/// How many points of each scene a sample tries.
const SAMPLE: usize = 8;
/// After so many findings the rest would say the same.
const FINDINGS_MAX: usize = 25;

/// The errors that a file system, and EFS above all, may answer with.
const ERRORS: [Errno; 7] =
    [Errno::IO, Errno::NOSPC, Errno::STALE, Errno::ACCESS, Errno::ROFS, Errno::DQUOT, Errno::INTR];
/// Errors that stay once they are there.
const LASTING: [Errno; 3] = [Errno::NOSPC, Errno::ROFS, Errno::DQUOT];

/// A store of its own for one execution.
struct Trial<'a> {
    scene: &'a Scene,
    folder: TempDir,
}

impl<'a> Trial<'a> {
    fn new(scene: &'a Scene) -> Self {
        // Thousands of trials in one hour of the sandbox's GitHub.
        scene.world.sandbox.set_rate_limit_remaining(5000);
        let folder = tempfile::tempdir().unwrap();
        let store = scene.world.root.display().to_string();
        let to = folder.path().join("store").display().to_string();
        assert!(Command::new("cp").args(["-a", &store, &to]).status().unwrap().success());
        for name in ["scratch", "restored"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { scene, folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    fn restored(&self) -> PathBuf {
        self.folder.path().join("restored")
    }

    fn destination(&self) -> PathBuf {
        self.restored().join("one.git")
    }

    fn ghbk(&self, arguments: &[&str]) -> Command {
        let destination = self.destination().display().to_string();
        let arguments: Vec<&str> =
            arguments.iter().map(|word| if *word == "DEST" { destination.as_str() } else { word }).collect();
        let mut command = self.scene.world.ghbk(&arguments);
        command
            .env("GHBK_STORE__ROOT", self.root())
            .env("GHBK_STORE__SCRATCH", self.scratch())
            .env("GHBK_SLACK__NOTIFY", "never")
            .envs(self.scene.settings.iter().copied());
        command
    }

    fn strike(&self, fault: Option<(usize, Fault)>, lasts: bool) -> (Plan, Ended) {
        let plan = Plan { folders: vec![self.root(), self.restored()], fault, lasts, unreadable: None };
        let ended = ghbk_faults::run(self.ghbk(self.scene.arguments), &plan, PATIENCE).unwrap();
        (plan, ended)
    }

    /// Gives a command that must succeed.
    fn must(&self, arguments: &[&str], problems: &mut Vec<String>) {
        let mut ended = crate::world::finish(&mut self.ghbk(arguments));
        // One that was fetched alone when the kill came has its rest first, and is told of.
        if ended.code == Some(1) && ended.stdout.contains("it was skipped: the last run died") {
            ended = crate::world::finish(&mut self.ghbk(arguments));
        }
        if ended.code != Some(0) {
            problems.push(format!("`ghbk {}` afterwards: {ended:#?}", arguments.join(" ")));
        }
    }
}

/// A scene with what is expected of it.
struct Rehearsed {
    scene: Scene,
    expectations: Expectations,
    /// What the store holds when the command has ended well, before the next run.
    done: Holdings,
    calls: Vec<Call>,
}

/// Plays a scene without a fault.
fn rehearse(scene: Scene) -> Rehearsed {
    let trial = Trial::new(&scene);
    let (_, ended) = trial.strike(None, false);
    assert_eq!(ended.status.code(), Some(0), "{}: {}", scene.name, String::from_utf8_lossy(&ended.stderr));
    let done = holdings(&trial.root());
    let mut problems = Vec::new();
    trial.must(&["run", "--json"], &mut problems);
    assert_eq!(problems, Vec::<String>::new());
    let expectations = Expectations::new(&scene.world.root, &trial.root(), scene.may_drop_history);
    drop(trial);
    Rehearsed { scene, expectations, done, calls: ended.calls }
}

/// A fault at one call.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: usize,
    fault: Fault,
    lasts: bool,
}

impl Rehearsed {
    /// Plays the scene with a fault, checks what it left, lets the next run come, and checks again. None if the command
    /// made fewer calls this time.
    fn play(&self, point: Point) -> Option<Vec<String>> {
        let trial = Trial::new(&self.scene);
        let (plan, ended) = trial.strike(Some((point.at, point.fault)), point.lasts);
        let struck = ended.struck(&plan)?.clone();
        let mut problems = Vec::new();
        if point.fault == Fault::Kill {
            if ended.status.code().is_some() {
                problems.push(format!("it was not killed: {}", ended.status));
            }
        } else {
            self.judge(&trial, point, &struck, &ended, &mut problems);
        }
        // An interrupted merging is finished by the next run, one that failed by the next change.
        let packs_allowed = self.scene.packs_max + if point.fault == Fault::Kill { 0 } else { 2 };
        self.check_after(&trial, packs_allowed, &mut problems);
        let what = format!("{point:?}, {} {}", struck.name, shown(&struck.path, &trial));
        Some(problems.into_iter().map(|problem| format!("{what}: {}", shown(Path::new(&problem), &trial))).collect())
    }

    /// Checks what holds at once, and after the next run.
    fn check_after(&self, trial: &Trial<'_>, packs_allowed: usize, problems: &mut Vec<String>) {
        let (root, scene) = (trial.root(), &self.scene);
        if !scene.is_damaged {
            self.expectations.check_now(&root, problems);
            if !holdings(&root).is_empty() {
                trial.must(&["verify", "--deep"], problems);
            }
        }
        if scene.arguments[0] == "restore" {
            if !scenes::check_destination(&trial.destination(), &self.expectations.before, problems) {
                trial.must(scene.arguments, problems);
                scenes::check_destination(&trial.destination(), &self.expectations.before, problems);
            }
            if fs::read_dir(trial.restored()).unwrap().count() != 1 {
                // Killed after its work was done, it has left a hidden folder, which the next one removes.
                let next = trial.restored().join("two.git").display().to_string();
                trial.must(&["restore", "acme/two", &next], problems);
                let left = fs::read_dir(trial.restored()).unwrap().count();
                if left != 2 {
                    problems.push(format!("{left} folders lie where two were restored"));
                }
            }
        } else if scene.arguments[0] == "adopt" {
            // Says that the next run finishes an adoption that was interrupted, and has no success to tell.
            crate::world::finish(&mut trial.ghbk(scene.arguments));
        } else if !scene.is_plain_run() {
            trial.must(scene.arguments, problems);
        }
        trial.must(&["run", "--json"], problems);
        self.expectations.check_in_the_end(&root, &trial.scratch(), packs_allowed, problems);
        trial.must(&["verify", "--deep"], problems);
    }

    /// Checks what the command itself said of an error: never that all is well when it is not.
    fn judge(&self, trial: &Trial<'_>, point: Point, struck: &Call, ended: &Ended, problems: &mut Vec<String>) {
        let stderr = String::from_utf8_lossy(&ended.stderr);
        let stdout = String::from_utf8_lossy(&ended.stdout);
        if ended.timed_out {
            problems.push("it hung".to_owned());
        }
        if stderr.contains("panicked") || stdout.contains("panicked") {
            problems.push(format!("it panicked: {stderr}{stdout}"));
        }
        let now = holdings(&trial.root());
        let undone: Vec<_> = self.done.iter().filter(|(id, done)| now.get(*id) != Some(done)).collect();
        match ended.status.code() {
            Some(0) => {
                if !undone.is_empty() {
                    problems.push(format!("it said that all is well, but not done is {undone:?}"));
                }
                if self.scene.only_reads && must_fail(point, struck, &ended.calls) {
                    problems.push(format!("it said that all is well: {stdout}"));
                }
                if self.scene.arguments[0] == "restore" && !trial.destination().exists() {
                    problems.push("it said that it restored".to_owned());
                }
            }
            Some(1) if self.scene.arguments[0] == "restore" && !stderr.trim().is_empty() => {}
            Some(1) => match scenes::failed(&ended.stdout) {
                None => problems.push(format!("no summary: {stdout}")),
                Some(failed) if failed.is_empty() => problems.push(format!("it names no failure: {stdout}")),
                Some(failed) => {
                    let is_named = |name: &str| {
                        failed.iter().any(|failed| {
                            failed == name
                                || failed == &format!("{name}.wiki")
                                || failed == &format!("{name} (metadata)")
                                || failed == "all"
                                || name.starts_with(&format!("{failed}/"))
                        })
                    };
                    let unnamed: Vec<_> = undone.iter().filter(|(_, done)| !is_named(done.full_name())).collect();
                    if !unnamed.is_empty() {
                        problems.push(format!("it names only {failed:?}, but not done is {unnamed:?}"));
                    }
                    let is_of_owner = failed.iter().any(|failed| !failed.contains('/'));
                    if !ends_the_run(point) && !is_of_owner && undone.len() > 2 {
                        problems.push(format!("the others did not go on: {undone:?}: {stdout}"));
                    }
                }
            },
            // Only what belongs to all may end all.
            Some(3)
                if (self.scene.arguments[0] != "run" || of_all(point, struck))
                    && !(stderr.trim().is_empty() && stdout.trim().is_empty()) => {}
            _ => problems.push(format!("{}: {stderr}{stdout}", ended.status)),
        }
    }
}

/// Says whether a command that only reads cannot know that all is well after this fault.
///
/// Each file is read to its end and hashed first. Then libgit2 looks into it, again if it could not: that may fail once, and
/// all is well all the same.
fn must_fail(point: Point, struck: &Call, calls: &[Call]) -> bool {
    let reads = ["open", "openat", "read", "pread64", "getdents64"].contains(&struck.name);
    let fails = matches!(point.fault, Fault::Fail(errno) if errno != Errno::INTR.raw_os_error());
    let counts = struck.path.to_string_lossy().contains("/objects/pack") || struck.path.ends_with("packed-refs");
    let was_read = calls[..point.at].iter().any(|call| call.name == "close" && call.path == struck.path);
    reads && fails && counts && !was_read
}

/// Says whether a fault concerns more than one mirror: the root, ghbk's own folder, an error after which nothing more can be
/// written.
fn of_all(point: Point, struck: &Call) -> bool {
    let is_in_a_mirror = struck.path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name.ends_with(".git") || name.ends_with(".meta")
    });
    !is_in_a_mirror || ends_the_run(point)
}

/// Says whether nothing more can be written after this fault, in the product's own judgement.
fn ends_the_run(point: Point) -> bool {
    let kind = |errno| std::io::Error::from_raw_os_error(errno).kind();
    matches!(point.fault, Fault::Fail(errno) if ghbk::disk::ends_all_writing(kind(errno)))
}

/// Leaves out what is different in each trial.
fn shown(path: &Path, trial: &Trial<'_>) -> String {
    path.display().to_string().replace(&trial.folder.path().display().to_string(), "")
}

/// Takes some of many, evenly, and of each kind: one call's points lie side by side.
fn sample(points: Vec<Point>) -> Vec<Point> {
    let most = std::env::var("GHBK_FAULTS_MAX").ok().and_then(|max| max.parse().ok());
    let most = most.unwrap_or(if is_everything() { usize::MAX } else { SAMPLE });
    if points.len() <= most {
        return points;
    }
    (0..most).map(|number| points[(number * points.len() / most + number % 11).min(points.len() - 1)]).collect()
}

/// Tries points, some side by side, and fails if there is a finding.
fn try_each(rehearsed: &Rehearsed, what: &str, points: &[Point]) {
    let (next, reached) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let findings = Mutex::new(Vec::new());
    let work = || {
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            if findings.lock().unwrap().len() >= FINDINGS_MAX {
                return;
            }
            if let Some(found) = rehearsed.play(*point) {
                reached.fetch_add(1, Ordering::Relaxed);
                findings.lock().unwrap().extend(found);
            }
        }
    };
    let workers = if is_everything() { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let (reached, findings) = (reached.into_inner(), findings.into_inner().unwrap());
    let report = json!({
        "scene": rehearsed.scene.name,
        "fault": what,
        "calls": rehearsed.calls.len(),
        "tried": reached,
        "findings": findings.len(),
    });
    eprintln!("{report}");
    if let Some(folder) = std::env::var_os("GHBK_FAULTS_REPORT") {
        let file = format!("{}-{what}.json", rehearsed.scene.name.replace(' ', "-"));
        fs::write(Path::new(&folder).join(file), report.to_string()).unwrap();
    }
    assert!(reached > 0, "no fault was reached");
    assert!(findings.is_empty(), "{}", findings.join("\n\n"));
}

fn kill_everywhere(scene: Scene) {
    let rehearsed = rehearse(scene);
    let points = (0..rehearsed.calls.len()).map(|at| Point { at, fault: Fault::Kill, lasts: false });
    try_each(&rehearsed, "kill", &sample(points.collect()));
}

fn fail_everywhere(scene: Scene) {
    let rehearsed = rehearse(scene);
    let mut points = Vec::new();
    // Closing a folder does not fail: no file system is asked.
    let can_fail = |call: &Call| !(call.name == "close" && call.is_folder);
    for (at, call) in rehearsed.calls.iter().enumerate().filter(|(_, call)| can_fail(call)) {
        for errno in ERRORS {
            let fault = Fault::Fail(errno.raw_os_error());
            points.push(Point { at, fault, lasts: false });
            if LASTING.contains(&errno) && is_everything() {
                points.push(Point { at, fault, lasts: true });
            }
        }
        if call.transfers {
            points.push(Point { at, fault: Fault::Half, lasts: false });
        }
    }
    try_each(&rehearsed, "error", &sample(points));
}

macro_rules! scenes {
    ($($scene:ident),*) => {
        mod killed {
            $(#[test] fn $scene() { super::kill_everywhere(super::scenes::$scene()); })*
        }
        mod failing {
            $(#[test] fn $scene() { super::fail_everywhere(super::scenes::$scene()); })*
        }
    };
}

scenes!(
    first_mirror,
    update,
    rename,
    consolidation,
    retention,
    large_files,
    update_of_large_files,
    owed_large_files,
    repair_of_large_files,
    issues,
    update_of_issues,
    repair_of_issues,
    restore,
    repair,
    adoption,
    verification,
    cut_off_first_mirror,
    cut_off_update,
    cut_off_rename,
    cut_off_consolidation,
    cut_off_repair,
    cut_off_adoption
);

/// Looking at a pack of the mirror failed, and it was published in the place of the one that had come.
#[test]
fn no_pack_of_the_mirror_passes_for_the_one_received() {
    let rehearsed = rehearse(scenes::consolidation());
    let looks = |call: &Call| {
        let path = call.path.to_string_lossy();
        call.name == "statx" && path.ends_with(".pack") && path.contains("/acme/one.git/")
    };
    let looks = rehearsed.calls.iter().enumerate().filter(|(_, call)| looks(call));
    let fault = Fault::Fail(Errno::NOSPC.raw_os_error());
    let points: Vec<Point> = looks.map(|(at, _)| Point { at, fault, lasts: false }).collect();
    try_each(&rehearsed, "looking-at-packs", &points);
}
