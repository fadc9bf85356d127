//! Files are written beside their place, synced, read back past the cache, and only then put in their place.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};

use super::error::DiskError;
use super::read::{check_regular, open_regular};

/// Waits until everything that was written to the file system of a folder is durable.
///
/// # Errors
/// The system's error, which on some file systems is the first sign that it is full.
pub fn sync_file_system(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

/// The prefix of our temporary files; the run after an interrupted one removes them.
pub const TEMPORARY_PREFIX: &str = "tmp_ghbk_";

/// How much is read or written at once: the largest request that Linux's NFS client sends.
const PIECE_BYTES: usize = 1 << 20;

/// Writes a file into a folder, whole or not at all; [`sync_folder`] makes it durable.
///
/// # Errors
/// [`DiskError::Io`] or [`DiskError::ReadBackDiffers`]; the file is unchanged.
pub fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), DiskError> {
    replace_all(&[&[Draft::new(folder, name, content)]], |_| Ok(()))
}

/// A file that is to be in a folder.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    folder: &'a Path,
    /// Where it lies until it is whole.
    written_in: &'a Path,
    name: OsString,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Bytes(Cow<'a, [u8]>),
    CopyOf(&'a Path),
}

impl<'a> Draft<'a> {
    /// Describes a file by its content.
    pub(crate) fn new(folder: &'a Path, name: &str, content: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { folder, written_in: folder, name: name.into(), content: Content::Bytes(content.into()) }
    }

    /// Describes a copy of a file, under the same name.
    pub(crate) fn copy(folder: &'a Path, of: &'a Path) -> Self {
        let name = of.file_name().unwrap_or_default().to_owned();
        Self { folder, written_in: folder, name, content: Content::CopyOf(of) }
    }

    /// Has it written in another folder of the same file system: files in one folder are made one after the other.
    pub(crate) fn written_in(self, folder: &'a Path) -> Self {
        Self { written_in: folder, ..self }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    fn temporary(&self) -> PathBuf {
        let mut name = OsString::from(TEMPORARY_PREFIX);
        name.push(&self.name);
        // git opens whatever ends in `.idx`, and complains about one that is still being written.
        name.push(".new");
        self.written_in.join(name)
    }

    fn write(&self, path: &Path) -> Result<(), DiskError> {
        match &self.content {
            Content::Bytes(bytes) => create(path, bytes),
            Content::CopyOf(from) => copy(from, path),
        }
    }
}

/// Writes files, group after group, each whole or not at all; `between` is called with the number of each group that is in place.
///
/// All are written side by side before any is put in its place: each waits for the file system a few times.
///
/// # Errors
/// [`DiskError`], or the error of `between`; the first groups may be in place whole, and some files of the next one.
pub(crate) fn replace_all<E: From<DiskError>>(
    groups: &[&[Draft<'_>]],
    between: impl Fn(usize) -> Result<(), E>,
) -> Result<(), E> {
    let place =
        |draft: &Draft<'_>| fs::rename(draft.temporary(), draft.path()).map_err(DiskError::io("write", &draft.path()));
    let drafts = || groups.iter().copied().flatten();
    write_side_by_side(drafts().map(|draft| (draft, draft.temporary())))
        .map_err(E::from)
        .and_then(|()| {
            groups.iter().enumerate().try_for_each(|(number, group)| {
                group.iter().try_for_each(place)?;
                between(number)
            })
        })
        .inspect_err(|_| drafts().for_each(|draft| drop(fs::remove_file(draft.temporary()))))
}

/// Writes files that nobody looks for yet, side by side.
///
/// # Errors
/// [`DiskError`]; some of the files are there.
pub(crate) fn create_all(drafts: &[Draft<'_>]) -> Result<(), DiskError> {
    write_side_by_side(drafts.iter().map(|draft| (draft, draft.path())))
}

/// As many as a publication has files; a clone of another tool may have thousands of packs.
const WRITERS_MAX: usize = 5;

fn write_side_by_side<'a>(files: impl Iterator<Item = (&'a Draft<'a>, PathBuf)> + Send) -> Result<(), DiskError> {
    let files = Mutex::new(files.fuse());
    let next = || files.lock().unwrap_or_else(PoisonError::into_inner).next();
    let write = || -> Result<(), DiskError> {
        while let Some((draft, path)) = next() {
            draft.write(&path)?;
        }
        Ok(())
    };
    on_threads(WRITERS_MAX, write)
}

/// Does the same on several threads, which share the work.
pub(crate) fn on_threads(threads: usize, work: impl Fn() -> Result<(), DiskError> + Sync) -> Result<(), DiskError> {
    let work = &work;
    std::thread::scope(|scope| {
        // This thread is one of them, and is enough if there can be no others.
        let others: Vec<_> =
            (1..threads).map_while(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut all = work();
        for other in others {
            let done = other.join().unwrap_or(Err(DiskError::Panicked));
            all = all.and(done);
        }
        all
    })
}

/// Writes a file: one write, synced by the file system before it returns.
fn create(path: &Path, content: &[u8]) -> Result<(), DiskError> {
    let failed = || DiskError::io("write", path);
    let mut file = writable(OFlags::DSYNC).open(path).map_err(failed())?;
    if content.is_empty() {
        check_regular(&file).map_err(failed())?;
    }
    let written = file.write_all(content).map_err(failed()).and_then(|()| check_written(&file, path, content));
    written.map_err(|error| explain(error, &file, path))
}

/// If something else is in the file's place, names that as the reason why it cannot be written. It is checked only then, because
/// each check costs milliseconds. A FIFO or a device takes no write at a position, so reading it back always fails.
fn explain(error: DiskError, file: &File, path: &Path) -> DiskError {
    match check_regular(file) {
        Err(instead) if instead.kind() == io::ErrorKind::InvalidInput => DiskError::io("write", path)(instead),
        _ => error,
    }
}

/// Makes renames in a folder durable.
///
/// # Errors
/// [`DiskError::Io`].
pub fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    // This follows a symbolic link, too: what must not be one was refused before.
    let opened = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(io::Error::from).and_then(|file| File::from(file).sync_all()).map_err(DiskError::io("sync", folder))
}

fn copy(from: &Path, to: &Path) -> Result<(), DiskError> {
    let failed = || DiskError::io("write", to);
    let mut source = open_regular(from).map_err(DiskError::io("open", from))?;
    let mut target = writable(OFlags::empty()).open(to).map_err(failed())?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut written_bytes = 0;
    let mut write = || -> Result<(), DiskError> {
        loop {
            match source.read(&mut piece).map_err(DiskError::io("read", from))? {
                0 => break,
                count => {
                    target.write_all(&piece[..count]).map_err(failed())?;
                    written_bytes += count as u64;
                }
            }
        }
        target.sync_all().map_err(failed())
    };
    write().map_err(|error| explain(error, &target, to))?;
    check_copy(&target, to, &source, written_bytes)
}

fn writable(flags: OFlags) -> OpenOptions {
    let mut options = OpenOptions::new();
    // Names are predictable: what somebody else put there must not lead us elsewhere, nor make us wait for a reader.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("open's flags are an int");
    options.read(true).write(true).create(true).truncate(true).custom_flags(flags);
    options
}

/// Compares a file that was just written with its intended content, as the file system stores it.
fn check_written(file: &File, path: &Path, expected: &[u8]) -> Result<(), DiskError> {
    forget(file);
    let mut piece = vec![0; PIECE_BYTES.min(expected.len())];
    for (number, expected) in expected.chunks(PIECE_BYTES).enumerate() {
        compare(file, path, expected, (number * PIECE_BYTES) as u64, &mut piece[..expected.len()])?;
    }
    Ok(())
}

/// How many pieces of a file are read back at once: each waits for the file system, and none for another.
const READERS_MAX: u64 = 4;

/// Compares a copy that was just written with its source, as the file system stores it.
fn check_copy(copy: &File, path: &Path, source: &File, length_bytes: u64) -> Result<(), DiskError> {
    forget(copy);
    let next = AtomicU64::new(0);
    // The other threads need not read any further.
    let stop = |_: &DiskError| next.store(length_bytes, Ordering::Relaxed);
    let check = || -> Result<(), DiskError> {
        let (mut expected, mut piece) = (Vec::new(), Vec::new());
        loop {
            let offset = next.fetch_add(PIECE_BYTES as u64, Ordering::Relaxed);
            let count = length_bytes.saturating_sub(offset).min(PIECE_BYTES as u64);
            let count = usize::try_from(count).unwrap_or(PIECE_BYTES);
            if count == 0 {
                return Ok(());
            }
            expected.resize(count, 0);
            piece.resize(count, 0);
            let source_read = source.read_exact_at(&mut expected, offset);
            source_read.map_err(DiskError::io("read what is copied to", path)).inspect_err(stop)?;
            compare(copy, path, &expected, offset, &mut piece).inspect_err(stop)?;
        }
    };
    let readers = length_bytes.div_ceil(PIECE_BYTES as u64).clamp(1, READERS_MAX);
    on_threads(usize::try_from(readers).unwrap_or(1), check)
}

/// Asks the kernel to drop what it has cached of a file. Only advice, so a refusal costs nothing but the proof.
pub(crate) fn forget(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

fn compare(file: &File, path: &Path, expected: &[u8], offset: u64, piece: &mut [u8]) -> Result<(), DiskError> {
    file.read_exact_at(piece, offset).map_err(DiskError::io("read back", path))?;
    if piece == expected { Ok(()) } else { Err(DiskError::ReadBackDiffers(path.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::super::read::read_at_once;
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
        assert!(matches!(differs, Err(DiskError::ReadBackDiffers(_))), "{differs:?}");
        content.push(7);
        assert!(matches!(check_written(&file, &path, content.as_slice()), Err(DiskError::Io { .. })));
    }

    #[test]
    fn every_piece_of_a_copy_is_compared() {
        let folder = tempfile::tempdir().unwrap();
        let (source, copy) = (folder.path().join("source"), folder.path().join("copy"));
        let length = 6 * PIECE_BYTES + 3;
        let content: Vec<u8> = (0..=250).cycle().take(length).collect();
        fs::write(&source, &content).unwrap();
        let source = File::open(&source).unwrap();
        for wrong in [None, Some(0), Some(PIECE_BYTES - 1), Some(PIECE_BYTES), Some(5 * PIECE_BYTES), Some(length - 1)]
        {
            let mut stored = content.clone();
            if let Some(at) = wrong {
                stored[at] ^= 1;
            }
            fs::write(&copy, stored).unwrap();
            let checked = check_copy(&File::open(&copy).unwrap(), &copy, &source, length as u64);
            match wrong {
                None => checked.unwrap(),
                Some(at) => assert!(matches!(checked, Err(DiskError::ReadBackDiffers(_))), "{at}: {checked:?}"),
            }
        }
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
        create_all(&[Draft::copy(target.path(), &source)]).unwrap();
        assert_eq!(fs::read(target.path().join("refs")).unwrap(), fs::read(source).unwrap());
    }

    #[test]
    fn git_does_not_take_what_is_being_written_for_an_index() {
        let temporary = Draft::copy(Path::new("objects/pack"), Path::new("pack-1.idx")).temporary();
        assert_ne!(temporary.extension(), Some("idx".as_ref()), "{}", temporary.display());
    }

    #[test]
    fn one_file_that_cannot_be_written_leaves_all_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        fs::write(folder.path().join("a"), "old").unwrap();
        let (first, second) =
            ([Draft::new(folder.path(), "a", b"new".as_slice())], [Draft::copy(folder.path(), &missing)]);
        replace_all(&[&first, &second], |_| Ok::<_, DiskError>(())).unwrap_err();
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
