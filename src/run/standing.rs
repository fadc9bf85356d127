//! Failures of the last run over everything that nothing has fixed since.
//!
//! What a newcomer would get wrong: the report of a retry may be the last one for a week. It must not read as if everything
//! were stored when only what was retried is; and once all of it is fixed, nothing is wrong any more.

use std::collections::BTreeSet;

use super::Request;
use crate::mirrors::MirrorKind;
use crate::outcome::{RunSummary, Trigger};
use crate::store::{Folded, Store, StoreError, all_runs};
use crate::text::some_of;

/// How many are named.
const NAMED_MAX: usize = 10;

/// Names the failures of the last run over everything that a retry does not try; nothing for other runs.
pub(super) fn of_the_last_full_run(store: &Store, request: &Request) -> Option<String> {
    if request.trigger != Trigger::Retry || request.selection.is_empty() {
        return None;
    }
    let mended = request.selection.iter().map(ToString::to_string).collect();
    let standing = standing(store, mended).ok()?;
    (!standing.is_empty()).then(|| {
        let names = some_of(&standing, NAMED_MAX);
        format!("other failures of the last run over everything still stand: {names}; `ghbk status` says why")
    })
}

/// Names the repositories, and anything else, that failed in the last run over everything and in all runs since.
///
/// # Errors
/// [`StoreError::Disk`] if the records cannot be listed.
pub fn standing_failures(store: &Store) -> Result<Vec<String>, StoreError> {
    standing(store, BTreeSet::new())
}

fn standing(store: &Store, mut mended: BTreeSet<String>) -> Result<Vec<String>, StoreError> {
    for record in all_runs(store)?.filter_map(Result::ok) {
        let Some(summary) = record.summary else { continue };
        if summary.trigger == Trigger::Forget {
            // What is missing on purpose is no failure any more.
            mended.extend(summary.selection.iter().map(ToString::to_string));
        }
        if !record.is_full {
            let is_whole = |id| record.parts.iter().all(|part| part.id != id || part.is_complete());
            let good = record.outcomes.iter().filter(|outcome| outcome.is_complete() && is_whole(outcome.id));
            mended.extend(good.map(|outcome| outcome.full_name.to_string()));
            continue;
        }
        return Ok(left_of(&summary, &mended));
    }
    // Its record may be folded by now, but its failures still stand.
    let folded = Folded::load(store)?.last_full_run;
    Ok(folded.map_or_else(Vec::new, |summary| left_of(&summary, &mended)))
}

/// Names what failed in a run and is not fixed.
fn left_of(run: &RunSummary, mended: &BTreeSet<String>) -> Vec<String> {
    let failed = run.failures.iter().map(|failure| MirrorKind::split_name(&failure.repository).0);
    let standing: BTreeSet<&str> = failed.filter(|name| !mended.contains(*name)).collect();
    standing.into_iter().map(str::to_owned).collect()
}
