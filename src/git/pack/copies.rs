//! Copies of packs on local disk, for everything that reads most of a pack or maps it into memory.
//!
//! Blocking; reads one store, writes to scratch or to a restore's destination. What a newcomer would get wrong: a block that
//! cannot be read costs only the objects in it, so the copy leaves a hole there and continues.

use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use gix_hash::Kind::Sha1;
use tokio_util::sync::CancellationToken;

use crate::disk::{open_file, read_at_once};
use crate::git::GitError;
use crate::git::pack::{self, OID_BYTES, Pack, name_of};

/// A pack on local disk.
#[derive(Debug)]
pub(crate) struct Copied {
    /// The copy with its index, or `None` if the objects in it cannot be found.
    pub(crate) pack: Option<Pack>,
    /// The first thing that is wrong with the original.
    pub(crate) problem: Option<String>,
}

impl Copied {
    /// Returns the copy if the original is whole.
    ///
    /// # Errors
    /// [`GitError::Damaged`] with what is wrong with it.
    pub(crate) fn whole(self) -> Result<Pack, GitError> {
        match (self.pack, self.problem) {
            (Some(copy), None) => Ok(copy),
            (_, problem) => Err(GitError::Damaged(problem.unwrap_or_else(|| "a pack without an index".to_owned()))),
        }
    }
}

/// How much is read and written at once.
const PIECE_BYTES: usize = 1 << 20;
/// How much is read at once where a piece cannot be read: a page of memory and of most file systems.
const PAGE_BYTES: usize = 4096;

/// Ends a copy early, and counts what it has copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch<'a> {
    /// Ends it.
    pub(crate) cancel: &'a CancellationToken,
    /// Bytes of packs copied so far, to be shown.
    pub(crate) copied_bytes: Option<&'a AtomicU64>,
}

impl<'a> From<&'a CancellationToken> for Watch<'a> {
    fn from(cancel: &'a CancellationToken) -> Self {
        Self { cancel, copied_bytes: None }
    }
}

/// Copies a pack and its index, and checks both by their checksums.
///
/// # Errors
/// [`GitError::Disk`] if the copy cannot be written; [`GitError::Cancelled`]. A damaged original is not an error.
pub(crate) fn copy<'a>(pack: &Pack, folder: &Path, watch: impl Into<Watch<'a>>) -> Result<Copied, GitError> {
    let local = pack.within(folder);
    let content = match copy_content(pack, &local.pack, watch.into())? {
        Ok(content) => content,
        Err(problem) => return Ok(Copied { pack: None, problem: Some(problem) }),
    };
    let idx = match read_at_once(&pack.idx) {
        Ok(idx) => {
            fs::write(&local.idx, idx).map_err(GitError::io("write", &local.idx))?;
            pack::check_offsets(&local).map(drop).map_err(|error| error.damage())
        }
        Err(error) => Err(format!("{} cannot be read: {error}", name_of(&pack.idx))),
    };
    let problem = content.problem.clone().or(idx.err());
    let problem = problem.or_else(|| mismatch(&local, &content).err().map(|error| error.damage()));
    let Some(problem) = problem else { return Ok(Copied { pack: Some(local), problem: None }) };
    // A whole pack says itself what is in it; for a damaged one, only its index does.
    let mended = if content.is_whole() { index_anew(&local, folder) } else { mend(&local)? };
    Ok(Copied { pack: mended, problem: Some(problem) })
}

/// Copies every pack of a repository. A pack of which nothing can be read is tried once more: what NFS refuses for a moment is
/// not lost.
///
/// # Errors
/// As [`copy`], and [`GitError::Disk`] if the folder of packs cannot be listed.
pub(crate) fn copy_all<'a>(
    git_dir: &Path,
    folder: &Path,
    watch: impl Into<Watch<'a>>,
) -> Result<Vec<Copied>, GitError> {
    let watch = watch.into();
    fs::create_dir_all(folder).map_err(GitError::io("create", folder))?;
    let copied = |pack: &Pack| match copy(pack, folder, watch)? {
        Copied { pack: None, .. } => copy(pack, folder, watch),
        copied => Ok(copied),
    };
    pack::packs_in(&git_dir.join("objects/pack"))?.iter().map(copied).collect()
}

/// Copies every pack that has no index of its own, and makes an index for it.
///
/// # Errors
/// As [`copy_all`].
pub(crate) fn copy_unindexed(git_dir: &Path, folder: &Path, cancel: &CancellationToken) -> Result<Vec<Pack>, GitError> {
    let packs = pack::packs_without_index(&git_dir.join("objects/pack"))?;
    let copied = packs.iter().map(|pack| Ok(copy(pack, folder, cancel)?.pack));
    copied.filter_map(Result::transpose).collect()
}

/// Copies the loose objects of a repository, which ghbk never writes: git does, when somebody pushes into a mirror.
///
/// # Errors
/// [`GitError::Disk`] if a copy cannot be written. One that cannot be read is left out.
pub(crate) fn copy_loose(git_dir: &Path, objects: &Path) -> Result<(), GitError> {
    let Ok(folders) = pack::loose_folders(&git_dir.join("objects")) else { return Ok(()) };
    for folder in folders.flatten() {
        let Ok(files) = fs::read_dir(&folder) else { continue };
        let into = objects.join(folder.file_name().unwrap_or_default());
        fs::create_dir_all(&into).map_err(GitError::io("create", &into))?;
        for file in files.flatten() {
            if let Ok(bytes) = read_at_once(&file.path()) {
                let to = into.join(file.file_name());
                fs::write(&to, bytes).map_err(GitError::io("write", &to))?;
            }
        }
    }
    Ok(())
}

/// The result of copying the content of a pack.
struct Content {
    /// Of everything before the checksum at its end.
    checksum: gix_hash::ObjectId,
    /// The checksum at its end.
    trailer: [u8; OID_BYTES],
    problem: Option<String>,
}

impl Content {
    fn is_whole(&self) -> bool {
        self.problem.is_none() && self.checksum.as_bytes() == self.trailer
    }
}

/// Returns what is wrong if nothing could be copied.
fn copy_content(pack: &Pack, to: &Path, watch: Watch<'_>) -> Result<Result<Content, String>, GitError> {
    let name = name_of(&pack.pack);
    let (source, length) = match open_file(&pack.pack) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(format!("{name} is missing"))),
        Err(error) => return Ok(Err(format!("{name} cannot be read: {error}"))),
    };
    let failed = || GitError::io("write", to);
    let mut target = File::create(to).map_err(failed())?;
    let hashed_end = length.saturating_sub(OID_BYTES as u64);
    let mut hasher = gix_hash::hasher(Sha1);
    let mut problem = (length < pack::HEADER_BYTES + OID_BYTES as u64).then(|| format!("{name} is cut short"));
    let mut trailer = [0; OID_BYTES];
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    while offset < length {
        if watch.cancel.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        let count = usize::try_from(length - offset).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let piece = &mut piece[..count];
        if let Err(error) = read_with_holes(&source, piece, offset) {
            problem.get_or_insert_with(|| format!("{name} cannot be read from byte {offset} on: {error}"));
        }
        let before_trailer = usize::try_from(hashed_end.saturating_sub(offset)).unwrap_or(count).min(count);
        hasher.update(&piece[..before_trailer]);
        // The trailer may be in two pieces.
        let of_trailer = &piece[before_trailer..];
        trailer.rotate_left(of_trailer.len());
        trailer[OID_BYTES - of_trailer.len()..].copy_from_slice(of_trailer);
        target.write_all(piece).map_err(failed())?;
        offset += count as u64;
        if let Some(copied) = watch.copied_bytes {
            copied.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
    let checksum = hasher.try_finalize().map_err(|error| GitError::BrokenPack(error.to_string()))?;
    Ok(Ok(Content { checksum, trailer, problem }))
}

/// Fills a piece with what can be read of it, and zeros elsewhere; returns the first error.
fn read_with_holes(source: &File, piece: &mut [u8], offset: u64) -> io::Result<()> {
    let Err(first) = source.read_exact_at(piece, offset) else { return Ok(()) };
    for (number, page) in piece.chunks_mut(PAGE_BYTES).enumerate() {
        if source.read_exact_at(page, offset + (number * PAGE_BYTES) as u64).is_err() {
            page.fill(0);
        }
    }
    Err(first)
}

/// Compares the checksums of a copied pack, its index, and what was hashed on the way.
fn mismatch(local: &Pack, content: &Content) -> Result<(), GitError> {
    pack::compare_checksums(local, &local.index()?, &content.checksum, &content.trailer)
}

/// Turns a damaged copy into one that libgit2 opens: with the entries that its index names within the file, and with a header and
/// a checksum that agree with the index. Which objects are damaged shows when they are read.
fn mend(local: &Pack) -> Result<Option<Pack>, GitError> {
    let Ok(index) = local.index() else {
        let _ = fs::remove_file(&local.idx);
        return Ok(None);
    };
    let failed = || GitError::io("write", &local.pack);
    let mut file = File::options().read(true).write(true).open(&local.pack).map_err(failed())?;
    let end = file.metadata().map_err(failed())?.len();
    let within = |offset: &u64| (pack::HEADER_BYTES..end).contains(offset);
    let rows: Vec<pack::Row> = pack::rows_of(&index).into_iter().filter(|row| within(&row.offset)).collect();
    let checksum = index.pack_checksum();
    drop(index);
    file.write_all(&pack::header(pack::count_of(rows.len())?)).map_err(failed())?;
    file.write_all_at(checksum.as_bytes(), end).map_err(failed())?;
    pack::write_idx(&local.idx, rows, checksum.as_bytes()).map_err(GitError::io("write", &local.idx))?;
    Ok(Some(local.clone()))
}

/// Gives a copied pack a new index.
fn index_anew(local: &Pack, folder: &Path) -> Option<Pack> {
    let index = || -> Result<Pack, GitError> {
        let file = File::open(&local.pack).map_err(GitError::io("open", &local.pack))?;
        let mut indexer = git2::Indexer::new(None, folder, 0o600, false)?;
        io::copy(&mut BufReader::with_capacity(PIECE_BYTES, file), &mut indexer)
            .map_err(GitError::io("index", &local.pack))?;
        Ok(Pack::of_idx(folder.join(format!("pack-{}.idx", indexer.commit()?))))
    };
    match index() {
        Ok(indexed) => {
            if indexed.pack != local.pack {
                let _ = fs::remove_file(&local.pack);
                let _ = fs::remove_file(&local.idx);
            }
            Some(indexed)
        }
        // Objects that no index leads to are lost.
        Err(error) => {
            tracing::debug!(pack = %local.pack.display(), %error, "cannot be indexed anew");
            let _ = fs::remove_file(&local.pack);
            let _ = fs::remove_file(&local.idx);
            None
        }
    }
}
