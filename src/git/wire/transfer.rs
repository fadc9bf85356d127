//! The progress of a transfer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use crate::limits::Waited;

/// Counts what a transfer has brought so far, to be shown.
#[derive(Debug, Default)]
pub struct Transfer {
    /// Bytes of packs received from the server, protocol included.
    pub received_bytes: Arc<AtomicU64>,
    /// Objects received.
    pub received_objects: AtomicUsize,
    /// Objects that the pack announces.
    pub total_objects: AtomicUsize,
    /// The time spent waiting until the server may be asked.
    pub waited: Arc<Waited>,
}
