//! The heartbeat: once an hour, and after each run, one line that says how the backup stands.
//!
//! Reads the store, writes nothing but the log. CloudWatch's alarms are made from this line (`03-ec2.yml`): an alarm
//! cannot look back the eight days of a weekly job, so the figures are worked out here. What a newcomer would get wrong:
//! a store that cannot be read leaves the figures out, and the alarms take what is missing for bad.

use chrono::{DateTime, Utc};

use crate::blocking::on_store;
use crate::config::StoreConfig;
use crate::outcome::RunStatus;
use crate::report::hours_between;
use crate::store::{Folded, Index, Store, StoreError, all_runs, first_run_start, is_locked};

/// How the backup stands.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Health {
    /// Hours since a run over everything found all well; if none ever did, since the first run began.
    hours_since_success: Option<f64>,
    /// Whether the newest run over everything, the one under way left aside, ended in any way but well.
    last_run_failed: Option<bool>,
}

/// Says how the backup stands.
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
    // The lock first: a run that ends in between is then taken for one that has ended.
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
    // A clock that was ahead must not keep an alarm silent until its date has come.
    let has_been = |at: &DateTime<Utc>| *at <= now;
    let since = match Index::current(&store)?.last_success {
        Some(at) if has_been(&at) => Some(at),
        Some(_) => newest_success(&store, has_been)?,
        None => first_run_start(&store)?.filter(has_been),
    };
    Ok(Health { hours_since_success: since.map(|since| hours_between(since, now)), last_run_failed })
}

/// Finds the newest run over everything that found all well, among those whose end is at a certain time.
fn newest_success(store: &Store, ended: impl Fn(&DateTime<Utc>) -> bool) -> Result<Option<DateTime<Utc>>, StoreError> {
    for record in all_runs(store)? {
        let Some(summary) = record?.summary else { continue };
        if summary.is_full() && summary.status == RunStatus::Ok && ended(&summary.finished_at) {
            return Ok(Some(summary.finished_at));
        }
    }
    Ok(Folded::load(store)?.last_success.filter(ended))
}
