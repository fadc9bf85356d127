//! The gate: every request to GitHub passes it, and it holds back what is too fast or no longer allowed.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Jitter, Quota, RateLimiter};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::{May, Pace};
use super::{Refusal, Waited};
use crate::config::LimitsConfig;

/// Spreads requests that would otherwise all be let through at the same moment.
const JITTER: Duration = Duration::from_millis(50);

/// GitHub: "wait for at least one minute before retrying" when it names no time.
const UNHINTED_PAUSE: Duration = Duration::from_mins(1);

/// What GitHub counts separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The REST API.
    Api,
    /// The GraphQL API, which has points of its own.
    GraphQl,
    /// The git server.
    Git,
    /// The server of large files.
    Lfs,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "API",
            Self::GraphQl => "GraphQL API",
            Self::Git => "git",
            Self::Lfs => "large files",
        })
    }
}

impl Resource {
    /// All of them.
    const ALL: [Self; 4] = [Self::Api, Self::GraphQl, Self::Git, Self::Lfs];
}

/// GitHub allows 3,000 requests a minute, each for up to a hundred large files, and others may use the same token. Source:
/// GitHub's documentation, "Rate limits for the REST API", "Git LFS limits".
const LFS_REQUESTS_PER_MINUTE: u32 = 2_000;

/// Every request to GitHub passes it.
#[derive(Debug)]
pub struct Gate {
    api: DefaultDirectRateLimiter,
    git: Option<DefaultDirectRateLimiter>,
    lfs: DefaultDirectRateLimiter,
    /// One query at a time: GitHub allows 60 seconds of its processors' time a minute. Source: GitHub's documentation, "Rate
    /// limits and query limits for the GraphQL API".
    graphql: tokio::sync::Mutex<()>,
    pace: Mutex<Pace>,
    /// Wakes those who wait for a request to end.
    ended: Notify,
    bandwidth: Option<(DefaultDirectRateLimiter, NonZeroU32)>,
    pauses: Mutex<Pauses>,
    wait_budget: Duration,
}

#[derive(Debug, Default)]
struct Pauses {
    api: Pause,
    graphql: Pause,
    git: Pause,
    lfs: Pause,
    /// Refusals without a hint since the last success.
    unhinted: u32,
}

#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    /// All pauses of this run together.
    total: Duration,
    /// Set once GitHub asked for more waiting than the run may spend.
    exhausted: Option<LimitExhausted>,
}

/// Reports that GitHub's limit would hold longer than the run may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "GitHub's rate limit is used up for another {}, which is more than limits.rate_limit_wait allows ({} waited already)",
    humantime::format_duration(*.asked), humantime::format_duration(*.waited)
)]
pub struct LimitExhausted {
    asked: Duration,
    waited: Duration,
}

/// A request to the git server that is under way; dropped when it has ended.
#[derive(Debug)]
pub struct Turn<'a> {
    gate: &'a Gate,
    epoch: u64,
    begun: Instant,
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
            git: limits.git_operations_per_minute.map(per_minute),
            lfs: per_minute(LFS_REQUESTS_PER_MINUTE),
            graphql: tokio::sync::Mutex::default(),
            pace: Mutex::default(),
            ended: Notify::new(),
            bandwidth,
            pauses: Mutex::default(),
            wait_budget: limits.rate_limit_wait,
        }
    }

    /// Waits until a request to the REST API may be sent.
    ///
    /// # Errors
    /// [`LimitExhausted`] if none may be sent any more in this run.
    pub async fn before_api(&self) -> Result<(), LimitExhausted> {
        self.wait_out_pause(Resource::Api).await?;
        self.api.until_ready_with_jitter(Jitter::up_to(JITTER)).await;
        // GitHub may have refused others meanwhile.
        self.wait_out_pause(Resource::Api).await
    }

    /// Waits until a query may be sent to the GraphQL API; no other is until the guard is dropped.
    ///
    /// # Errors
    /// [`LimitExhausted`] if none may be sent any more in this run.
    pub async fn before_graphql(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, LimitExhausted> {
        let turn = self.graphql.lock().await;
        self.wait_out_pause(Resource::GraphQl).await?;
        Ok(turn)
    }

    /// Waits until a request to the git server may be sent; the wait is added to `waited`.
    ///
    /// # Errors
    /// [`LimitExhausted`] if none may be sent any more in this run.
    pub async fn before_git(&self, waited: &Waited) -> Result<Turn<'_>, LimitExhausted> {
        let _waiting = waited.begin();
        if let Some(git) = &self.git {
            self.wait_out_pause(Resource::Git).await?;
            git.until_ready_with_jitter(Jitter::up_to(JITTER)).await;
        }
        loop {
            self.wait_out_pause(Resource::Git).await?;
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // From here on, no end is missed.
            ended.as_mut().enable();
            let now = Instant::now();
            let may = self.pace().begin(now);
            match may {
                May::Begin(epoch) => return Ok(Turn { gate: self, epoch, begun: now }),
                May::Later => ended.await,
                May::At(time) => tokio::time::sleep_until(time).await,
            }
        }
    }

    /// Waits until a request to the LFS server may be sent.
    ///
    /// # Errors
    /// [`LimitExhausted`] if none may be sent any more in this run.
    pub async fn before_lfs(&self, waited: &Waited) -> Result<(), LimitExhausted> {
        let _waiting = waited.begin();
        self.wait_out_pause(Resource::Lfs).await?;
        self.lfs.until_ready_with_jitter(Jitter::up_to(JITTER)).await;
        self.wait_out_pause(Resource::Lfs).await
    }

    /// Waits until this many received bytes may be passed on.
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

    /// Pauses requests as GitHub asked: those to one resource if its budget is spent, else all.
    ///
    /// # Errors
    /// [`LimitExhausted`] if the run would wait longer in all than `limits.rate_limit_wait`.
    pub fn refuse(&self, resource: Resource, refusal: Refusal) -> Result<Duration, LimitExhausted> {
        let mut pauses = self.pauses();
        let now = Instant::now();
        let already = pauses.of(resource).left(now);
        let asked = match refusal {
            Refusal::Wait(time) | Refusal::Spent(time) => time,
            // Another task was refused at the same moment: one step of the ladder serves all.
            Refusal::Unhinted if !already.is_zero() => already,
            Refusal::Unhinted => {
                pauses.unhinted += 1;
                UNHINTED_PAUSE * 2u32.saturating_pow(pauses.unhinted - 1)
            }
        };
        // Large files also come from other hosts, whose limits are no concern of GitHub's API or git.
        let is_for_all = !matches!(refusal, Refusal::Spent(_)) && resource != Resource::Lfs;
        let others = Resource::ALL.into_iter().filter(|other| *other != resource && is_for_all);
        let mut result = Ok(asked);
        for resource in others.chain([resource]) {
            result = pauses.of(resource).lengthen(asked, now, self.wait_budget).map(|()| asked);
        }
        if result.is_ok() && asked > already {
            tracing::warn!("GitHub asks to slow down; requests ({resource}) wait {} s", asked.as_secs());
        }
        result
    }

    /// Returns whether GitHub's limit outlasts the run: continuing would get the token banned.
    pub fn is_exhausted(&self, resource: Resource) -> bool {
        self.pauses().of(resource).exhausted.is_some()
    }

    /// Notes that GitHub answered, so that a later refusal begins at a minute again.
    pub fn accepted(&self) {
        self.pauses().unhinted = 0;
    }

    async fn wait_out_pause(&self, resource: Resource) -> Result<(), LimitExhausted> {
        loop {
            let until = {
                let mut pauses = self.pauses();
                let pause = pauses.of(resource);
                if let Some(exhausted) = pause.exhausted {
                    return Err(exhausted);
                }
                pause.until
            };
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => return Ok(()),
            }
        }
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pauses {
    fn of(&mut self, resource: Resource) -> &mut Pause {
        match resource {
            Resource::Api => &mut self.api,
            Resource::GraphQl => &mut self.graphql,
            Resource::Git => &mut self.git,
            Resource::Lfs => &mut self.lfs,
        }
    }
}

impl Pause {
    fn left(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    fn lengthen(&mut self, asked: Duration, now: Instant, budget: Duration) -> Result<(), LimitExhausted> {
        let added = asked.saturating_sub(self.left(now));
        if self.total.saturating_add(added) > budget {
            let exhausted = LimitExhausted { asked, waited: self.total };
            self.exhausted = Some(exhausted);
            return Err(exhausted);
        }
        self.total += added;
        if !added.is_zero() {
            self.until = Some(now + asked);
        }
        Ok(())
    }
}

impl Turn<'_> {
    /// Notes that the server began to answer.
    pub fn answered(&self) {
        let now = Instant::now();
        self.gate.pace().answered(self.epoch, now - self.begun, now);
    }

    /// Notes that the server refused because it was asked too fast, or has trouble.
    pub fn refused(&self) {
        self.gate.pace().slow_down(self.epoch, Instant::now());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.gate.pace().end();
        self.gate.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(wait: Duration) -> Gate {
        Gate::new(&LimitsConfig { rate_limit_wait: wait, ..LimitsConfig::default() })
    }

    #[test]
    fn without_a_hint_the_pause_begins_at_a_minute_and_grows_and_ends() {
        let gate = gate(Duration::from_mins(4));
        assert_eq!(gate.refuse(Resource::Git, Refusal::Unhinted), Ok(Duration::from_mins(1)));
        gate.pauses().git.until = None; // the minute is over
        assert_eq!(gate.refuse(Resource::Git, Refusal::Unhinted), Ok(Duration::from_mins(2)));
        gate.pauses().git.until = None;
        assert!(gate.refuse(Resource::Git, Refusal::Unhinted).is_err());
        assert!(gate.is_exhausted(Resource::Git) && gate.is_exhausted(Resource::Api));
    }

    #[test]
    fn tasks_refused_in_the_same_moment_share_one_pause() {
        let gate = gate(Duration::from_mins(70));
        for _ in 0..8 {
            assert!(gate.refuse(Resource::Git, Refusal::Unhinted).unwrap() <= Duration::from_mins(1));
        }
        assert!(gate.pauses().git.total <= Duration::from_mins(1));
    }

    #[test]
    fn a_budget_that_is_spent_stops_nothing_else() {
        let gate = gate(Duration::from_mins(70));
        assert!(gate.refuse(Resource::Api, Refusal::Spent(Duration::from_hours(2))).is_err());
        assert!(gate.is_exhausted(Resource::Api) && !gate.is_exhausted(Resource::Git));
        assert_eq!(gate.pauses().git.total, Duration::ZERO);
    }
}
