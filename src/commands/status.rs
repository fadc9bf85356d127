//! `ghbk status`: what the records say, also while a run is under way.

use chrono::Utc;

use super::{Context, on_store, open_store, print, print_json};
use crate::daemon::schedule::Schedule;
use crate::error::{Error, Exit};
use crate::report::status::Status;
use crate::store::{Index, RunRecord, all_runs, is_locked, layout};

/// How many runs are shown.
const RUNS_SHOWN: usize = 5;

pub(super) async fn status(context: &Context) -> Result<Exit, Error> {
    let config = context.config.clone();
    let (records, index, locked) = on_store(move || {
        let store = open_store(&config)?;
        // The lock first: a run that ends in between is then shown as ended, never as interrupted.
        let locked = is_locked(&store)?;
        let records: Vec<RunRecord> = all_runs(&store)?.take(RUNS_SHOWN).collect::<Result<_, _>>()?;
        let running = records.first().filter(|record| locked && record.summary.is_none());
        let index = match running {
            // The index is that of the run before; what has happened since is in the record. Scanning every mirror
            // would take the store's time from the run.
            Some(running) => {
                let mut index = Index::load(&store, records.get(1))?;
                for outcome in &running.outcomes {
                    index.record(outcome, &layout::place(&outcome.full_name));
                }
                index
            }
            None => Index::load(&store, records.first())?,
        };
        Ok((records, index, locked))
    })
    .await?;
    let now = Utc::now();
    // The configuration's check has read this schedule once.
    let schedule = Schedule::new(&context.config.schedule.cron, context.config.schedule.timezone).ok();
    let next_run = schedule.and_then(|schedule| schedule.next_after(now));
    let status = Status::new(&records, &index, locked, next_run, now);
    if context.global.json {
        print_json(&status)?;
    } else {
        print(&status.text(now))?;
    }
    Ok(Exit::Good)
}
