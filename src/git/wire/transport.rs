//! Our HTTP below the unpacker: its blocking reads are bridged to the async client. To libgit2 it is a smart subtransport.
//!
//! Runs on a blocking thread of the runtime. The first request that libgit2 makes, for the advertisement, never
//! reaches the network: it is answered from the one already read, reduced to what is wanted. What a newcomer would
//! get wrong: libgit2's registry is global, so what belongs to one fetch travels by a thread-local session.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Once, PoisonError};

use bytes::{Buf, Bytes};
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::git::GitError;
use crate::git::wire::server::GitServer;
use crate::limits::Waited;

/// The scheme under which libgit2 finds this transport; the rest of the address does not matter.
pub(crate) const ADDRESS: &str = "ghbk+https://session";

/// Chunks in flight between the network and the receiver: enough to keep both busy, few enough to bound memory.
const CHUNKS_IN_FLIGHT: usize = 64;

/// What one fetch needs from outside.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) server: Arc<GitServer>,
    pub(crate) repository_url: Url,
    /// The advertisement that libgit2 is to see.
    pub(crate) advertisement: Bytes,
    pub(crate) received_bytes: Arc<AtomicU64>,
    pub(crate) waited: Arc<Waited>,
    pub(crate) cancel: CancellationToken,
    /// The first error of the network, which libgit2 would reduce to a line of text.
    pub(crate) failure: Arc<Mutex<Option<GitError>>>,
}

thread_local! {
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// Runs a fetch with its session; libgit2 must be called on this thread only.
pub(crate) fn with_session<T>(session: Session, fetch: impl FnOnce() -> T) -> T {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            SESSION.with_borrow_mut(Option::take);
        }
    }
    SESSION.set(Some(session));
    let _clear = Clear;
    fetch()
}

/// Prepares libgit2 for this process; later calls do nothing.
///
/// No configuration but ours is obeyed, hashes are checked, and memory for mapped packs is bounded.
///
/// # Panics
/// If libgit2 refuses its own options, which would mean a build with another libgit2.
#[expect(unsafe_code, reason = "libgit2's options and its table of transports are global and unsynchronised")]
pub fn set_up_libgit2() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        git2::opts::strict_hash_verification(true);
        let empty = std::path::Path::new("");
        // SAFETY: `Once` runs this alone, and every use of libgit2 in this crate comes after a call of this function.
        let result = unsafe {
            use git2::ConfigLevel::{Global, ProgramData, System, XDG};
            [Global, ProgramData, System, XDG]
                .into_iter()
                .try_for_each(|level| git2::opts::set_search_path(level, empty))
                // Behind an EFS access point every file belongs to one user, whoever wrote it.
                .and_then(|()| git2::opts::set_verify_owner_validation(false))
                .and_then(|()| git2::opts::set_mwindow_mapped_limit(MAPPED_LIMIT_BYTES))
                .and_then(|()| {
                    git2::transport::register("ghbk+https", |remote| Transport::smart(remote, true, Subtransport))
                })
        };
        result.expect("libgit2 accepts its own options");
    });
}

/// How much of packs all threads together map at once; libgit2's own default is 8 GiB on 64-bit machines.
const MAPPED_LIMIT_BYTES: usize = 512 * 1024 * 1024;

struct Subtransport;

impl SmartSubtransport for Subtransport {
    fn action(&self, _url: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let session =
            SESSION.with_borrow(Clone::clone).ok_or_else(|| git2::Error::from_str("a fetch outside of its session"))?;
        match service {
            Service::UploadPackLs => Ok(Box::new(Replay(session.advertisement))),
            Service::UploadPack => Ok(Box::new(Exchange::Asking { session, request: Vec::new() })),
            Service::ReceivePackLs | Service::ReceivePack => Err(git2::Error::from_str("this transport only reads")),
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// Sends one request for a pack when the answer is first read.
pub(crate) fn exchange(session: Session, request: Vec<u8>) -> impl Read {
    Exchange::Asking { session, request }
}

/// Answers from memory.
struct Replay(Bytes);

impl Read for Replay {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = out.len().min(self.0.len());
        self.0.split_to(count).copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}

impl Write for Replay {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One request for a pack: the request is written, then the answer is read.
enum Exchange {
    Asking { session: Session, request: Vec<u8> },
    Answering { session: Session, chunks: mpsc::Receiver<Result<Bytes, GitError>>, current: Bytes },
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Asking { request, .. } => {
                request.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Self::Answering { .. } => Err(io::Error::other("the request is already sent")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Exchange {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Self::Asking { session, request } = self {
            let session = session.clone();
            let chunks = send(&session, std::mem::take(request));
            *self = Self::Answering { session, chunks, current: Bytes::new() };
        }
        let Self::Answering { session, chunks, current } = self else {
            return Err(io::Error::other("the request was not sent"));
        };
        while current.is_empty() {
            match chunks.blocking_recv() {
                Some(Ok(chunk)) => *current = chunk,
                Some(Err(error)) => {
                    let text = error.to_string();
                    session.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    return Err(io::Error::other(text));
                }
                None => return Ok(0),
            }
        }
        let count = out.len().min(current.len());
        current.split_to(count).copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}

/// Starts the request on the runtime that this blocking thread belongs to.
fn send(session: &Session, request: Vec<u8>) -> mpsc::Receiver<Result<Bytes, GitError>> {
    let (sink, chunks) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let session = session.clone();
    tokio::runtime::Handle::current().spawn(async move {
        let Session { server, repository_url, received_bytes, waited, .. } = &session;
        let exchange = server.upload_pack(repository_url, request, (received_bytes, waited), &sink);
        let result = tokio::select! {
            result = exchange => result.map_err(GitError::from),
            () = session.cancel.cancelled() => Err(GitError::Cancelled),
        };
        if let Err(error) = result {
            // No receiver: it has ended and keeps an error of its own.
            let _ = sink.send(Err(error)).await;
        }
    });
    chunks
}
