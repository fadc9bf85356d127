//! Passes every operation on to the folder behind, after a wait.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, FileTimes, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::nodes::Nodes;

/// How long the kernel remembers what it was told.
const REMEMBERED: Duration = Duration::from_secs(3);
/// The largest write that is sent at once.
const WRITE_MAX_BYTES: u32 = 128 * 1024;
const MEBIBYTE: u64 = 1 << 20;

/// How long operations wait.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) metadata: Duration,
    pub(crate) read: Duration,
    /// Whether writes wait when the file is synced or closed, and names that do not exist are remembered.
    pub(crate) is_gathering: bool,
}

pub(crate) struct SlowStore {
    nodes: Nodes,
    latency: Latency,
    next_handle: AtomicU64,
    files: Mutex<HashMap<u64, Arc<Open>>>,
    listings: Mutex<HashMap<u64, Arc<Listing>>>,
}

/// A file that a program has open.
struct Open {
    file: File,
    gathered_bytes: AtomicU64,
}

/// What a folder held when it was opened.
type Listing = Vec<(INodeNo, FileType, OsString)>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SlowStore {
    pub(crate) fn new(backing: PathBuf, latency: Latency) -> Self {
        let (files, listings) = (Mutex::default(), Mutex::default());
        Self { nodes: Nodes::below(backing), latency, next_handle: AtomicU64::new(1), files, listings }
    }

    fn slowly(&self) {
        sleep(self.latency.metadata);
    }

    fn file(&self, handle: FileHandle) -> io::Result<Arc<Open>> {
        lock(&self.files).get(&handle.0).cloned().ok_or_else(|| io::Error::from_raw_os_error(EBADF))
    }

    fn opened(&self, file: File) -> FileHandle {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        lock(&self.files).insert(handle, Arc::new(Open { file, gathered_bytes: AtomicU64::new(0) }));
        FileHandle(handle)
    }

    /// Returns the attributes of a name that may just have been created.
    fn entry(&self, folder: INodeNo, name: &OsStr) -> io::Result<FileAttr> {
        let metadata = fs::symlink_metadata(self.nodes.path(folder).join(name))?;
        Ok(attributes(self.nodes.number(folder, name), &metadata))
    }

    fn in_folder(&self, folder: INodeNo, name: &OsStr) -> PathBuf {
        self.slowly();
        self.nodes.path(folder).join(name)
    }

    fn send_gathered(&self, open: &Open) {
        let bytes = open.gathered_bytes.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            sleep(self.latency.metadata * u32::try_from(bytes.div_ceil(MEBIBYTE)).unwrap_or(u32::MAX));
        }
    }

    fn list(&self, folder: INodeNo) -> io::Result<Listing> {
        let mut listing: Listing = [".", ".."].map(|name| (folder, FileType::Directory, name.into())).into();
        for entry in fs::read_dir(self.nodes.path(folder))? {
            let entry = entry?;
            let name = entry.file_name();
            listing.push((self.nodes.number(folder, &name), kind(entry.file_type()?), name));
        }
        Ok(listing)
    }

    fn change(&self, node: INodeNo, handle: Option<FileHandle>, change: &Change) -> io::Result<FileAttr> {
        let path = self.nodes.path(node);
        let open = handle.map(|handle| self.file(handle)).transpose()?;
        if let Some(mode) = change.mode {
            fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777))?;
        }
        if let Some(size) = change.size {
            match &open {
                Some(open) => open.file.set_len(size)?,
                None => OpenOptions::new().write(true).open(&path)?.set_len(size)?,
            }
        }
        if let Some(times) = change.times.filter(|_| !path.is_symlink()) {
            File::open(&path)?.set_times(times)?;
        }
        let metadata = match &open {
            Some(open) => open.file.metadata()?,
            None => fs::symlink_metadata(&path)?,
        };
        Ok(attributes(node, &metadata))
    }
}

/// No such handle.
const EBADF: i32 = 9;
/// There is no such name.
const ENOENT: i32 = 2;

/// What a program wants to be otherwise about a file.
struct Change {
    mode: Option<u32>,
    size: Option<u64>,
    times: Option<FileTimes>,
}

fn kind(kind: fs::FileType) -> FileType {
    match kind {
        kind if kind.is_dir() => FileType::Directory,
        kind if kind.is_symlink() => FileType::Symlink,
        kind if kind.is_fifo() => FileType::NamedPipe,
        kind if kind.is_socket() => FileType::Socket,
        kind if kind.is_block_device() => FileType::BlockDevice,
        kind if kind.is_char_device() => FileType::CharDevice,
        _ => FileType::RegularFile,
    }
}

fn attributes(node: INodeNo, metadata: &Metadata) -> FileAttr {
    let time = |time: io::Result<SystemTime>| time.unwrap_or(SystemTime::UNIX_EPOCH);
    let changed = Duration::new(
        u64::try_from(metadata.ctime()).unwrap_or_default(),
        u32::try_from(metadata.ctime_nsec()).unwrap_or_default(),
    );
    FileAttr {
        ino: node,
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: time(metadata.accessed()),
        mtime: time(metadata.modified()),
        ctime: SystemTime::UNIX_EPOCH + changed,
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(metadata.file_type()),
        perm: u16::try_from(metadata.mode() & 0o7777).unwrap_or_default(),
        nlink: u32::try_from(metadata.nlink()).unwrap_or(u32::MAX),
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn moment(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => SystemTime::now(),
    }
}

/// Answers with what there is, or with the error of the folder behind.
macro_rules! answer {
    ($reply:expr, $result:expr, $good:expr) => {
        match $result {
            Ok(value) => $good($reply, value),
            Err(error) => $reply.error(Errno::from(error)),
        }
    };
}

impl Filesystem for SlowStore {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.set_max_write(WRITE_MAX_BYTES);
        // As an NFS client: names of one folder are looked up side by side.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        Ok(())
    }

    fn lookup(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.slowly();
        match self.entry(folder, name) {
            Ok(entry) => reply.entry(&REMEMBERED, &entry, Generation(0)),
            Err(error) if error.raw_os_error() == Some(ENOENT) && self.latency.is_gathering => {
                let Ok(folder) = fs::symlink_metadata(self.nodes.path(folder)) else {
                    return reply.error(Errno::ENOENT);
                };
                // No node: the kernel remembers that there is no such name.
                reply.entry(&REMEMBERED, &attributes(INodeNo(0), &folder), Generation(0));
            }
            Err(error) => reply.error(error.into()),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        self.slowly();
        let metadata = match handle {
            Some(handle) => self.file(handle).and_then(|open| open.file.metadata()),
            None => fs::symlink_metadata(self.nodes.path(node)),
        };
        answer!(reply, metadata, |reply: ReplyAttr, it: Metadata| reply.attr(&REMEMBERED, &attributes(node, &it)));
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.slowly();
        let mut times = FileTimes::new();
        if let Some(time) = accessed {
            times = times.set_accessed(moment(time));
        }
        if let Some(time) = modified {
            times = times.set_modified(moment(time));
        }
        let times = (accessed.is_some() || modified.is_some()).then_some(times);
        let changed = self.change(node, handle, &Change { mode, size, times });
        answer!(reply, changed, |reply: ReplyAttr, it: FileAttr| reply.attr(&REMEMBERED, &it));
    }

    fn readlink(&self, _: &Request, node: INodeNo, reply: ReplyData) {
        self.slowly();
        let target = fs::read_link(self.nodes.path(node));
        answer!(reply, target, |reply: ReplyData, it: PathBuf| reply.data(it.as_os_str().as_bytes()));
    }

    fn mkdir(&self, _: &Request, folder: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let path = self.in_folder(folder, name);
        let created = DirBuilder::new().mode(mode & !umask).create(path).and_then(|()| self.entry(folder, name));
        answer!(reply, created, |reply: ReplyEntry, it: FileAttr| reply.entry(&REMEMBERED, &it, Generation(0)));
    }

    fn unlink(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = fs::remove_file(self.in_folder(folder, name));
        answer!(reply, removed, |reply: ReplyEmpty, ()| {
            self.nodes.remove(folder, name);
            reply.ok();
        });
    }

    fn rmdir(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = fs::remove_dir(self.in_folder(folder, name));
        answer!(reply, removed, |reply: ReplyEmpty, ()| {
            self.nodes.remove(folder, name);
            reply.ok();
        });
    }

    fn symlink(&self, _: &Request, folder: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let created = symlink(target, self.in_folder(folder, name)).and_then(|()| self.entry(folder, name));
        answer!(reply, created, |reply: ReplyEntry, it: FileAttr| reply.entry(&REMEMBERED, &it, Generation(0)));
    }

    fn rename(
        &self,
        _: &Request,
        folder: INodeNo,
        name: &OsStr,
        new_folder: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            // As an NFS client does.
            return reply.error(Errno::EINVAL);
        }
        let from = self.in_folder(folder, name);
        let renamed = fs::rename(from, self.nodes.path(new_folder).join(new_name));
        answer!(reply, renamed, |reply: ReplyEmpty, ()| {
            self.nodes.rename((folder, name), (new_folder, new_name));
            reply.ok();
        });
    }

    fn link(&self, _: &Request, node: INodeNo, folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let path = self.in_folder(folder, name);
        let created = fs::hard_link(self.nodes.path(node), path).and_then(|()| self.entry(folder, name));
        answer!(reply, created, |reply: ReplyEntry, it: FileAttr| reply.entry(&REMEMBERED, &it, Generation(0)));
    }

    fn open(&self, _: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.slowly();
        let is_read_only = flags.acc_mode() == fuser::OpenAccMode::O_RDONLY;
        // A file that is written is read, too, as the kernel may.
        let file = OpenOptions::new().read(true).write(!is_read_only).open(self.nodes.path(node));
        answer!(reply, file, |reply: ReplyOpen, it: File| reply.opened(self.opened(it), FopenFlags::empty()));
    }

    fn create(&self, _: &Request, folder: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let path = self.in_folder(folder, name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(mode & !umask);
        let created = options.open(path).and_then(|file| Ok((file, self.entry(folder, name)?)));
        answer!(reply, created, |reply: ReplyCreate, (file, entry): (File, FileAttr)| {
            reply.created(&REMEMBERED, &entry, Generation(0), self.opened(file), FopenFlags::empty());
        });
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        sleep(self.latency.read);
        let read = self.file(handle).and_then(|open| {
            let mut bytes = vec![0; size as usize];
            let mut filled = 0;
            while filled < bytes.len() {
                match open.file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                    0 => break,
                    more => filled += more,
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        });
        answer!(reply, read, |reply: ReplyData, it: Vec<u8>| reply.data(&it));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.file(handle).and_then(|open| {
            if self.latency.is_gathering {
                open.gathered_bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
            } else {
                self.slowly();
            }
            open.file.write_all_at(data, offset)?;
            Ok(u32::try_from(data.len()).unwrap_or(u32::MAX))
        });
        answer!(reply, written, ReplyWrite::written);
    }

    fn flush(&self, _: &Request, _: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        answer!(reply, self.file(handle), |reply: ReplyEmpty, open: Arc<Open>| {
            self.send_gathered(&open);
            reply.ok();
        });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.files).remove(&handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        let synced = self.file(handle).and_then(|open| {
            self.send_gathered(&open);
            self.slowly();
            open.file.sync_all()
        });
        answer!(reply, synced, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn opendir(&self, _: &Request, folder: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.slowly();
        answer!(reply, self.list(folder), |reply: ReplyOpen, listing: Listing| {
            let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
            lock(&self.listings).insert(handle, Arc::new(listing));
            reply.opened(FileHandle(handle), FopenFlags::empty());
        });
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listing = lock(&self.listings).get(&handle.0).cloned().unwrap_or_default();
        for (next, (node, kind, name)) in (1..).zip(listing.iter()).skip(usize::try_from(offset).unwrap_or(usize::MAX))
        {
            if reply.add(*node, next, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        lock(&self.listings).remove(&handle.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        // Room enough for everybody.
        const BLOCKS: u64 = 1 << 30;
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, 4096, 255, 4096);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}
