//! The filter that a program is started with: its calls that name a file wait for the supervisor.
//!
//! The only `unsafe` here with the supervisor's two `ioctl`s: no crate without a C library offers notifications.
#![allow(unsafe_code, reason = "system calls that no crate without a C library offers")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::calls::CALLS;

/// Lets the program install the filter on itself before it is loaded, and send the listener through `to`.
pub(crate) fn install_before_exec(command: &mut Command, to: UnixStream) {
    let program = program();
    let install = move || {
        let listener = install(&program)?;
        send(&to, &listener)
    };
    // SAFETY: what runs between fork and exec allocates nothing and takes no lock: three system calls.
    unsafe { command.pre_exec(install) };
}

/// The filter, in classic BPF: load the call's number, compare it with each that is asked for.
fn program() -> Vec<sock_filter> {
    let statement = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let load = statement(BPF_LD | BPF_W | BPF_ABS, std::mem::offset_of!(libc::seccomp_data, nr) as u32);
    let compare = CALLS.iter().enumerate().map(|(at, call)| {
        // Over the rest, and over the line that lets everything else pass.
        let to_the_end = u8::try_from(CALLS.len() - at).expect("fewer calls than a jump is long");
        sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: to_the_end, jf: 0, k: call.number as u32 }
    });
    let ends = [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_USER_NOTIF].map(|k| statement(BPF_RET | BPF_K, k));
    std::iter::once(load).chain(compare).chain(ends).collect()
}

fn install(program: &[sock_filter]) -> io::Result<OwnedFd> {
    let program = sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: takes no pointers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // SAFETY: `program` and what it points to live until the call returns.
    let listener = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    if listener < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(listener as i32) })
}

fn send(to: &UnixStream, listener: &OwnedFd) -> io::Result<()> {
    let listeners = [listener.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    message.push(SendAncillaryMessage::ScmRights(&listeners));
    rustix::net::sendmsg(to, &[io::IoSlice::new(b"x")], &mut message, SendFlags::empty())?;
    Ok(())
}

/// Receives what [`send`] sent; none if the program could not be started.
pub(crate) fn receive(from: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(from, &mut [io::IoSliceMut::new(&mut byte)], &mut message, RecvFlags::CMSG_CLOEXEC)?;
    Ok(message.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut listeners) => listeners.next(),
        _ => None,
    }))
}
