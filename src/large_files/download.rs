//! Downloading one large file: it is written and hashed as it arrives, and resumed where a connection broke off.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::StatusCode;
use tokio::sync::mpsc;

use super::batch::{Action, Granted, Operation};
use super::contents::{ContentError, Contents};
use super::error::LfsError;
use super::fetch::{Fetcher, Order, joined};
use super::server::{Arriving, connection};
use crate::git::pointer::Pointer;
use crate::limits::with_retries;

/// Pieces that wait for the store; each is a few hundred kilobytes at most.
const PIECES_WAITING: usize = 2;

impl Fetcher {
    /// Downloads one file; once more if it had the wrong content.
    pub(super) async fn download(
        &self,
        order: &Order<'_>,
        pointer: Pointer,
        mut action: Action,
    ) -> Result<(), LfsError> {
        let mut is_second = false;
        loop {
            match self.download_once(order, pointer, &mut action).await {
                Err(LfsError::Content(ContentError::WrongHash | ContentError::TooLong(_))) if !is_second => {
                    is_second = true;
                }
                ended => return ended,
            }
        }
    }

    async fn download_once(&self, order: &Order<'_>, pointer: Pointer, action: &mut Action) -> Result<(), LfsError> {
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        let contents = order.contents.clone();
        // After a download is cut off, the writer lives on for the time of one write.
        let kept_alive = Arc::clone(&self.kept_alive);
        let writer = tokio::task::spawn_blocking(move || {
            let _kept_alive = kept_alive;
            write(&contents, pointer, pieces)
        });
        let mut came_bytes = 0;
        let mut asked_again_at = None;
        let what = format!("large file {}", pointer.oid);
        let came = with_retries(self.server.gate(), self.retries, &what, async || {
            loop {
                match self.receive(order, pointer, action, &mut came_bytes, &sender).await {
                    // The address is no longer valid: it expired, or was valid only once.
                    Err(LfsError::Unauthorized | LfsError::Forbidden { .. } | LfsError::NotFound { .. })
                        // A large file may outlive several addresses: ask again whenever some of it arrived.
                        if asked_again_at.is_none_or(|at| came_bytes > at) =>
                    {
                        asked_again_at = Some(came_bytes);
                        *action = self.ask_again(order, pointer).await?;
                    }
                    ended => return ended,
                }
            }
        })
        .await;
        if came.is_ok() {
            // If nobody receives it, the writer says why.
            let _ = sender.send(Piece::End).await;
        }
        drop(sender);
        let written = joined(writer.await);
        match came {
            // The writer's error says more than that nobody received it.
            Ok(()) | Err(LfsError::Cancelled) => {
                if written? {
                    Ok(())
                } else {
                    Err(LfsError::Cancelled)
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn ask_again(&self, order: &Order<'_>, pointer: Pointer) -> Result<Action, LfsError> {
        let granted = self
            .server
            .batch(order.endpoint, Operation::Download, &[pointer], order.waited)
            .await?
            .remove(&pointer.oid);
        match granted {
            Some(Granted::Actions { transfer, .. }) => Ok(*transfer),
            Some(Granted::Refused { code, said }) if matches!(code, 404 | 410 | 422) => {
                let status = StatusCode::from_u16(code).unwrap_or(StatusCode::NOT_FOUND);
                Err(LfsError::NotFound { status, is_lfs: true, said })
            }
            Some(Granted::Refused { code: 403, said }) => {
                Err(LfsError::Forbidden { status: StatusCode::FORBIDDEN, said })
            }
            Some(Granted::Refused { said, .. }) => Err(LfsError::Protocol(said)),
            _ => Err(LfsError::Protocol("it left out a requested file".to_owned())),
        }
    }

    /// Receives a content from where the last attempt ended.
    async fn receive(
        &self,
        order: &Order<'_>,
        pointer: Pointer,
        action: &mut Action,
        came_bytes: &mut u64,
        sender: &mpsc::Sender<Piece>,
    ) -> Result<(), LfsError> {
        if *came_bytes == pointer.size_bytes && *came_bytes > 0 {
            return Ok(());
        }
        let arriving = self.server.download(order.endpoint, action, *came_bytes, pointer).await;
        let Arriving { from, response } = match arriving {
            // The server does not continue in the middle, so start from the beginning.
            Err(LfsError::Protocol(_)) if *came_bytes > 0 => {
                self.server.download(order.endpoint, action, 0, pointer).await?
            }
            arriving => arriving?,
        };
        let send = async |piece| sender.send(piece).await.map_err(|_| LfsError::Cancelled);
        if from == 0 && *came_bytes > 0 {
            send(Piece::BeginAnew).await?;
            *came_bytes = 0;
        }
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(connection)?;
            let count = chunk.len();
            send(Piece::Bytes(chunk)).await?;
            *came_bytes += count as u64;
            order.received_bytes.fetch_add(count as u64, Ordering::Relaxed);
            self.server.gate().pass_bytes(count).await;
        }
        if *came_bytes < pointer.size_bytes {
            let size_bytes = pointer.size_bytes;
            return Err(LfsError::Connection(format!("it ended after {came_bytes} of {size_bytes} bytes")));
        }
        Ok(())
    }
}

/// What is passed on to the writer.
enum Piece {
    Bytes(Bytes),
    BeginAnew,
    End,
}

/// Writes what arrives; returns whether all of it arrived.
fn write(contents: &Contents, pointer: Pointer, mut pieces: mpsc::Receiver<Piece>) -> Result<bool, LfsError> {
    let mut incoming = contents.begin(pointer)?;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Bytes(bytes) => incoming.write(&bytes)?,
            Piece::BeginAnew => incoming.begin_anew()?,
            Piece::End => {
                incoming.finish(contents)?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}
