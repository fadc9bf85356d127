//! Reads files, and nothing but files, in as few operations as possible.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// A smaller file is read in three system calls.
const SMALL_BYTES: usize = 32 * 1024;
/// A read that fails in the middle of a file stops at a multiple of this: it returns what came before as if there were no more.
const PAGE_BYTES: usize = 4096;

/// Reads a file in three system calls if it is small, in four or five otherwise: `fs::read` also asks for its size and for the
/// position, and reads once more to see the end.
///
/// # Errors
/// The system's error; [`io::ErrorKind::UnexpectedEof`] if the file became shorter in the meantime.
pub fn read_at_once(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open_unblocked(path)?;
    let mut bytes = vec![0; SMALL_BYTES];
    let mut filled = read_some(&mut file, &mut bytes)?;
    if filled > 0 && filled < SMALL_BYTES && !filled.is_multiple_of(PAGE_BYTES) {
        bytes.truncate(filled);
        return Ok(bytes);
    }
    let length = usize::try_from(check_regular(&file)?).map_err(io::Error::other)?;
    // One byte more than there should be: a read that does not fill it has seen the end.
    bytes.resize((length + 1).max(filled), 0);
    while filled < length {
        match read_some(&mut file, &mut bytes[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    if filled > length {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn read_some(file: &mut File, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Opens a file for reading. Anything else in its place is an error at once: opening a FIFO would wait for a writer, and
/// reading a device may never end.
///
/// # Errors
/// The system's error; [`io::ErrorKind::InvalidInput`] names what lies there instead of a file.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    open_file(path).map(|(file, _)| file)
}

/// Opens a file for reading, and returns its size in bytes.
///
/// # Errors
/// As [`open_regular`].
pub(crate) fn open_file(path: &Path) -> io::Result<(File, u64)> {
    let file = open_unblocked(path)?;
    let size = check_regular(&file)?;
    Ok((file, size))
}

fn open_unblocked(path: &Path) -> io::Result<File> {
    // For a regular file O_NONBLOCK changes nothing (open(2)).
    match rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
        Ok(descriptor) => Ok(File::from(descriptor)),
        // A socket cannot be opened, nor can a device without a driver.
        Err(Errno::NXIO) => Err(not_a_file("a socket or a device")),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns the size of an open file in bytes; anything but a regular one is an error.
pub(crate) fn check_regular(file: &File) -> io::Result<u64> {
    // Not `File::metadata`, which also asks for the time of birth; no file system has that in its cache.
    let status = rustix::fs::fstat(file)?;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => u64::try_from(status.st_size).map_err(io::Error::other),
        FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
        FileType::Fifo => Err(not_a_file("a FIFO")),
        FileType::CharacterDevice | FileType::BlockDevice => Err(not_a_file("a device")),
        _ => Err(not_a_file("something else")),
    }
}

fn not_a_file(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a file"))
}

/// Opens a folder, and nothing else that may lie in its place; a symbolic link is not followed.
///
/// # Errors
/// The system's error.
pub(crate) fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Reads a small text.
///
/// # Errors
/// As [`read_at_once`]; [`io::ErrorKind::InvalidData`] if it is not UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_at_once(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Returns the metadata of a file or folder, or nothing if the path does not exist.
///
/// # Errors
/// The system's error.
pub(crate) fn metadata(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns how much more can be written to the file system of a folder, in bytes.
///
/// # Errors
/// The system's error.
pub(crate) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let room = rustix::fs::statvfs(folder)?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

/// Returns whether an error means that the path does not exist.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_size_are_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for size in [0, 1, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, SMALL_BYTES, SMALL_BYTES + 1, 3 * SMALL_BYTES] {
            let content: Vec<u8> = (0..=250).cycle().take(size).collect();
            fs::write(&path, &content).unwrap();
            assert_eq!(read_at_once(&path).unwrap(), content, "{size}");
        }
        assert_eq!(read_at_once(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(read_at_once(&fifo).is_err() && open_file(&fifo).is_err());
    }
}
