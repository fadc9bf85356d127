//! Decides about each call that waits: not ours, let it pass, or strike.
#![allow(unsafe_code, reason = "system calls that no crate without a C library offers")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use libc::{seccomp_notif, seccomp_notif_resp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal};

use crate::calls::{Kind, Known, Subject, by_number};
use crate::{Call, Fault, Plan, Unreadable, filter};

/// How long a poll waits before the deadline is looked at again.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Longer than any path that the tests make.
const PATH_BYTES_MAX: usize = 4096;

/// Supervises until nobody is left who has the filter; returns the calls that counted, and whether time ran out.
pub(crate) fn supervise(from: &UnixStream, plan: &Plan, deadline: Instant) -> io::Result<(Vec<Call>, bool)> {
    let mut calls = Vec::new();
    let mut timed_out = false;
    let Some(listener) = filter::receive(from)? else { return Ok((calls, timed_out)) };
    let mut process = None;
    loop {
        let mut waiting = [PollFd::new(&listener, PollFlags::IN)];
        match poll(&mut waiting, Some(&PAUSE)) {
            Ok(_) => {}
            Err(error) if error == rustix::io::Errno::INTR => continue,
            Err(error) => return Err(error.into()),
        }
        let events = waiting[0].revents();
        if events.contains(PollFlags::IN) {
            let Some(notification) = next(&listener)? else { continue };
            process = Pid::from_raw(notification.pid.cast_signed()).or(process);
            let waiting = Waiting { notification, task: PathBuf::from(format!("/proc/{}", notification.pid)) };
            if let Some(answer) = waiting.decide(plan, &mut calls) {
                respond(&listener, answer)?;
            }
        } else if events.contains(PollFlags::HUP) {
            return Ok((calls, timed_out));
        }
        if let Some(process) = process.filter(|_| Instant::now() > deadline) {
            timed_out = true;
            // It may be gone, which is what is wanted.
            let _ = rustix::process::kill_process(process, Signal::KILL);
        }
    }
}

/// Takes the next call that waits; none if who made it is gone.
fn next(listener: &OwnedFd) -> io::Result<Option<seccomp_notif>> {
    // SAFETY: plain numbers, all of which may be 0, which is what the kernel demands.
    let mut notification: seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is the one that this request fills.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notification) };
    if done == 0 {
        return Ok(Some(notification));
    }
    let error = io::Error::last_os_error();
    if is_gone(&error) { Ok(None) } else { Err(error) }
}

fn respond(listener: &OwnedFd, mut answer: seccomp_notif_resp) -> io::Result<()> {
    // SAFETY: the structure is the one that this request reads.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
    let error = io::Error::last_os_error();
    if done == 0 || is_gone(&error) { Ok(()) } else { Err(error) }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR))
}

/// A call that waits to be let pass.
struct Waiting {
    notification: seccomp_notif,
    /// Its task's folder in proc(5).
    task: PathBuf,
}

impl Waiting {
    /// Returns the answer; none if the program was killed.
    fn decide(&self, plan: &Plan, calls: &mut Vec<Call>) -> Option<seccomp_notif_resp> {
        let Some(known) = by_number(self.notification.data.nr) else { return Some(self.pass()) };
        let Some(path) = self.touched(known, &plan.folders) else { return Some(self.pass()) };
        let transfers = matches!(known.kind, Kind::Reads { .. } | Kind::Writes { .. });
        let number = calls.len();
        let is_folder = path.is_dir();
        calls.push(Call { name: known.name, path, transfers, is_folder });
        if plan.unreadable.as_ref().is_some_and(|unreadable| self.reads(known, unreadable)) {
            return if known.name == "mmap" { self.end(Signal::BUS) } else { Some(self.answer(0, -libc::EIO)) };
        }
        let Some((at, fault)) = plan.fault else { return Some(self.pass()) };
        let is_struck = number == at || (plan.lasts && number > at && self.changes(known));
        if !is_struck {
            return Some(self.pass());
        }
        match fault {
            // No file system is asked when a folder is closed, and programs rely on it.
            Fault::Fail(_) if known.name == "close" && is_folder => Some(self.pass()),
            Fault::Kill => self.end(Signal::KILL),
            Fault::Fail(errno) => Some(self.answer(0, -errno)),
            Fault::Half if transfers => Some(self.half(known).unwrap_or_else(|_| self.pass())),
            // The calls of several threads come in another order each time: here is one that cannot be cut short.
            Fault::Half => Some(self.pass()),
        }
    }

    /// Ends the program by a signal.
    fn end(&self, signal: Signal) -> Option<seccomp_notif_resp> {
        let process = Pid::from_raw(self.notification.pid.cast_signed());
        // A task's id means its process, here. It cannot be gone: it waits.
        let ended = process.map(|process| rustix::process::kill_process(process, signal));
        assert!(matches!(ended, Some(Ok(()))), "cannot kill: {ended:?}");
        None
    }

    /// Returns whether the call would read bytes that cannot be read.
    fn reads(&self, known: &Known, unreadable: &Unreadable) -> bool {
        let (descriptor, offset, length) = match known.name {
            "read" | "readv" => (self.int(0), self.position(self.int(0)), self.argument(2)),
            "pread64" => (self.int(0), Some(self.argument(3)), self.argument(2)),
            "mmap" => (self.int(4), Some(self.argument(5)), self.argument(1)),
            // The kernel reads from where the file stands, or from where a pointer says.
            "copy_file_range" => (self.int(0), Some(0), u64::MAX),
            "sendfile" => (self.int(1), Some(0), u64::MAX),
            _ => return false,
        };
        // A vector's length is spread over memory; what it reads goes as far as the file for all that is known.
        let length = if known.name == "readv" { u64::MAX } else { length };
        let is_it = self.of_descriptor(descriptor).is_some_and(|path| path == unreadable.file);
        is_it
            && offset.is_some_and(|offset| {
                offset < unreadable.bytes.end && unreadable.bytes.start < offset.saturating_add(length)
            })
    }

    /// Returns where in its file a descriptor stands.
    fn position(&self, descriptor: i32) -> Option<u64> {
        let text = fs::read_to_string(self.task.join("fdinfo").join(descriptor.to_string())).ok()?;
        text.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok())
    }

    fn pass(&self) -> seccomp_notif_resp {
        let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or_default();
        seccomp_notif_resp { flags, ..self.answer(0, 0) }
    }

    fn answer(&self, value: i64, error: i32) -> seccomp_notif_resp {
        seccomp_notif_resp { id: self.notification.id, val: value, error, flags: 0 }
    }

    fn argument(&self, number: usize) -> u64 {
        self.notification.data.args[number]
    }

    /// Returns an argument that is an `int`.
    fn int(&self, number: usize) -> i32 {
        // The upper half of the register means nothing.
        (self.argument(number) as u32).cast_signed()
    }

    fn changes(&self, known: &Known) -> bool {
        match known.kind {
            Kind::Changes | Kind::Writes { .. } => true,
            Kind::Opens => {
                let flags = self.int(if known.name == "open" { 1 } else { 2 });
                flags & (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT) != 0
            }
            Kind::Asks | Kind::Follows | Kind::Reads { .. } => false,
        }
    }

    /// Returns what the call touches, if it is at or below one of the folders.
    fn touched(&self, known: &Known, folders: &[PathBuf]) -> Option<PathBuf> {
        let is_in = |path: &Path| folders.iter().any(|folder| path.starts_with(folder));
        for subject in known.subjects {
            let Some(path) = self.path(*subject) else { continue };
            if is_in(&path) {
                return Some(path);
            }
            // A link elsewhere may lead into the folder.
            if matches!(known.kind, Kind::Opens | Kind::Follows)
                && let Some(real) = fs::canonicalize(&path).ok().filter(|real| is_in(real))
            {
                return Some(real);
            }
        }
        None
    }

    fn path(&self, subject: Subject) -> Option<PathBuf> {
        match subject {
            Subject::Path(argument) => self.absolute(libc::AT_FDCWD, argument),
            Subject::At(folder, argument) => self.absolute(self.int(folder), argument),
            Subject::Descriptor(argument) => self.of_descriptor(self.int(argument)),
        }
    }

    fn of_descriptor(&self, descriptor: i32) -> Option<PathBuf> {
        let path = fs::read_link(self.task.join("fd").join(descriptor.to_string())).ok()?;
        path.is_absolute().then_some(path)
    }

    fn absolute(&self, folder: i32, argument: usize) -> Option<PathBuf> {
        let path = self.text(self.argument(argument))?;
        if path.is_absolute() {
            return Some(path);
        }
        let folder = match folder {
            libc::AT_FDCWD => fs::read_link(self.task.join("cwd")).ok()?,
            descriptor => self.of_descriptor(descriptor)?,
        };
        // An empty path means the descriptor itself.
        Some(if path.as_os_str().is_empty() { folder } else { folder.join(path) })
    }

    fn memory(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.task.join("mem"))
    }

    /// Reads text that ends with a 0 from the program's memory.
    fn text(&self, address: u64) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        if address == 0 {
            return None;
        }
        let memory = self.memory().ok()?;
        let mut text = Vec::new();
        let mut piece = [0; 256];
        while text.len() < PATH_BYTES_MAX {
            // The next page may not be there.
            let count = memory.read_at(&mut piece, address + text.len() as u64).ok().filter(|count| *count > 0)?;
            if let Some(end) = piece[..count].iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&piece[..end]);
                return Some(std::ffi::OsString::from_vec(text).into());
            }
            text.extend_from_slice(&piece[..count]);
        }
        None
    }

    /// Does half of a transfer in the program's place.
    fn half(&self, known: &Known) -> io::Result<seccomp_notif_resp> {
        let length = usize::try_from(self.argument(2)).unwrap_or(usize::MAX).min(1 << 30) / 2;
        if length == 0 {
            return Ok(self.pass());
        }
        let file = File::from(self.copy_of_descriptor(self.int(0))?);
        let (address, offset) = (self.argument(1), self.argument(3));
        let memory = self.memory()?;
        let mut bytes = vec![0; length];
        let done = match known.kind {
            Kind::Reads { at } => {
                let done = if at { file.read_at(&mut bytes, offset) } else { io::Read::read(&mut &file, &mut bytes) }?;
                memory.write_all_at(&bytes[..done], address)?;
                done
            }
            Kind::Writes { at } => {
                memory.read_exact_at(&mut bytes, address)?;
                if at { file.write_at(&bytes, offset) } else { io::Write::write(&mut &file, &bytes) }?
            }
            _ => return Ok(self.pass()),
        };
        Ok(self.answer(done as i64, 0))
    }

    /// Returns a descriptor of ours for the file behind one of the program's; both share the position.
    fn copy_of_descriptor(&self, descriptor: i32) -> io::Result<OwnedFd> {
        let status = fs::read_to_string(self.task.join("status"))?;
        let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
        let process = process.and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let process = rustix::process::pidfd_open(process, PidfdFlags::empty())?;
        Ok(rustix::process::pidfd_getfd(process, descriptor, PidfdGetfdFlags::empty())?)
    }
}
