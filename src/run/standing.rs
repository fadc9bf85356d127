//! What a run that tries some repositories again does not touch: other failures of the last run over everything.
//!
//! What a newcomer would get wrong: the report of a retry is the last one for a week. Good as what it tried may be, whoever reads
//! nothing else must not take everything for good.

use std::collections::BTreeSet;

use super::Request;
use crate::outcome::Trigger;
use crate::store::{Store, all_runs};

/// How many are named.
const NAMED_MAX: usize = 10;

/// Names the failures of the last run over everything that nothing has mended since; nothing but for a retry.
pub(super) fn of_the_last_full_run(store: &Store, request: &Request) -> Option<String> {
    if request.trigger != Trigger::Retry || request.selection.is_empty() {
        return None;
    }
    let mut since: BTreeSet<String> = request.selection.iter().map(ToString::to_string).collect();
    for record in all_runs(store).ok()?.filter_map(Result::ok) {
        let Some(summary) = record.summary else { continue };
        if !record.is_full {
            let good = record.outcomes.iter().filter(|outcome| outcome.is_complete());
            since.extend(good.map(|outcome| outcome.full_name.to_string()));
            continue;
        }
        let of_repository = |name: &str| name.strip_suffix(".wiki").unwrap_or(name).to_owned();
        let failed = summary.failures.iter().map(|failure| of_repository(&failure.repository));
        let standing: BTreeSet<String> = failed.filter(|name| !since.contains(name)).collect();
        let named = standing.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        let more = standing.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        return (!standing.is_empty()).then(|| {
            format!("other failures of the run over everything stand: {named}{more}; `ghbk status` tells why")
        });
    }
    None
}
