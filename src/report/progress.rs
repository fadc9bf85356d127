//! How a run looks while it is under way: bars on a terminal, log lines elsewhere.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

use super::parts::label;
use crate::git::wire::transfer::Transfer;
use crate::logging::JOURNAL;
use crate::names::FullName;
use crate::outcome::{Kind, Outcome, PartOutcome, PartState, State};
use crate::run::Progress;

/// How often bars are redrawn.
const REFRESH: Duration = Duration::from_millis(200);

/// Draws one bar for the run and one for each repository at work.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    /// The bytes of what is done, and its failures.
    done: Mutex<Done>,
    active: Mutex<HashMap<String, Active>>,
}

#[derive(Debug, Default)]
struct Done {
    since: Option<Instant>,
    bytes: u64,
    failed: u64,
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
        let bars = Arc::new(Self { all, whole, done: Mutex::default(), active: Mutex::default() });
        bars.keep_current();
        bars
    }

    /// Copies the transfers' counts into the bars until the bars are gone.
    fn keep_current(self: &Arc<Self>) {
        let bars = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(bars) = bars.upgrade() {
                let mut under_way_bytes = 0;
                for active in bars.active.lock().unwrap_or_else(PoisonError::into_inner).values() {
                    let received = active.transfer.received_objects.load(Ordering::Relaxed);
                    let total = active.transfer.total_objects.load(Ordering::Relaxed);
                    let bytes = active.transfer.received_bytes.load(Ordering::Relaxed);
                    let text = match (total, bytes) {
                        (0, 0) => String::new(),
                        (0, bytes) => super::size(bytes),
                        (total, bytes) => format!("{received}/{total} objects, {}", super::size(bytes)),
                    };
                    under_way_bytes += bytes;
                    active.bar.set_message(text);
                }
                bars.show_rate(under_way_bytes);
                drop(bars);
                tokio::time::sleep(REFRESH).await;
            }
        });
    }

    /// Says how much has come, how fast, and what failed.
    fn show_rate(&self, under_way_bytes: u64) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = done.since else { return };
        let bytes = done.bytes + under_way_bytes;
        let rate = bytes * 1000 / u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let failed = if done.failed > 0 { format!(", {} failed", done.failed) } else { String::new() };
        self.whole.set_message(format!(", {}, {}/s{failed}", super::size(bytes), super::size(rate)));
    }

    fn begin(&self, name: String, transfer: &Arc<Transfer>) {
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_style(style("  {spinner} {prefix} {msg}"));
        bar.set_prefix(name.clone());
        bar.enable_steady_tick(REFRESH);
        let active = Active { bar, transfer: Arc::clone(transfer) };
        self.active.lock().unwrap_or_else(PoisonError::into_inner).insert(name, active);
    }

    fn end(&self, name: &str) {
        if let Some(active) = self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(name) {
            active.bar.finish_and_clear();
        }
    }

    /// Removes the bars from the screen.
    pub fn clear(&self) {
        for (_, active) in self.active.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            active.bar.finish_and_clear();
        }
        self.whole.finish_and_clear();
    }
}

/// How much is copied, as far as that is known.
#[derive(Debug, Default)]
pub struct Copied {
    /// Bytes so far.
    pub bytes: AtomicU64,
    /// Bytes in all; 0 if that is not known.
    pub total_bytes: AtomicU64,
}

/// Shows how far a copy is: how much, how fast, how much longer, and then that the copy is checked.
#[derive(Debug)]
pub struct Copying {
    bar: ProgressBar,
    counts: Arc<Copied>,
}

impl Copying {
    /// Shows it under this title.
    pub fn show(bars: &MultiProgress, is_quiet: bool, title: &str) -> Self {
        let bar = bars.add(ProgressBar::new(0));
        if is_quiet {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar.set_style(style("{spinner} {msg}"));
        bar.set_message(title.to_owned());
        bar.enable_steady_tick(REFRESH);
        let counts = Arc::new(Copied::default());
        let (copied, shown) = (Arc::downgrade(&counts), bar.clone());
        tokio::spawn(async move {
            while let Some(copied) = copied.upgrade() {
                let (bytes, total) = (copied.bytes.load(Ordering::Relaxed), copied.total_bytes.load(Ordering::Relaxed));
                drop(copied);
                shown.set_length(total);
                shown.set_position(bytes.min(total));
                if bytes > 0 && bytes < total {
                    shown.set_style(style(
                        "{spinner} {msg}: {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
                    ));
                } else if total > 0 && bytes >= total {
                    shown.set_style(style("{spinner} {msg}: checking every object"));
                }
                tokio::time::sleep(REFRESH).await;
            }
        });
        Self { bar, counts }
    }

    /// Returns the counts, for the copying code to update.
    pub fn counts(&self) -> Arc<Copied> {
        Arc::clone(&self.counts)
    }

    /// Says what is done now.
    pub fn say(&self, text: String) {
        self.counts.total_bytes.store(0, Ordering::Relaxed);
        self.bar.set_style(style("{spinner} {msg}"));
        self.bar.set_message(text);
    }

    /// Removes it from the screen.
    pub fn clear(self) {
        self.bar.finish_and_clear();
    }
}

/// A bar that counts what is done, with the time that is left.
pub fn counting_bar(bars: &MultiProgress, is_quiet: bool, total: u64, what: &str) -> ProgressBar {
    let bar = bars.add(ProgressBar::new(total));
    bar.set_style(style(&format!("{{pos}}/{{len}} {what}, {{elapsed}} elapsed, {{eta}} left {{bar:20}} {{msg}}")));
    if is_quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.enable_steady_tick(REFRESH);
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Progress for Bars {
    fn planned(&self, repositories: usize) {
        self.whole.set_length(repositories as u64);
        self.whole.set_style(style("{pos}/{len} repositories{msg}, {elapsed} elapsed, {eta} left {bar:20}"));
        self.whole.set_message("");
        self.done.lock().unwrap_or_else(PoisonError::into_inner).since = Some(Instant::now());
    }

    fn started(&self, name: &FullName, transfer: &Arc<Transfer>) {
        self.begin(name.to_string(), transfer);
    }

    fn finished(&self, outcome: &Outcome) {
        self.end(&outcome.full_name.to_string());
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.bytes += outcome.bytes_received;
        done.failed += u64::from(outcome.state == State::Failed && !outcome.is_cut_off);
        drop(done);
        self.whole.inc(1);
        log(outcome);
    }

    fn started_part(&self, kind: Kind, name: &str, transfer: &Arc<Transfer>) {
        self.begin(part_of(kind, name), transfer);
    }

    fn finished_part(&self, outcome: &PartOutcome) {
        self.end(&part_of(outcome.part, &outcome.mirror.name_of(&outcome.full_name)));
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.bytes += outcome.bytes_received;
        done.failed += u64::from(!outcome.failures.is_empty());
        drop(done);
        log_part(outcome);
    }
}

/// Names the work on a mirror beside its refs.
fn part_of(kind: Kind, name: &str) -> String {
    // A mirror of metadata is named after what is in it.
    if kind == Kind::Issues { name.to_owned() } else { format!("{name} ({})", label(kind)) }
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
        tracing::info!(repositories, "listing read");
    }

    fn started(&self, name: &FullName, _: &Arc<Transfer>) {
        tracing::debug!(repository = %name, "started");
    }

    fn finished(&self, outcome: &Outcome) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        log(outcome);
        let planned = self.planned.load(Ordering::Relaxed);
        // Unchanged repositories are not worth a line each, but a sign of life is.
        if done.is_multiple_of(100) {
            tracing::info!(done, planned, "repositories done");
        }
    }

    fn started_part(&self, kind: Kind, name: &str, _: &Arc<Transfer>) {
        tracing::debug!(repository = name, "{} started", label(kind));
    }

    fn finished_part(&self, outcome: &PartOutcome) {
        log_part(outcome);
    }
}

fn log_part(outcome: &PartOutcome) {
    let (repository, bytes) = (outcome.mirror.name_of(&outcome.full_name), outcome.bytes_received);
    for failure in &outcome.failures {
        tracing::error!(repository = %failure.repository, error = %failure.error, "failed");
    }
    match outcome.state {
        PartState::Created | PartState::Updated => {
            tracing::info!(target: JOURNAL, %repository, bytes, "{} stored", label(outcome.part));
        }
        _ => tracing::debug!(%repository, bytes, "{} checked", label(outcome.part)),
    }
}

fn log(outcome: &Outcome) {
    let repository = &outcome.full_name;
    if outcome.is_cut_off {
        tracing::info!(%repository, bytes = outcome.bytes_received, "stopped before it was complete");
        return;
    }
    match outcome.state {
        State::Failed => {
            for failure in &outcome.failures {
                tracing::error!(repository = %failure.repository, error = %failure.error, "failed");
            }
        }
        State::Created => tracing::info!(target: JOURNAL, %repository, bytes = outcome.bytes_received, "created"),
        State::Updated => tracing::info!(target: JOURNAL, %repository, bytes = outcome.bytes_received, "updated"),
        State::Unchanged | State::Unknown => tracing::debug!(%repository, "unchanged"),
    }
}
