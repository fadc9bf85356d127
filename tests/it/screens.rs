//! Every command's screen, good and failing, one after the other, as terminals of three widths show them.

use ghbk::terminal::Look;
use ghbk_sandbox::RepositoryEditor;
use regex::Regex;

use crate::world::World;

/// What differs from run to run, and what stands for it: of the same length wherever lines may break.
const VOLATILE: &[(&str, &str)] = &[
    (r"\b\d{8}T\d{6}\.\d{3}Z\b", "20261129T050000.000Z"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\b", "2026-11-29 05:00:00 UTC"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d UTC\b", "2026-11-29 05:00 UTC"),
    (r"\b\d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d\b", "2026-11-22 to 2026-11-29"),
    (r"\b\d+ (ms|s)\b", "3 s"),
    (r"\b[0-9.]+ [KMGT]iB free\b", "8.0 GiB free"),
    (r"\b[1-9]\d* B received\b", "700 B received"),
    (r"\b[0-9.]+ KiB\b", "9.9 KiB"),
    (r"\b[0-9a-f]{40}\b", "8d1e2b7c4f5a6938271605f4e3d2c1b0a9f8e7d6"),
    (r"\b[0-9a-f]{10}\b", "8d1e2b7c4f"),
    (r"\b127\.0\.0\.1:\d+", "127.0.0.1:8080"),
];

/// Gathers screens.
struct Screens {
    world: World,
    volatile: Vec<(Regex, &'static str)>,
    /// Each with the command before it.
    all: Vec<(String, String)>,
}

impl Screens {
    fn new(world: World) -> Self {
        let volatile = VOLATILE.iter().map(|(pattern, stands)| (Regex::new(pattern).unwrap(), *stands)).collect();
        Self { world, volatile, all: Vec::new() }
    }

    /// Runs a command, and keeps what it prints: its result, then what went wrong.
    #[track_caller]
    fn show(&mut self, code: i32, arguments: &[&str]) {
        let ended = self.world.run(arguments).expect(code);
        let is_log = |line: &&str| !line.starts_with("20") || !line.contains("Z ");
        let errors: Vec<&str> = ended.stderr.lines().filter(is_log).collect();
        let mut text = ended.stdout + &errors.join("\n");
        text = text.replace(self.world.folder.path().to_str().unwrap(), "/home/u");
        for (pattern, stands) in &self.volatile {
            text = pattern.replace_all(&text, *stands).into_owned();
        }
        self.all.push((format!("$ ghbk {}", arguments.join(" ")), text.trim_end().to_owned()));
    }

    fn at(&self, columns: usize, has_colour: bool) -> String {
        let look = Look { width: Some(columns), has_colour };
        let screens = self.all.iter().map(|(command, text)| format!("{command}\n{}\n", look.show(text)));
        screens.collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn screens_read_well_one_after_the_other() {
    let mut screens = Screens::new(World::new());
    let site = |world: &World| -> RepositoryEditor { world.add("acme/site") };
    let editor = site(&screens.world);
    screens.world.add("acme/api");
    screens.world.add("acme/legacy");
    screens.show(0, &["check"]);
    screens.show(0, &["list"]);
    screens.show(0, &["run"]);
    screens.show(0, &["run"]);
    editor.commit("main", "index.html", "one").unwrap();
    screens.show(0, &["run", "acme/site"]);
    editor.force_push("main").unwrap();
    screens.show(0, &["run"]);
    screens.show(0, &["status"]);
    screens.show(0, &["status", "--all"]);
    screens.show(0, &["status", "acme/site"]);
    screens.show(0, &["status", "--check"]);
    screens.show(0, &["snapshots", "acme/site"]);
    screens.show(0, &["diff", "acme/site"]);
    screens.show(0, &["restore", "acme/site", "site.git"]);
    screens.show(0, &["restore", "--all", "everything"]);
    screens.show(0, &["verify"]);
    screens.show(0, &["run", "--repair"]);
    screens.show(0, &["adopt"]);
    screens.show(0, &["accept", "acme/site"]);
    screens.show(
        0,
        &["init", "--yes", "--config", "ghbk.toml", "--owner", "acme", "--root", "mirrors", "--timezone", "UTC"],
    );
    // What goes wrong.
    screens.show(2, &["init", "--yes", "--config", "ghbk.toml", "--owner", "acme"]);
    screens.show(2, &["verify", "--owner", "acme"]);
    screens.show(2, &["diff", "acme/site", "2020-01-01"]);
    screens.show(2, &["adopt", "nowhere"]);
    screens.show(2, &["restore", "acme/site", "site.git"]);
    screens.show(2, &["restore", "acme/sites", "other.git"]);
    screens.show(2, &["snapshots", "https://gitlab.com/acme/site"]);
    screens.show(2, &["restore", "acme/site", "other.git", "--at", "2020-01-01"]);
    screens.show(2, &["status", "--max-age", "8"]);
    screens.show(2, &["run", "acme"]);
    screens.show(1, &["run", "acme/siet"]);
    std::fs::remove_file(screens.world.mirror("acme/api").join("HEAD")).unwrap();
    let packs = screens.world.mirror("acme/legacy").join("objects/pack");
    for pack in std::fs::read_dir(packs).unwrap().flatten() {
        std::fs::remove_file(pack.path()).unwrap();
    }
    screens.show(1, &["verify"]);
    screens.show(0, &["status"]);
    screens.show(1, &["status", "--check"]);
    screens.show(1, &["restore", "acme/legacy", "legacy.git"]);
    screens.show(1, &["run"]);
    screens.show(1, &["run", "--repair"]);
    std::fs::remove_dir_all(screens.world.mirror("acme/api")).unwrap();
    screens.show(1, &["run"]);
    screens.show(0, &["status"]);
    screens.show(2, &["forget", "acme/legacy"]);
    screens.show(0, &["run"]);
    for columns in [40, 80, 140] {
        insta::assert_snapshot!(format!("screens_{columns}"), screens.at(columns, false));
    }
    insta::assert_snapshot!("screens_in_colour", screens.at(80, true).replace('\u{1b}', "␛"));
}
