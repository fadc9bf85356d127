//! Kills a program, or makes a system call of it fail, at a chosen call that touches a folder.
//!
//! For tests of what must survive a fault at every step: run once to count the calls, then once for each of them.
//! The kernel hands each system call that names a file to this process before it happens (seccomp(2),
//! `SECCOMP_RET_USER_NOTIF`), so calls of all threads are counted in one order, and the one in question can be refused,
//! cut short, or be the last thing that the program tried. strace can inject the same faults, but counts the calls of
//! each thread on their own, so that it cannot reach each call of a program with several.
//!
//! What a newcomer would get wrong: reads through a memory map are no system calls, and are not seen; that a file is mapped
//! is. A map of an [`Unreadable`] range ends the program with SIGBUS at once, as touching it would.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the kernel's interface is made of registers and of fields of 16 and 32 bits"
)]

mod calls;
mod filter;
mod supervisor;

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What happens to the program at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is killed before the call.
    Kill,
    /// The call does nothing and returns this `errno`.
    Fail(i32),
    /// The call transfers half of what was asked for; only a read or a write can.
    Half,
}

/// Which calls are meant.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Calls that touch something at or below these folders count.
    pub folders: Vec<PathBuf>,
    /// The first call that the fault strikes, counted from 0, and the fault; none: calls are only counted.
    pub fault: Option<(usize, Fault)>,
    /// Whether it strikes all calls from there on that change something: a file system that is full stays full.
    pub lasts: bool,
    /// A range of a file that no call can read, as long as the program runs.
    pub unreadable: Option<Unreadable>,
}

/// Bytes of a file that the disk does not give back any more.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// The file.
    pub file: PathBuf,
    /// The bytes.
    pub bytes: std::ops::Range<u64>,
}

/// A call that touched one of the folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The name of the system call.
    pub name: &'static str,
    /// What it touched.
    pub path: PathBuf,
    /// Whether it transfers content, and so can be cut short.
    pub transfers: bool,
    /// Whether it touched a folder.
    pub is_folder: bool,
}

/// What came of a program.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// The calls that touched the folders, in the order in which they were made, those that were struck included.
    pub calls: Vec<Call>,
    /// Whether it was killed because it did not end in time.
    pub timed_out: bool,
}

impl Ended {
    /// Returns the call that the fault struck first; none if the program made fewer calls.
    pub fn struck(&self, plan: &Plan) -> Option<&Call> {
        plan.fault.and_then(|(at, _)| self.calls.get(at))
    }
}

/// Runs a program to its end, or until `patience` is over, with a fault as planned. It inherits no standard input.
///
/// # Errors
/// [`io::Error`] if it cannot be started or watched; that takes Linux 5.6 and a user who may trace it (ptrace(2)).
pub fn run(mut command: Command, plan: &Plan, patience: Duration) -> io::Result<Ended> {
    let (ours, theirs) = UnixStream::pair()?;
    filter::install_before_exec(&mut command, theirs);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let deadline = Instant::now() + patience;
    std::thread::scope(|scope| {
        // Starting returns when the program has been loaded, which takes calls that somebody must let pass.
        let supervisor = scope.spawn(|| supervisor::supervise(&ours, plan, deadline));
        let spawned = command.spawn();
        // Closes our copy of the other end, so that the supervisor sees that nothing will come.
        drop(command);
        let mut child = spawned?;
        let stderr = child.stderr.take();
        let stderr = scope.spawn(move || read(stderr));
        let stdout = read(child.stdout.take())?;
        let stderr = stderr.join().map_err(|_| panicked())??;
        let status = child.wait()?;
        let (calls, timed_out) = supervisor.join().map_err(|_| panicked())??;
        Ok(Ended { status, stdout, stderr, calls, timed_out })
    })
}

fn read(from: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.map_or(Ok(0), |mut from| from.read_to_end(&mut bytes))?;
    Ok(bytes)
}

fn panicked() -> io::Error {
    io::Error::other("a thread panicked")
}
