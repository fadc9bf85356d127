//! The daemon: wraps a run and starts it when it is due.
//!
//! One loop owns everything. tokio-cron-scheduler only wakes it, through a channel of one place. The [`Timetable`]
//! decides whether a run is due, so neither a wrong zone nor a clock that jumps costs a run. Runs cannot overlap or
//! queue up. What a newcomer would get wrong: the watchdog is fed only when the store answers, because a hung NFS mount
//! is what would hang this process.

mod heartbeat;
mod ladder;
pub mod systemd;
mod timetable;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;

use crate::backup::{Backup, back_up_quietly};
use crate::blocking::on_store;
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::names::FullName;
use crate::outcome::{RunSummary, Trigger};
use crate::report::progress::Lines;
use crate::run::Request;
use crate::schedule::Schedule;
use crate::signals::{Event, Events, WIND_DOWN};
use crate::store::{Index, Presence, Store, latest};
use ladder::{Ladder, Next, worth_trying};
use systemd::Notifier;
use timetable::Timetable;

/// How often the daemon logs the state of the backup.
const HEARTBEAT: Duration = Duration::from_hours(1);

/// Reads the configuration again.
pub type Reload = Box<dyn Fn() -> Result<Config, Error> + Send + Sync>;

/// Runs on the schedule until it is told to stop.
pub struct Daemon {
    config: Arc<Config>,
    reload: Reload,
    notifier: Notifier,
    ladder: Ladder,
    /// The repositories of the current or last run; empty: everything.
    selection: Vec<FullName>,
}

/// A run, driven by the daemon's own loop: what hangs the run hangs the loop, and the watchdog notices.
type Running = Pin<Box<dyn Future<Output = Result<RunSummary, Error>>>>;

impl Daemon {
    /// Prepares a daemon.
    pub fn new(config: Arc<Config>, reload: Reload) -> Self {
        Self { config, reload, notifier: Notifier::from_env(), ladder: Ladder::default(), selection: Vec::new() }
    }

    /// Stays until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// [`Error`] if the store is not there, signals cannot be listened to, or the schedule cannot be kept.
    pub async fn stay(self) -> Result<Exit, Error> {
        let notifier = self.notifier.clone();
        // `systemctl status` leaves out what was logged before the last attempt, but it shows this.
        self.keep_schedule().await.inspect_err(|error| notifier.status(error.message()))
    }

    async fn keep_schedule(mut self) -> Result<Exit, Error> {
        let mut events = Events::listen()?;
        // Under systemd, a start that fails is shown, tried again, and finally reported to Slack.
        let config = Arc::clone(&self.config);
        on_store(move || Store::open(&config.store)).await?;
        let (due_sink, mut due) = mpsc::channel(1);
        let mut scheduler = self.schedule(&due_sink).await?;
        let (started, mut timetable) = (Instant::now(), Timetable::new(self.timetable()?, Utc::now()));
        let cancel = CancellationToken::new();
        let mut running: Option<Running> = None;
        if self.is_overdue().await {
            running = Some(self.start(Trigger::CatchUp, Vec::new(), &cancel));
        }
        let mut presence = self.announce(true).await;
        self.notifier.ready();
        self.show(running.is_some());
        let mut again: Option<(Instant, Next)> = None;
        let mut restart = false;
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let mut watchdog = tokio::time::interval(self.notifier.watchdog_interval());
        loop {
            if restart && running.is_none() {
                self.notifier.stopping();
                tracing::info!("stopping, to be restarted");
                return Ok(Exit::Restart);
            }
            if timetable.is_due(Utc::now(), started.elapsed()) {
                if running.is_some() {
                    tracing::warn!("a run is due while another is under way; it is skipped");
                } else {
                    again = None;
                    self.ladder.reset();
                    running = Some(self.start(Trigger::Schedule, Vec::new(), &cancel));
                    self.show(true);
                }
            }
            let retry_at = again.as_ref().map(|(at, _)| *at);
            tokio::select! {
                Some(()) = due.recv() => {}
                () = tokio::time::sleep(timetable.pause(Utc::now())) => {}
                result = finished(&mut running) => {
                    running = None;
                    let next = self.ladder.after(&result, &self.selection, &self.config.schedule.retry);
                    log_result(result);
                    log_next(next.as_ref());
                    again = next.map(|next| (Instant::now() + next.pause, next));
                    heartbeat.reset_immediately();
                    self.show(false);
                }
                () = tokio::time::sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() && running.is_none() => {
                    if let Some((_, next)) = again.take() {
                        let is_first = next.is_delayed && self.ladder.is_reset();
                        let trigger = if is_first { Trigger::CatchUp } else { Trigger::Retry };
                        running = Some(self.start(trigger, next.selection, &cancel));
                        self.show(true);
                    }
                }
                _ = heartbeat.tick() => {
                    if presence.is_none() {
                        presence = self.announce(false).await;
                    }
                    self.beat();
                }
                _ = watchdog.tick(), if self.notifier.has_watchdog() => self.feed_watchdog(),
                event = events.next() => match event {
                    Event::Reload => {
                        self.notifier.reloading();
                        if let Some(renewed) = self.reload_config(&due_sink).await {
                            end(std::mem::replace(&mut scheduler, renewed)).await;
                            timetable.change(self.timetable()?, Utc::now());
                        }
                        self.notifier.ready();
                        self.show(running.is_some());
                    }
                    Event::Restart => restart = true,
                    Event::Stop(signal) => {
                        self.notifier.stopping();
                        tracing::info!(signal, "stopping");
                        cancel.cancel();
                        if let Some(run) = running.take()
                            && tokio::time::timeout(WIND_DOWN, run).await.is_err()
                        {
                            tracing::warn!("the run does not end in time; the next one cleans up after it");
                        }
                        // A service that was asked to stop has not failed.
                        return Ok(Exit::Signal(signal));
                    }
                }
            }
        }
    }

    /// Announces this daemon to `ghbk status`. Returns nothing if another daemon is announced already, or if the store cannot be
    /// used.
    async fn announce(&self, is_first: bool) -> Option<Presence> {
        let config = Arc::clone(&self.config);
        let announce = move || {
            let store = Store::open(&config.store)?;
            store.prepare()?;
            Presence::announce(&store)
        };
        match tokio::task::spawn_blocking(announce).await {
            Ok(Ok(None)) if is_first => {
                tracing::warn!("another daemon runs on this store; their runs wait for each other");
                None
            }
            Ok(Ok(presence)) => presence,
            Ok(Err(error)) => {
                tracing::debug!(%error, "`ghbk status` will not know of this daemon");
                None
            }
            Err(_) => None,
        }
    }

    /// Makes the job that wakes the loop when a run is due.
    async fn schedule(&self, due: &mpsc::Sender<()>) -> Result<JobScheduler, Error> {
        let failed = |error: tokio_cron_scheduler::JobSchedulerError| {
            Error::new(Exit::Usage, format!("the schedule cannot be kept: {error}"), "check schedule.cron")
        };
        let scheduler = JobScheduler::new().await.map_err(failed)?;
        let schedule = &self.config.schedule;
        let due = due.clone();
        // As the parser in `schedule` reads it, which also takes the five fields of a crontab.
        let expression = self.timetable()?.expression().to_owned();
        let job = Job::new_async_tz(expression.as_str(), schedule.timezone, move |_, _| {
            let due = due.clone();
            Box::pin(async move {
                // If the channel is full, a run is due already.
                let _ = due.try_send(());
            })
        })
        .map_err(failed)?;
        scheduler.add(job).await.map_err(failed)?;
        scheduler.start().await.map_err(failed)?;
        Ok(scheduler)
    }

    fn timetable(&self) -> Result<Schedule, Error> {
        let schedule = Schedule::new(&self.config.schedule.cron, self.config.schedule.timezone);
        schedule.map_err(|error| Error::new(Exit::Usage, error.to_string(), "check schedule.cron"))
    }

    /// Starts a run. Of several retries, only the last word is reported to Slack.
    fn start(&mut self, trigger: Trigger, selection: Vec<FullName>, cancel: &CancellationToken) -> Running {
        self.selection.clone_from(&selection);
        let is_last_word = trigger != Trigger::Retry || self.ladder.is_last(&self.config.schedule.retry);
        let backup = Backup {
            config: Arc::clone(&self.config),
            request: Request { trigger, selection, repair: false, large_files: false },
            cancel: cancel.clone(),
            clock: crate::clock::Clock::system(),
        };
        let is_told = move |summary: &RunSummary| is_last_word || worth_trying(summary).is_none();
        Box::pin(async move { back_up_quietly(&backup, &Lines::default(), is_told).await })
    }

    /// Says whether a run was missed while no daemon was running.
    async fn is_overdue(&self) -> bool {
        if !self.config.schedule.catch_up {
            return false;
        }
        let Ok(schedule) = Schedule::new(&self.config.schedule.cron, self.config.schedule.timezone) else {
            return false;
        };
        let config = Arc::clone(&self.config);
        let last = tokio::task::spawn_blocking(move || {
            let store = Store::open(&config.store)?;
            Ok::<_, crate::store::StoreError>(Index::load(&store, latest(&store)?.ended())?.last_complete_start)
        });
        match last.await {
            Ok(Ok(last)) => {
                let now = Utc::now();
                // A start in the future, from a clock that was ahead, says nothing.
                schedule.missed(last.filter(|last| *last <= now), now)
            }
            Ok(Err(error)) => {
                tracing::error!(%error, hint = %error.hint(), "the store cannot be used");
                // The run that starts now will fail, and report that to Slack.
                true
            }
            Err(error) => {
                tracing::error!(%error, "a task failed");
                false
            }
        }
    }

    /// Reads the configuration again, and makes its schedule. Keeps the old one, and returns nothing, if any of that fails.
    async fn reload_config(&mut self, due: &mpsc::Sender<()>) -> Option<JobScheduler> {
        let kept = |error: &Error| tracing::error!("the old configuration is kept: {error}");
        let config = (self.reload)().inspect_err(kept).ok()?;
        let old = std::mem::replace(&mut self.config, Arc::new(config));
        match self.schedule(due).await {
            Ok(scheduler) => {
                crate::zone::set(self.config.schedule.timezone);
                tracing::info!("configuration reloaded; it counts from the next run on");
                Some(scheduler)
            }
            Err(error) => {
                kept(&error);
                self.config = old;
                None
            }
        }
    }

    /// Shows systemd what is going on.
    fn show(&self, running: bool) {
        let schedule = Schedule::new(&self.config.schedule.cron, self.config.schedule.timezone);
        let next = schedule.ok().and_then(|schedule| schedule.next_after(Utc::now()));
        let next = next.map_or_else(|| "never".to_owned(), crate::zone::shown);
        let text = if running {
            "a run is under way; see `ghbk status`".to_owned()
        } else {
            format!("waiting; next run {next}")
        };
        if !running {
            tracing::info!("{text}");
        }
        self.notifier.status(&text);
    }

    /// Logs the state of the backup, outside the loop, which a store that hangs would hold up.
    fn beat(&self) {
        let config = Arc::clone(&self.config);
        tokio::spawn(async move { heartbeat::beat(&config.store).await });
    }

    /// Feeds the watchdog once the store has answered; a store that hangs starves it.
    fn feed_watchdog(&self) {
        let root = self.config.store.root.clone();
        let notifier = self.notifier.clone();
        tokio::task::spawn_blocking(move || {
            // Missing or not, the store has answered.
            let _ = std::fs::metadata(root);
            notifier.watchdog();
        });
    }
}

/// Ends a schedule that another one has replaced.
async fn end(mut old: JobScheduler) {
    if let Err(error) = old.shutdown().await {
        tracing::warn!(%error, "the old schedule does not end; its runs are skipped while one is under way");
    }
}

/// Waits for the run under way; for ever if there is none.
async fn finished(running: &mut Option<Running>) -> Result<RunSummary, Error> {
    match running {
        Some(run) => run.await,
        None => std::future::pending().await,
    }
}

fn log_next(next: Option<&Next>) {
    if let Some(Next { pause, selection, .. }) = next {
        let what = match selection.len() {
            0 => "the run".to_owned(),
            1 => selection[0].to_string(),
            count => format!("{count} repositories"),
        };
        tracing::info!("{what} will be tried again in {}", humantime::format_duration(*pause));
    }
}

fn log_result(result: Result<RunSummary, Error>) {
    match result {
        Ok(summary) => {
            // One entry per line: nobody reads lines that the log's own columns indent.
            for line in crate::report::summary::text(&summary).lines() {
                tracing::info!("{line}");
            }
        }
        Err(error) => tracing::error!("{error}"),
    }
}
