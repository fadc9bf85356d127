//! The daemon: stands around a run and starts it when it is due.
//!
//! One loop owns everything. tokio-cron-scheduler only says "now" into a channel of one place, so runs cannot
//! overlap and cannot queue up. What a newcomer would get wrong: the watchdog is fed only when the store answers,
//! because a hung NFS mount is what would hang this process.

mod heartbeat;
pub mod systemd;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;

use crate::backup::{Backup, back_up};
use crate::blocking::on_store;
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::outcome::{RunSummary, Trigger};
use crate::report::progress::Lines;
use crate::run::Request;
use crate::schedule::Schedule;
use crate::signals::{Event, Events, WIND_DOWN};
use crate::store::{Index, Store, latest};
use systemd::Notifier;

/// How long a run that was due waits for the one that was in its way.
const BUSY_PAUSE: Duration = Duration::from_mins(10);
/// How often the job is made anew: the scheduler keeps the zone's offset of the day it was made.
const JOB_RENEWAL: Duration = Duration::from_hours(24);
/// How often the daemon says how the backup stands.
const HEARTBEAT: Duration = Duration::from_hours(1);

/// Reads the configuration anew.
pub type Reload = Box<dyn Fn() -> Result<Config, Error> + Send + Sync>;

/// Runs on the schedule until it is told to stop.
pub struct Daemon {
    config: Arc<Config>,
    reload: Reload,
    notifier: Notifier,
}

/// A run, driven by the daemon's own loop: what hangs the run hangs the loop, and the watchdog notices.
type Running = Pin<Box<dyn Future<Output = Result<RunSummary, Error>>>>;

impl Daemon {
    /// Prepares a daemon.
    pub fn new(config: Arc<Config>, reload: Reload) -> Self {
        Self { config, reload, notifier: Notifier::from_env() }
    }

    /// Stays until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// [`Error`] if the store is not there, signals cannot be listened to, or the schedule cannot be kept.
    pub async fn stay(self) -> Result<Exit, Error> {
        let notifier = self.notifier.clone();
        // `systemctl status` leaves out what was logged before the last try; this it shows.
        self.keep_schedule().await.inspect_err(|error| notifier.status(error.message()))
    }

    async fn keep_schedule(mut self) -> Result<Exit, Error> {
        let mut events = Events::listen()?;
        // Under systemd a start that fails is shown, tried again, and told to Slack in the end.
        let config = Arc::clone(&self.config);
        on_store(move || Store::open(&config.store)).await?;
        let (due_sink, mut due) = mpsc::channel(1);
        let mut scheduler = self.schedule(&due_sink).await?;
        let cancel = CancellationToken::new();
        let mut running: Option<Running> = None;
        if self.is_overdue().await {
            running = Some(self.start(Trigger::CatchUp, &cancel));
        }
        self.notifier.ready();
        self.show(running.is_some());
        let mut renewal = tokio::time::interval(JOB_RENEWAL);
        renewal.tick().await;
        // A run by hand was in the way of one that was due.
        let mut again: Option<Instant> = None;
        let mut restart = false;
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let mut watchdog = tokio::time::interval(self.notifier.watchdog_interval());
        loop {
            if restart && running.is_none() {
                self.notifier.stopping();
                tracing::info!("ending, to be started anew");
                return Ok(Exit::Restart);
            }
            tokio::select! {
                Some(()) = due.recv() => {
                    if running.is_some() {
                        tracing::warn!("a run is due while another is under way; it is left out");
                    } else {
                        running = Some(self.start(Trigger::Schedule, &cancel));
                        self.show(true);
                    }
                }
                result = finished(&mut running) => {
                    running = None;
                    let busy = result.as_ref().is_err_and(|error| error.exit() == Exit::Busy);
                    again = busy.then(|| Instant::now() + BUSY_PAUSE);
                    log_result(result);
                    heartbeat.reset_immediately();
                    scheduler = self.renew(scheduler, &due_sink).await?;
                    self.show(false);
                }
                () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() && running.is_none() => {
                    again = None;
                    running = Some(self.start(Trigger::CatchUp, &cancel));
                    self.show(true);
                }
                _ = renewal.tick() => scheduler = self.renew(scheduler, &due_sink).await?,
                _ = heartbeat.tick() => self.beat(),
                _ = watchdog.tick(), if self.notifier.has_watchdog() => self.feed_watchdog(),
                event = events.next() => match event {
                    Event::Reload => {
                        self.notifier.reloading();
                        if self.reload_config() {
                            scheduler = self.renew(scheduler, &due_sink).await?;
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
                            tracing::warn!("the run does not end in time; the next one tidies up after it");
                        }
                        // A service that was asked to stop has not failed.
                        return Ok(Exit::Signal(signal));
                    }
                }
            }
        }
    }

    /// Makes the job that says when a run is due.
    async fn schedule(&self, due: &mpsc::Sender<()>) -> Result<JobScheduler, Error> {
        let failed = |error: tokio_cron_scheduler::JobSchedulerError| {
            Error::new(Exit::Usage, format!("the schedule cannot be kept: {error}"), "check schedule.cron")
        };
        let scheduler = JobScheduler::new().await.map_err(failed)?;
        let schedule = &self.config.schedule;
        let due = due.clone();
        let job = Job::new_async_tz(schedule.cron.as_str(), schedule.timezone, move |_, _| {
            let due = due.clone();
            Box::pin(async move {
                // Full: a run is due already.
                let _ = due.try_send(());
            })
        })
        .map_err(failed)?;
        scheduler.add(job).await.map_err(failed)?;
        scheduler.start().await.map_err(failed)?;
        Ok(scheduler)
    }

    async fn renew(&self, mut old: JobScheduler, due: &mpsc::Sender<()>) -> Result<JobScheduler, Error> {
        if let Err(error) = old.shutdown().await {
            tracing::warn!(%error, "the old schedule does not end; its runs are left out while one is under way");
        }
        self.schedule(due).await
    }

    /// Starts a run.
    fn start(&self, trigger: Trigger, cancel: &CancellationToken) -> Running {
        let backup = Backup {
            config: Arc::clone(&self.config),
            request: Request { trigger, selection: Vec::new(), repair: false },
            cancel: cancel.clone(),
            clock: crate::clock::Clock::system(),
        };
        Box::pin(async move { back_up(&backup, &Lines::default()).await })
    }

    /// Says whether a run was missed while no daemon was there.
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
                // The start of a run whose clock was ahead says nothing.
                schedule.missed(last.filter(|last| *last <= now), now)
            }
            Ok(Err(error)) => {
                tracing::error!(%error, hint = %error.hint(), "the store cannot be used");
                // The run that is started fails, and tells Slack.
                true
            }
            Err(error) => {
                tracing::error!(%error, "a task failed");
                false
            }
        }
    }

    fn reload_config(&mut self) -> bool {
        match (self.reload)() {
            Ok(config) => {
                self.config = Arc::new(config);
                tracing::info!("the configuration is read anew; it counts from the next run on");
                true
            }
            Err(error) => {
                tracing::error!("the old configuration is kept: {error}");
                false
            }
        }
    }

    /// Tells systemd what is going on.
    fn show(&self, running: bool) {
        let schedule = Schedule::new(&self.config.schedule.cron, self.config.schedule.timezone);
        let next = schedule.ok().and_then(|schedule| schedule.next_after(Utc::now()));
        let next = next.map_or_else(|| "never".to_owned(), |at| at.format("%Y-%m-%d %H:%M UTC").to_string());
        self.notifier.status(&if running {
            "a run is under way; see `ghbk status`".to_owned()
        } else {
            format!("waiting; next run {next}")
        });
    }

    /// Says how the backup stands; not in the loop, which a store that hangs would hold up.
    fn beat(&self) {
        let config = Arc::clone(&self.config);
        tokio::spawn(async move { heartbeat::beat(&config.store).await });
    }

    /// Feeds the watchdog once the store has answered; a store that hangs starves it.
    fn feed_watchdog(&self) {
        let root = self.config.store.root.clone();
        let notifier = self.notifier.clone();
        tokio::task::spawn_blocking(move || {
            // Missing or not, it answered.
            let _ = std::fs::metadata(root);
            notifier.watchdog();
        });
    }
}

/// Waits for the run under way; for ever if there is none.
async fn finished(running: &mut Option<Running>) -> Result<RunSummary, Error> {
    match running {
        Some(run) => run.await,
        None => std::future::pending().await,
    }
}

fn log_result(result: Result<RunSummary, Error>) {
    match result {
        Ok(summary) => {
            tracing::info!(status = ?summary.status, "{}", crate::report::summary::text(&summary).trim_end());
        }
        Err(error) => tracing::error!("{error}"),
    }
}
