//! Bodies: answers read with a bound, files sent in pieces, and how either fails.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::Response;
use tokio::io::AsyncReadExt;

use super::Failure;
use crate::text::{chain, printable};

/// How much is sent at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// How a conversation failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// For a reason that a person has to do something about, or that lies with a proxy.
    Unreachable(Failure),
    /// In words, down to the cause and without the URL.
    Connection(String),
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        if let Some(failure) = Failure::of(&error) {
            return Self::Unreachable(failure);
        }
        Self::Connection(if error.is_timeout() {
            "it brought nothing for limits.stall_timeout".to_owned()
        } else {
            printable(&chain(&error.without_url()), 400)
        })
    }
}

/// Why an answer was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It did not arrive whole.
    Trouble(Trouble),
    /// It is longer than allowed; in words.
    TooLong(String),
}

/// Reads an answer of at most `max_bytes` bytes.
pub(crate) async fn read_bounded(response: Response, max_bytes: usize) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Unread::Trouble(error.into()))?;
        if body.len() + chunk.len() > max_bytes {
            return Err(Unread::TooLong(format!("an answer of more than {max_bytes} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads a file piece by piece, to be sent as a body.
pub(crate) fn pieces_of(file: tokio::fs::File) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    futures_util::stream::unfold(file, |mut file| async move {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        match (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Bytes::from(chunk)), file)),
            Err(error) => Some((Err(error), file)),
        }
    })
}
