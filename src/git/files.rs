//! Files of a mirror, read and written in as few operations as there can be: EFS answers each in milliseconds.
//!
//! What is written is synced and read back past the cache before anybody can find it. What a newcomer would get wrong:
//! `fs::read` and `fs::copy` ask a file system three times as often as they need to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::GitError;

/// How our temporary files are named; the run after an interrupted one removes them.
pub const TEMPORARY_PREFIX: &str = "tmp_ghbk_";

/// What is read or written at once; the largest request that Linux' NFS client sends.
const PIECE_BYTES: usize = 1 << 20;

/// Reads a file in four system calls: `fs::read` asks for the position, too, and reads once more to see the end.
///
/// # Errors
/// What the system says; [`io::ErrorKind::UnexpectedEof`] if the file became shorter in the meantime.
pub fn read_at_once(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    // One byte more than there should be: a read that does not fill it has seen the end.
    let mut bytes = vec![0; length + 1];
    let mut filled = 0;
    while filled < length {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    if filled > length {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Writes a file of a folder so that it is there whole or not at all; [`sync_folder`] makes it durable.
///
/// # Errors
/// [`GitError::Io`] or [`GitError::ReadBackDiffers`]; the file is as it was.
pub fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), GitError> {
    renamed(folder, name.as_ref(), |temporary| create(temporary, content))
}

/// Copies a file into a folder so that it is there whole or not at all; [`sync_folder`] makes it durable.
///
/// # Errors
/// [`GitError::Io`] or [`GitError::ReadBackDiffers`]; the folder is as it was.
pub(super) fn copy_into(folder: &Path, from: &Path) -> Result<PathBuf, GitError> {
    renamed(folder, name_of(from)?, |temporary| copy(from, temporary))?;
    Ok(folder.join(name_of(from)?))
}

/// Copies a file into a folder that nobody looks into yet.
///
/// # Errors
/// [`GitError::Io`] or [`GitError::ReadBackDiffers`].
pub(super) fn copy_into_hidden(folder: &Path, from: &Path) -> Result<(), GitError> {
    copy(from, &folder.join(name_of(from)?))
}

/// Writes a file that nobody looks for yet: one write, synced by the file system before it returns.
///
/// # Errors
/// [`GitError::Io`] or [`GitError::ReadBackDiffers`].
pub fn create(path: &Path, content: &[u8]) -> Result<(), GitError> {
    let failed = || GitError::io("write", path);
    let mut file = writable(OFlags::DSYNC).open(path).map_err(failed())?;
    file.write_all(content).map_err(failed())?;
    check_written(&file, path, content)
}

/// Makes renames in a folder durable.
///
/// # Errors
/// [`GitError::Io`].
pub fn sync_folder(folder: &Path) -> Result<(), GitError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(GitError::io("sync", folder))
}

/// Writes under a temporary name, then renames.
fn renamed(
    folder: &Path,
    name: &std::ffi::OsStr,
    write: impl FnOnce(&Path) -> Result<(), GitError>,
) -> Result<(), GitError> {
    let mut temporary = std::ffi::OsString::from(TEMPORARY_PREFIX);
    temporary.push(name);
    let (temporary, path) = (folder.join(temporary), folder.join(name));
    write(&temporary)
        .and_then(|()| fs::rename(&temporary, &path).map_err(GitError::io("write", &path)))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}

fn copy(from: &Path, to: &Path) -> Result<(), GitError> {
    let failed = || GitError::io("write", to);
    let mut source = File::open(from).map_err(GitError::io("open", from))?;
    let mut target = writable(OFlags::empty()).open(to).map_err(failed())?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match source.read(&mut piece).map_err(GitError::io("read", from))? {
            0 => break,
            count => target.write_all(&piece[..count]).map_err(failed())?,
        }
    }
    target.sync_all().map_err(failed())?;
    let source = File::open(from).map_err(GitError::io("open", from))?;
    check_written(&target, to, source)
}

fn writable(flags: OFlags) -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = i32::try_from(flags.bits()).expect("open's flags are an int");
    options.read(true).write(true).create(true).truncate(true).custom_flags(flags);
    options
}

/// Compares a file that was just written with what it is to hold, as the file system stores it.
fn check_written(file: &File, path: &Path, mut expected: impl Read) -> Result<(), GitError> {
    let failed = || GitError::io("read back", path);
    // Asks the kernel to forget what it has in memory. Only advice, so a refusal costs nothing but the proof.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    let (mut expected_piece, mut piece) = (Vec::new(), Vec::new());
    let mut offset = 0;
    loop {
        expected_piece.clear();
        let limit = PIECE_BYTES as u64;
        let count = expected.by_ref().take(limit).read_to_end(&mut expected_piece).map_err(failed())?;
        if count == 0 {
            return Ok(());
        }
        piece.resize(count, 0);
        file.read_exact_at(&mut piece, offset).map_err(failed())?;
        if piece != expected_piece {
            return Err(GitError::ReadBackDiffers(path.to_owned()));
        }
        offset += count as u64;
    }
}

fn name_of(path: &Path) -> Result<&std::ffi::OsStr, GitError> {
    path.file_name().ok_or_else(|| GitError::Task("a file without a name".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_back_is_compared_to_the_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut content = vec![7; PIECE_BYTES + 2];
        create(&path, &content).unwrap();
        let file = File::open(&path).unwrap();
        check_written(&file, &path, content.as_slice()).unwrap();
        *content.last_mut().unwrap() = 8;
        let differs = check_written(&file, &path, content.as_slice());
        assert!(matches!(differs, Err(GitError::ReadBackDiffers(_))), "{differs:?}");
        content.push(7);
        assert!(matches!(check_written(&file, &path, content.as_slice()), Err(GitError::Io { .. })));
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for content in [b"old and long".as_slice(), b"new", b""] {
            replace(folder.path(), "refs", content).unwrap();
            assert_eq!(read_at_once(&folder.path().join("refs")).unwrap(), content);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        let source = folder.path().join("refs");
        let target = tempfile::tempdir().unwrap();
        fs::write(&source, vec![1; 3 * PIECE_BYTES + 1]).unwrap();
        let copied = copy_into(target.path(), &source).unwrap();
        assert_eq!(fs::read(copied).unwrap(), fs::read(source).unwrap());
    }
}
