//! `ghbk status`: what the records say, also while a run is under way.

use chrono::Utc;

use super::{Context, on_store, open_store, print, print_json};
use crate::daemon::schedule::Schedule;
use crate::error::{Error, Exit};
use crate::report::status::Status;
use crate::store::{Index, RunRecord, all_runs, is_locked};

/// How many runs are shown.
const RUNS_SHOWN: usize = 5;

pub(super) async fn status(context: &Context) -> Result<Exit, Error> {
    let config = context.config.clone();
    let (records, index, locked) = on_store(move || {
        let store = open_store(&config)?;
        // The lock first: a run that ends in between is then shown as ended, never as interrupted.
        let locked = is_locked(&store)?;
        let records: Vec<RunRecord> = all_runs(&store)?.take(RUNS_SHOWN).collect::<Result<_, _>>()?;
        let index = Index::current(&store)?;
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
