//! Sending large files to a new repository, before the refs that need them.

use std::collections::HashSet;
use std::path::Path;

use futures_util::{StreamExt, stream};
use url::Url;

use super::batch::{Granted, Operation};
use super::contents::Contents;
use super::error::LfsError;
use super::server::LfsServer;
use crate::git::pointer::{LfsOid, Pointer, each_file_once};
use crate::limits::{Waited, with_retries};

const BATCH: usize = 100;
const AT_ONCE: usize = 8;
const RETRIES: u32 = 4;

/// What the server has now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Contents that were sent.
    pub(crate) files: u64,
    /// Their size in bytes.
    pub(crate) bytes: u64,
    /// Contents that it had already.
    pub(crate) already: u64,
    /// Whether it does not speak LFS.
    pub(crate) has_no_lfs: bool,
}

/// Sends the contents that some pointers of a repository name, except those that are not there.
///
/// # Errors
/// [`LfsError`] at the first that the server does not accept.
pub(crate) async fn send(
    server: &LfsServer,
    endpoint: &Url,
    git_dir: &Path,
    pointers: &[Pointer],
    not_there: &HashSet<LfsOid>,
) -> Result<Sent, LfsError> {
    let contents = Contents::of(git_dir);
    let mut there = Vec::new();
    for pointer in each_file_once(pointers) {
        // What lies there was proven by its hash; a pointer may give another size.
        let size_bytes = contents.size(&pointer.oid)?.filter(|_| !not_there.contains(&pointer.oid));
        there.extend(size_bytes.map(|size_bytes| Pointer { size_bytes, ..pointer }));
    }
    let pointers = there;
    let mut sent = Sent::default();
    for batch in pointers.chunks(BATCH) {
        let granted = with_retries(server.gate(), RETRIES, endpoint.path(), async || {
            server.batch(endpoint, Operation::Upload, batch, &Waited::default()).await
        });
        let mut granted = match granted.await {
            // A server without LFS takes none of its files.
            Err(LfsError::NotFound { .. }) if sent == Sent::default() => return Ok(Sent { has_no_lfs: true, ..sent }),
            granted => granted?,
        };
        let mut to_send = Vec::new();
        for pointer in batch {
            match granted.remove(&pointer.oid) {
                Some(Granted::Actions { transfer, verify }) => to_send.push((*pointer, transfer, verify)),
                Some(Granted::Nothing) => sent.already += 1,
                Some(Granted::Refused { code, said }) => {
                    return Err(LfsError::Protocol(format!("it refuses large file {} ({code}): {said}", pointer.oid)));
                }
                None => return Err(LfsError::Protocol(format!("it left out large file {}", pointer.oid))),
            }
        }
        let contents = &contents;
        let mut sending = stream::iter(to_send)
            .map(|(pointer, transfer, verify)| async move {
                let path = contents.path(&pointer.oid);
                let what = format!("large file {}", pointer.oid);
                let upload = with_retries(server.gate(), RETRIES, &what, async || {
                    server.upload(endpoint, (&transfer, verify.as_deref()), &path, pointer).await
                });
                upload.await.map(|()| pointer.size_bytes)
            })
            .buffer_unordered(AT_ONCE);
        while let Some(done) = sending.next().await {
            sent.bytes += done?;
            sent.files += 1;
        }
    }
    Ok(sent)
}
