//! Shows a folder through a file system that answers as slowly as EFS does. Needs Linux and `fusermount3`.
//!
//! Every operation waits before it is done: 2.7 ms for metadata and writes, 1 ms for reads, which is what EFS needs (its
//! documentation, "Amazon EFS performance"). The kernel remembers attributes and names for three seconds. Operations wait
//! side by side, as a network's would.
//!
//! Each write of a program waits, and names that do not exist are not remembered. An NFS client is kinder to programs that
//! write in small pieces and look for many files: with `--like-nfs`, writes are gathered and wait when the file is synced or
//! closed, 2.7 ms a mebibyte, and names that do not exist are remembered for three seconds, too. Opening a folder reads it;
//! syncing one costs nothing, as with NFS.

mod nodes;
mod slow;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fuser::{Config, MountOption};

/// How many operations can wait at the same time.
const THREADS: usize = 256;

/// Shows a folder through a file system that answers as slowly as EFS does, until it is unmounted.
#[derive(Parser)]
struct Arguments {
    /// The folder that is shown
    backing: PathBuf,
    /// Where it is shown
    mount: PathBuf,
    /// Gathers writes and remembers names that do not exist, as an NFS client does
    #[arg(long)]
    like_nfs: bool,
    /// How long metadata and writes wait, in milliseconds
    #[arg(long, default_value_t = 2.7)]
    metadata_ms: f64,
    /// How long reads wait, in milliseconds
    #[arg(long, default_value_t = 1.0)]
    read_ms: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let milliseconds = |value: f64| Duration::from_secs_f64(value / 1000.0);
    let latency = slow::Latency {
        metadata: milliseconds(arguments.metadata_ms),
        read: milliseconds(arguments.read_ms),
        is_gathering: arguments.like_nfs,
    };
    let shown = arguments.backing.canonicalize().and_then(|backing| {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("slow-store".to_owned()), MountOption::DefaultPermissions];
        config.n_threads = Some(THREADS);
        fuser::mount(slow::SlowStore::new(backing, latency), &arguments.mount, &config)
    });
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "what a program has to say when it cannot begin")]
            {
                eprintln!("cannot show {} in {}: {error}", arguments.backing.display(), arguments.mount.display());
            }
            ExitCode::FAILURE
        }
    }
}
