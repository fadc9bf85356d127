//! How a run looks while it goes: bars on a terminal, log lines elsewhere.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

use crate::git::wire::transfer::Transfer;
use crate::names::FullName;
use crate::outcome::{Outcome, State};
use crate::run::Progress;

/// How often bars are drawn anew.
const REFRESH: Duration = Duration::from_millis(200);

/// Draws one bar for the run and one for each repository at work.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    active: Mutex<HashMap<FullName, Active>>,
}

#[derive(Debug)]
struct Active {
    bar: ProgressBar,
    transfer: Arc<Transfer>,
}

impl Bars {
    /// Prepares the bars on standard error.
    pub fn new(all: MultiProgress) -> Arc<Self> {
        let whole = all.add(ProgressBar::new_spinner());
        whole.set_style(style("{spinner} {msg}"));
        whole.set_message("listing repositories");
        whole.enable_steady_tick(REFRESH);
        let bars = Arc::new(Self { all, whole, active: Mutex::default() });
        bars.keep_current();
        bars
    }

    /// Copies the transfers' counts into the bars until the bars are gone.
    fn keep_current(self: &Arc<Self>) {
        let bars = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(bars) = bars.upgrade() {
                for active in bars.active.lock().unwrap_or_else(PoisonError::into_inner).values() {
                    let received = active.transfer.received_objects.load(Ordering::Relaxed);
                    let total = active.transfer.total_objects.load(Ordering::Relaxed);
                    let bytes = super::size(active.transfer.received_bytes.load(Ordering::Relaxed));
                    let text = if total == 0 { String::new() } else { format!("{received}/{total} objects, {bytes}") };
                    active.bar.set_message(text);
                }
                drop(bars);
                tokio::time::sleep(REFRESH).await;
            }
        });
    }

    /// Removes the bars from the screen.
    pub fn clear(&self) {
        for (_, active) in self.active.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            active.bar.finish_and_clear();
        }
        self.whole.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Progress for Bars {
    fn planned(&self, repositories: usize) {
        self.whole.set_length(repositories as u64);
        self.whole.set_style(style("{bar:30} {pos}/{len} repositories, {elapsed} {msg}"));
        self.whole.set_message("");
    }

    fn started(&self, name: &FullName, transfer: &Arc<Transfer>) {
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_style(style("  {spinner} {prefix} {msg}"));
        bar.set_prefix(name.to_string());
        bar.enable_steady_tick(REFRESH);
        let active = Active { bar, transfer: Arc::clone(transfer) };
        self.active.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), active);
    }

    fn finished(&self, outcome: &Outcome) {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&outcome.full_name);
        if let Some(active) = active {
            active.bar.finish_and_clear();
        }
        self.whole.inc(1);
        log(outcome);
    }
}

/// Lets log lines through between the bars.
#[derive(Clone, Debug)]
pub struct BesideBars(pub MultiProgress);

impl<'a> MakeWriter<'a> for BesideBars {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(self.0.clone())
    }
}

/// Writes to standard error while the bars step aside.
#[derive(Debug)]
pub struct LineWriter(MultiProgress);

impl io::Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Logs what is done; for the journal and for files.
#[derive(Debug, Default)]
pub struct Lines {
    planned: AtomicUsize,
    done: AtomicUsize,
}

impl Progress for Lines {
    fn planned(&self, repositories: usize) {
        self.planned.store(repositories, Ordering::Relaxed);
        tracing::info!(repositories, "planned");
    }

    fn started(&self, name: &FullName, _: &Arc<Transfer>) {
        tracing::debug!(repository = %name, "started");
    }

    fn finished(&self, outcome: &Outcome) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        log(outcome);
        let planned = self.planned.load(Ordering::Relaxed);
        // Unchanged repositories are not worth a line each; that the run is alive is.
        if done.is_multiple_of(100) {
            tracing::info!(done, planned, "under way");
        }
    }
}

fn log(outcome: &Outcome) {
    let repository = &outcome.full_name;
    if outcome.is_cut_off {
        tracing::info!(%repository, bytes = outcome.bytes_received, "stopped on the way");
        return;
    }
    match outcome.state {
        State::Failed => {
            for failure in &outcome.failures {
                tracing::error!(repository = %failure.repository, error = %failure.error, "failed");
            }
        }
        State::Created => tracing::info!(%repository, bytes = outcome.bytes_received, "created"),
        State::Updated => tracing::info!(%repository, bytes = outcome.bytes_received, "updated"),
        State::Unchanged | State::Unknown => tracing::debug!(%repository, "unchanged"),
    }
}
