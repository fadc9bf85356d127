//! How fast ghbk may go: its own limits, and GitHub's when GitHub says so.
//!
//! One [`Gate`] serves the REST API and the git server, because GitHub counts both against one token. Touches the
//! clock, nothing else. What a newcomer would get wrong: a refusal pauses *everyone*; a caller who merely sleeps
//! leaves seven others to run into the same refusal, and GitHub bans tokens that go on while limited.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use governor::{DefaultDirectRateLimiter, Jitter, Quota, RateLimiter};
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use crate::config::LimitsConfig;

/// Spreads requests that would otherwise all be let through at the same moment.
const JITTER: Duration = Duration::from_millis(50);

/// GitHub: "wait for at least one minute before retrying" when it names no time.
const UNHINTED_PAUSE: Duration = Duration::from_mins(1);

/// Stands in front of every request to GitHub.
#[derive(Debug)]
pub struct Gate {
    api: DefaultDirectRateLimiter,
    git: DefaultDirectRateLimiter,
    bandwidth: Option<(DefaultDirectRateLimiter, NonZeroU32)>,
    pause: Mutex<Pause>,
    /// Set once GitHub asked for more waiting than the run may spend.
    exhausted: AtomicBool,
    wait_budget: Duration,
}

#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    /// All pauses of this run together.
    total: Duration,
    /// Refusals without a hint since the last success.
    unhinted: u32,
}

/// Reports that GitHub's limit would hold longer than the run may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("GitHub's rate limit asks for {} more, {} waited already", humantime::format_duration(*.asked), humantime::format_duration(*.waited))]
pub struct LimitExhausted {
    asked: Duration,
    waited: Duration,
}

impl Gate {
    /// Builds the gate of one run.
    pub fn new(limits: &LimitsConfig) -> Self {
        let per_minute = |count: u32| {
            let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
            // A burst of a tenth: enough to start at once, too little to look like an attack.
            let burst = NonZeroU32::new(count.get() / 10).unwrap_or(NonZeroU32::MIN);
            RateLimiter::direct(Quota::per_minute(count).allow_burst(burst))
        };
        let bandwidth = limits.bandwidth.map(|rate| {
            let bytes = u32::try_from(rate.as_u64()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
            (RateLimiter::direct(Quota::per_second(bytes)), bytes)
        });
        Self {
            api: per_minute(limits.api_requests_per_minute),
            git: per_minute(limits.git_operations_per_minute),
            bandwidth,
            pause: Mutex::default(),
            exhausted: AtomicBool::new(false),
            wait_budget: limits.rate_limit_wait,
        }
    }

    /// Waits until a request to the REST API may be sent.
    pub async fn before_api(&self) {
        self.wait_out_pause().await;
        self.api.until_ready_with_jitter(Jitter::up_to(JITTER)).await;
    }

    /// Waits until a request to the git server may be sent.
    pub async fn before_git(&self) {
        self.wait_out_pause().await;
        self.git.until_ready_with_jitter(Jitter::up_to(JITTER)).await;
    }

    /// Waits until so many received bytes may be passed on.
    pub async fn pass_bytes(&self, count: usize) {
        let Some((limiter, burst)) = &self.bandwidth else { return };
        let mut left = u32::try_from(count).unwrap_or(u32::MAX);
        while let Some(part) = NonZeroU32::new(left.min(burst.get())) {
            if limiter.until_n_ready(part).await.is_err() {
                return; // the part is never larger than the burst
            }
            left -= part.get();
        }
    }

    /// Pauses every request as GitHub asked.
    ///
    /// # Errors
    /// [`LimitExhausted`] if the run would wait longer in all than `limits.rate_limit_wait`.
    pub fn refuse(&self, refusal: Refusal) -> Result<Duration, LimitExhausted> {
        let mut pause = self.pause.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        let already = pause.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let asked = match refusal {
            Refusal::Wait(time) => time,
            // Another task was refused in the same moment: one step of the ladder serves all.
            Refusal::Unhinted if !already.is_zero() => already,
            Refusal::Unhinted => {
                pause.unhinted += 1;
                UNHINTED_PAUSE * 2u32.saturating_pow(pause.unhinted - 1)
            }
        };
        let added = asked.saturating_sub(already);
        if pause.total.saturating_add(added) > self.wait_budget {
            self.exhausted.store(true, Ordering::Relaxed);
            return Err(LimitExhausted { asked, waited: pause.total });
        }
        pause.total += added;
        if !added.is_zero() {
            pause.until = Some(now + asked);
            tracing::warn!(wait_seconds = asked.as_secs(), "GitHub asks to slow down; all requests wait");
        }
        Ok(asked)
    }

    /// Says whether GitHub's limit outlasts the run: going on would get the token banned.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// Notes that GitHub answered, so that a later refusal begins at a minute again.
    pub fn accepted(&self) {
        self.pause.lock().unwrap_or_else(std::sync::PoisonError::into_inner).unhinted = 0;
    }

    async fn wait_out_pause(&self) {
        loop {
            let until = self.pause.lock().unwrap_or_else(std::sync::PoisonError::into_inner).until;
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }
}

/// Says how GitHub wants a client to slow down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It names how long.
    Wait(Duration),
    /// It does not: at least a minute, growing.
    Unhinted,
}

impl Refusal {
    /// Reads a response in the order that GitHub documents; none if it is no refusal for being too fast.
    ///
    /// Source: GitHub's documentation, "Rate limits for the REST API", "Exceeding the rate limit".
    pub fn read(status: StatusCode, headers: &HeaderMap, body: &str, now: DateTime<Utc>) -> Option<Self> {
        if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
            return None;
        }
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        if let Some(seconds) = number("retry-after") {
            return Some(Self::Wait(Duration::from_secs(seconds)));
        }
        if number("x-ratelimit-remaining") == Some(0)
            && let Some(reset) = number("x-ratelimit-reset")
        {
            let now = u64::try_from(now.timestamp()).unwrap_or_default();
            // A second more: the clocks differ.
            return Some(Self::Wait(Duration::from_secs(reset.saturating_sub(now).saturating_add(1))));
        }
        let said = body.to_ascii_lowercase();
        let limited = ["rate limit", "abuse detection"].iter().any(|sign| said.contains(sign));
        (status == StatusCode::TOO_MANY_REQUESTS || limited).then_some(Self::Unhinted)
    }
}

/// Says what a failure means for trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It may pass: a reset, a timeout, a 5xx.
    Transient,
    /// GitHub refused for being too fast; the gate decides how long all wait.
    Limited(Refusal),
    /// Trying again changes nothing.
    Never,
}

/// Errors that know whether trying again makes sense.
pub trait Retryable: std::error::Error {
    /// Classifies the failure.
    fn retry(&self) -> Retry;
}

/// A limit that holds after so many pauses will hold after the next.
const LIMITED_RETRIES_MAX: u32 = 5;

/// Runs an operation until it succeeds, fails for good, or has been retried often enough.
///
/// # Errors
/// The operation's last error.
pub async fn with_retries<T, E, F>(gate: &Gate, retries: u32, mut operation: F) -> Result<T, E>
where
    E: Retryable,
    F: AsyncFnMut() -> Result<T, E>,
{
    let mut delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(30))
        .with_jitter()
        .with_max_times(retries as usize)
        .build();
    let mut limited = 0;
    loop {
        let error = match operation().await {
            Ok(value) => {
                gate.accepted();
                return Ok(value);
            }
            Err(error) => error,
        };
        match error.retry() {
            Retry::Never => return Err(error),
            Retry::Transient => {
                let Some(delay) = delays.next() else { return Err(error) };
                tracing::info!(%error, delay_milliseconds = delay.as_millis(), "trying again");
                tokio::time::sleep(delay).await;
            }
            Retry::Limited(refusal) => {
                limited += 1;
                if limited > LIMITED_RETRIES_MAX {
                    return Err(error);
                }
                if let Err(exhausted) = gate.refuse(refusal) {
                    tracing::warn!(%exhausted, "giving up");
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn read(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Option<Refusal> {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        Refusal::read(StatusCode::from_u16(status).unwrap(), &headers(pairs), body, now)
    }

    #[test]
    fn signals_are_obeyed_in_the_order_github_documents() {
        let both = [("retry-after", "7"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000060")];
        assert_eq!(read(403, &both, ""), Some(Refusal::Wait(Duration::from_secs(7))));
        assert_eq!(read(403, &both[1..], ""), Some(Refusal::Wait(Duration::from_secs(61))));
        assert_eq!(read(429, &[], ""), Some(Refusal::Unhinted));
        assert_eq!(read(403, &[], "You have exceeded a secondary rate limit"), Some(Refusal::Unhinted));
        assert_eq!(read(403, &[("x-ratelimit-remaining", "4999")], "Resource not accessible"), None);
        assert_eq!(read(500, &both, ""), None);
    }

    #[test]
    fn without_a_hint_the_pause_begins_at_a_minute_and_grows_and_ends() {
        let limits = LimitsConfig { rate_limit_wait: Duration::from_mins(4), ..LimitsConfig::default() };
        let gate = Gate::new(&limits);
        assert_eq!(gate.refuse(Refusal::Unhinted), Ok(Duration::from_mins(1)));
        gate.pause.lock().unwrap().until = None; // the minute is over
        assert_eq!(gate.refuse(Refusal::Unhinted), Ok(Duration::from_mins(2)));
        gate.pause.lock().unwrap().until = None;
        assert!(gate.refuse(Refusal::Unhinted).is_err());
    }

    #[test]
    fn tasks_refused_in_the_same_moment_share_one_pause() {
        let gate = Gate::new(&LimitsConfig::default());
        for _ in 0..8 {
            assert!(gate.refuse(Refusal::Unhinted).unwrap() <= Duration::from_mins(1));
        }
        assert!(gate.pause.lock().unwrap().total <= Duration::from_mins(1));
    }
}
