//! What finding pointers to large files costs: the time to look at each blob of a repository for one, beside the time to hash the
//! same blobs, which every pack's objects are anyway when they arrive.
//!
//! Usage: cargo bench --bench pointers -- [REPOSITORY], which is this one unless told otherwise.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ghbk::git::pointer::Pointer;

const ROUNDS: u32 = 5;

/// Reads all blobs of a repository.
fn blobs(repository: &str) -> Vec<Vec<u8>> {
    let arguments = ["-C", repository, "cat-file", "--batch-all-objects", "--unordered", "--batch"];
    let mut git = Command::new("git").args(arguments).stdout(Stdio::piped()).spawn().expect("git is installed");
    let mut output = BufReader::new(git.stdout.take().expect("it is piped"));
    let mut blobs = Vec::new();
    let mut line = String::new();
    while output.read_line(&mut line).expect("git writes text") > 0 {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let mut content = vec![0; fields[2].parse::<usize>().expect("git gives the size") + 1];
        output.read_exact(&mut content).expect("git writes what it says");
        if fields[1] == "blob" {
            content.pop();
            blobs.push(content);
        }
        line.clear();
    }
    assert!(git.wait().expect("git ends").success(), "git cat-file failed");
    blobs
}

/// Returns the shortest time of some rounds.
fn time(work: impl Fn()) -> Duration {
    let round = || {
        let begin = Instant::now();
        work();
        begin.elapsed()
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "it prints what it measured")]
fn main() {
    let repository = std::env::args().skip(1).find(|argument| argument != "--bench").unwrap_or_else(|| ".".to_owned());
    let blobs = blobs(&repository);
    let looking = time(|| {
        for blob in &blobs {
            std::hint::black_box(Pointer::parse(std::hint::black_box(blob)));
        }
    });
    let hashing = time(|| {
        for blob in &blobs {
            let hash = git2::Oid::hash_object(git2::ObjectType::Blob, blob);
            std::hint::black_box(hash.expect("libgit2 hashes any blob"));
        }
    });
    let (count, bytes) = (blobs.len(), blobs.iter().map(Vec::len).sum::<usize>());
    let share = 100.0 * looking.as_secs_f64() / hashing.as_secs_f64();
    println!(
        "{count} blobs, {bytes} bytes: looking for pointers {looking:?}, hashing {hashing:?}; {share:.2} per cent of it"
    );
}
