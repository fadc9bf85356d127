//! Signals: what they ask for, and how a command is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Exit};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// SIGHUP.
    Reload,
    /// SIGUSR1: end when no run is under way, so that systemd restarts the program.
    Restart,
    /// SIGTERM or SIGINT, by number.
    Stop(u8),
}

/// Listens to the signals of a daemon.
#[derive(Debug)]
pub struct Events {
    hangup: Signal,
    user1: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Events {
    /// Begins to listen, and makes sure that SIGTERM and SIGINT end the process in time.
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub fn listen() -> Result<Self, Error> {
        end_in_time(|_| ())?;
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            user1: listen(SignalKind::user_defined1())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.hangup.recv() => Event::Reload,
            _ = self.user1.recv() => Event::Restart,
            _ = self.terminate.recv() => Event::Stop(number(SignalKind::terminate())),
            _ = self.interrupt.recv() => Event::Stop(number(SignalKind::interrupt())),
        }
    }
}

/// How long a process may take to end after the first signal: a publication that is under way is finished, a transfer is
/// not. One that is cut off harms no mirror.
pub const WIND_DOWN: Duration = Duration::from_secs(10);

/// Turns the first SIGINT or SIGTERM of a command into a cancellation, and the second into the end.
#[derive(Debug)]
pub struct Signals(Arc<AtomicU8>);

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub fn listen(cancel: CancellationToken) -> Result<Self, Error> {
        let received = Arc::new(AtomicU8::new(0));
        let by_signal = Arc::clone(&received);
        end_in_time(move |number| {
            by_signal.store(number, Ordering::SeqCst);
            cancel.cancel();
            say(|| tracing::warn!("stopping; what is being written is finished first; a second signal stops at once"));
        })?;
        Ok(Self(received))
    }

    /// Returns the number of the signal that came, if one did.
    pub fn received(&self) -> Option<u8> {
        Some(self.0.load(Ordering::SeqCst)).filter(|number| *number != 0)
    }
}

/// Makes sure that the process ends after SIGINT or SIGTERM, whatever any other thread waits for: [`WIND_DOWN`] after the
/// first one, at once after the second.
///
/// It has a thread and a runtime of its own, because a call that hangs on a dead mount may hold up every other.
fn end_in_time(on_first: impl FnOnce(u8) + Send + 'static) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        Error::new(Exit::Impossible, format!("cannot listen to signals: {error}"), "check the limits of processes")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut terminate, mut interrupt) = {
        let _entered = runtime.enter();
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?)
    };
    let watch = async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => number(SignalKind::terminate()),
                _ = interrupt.recv() => number(SignalKind::interrupt()),
            }
        };
        let first = next().await;
        on_first(first);
        if let Ok(second) = tokio::time::timeout(WIND_DOWN, next()).await {
            leave_at_once(second);
        }
        say(|| tracing::error!("something does not end; the next run cleans up after it"));
        leave_at_once(first);
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(watch)).map(drop).map_err(failed)
}

/// Logs something, and waits for it only a moment: the log may be on the mount that hangs, too.
fn say(log: impl FnOnce() + Send + 'static) {
    let (done, said) = std::sync::mpsc::sync_channel(1);
    let spoken = std::thread::Builder::new().spawn(move || {
        log();
        let _ = done.send(());
    });
    if spoken.is_ok() {
        let _ = said.recv_timeout(Duration::from_millis(500));
    }
}

/// Ends the process as an unhandled signal would; a crash at any moment harms no mirror.
#[expect(clippy::exit, reason = "nothing else ends a process of which a thread hangs")]
fn leave_at_once(number: u8) {
    std::process::exit(128 + i32::from(number));
}

fn listen(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|error| {
        Error::new(Exit::Impossible, format!("cannot listen to signals: {error}"), "please report this")
    })
}

fn number(kind: SignalKind) -> u8 {
    u8::try_from(kind.as_raw_value()).unwrap_or_default()
}
