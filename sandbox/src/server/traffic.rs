//! How many connections were made and how many bytes went over them, TLS and headers included.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What went over the sandbox's connections so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes that clients sent.
    pub bytes_received: u64,
    /// Bytes that clients were sent.
    pub bytes_sent: u64,
}

/// Counts while the sandbox runs.
#[derive(Debug, Default)]
pub(crate) struct TrafficCounter {
    connections: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
}

impl TrafficCounter {
    /// Returns what was counted since the beginning, or since the last [`Self::clear`].
    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            connections: self.connections.load(Ordering::Relaxed),
            bytes_received: self.bytes_received.load(Ordering::Relaxed),
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
        }
    }

    /// Begins anew.
    pub(crate) fn clear(&self) {
        for counter in [&self.connections, &self.bytes_received, &self.bytes_sent] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a connection, and from now on what goes over it.
    pub(super) fn count<S>(self: &Arc<Self>, stream: S) -> Counted<S> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted { stream, counter: Arc::clone(self) }
    }
}

/// A stream whose bytes are counted.
pub(super) struct Counted<S> {
    stream: S,
    counter: Arc<TrafficCounter>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, out);
        self.counter.bytes_received.fetch_add((out.filled().len() - before) as u64, Ordering::Relaxed);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = result {
            self.counter.bytes_sent.fetch_add(count as u64, Ordering::Relaxed);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
