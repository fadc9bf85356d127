//! What a test has broken about GraphQL, beyond the faults that act on any path.

use std::sync::{Mutex, PoisonError};

/// Says how GraphQL is to misbehave; start from the default, which does not.
///
/// The *size* of a query is the number of ids in `nodes(ids:)`, or else the page size of its outermost connections.
#[derive(Debug, Clone, Default)]
pub struct GraphqlLimits {
    /// A query of a larger size takes too long: 502.
    pub timeout_above: Option<usize>,
    /// A query of a larger size is answered with 200 and `RESOURCE_LIMITS_EXCEEDED`: in lists, the nodes
    /// after this many are null.
    pub resources_above: Option<usize>,
    /// This many of the next requests are answered with 200 and `RATE_LIMITED`.
    pub rate_limited: u32,
    /// The node with this id is null inside of lists, with an error that has no type.
    pub unreadable: Option<String>,
}

/// Holds the limits in force.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<GraphqlLimits>);

impl Limits {
    /// Replaces the limits.
    pub(crate) fn set(&self, limits: GraphqlLimits) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Returns the limits that hold for the next request, which is counted against those that end.
    pub(super) fn next(&self) -> GraphqlLimits {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = limits.clone();
        limits.rate_limited = limits.rate_limited.saturating_sub(1);
        now
    }
}
