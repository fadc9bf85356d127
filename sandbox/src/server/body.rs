//! The body of an answer: all at once, or in pieces from a task that may be slower, or fail.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// How many pieces wait for the client; few, so that git is slowed down to the pace of a slow client.
const PIECES: usize = 4;

/// Carries the bytes of an answer.
pub(crate) enum Body {
    /// All bytes; hyper adds the `Content-Length`.
    Whole(Option<Bytes>),
    /// Pieces from a task. An error breaks the connection off.
    Pieces { receiver: mpsc::Receiver<io::Result<Bytes>>, length: Option<u64> },
}

impl Body {
    /// Returns a body of these bytes.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    /// Returns a body and the sender of its pieces, with the length to promise, if one is to be promised.
    pub(crate) fn pieces(length: Option<u64>) -> (mpsc::Sender<io::Result<Bytes>>, Self) {
        let (sender, receiver) = mpsc::channel(PIECES);
        (sender, Self::Pieces { receiver, length })
    }

    /// Returns the length that the client will be told, if it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(bytes) => Some(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces { length, .. } => *length,
        }
    }

    /// Waits for the next piece; `None` is the end.
    pub(crate) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self {
            Self::Whole(bytes) => bytes.take().map(Ok),
            Self::Pieces { receiver, .. } => receiver.recv().await,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) => bytes.take().map(Ok),
            Self::Pieces { receiver, .. } => ready!(receiver.poll_recv(context)),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
