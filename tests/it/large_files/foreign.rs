//! A server of large files that is not ours: giftless, with git-lfs as the client that fills it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{GitLfs, missing, sums, track};
use crate::world::{World, finish};

/// giftless on a port of its own.
struct Giftless {
    child: Child,
    host: String,
}

impl Giftless {
    /// None if giftless is not installed and not demanded.
    fn start(folder: &Path) -> Option<Self> {
        let python = std::env::var("GHBK_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/serve_giftless.py");
        let mut command = Command::new(python);
        command.arg(program).arg(port.to_string()).arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        let mut giftless = Self { child: command.spawn().unwrap(), host: format!("127.0.0.1:{port}") };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = giftless.child.try_wait().unwrap();
            if ended.is_some() && std::env::var_os("GHBK_TEST_REQUIRE_ALL").is_none() {
                eprintln!("skipped: giftless is not installed; scripts/test installs it");
                return None;
            }
            assert!(ended.is_none() && started.elapsed() < Duration::from_mins(1), "giftless does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(giftless)
    }
}

impl Drop for Giftless {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_git_lfs_sent_to_giftless_is_fetched_from_there() {
    let (world, git) = (World::new(), GitLfs::new());
    let folder = tempfile::tempdir().unwrap();
    let Some(giftless) = Giftless::start(folder.path()) else { return };
    let url = format!("http://{}/acme/site", giftless.host);
    let editor = world.add("acme/site");
    track(&editor);
    editor.commit("main", ".lfsconfig", &format!("[lfs]\n\turl = {url}\n")).unwrap();
    for number in 0..120 {
        editor.large_file("main", &format!("{number}.bin"), format!("content {number}\n").as_bytes()).unwrap();
    }
    let origin = world.sandbox.repositories().join("acme/site.git");
    git.git(&origin, &["lfs", "push", "--all", &url]);
    // Only giftless has them now.
    std::fs::remove_dir_all(origin.join("lfs")).unwrap();
    // What it does not have, and what it has in another size, it refuses one by one.
    let (unknown, known) = ("0".repeat(64), sha256_of("content 7\n"));
    for (name, oid, size) in [("unknown.dat", unknown.as_str(), 5), ("wrong.dat", known.as_str(), 3)] {
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n");
        editor.commit("main", name, &pointer).unwrap();
    }
    let run = || {
        let mut command = world.ghbk(&["run", "--json"]);
        finish(command.env("GHBK_LARGE_FILES__SERVERS", &giftless.host))
    };
    let summary = run().expect(1).json();
    let said = summary["failures"][0]["error"].as_str().unwrap();
    assert!(said.contains("is not on 127.0.0.1"), "{said}");
    assert_eq!(sums(&summary)["counts"]["downloaded"], 120);
    assert_eq!(missing(&world, "acme/site"), [(unknown.clone(), "absent".to_owned())]);
    let judged = git.output(&world.mirror("acme/site"), &["lfs", "fsck", "--objects", "--dry-run"]);
    let complaints = String::from_utf8(judged.stdout).unwrap();
    assert_eq!(complaints.lines().filter(|line| !line.contains(&unknown)).count(), 0, "{complaints}");
    // Told once.
    run().expect(0);
}

fn sha256_of(content: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("content");
    std::fs::write(&path, content).unwrap();
    let hashed = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(hashed.stdout).unwrap()[..64].to_owned()
}
