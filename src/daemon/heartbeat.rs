//! The heartbeat: once an hour, and after each run, one line on the state of the backup.
//!
//! It reads the store and writes only the log. CloudWatch's alarms are made from this line (`03-ec2.yml`): an alarm
//! cannot look back the eight days of a weekly job, so the figures are worked out here. What a newcomer would get wrong:
//! if the store cannot be read, the figures are left out, and the alarms treat missing figures as bad.

use chrono::{DateTime, Utc};

use crate::blocking::on_store;
use crate::config::StoreConfig;
use crate::outcome::RunStatus;
use crate::report::hours_between;
use crate::store::{Folded, Index, Store, StoreError, all_runs, first_run_start, is_locked};

/// The state of the backup.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Health {
    /// Hours since the last run over everything that found all well; if there is none, since the first run began.
    hours_since_success: Option<f64>,
    /// Whether the newest run over everything did not end well; a run that is under way does not count.
    last_run_failed: Option<bool>,
}

/// Logs the state of the backup.
pub(super) async fn beat(store: &StoreConfig) {
    let store = store.clone();
    match on_store(move || examine(&store, Utc::now())).await {
        Ok(Health { hours_since_success, last_run_failed }) => {
            tracing::info!(hours_since_success, last_run_failed = last_run_failed.map(u8::from), "heartbeat");
        }
        Err(error) => tracing::error!(hint = error.hint(), "heartbeat without numbers: {}", error.message()),
    }
}

fn examine(store: &StoreConfig, now: DateTime<Utc>) -> Result<Health, StoreError> {
    let store = Store::open(store)?;
    // The lock comes first: a run that ends in between then counts as ended.
    let locked = is_locked(&store)?;
    let mut last_run_failed = None;
    for (position, record) in all_runs(&store)?.enumerate() {
        let record = record?;
        let under_way = locked && position == 0 && record.summary.is_none();
        if record.is_full && !under_way {
            last_run_failed = Some(record.summary.is_none_or(|summary| summary.status != RunStatus::Ok));
            break;
        }
    }
    // A date in the future, from a clock that was ahead, must not silence an alarm until then.
    let has_been = |at: &DateTime<Utc>| *at <= now;
    let since = match Index::current(&store)?.last_success {
        Some(at) if has_been(&at) => Some(at),
        Some(_) => newest_success(&store, has_been)?,
        None => first_run_start(&store)?.filter(has_been),
    };
    Ok(Health { hours_since_success: since.map(|since| hours_between(since, now)), last_run_failed })
}

/// Finds the end of the newest run over everything that found all well, among the ends that `ended` accepts.
fn newest_success(store: &Store, ended: impl Fn(&DateTime<Utc>) -> bool) -> Result<Option<DateTime<Utc>>, StoreError> {
    for record in all_runs(store)? {
        let Some(summary) = record?.summary else { continue };
        if summary.is_full() && summary.status == RunStatus::Ok && ended(&summary.finished_at) {
            return Ok(Some(summary.finished_at));
        }
    }
    Ok(Folded::load(store)?.last_success.filter(ended))
}
