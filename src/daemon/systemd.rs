//! What systemd wants to hear (`sd_notify(3)`).

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells systemd the state of the daemon; does nothing where systemd does not listen.
#[derive(Clone, Debug)]
pub struct Notifier {
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Finds out whether systemd listens and wants the watchdog fed.
    pub fn from_env() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }

    /// Says that start-up, or a reload, is over.
    pub fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    /// Says that the configuration is being read again (`Type=notify-reload` wants the time, too).
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(_) => notify(&[NotifyState::Reloading]),
        }
    }

    /// Says that the daemon is stopping.
    pub fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    /// Says in words what the daemon does; `systemctl status` shows it.
    pub fn status(&self, text: &str) {
        notify(&[NotifyState::Status(text)]);
    }

    /// Says that the daemon is alive.
    pub fn watchdog(&self) {
        notify(&[NotifyState::Watchdog]);
    }

    /// Says whether the watchdog wants to be fed.
    pub fn has_watchdog(&self) -> bool {
        self.watchdog.is_some()
    }

    /// Returns how often to feed it: three times per timeout.
    pub fn watchdog_interval(&self) -> Duration {
        self.watchdog.map_or(Duration::from_mins(1), |patience| patience / 3)
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd does not listen");
    }
}
