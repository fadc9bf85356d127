//! The system calls that touch files, and where each says which.

use libc::c_long;

/// Where a call says which file it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    /// A path, in this argument.
    Path(usize),
    /// A path in the second argument, below the folder of the descriptor in the first.
    At(usize, usize),
    /// A descriptor, in this argument.
    Descriptor(usize),
}

/// A system call that touches files.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) number: c_long,
    pub(crate) name: &'static str,
    pub(crate) subjects: &'static [Subject],
    pub(crate) kind: Kind,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Opens a file; whether that changes anything depends on its flags.
    Opens,
    /// Asks for something.
    Asks,
    /// Asks about a name, following a link that it is.
    Follows,
    /// Changes something.
    Changes,
    /// Transfers content from a file to memory; the next arguments are an address and a length.
    Reads {
        /// Whether the fourth argument is where in the file.
        at: bool,
    },
    /// Transfers content from memory to a file.
    Writes {
        /// Whether the fourth argument is where in the file.
        at: bool,
    },
}

const fn known(number: c_long, name: &'static str, subjects: &'static [Subject], kind: Kind) -> Known {
    Known { number, name, subjects, kind }
}

use Kind::{Asks, Changes, Follows, Opens};
use Subject::{At, Descriptor, Path};

pub(crate) static CALLS: &[Known] = &[
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_open, "open", &[Path(0)], Opens),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_creat, "creat", &[Path(0)], Changes),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_stat, "stat", &[Path(0)], Follows),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_lstat, "lstat", &[Path(0)], Asks),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_access, "access", &[Path(0)], Follows),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_readlink, "readlink", &[Path(0)], Asks),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_rename, "rename", &[Path(0), Path(1)], Changes),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_mkdir, "mkdir", &[Path(0)], Changes),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_rmdir, "rmdir", &[Path(0)], Changes),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_unlink, "unlink", &[Path(0)], Changes),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_link, "link", &[Path(0), Path(1)], Changes),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_symlink, "symlink", &[Path(1)], Changes),
    #[cfg(target_arch = "x86_64")]
    known(libc::SYS_chmod, "chmod", &[Path(0)], Changes),
    known(libc::SYS_openat, "openat", &[At(0, 1)], Opens),
    // Here only ever to look.
    known(libc::SYS_openat2, "openat2", &[At(0, 1)], Asks),
    known(libc::SYS_newfstatat, "newfstatat", &[At(0, 1)], Follows),
    known(libc::SYS_statx, "statx", &[At(0, 1)], Follows),
    known(libc::SYS_faccessat, "faccessat", &[At(0, 1)], Follows),
    known(libc::SYS_faccessat2, "faccessat2", &[At(0, 1)], Follows),
    known(libc::SYS_readlinkat, "readlinkat", &[At(0, 1)], Asks),
    known(libc::SYS_renameat, "renameat", &[At(0, 1), At(2, 3)], Changes),
    known(libc::SYS_renameat2, "renameat2", &[At(0, 1), At(2, 3)], Changes),
    known(libc::SYS_mkdirat, "mkdirat", &[At(0, 1)], Changes),
    known(libc::SYS_unlinkat, "unlinkat", &[At(0, 1)], Changes),
    known(libc::SYS_linkat, "linkat", &[At(0, 1), At(2, 3)], Changes),
    known(libc::SYS_symlinkat, "symlinkat", &[At(1, 2)], Changes),
    known(libc::SYS_fchmodat, "fchmodat", &[At(0, 1)], Changes),
    known(libc::SYS_utimensat, "utimensat", &[At(0, 1)], Changes),
    known(libc::SYS_statfs, "statfs", &[Path(0)], Asks),
    known(libc::SYS_truncate, "truncate", &[Path(0)], Changes),
    known(libc::SYS_fstat, "fstat", &[Descriptor(0)], Asks),
    known(libc::SYS_fstatfs, "fstatfs", &[Descriptor(0)], Asks),
    known(libc::SYS_lseek, "lseek", &[Descriptor(0)], Asks),
    known(libc::SYS_getdents64, "getdents64", &[Descriptor(0)], Asks),
    known(libc::SYS_flock, "flock", &[Descriptor(0)], Asks),
    known(libc::SYS_fadvise64, "fadvise64", &[Descriptor(0)], Asks),
    known(libc::SYS_mmap, "mmap", &[Descriptor(4)], Asks),
    known(libc::SYS_close, "close", &[Descriptor(0)], Asks),
    known(libc::SYS_read, "read", &[Descriptor(0)], Kind::Reads { at: false }),
    known(libc::SYS_pread64, "pread64", &[Descriptor(0)], Kind::Reads { at: true }),
    known(libc::SYS_write, "write", &[Descriptor(0)], Kind::Writes { at: false }),
    known(libc::SYS_pwrite64, "pwrite64", &[Descriptor(0)], Kind::Writes { at: true }),
    known(libc::SYS_readv, "readv", &[Descriptor(0)], Asks),
    known(libc::SYS_writev, "writev", &[Descriptor(0)], Changes),
    known(libc::SYS_copy_file_range, "copy_file_range", &[Descriptor(0), Descriptor(2)], Changes),
    known(libc::SYS_sendfile, "sendfile", &[Descriptor(0), Descriptor(1)], Changes),
    known(libc::SYS_fsync, "fsync", &[Descriptor(0)], Changes),
    known(libc::SYS_fdatasync, "fdatasync", &[Descriptor(0)], Changes),
    known(libc::SYS_ftruncate, "ftruncate", &[Descriptor(0)], Changes),
    known(libc::SYS_fallocate, "fallocate", &[Descriptor(0)], Changes),
    known(libc::SYS_fchmod, "fchmod", &[Descriptor(0)], Changes),
];

/// Finds a call by its number.
pub(crate) fn by_number(number: i32) -> Option<&'static Known> {
    CALLS.iter().find(|known| known.number == c_long::from(number))
}
