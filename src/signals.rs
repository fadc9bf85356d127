//! Signals: what they ask for, and how a command is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Exit};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// SIGHUP.
    Reload,
    /// SIGUSR1: end when no run is under way, so that systemd starts the program anew.
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
    /// Begins to listen.
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub fn listen() -> Result<Self, Error> {
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

/// Turns the first SIGINT or SIGTERM of a command into a cancellation, and the second into the end.
#[derive(Debug)]
pub struct Signals(Arc<AtomicU8>);

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub fn listen(cancel: CancellationToken) -> Result<Self, Error> {
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let received = Arc::new(AtomicU8::new(0));
        let by_signal = Arc::clone(&received);
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => number(SignalKind::terminate()),
                    _ = interrupt.recv() => number(SignalKind::interrupt()),
                }
            };
            by_signal.store(next().await, Ordering::SeqCst);
            tracing::warn!("stopping; what is being written is finished first; a second signal stops at once");
            cancel.cancel();
            leave_at_once(next().await);
        });
        Ok(Self(received))
    }

    /// Returns the number of the signal that came, if one did.
    pub fn received(&self) -> Option<u8> {
        Some(self.0.load(Ordering::SeqCst)).filter(|number| *number != 0)
    }
}

/// Ends the process as an unheard signal would; a crash at any moment harms no mirror.
#[expect(clippy::exit, reason = "a person who asks twice does not want to wait for a hung mount")]
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
