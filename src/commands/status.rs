//! `ghbk status`: what the records say, also while a run is under way.

use chrono::Utc;

use super::{Context, open_store, print, print_json};
use crate::blocking::on_store;
use crate::error::{Error, Exit};
use crate::report::status::Status;
use crate::schedule::Schedule;
use crate::store::{Folded, Index, RunRecord, all_runs, is_locked};

/// How many runs are shown.
const RUNS_SHOWN: usize = 5;
/// How far back the last run over everything is looked for.
const RUNS_SEARCHED: usize = 200;

pub(super) async fn status(context: &Context) -> Result<Exit, Error> {
    let config = context.config.clone();
    let (records, last_full, index, locked) = on_store(move || {
        let store = open_store(&config)?;
        // The lock first: a run that ends in between is then shown as ended, never as interrupted.
        let locked = is_locked(&store)?;
        let mut records: Vec<RunRecord> = Vec::new();
        let mut last_full = None;
        for record in all_runs(&store)?.take(RUNS_SEARCHED) {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    tracing::warn!(hint = error.hint(), "left out: {error}");
                    continue;
                }
            };
            if record.unknown_lines > 0 && records.len() < RUNS_SHOWN {
                let (run, lines) = (&record.run_id, record.unknown_lines);
                tracing::warn!(
                    "the record of the run {run} has lines of a later version of ghbk, not shown here: {lines}"
                );
            }
            if last_full.is_none() && record.is_full {
                last_full.clone_from(&record.summary);
            }
            if records.len() < RUNS_SHOWN {
                records.push(record);
            } else if last_full.is_some() {
                break;
            }
        }
        if last_full.is_none() {
            last_full = Folded::load(&store)?.last_full_run;
        }
        let index = Index::current(&store)?;
        Ok((records, last_full, index, locked))
    })
    .await?;
    let now = Utc::now();
    // The configuration's check has read this schedule once.
    let schedule = Schedule::new(&context.config.schedule.cron, context.config.schedule.timezone).ok();
    let next_run = schedule.and_then(|schedule| schedule.next_after(now));
    let status = Status::new(&records, last_full, &index, locked, next_run, now);
    if context.global.json {
        print_json(&status)?;
    } else {
        print(&status.text(now))?;
    }
    Ok(Exit::Good)
}
