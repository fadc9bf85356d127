//! How fast the git server may be asked, learned from its answers. Pure: the time is passed in.
//!
//! GitHub documents no rate for git over HTTPS. So nothing is held back until it refuses or answers slowly: then half as many
//! requests go out at once; if even one at a time is too much, half as many per second. Both recover slowly (additive increase,
//! multiplicative decrease, as TCP does). What a newcomer would get wrong: the fate of requests that were on their way when the
//! server refused says nothing new; only a request that began after the last slowing may slow the pace again.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// More are never under way: `limits.concurrency` allows no more.
const AT_ONCE_MAX: f64 = 64.0;
/// This many are under way at once before the server has answered anything; each good answer allows one more until it refuses or
/// slows down for the first time, as TCP starts.
const AT_ONCE_FIRST: f64 = 8.0;
/// The rate is measured over this time.
const WINDOW: Duration = Duration::from_secs(1);
/// One request more at once is tried after this many good answers for each that is allowed already.
const ANSWERS_FOR_ONE_MORE: f64 = 16.0;
/// A good answer raises the rate by this fraction of the one at which the server refused.
const RATE_STEP: f64 = 1.0 / 400.0;
/// At twice the rate at which the server refused, the refusal has lost its meaning.
const FORGOTTEN: f64 = 2.0;
/// A server that takes this long to list refs is overloaded, if it has been much quicker before.
const SLOW: Duration = Duration::from_secs(5);
const MUCH_SLOWER: u32 = 10;

/// The pace of requests to one server.
#[derive(Debug)]
pub(super) struct Pace {
    at_once: f64,
    /// Whether the server has neither refused nor slowed down yet.
    is_starting: bool,
    under_way: u32,
    /// Counts slowings.
    epoch: u64,
    rate: Option<Rate>,
    /// When the requests of the last window began.
    begun: VecDeque<Instant>,
    quickest: Option<Duration>,
}

/// How many requests may begin in a second.
#[derive(Clone, Copy, Debug)]
struct Rate {
    allowed: f64,
    /// The one at which the server refused.
    refused: f64,
}

/// Whether a request may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// It has begun, in this epoch.
    Begin(u64),
    /// Not before another has ended.
    Later,
    /// Not before this time.
    At(Instant),
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            at_once: AT_ONCE_FIRST,
            is_starting: true,
            under_way: 0,
            epoch: 0,
            rate: None,
            begun: VecDeque::new(),
            quickest: None,
        }
    }
}

impl Pace {
    /// Begins a request if it may.
    pub(super) fn begin(&mut self, now: Instant) -> May {
        while self.begun.front().is_some_and(|begun| now.saturating_duration_since(*begun) >= WINDOW) {
            self.begun.pop_front();
        }
        if f64::from(self.under_way + 1) > self.at_once.max(1.0) {
            return May::Later;
        }
        if let (Some(rate), Some(last)) = (self.rate, self.begun.back()) {
            let next = *last + WINDOW.div_f64(rate.allowed);
            if next > now {
                return May::At(next);
            }
        }
        self.under_way += 1;
        self.begun.push_back(now);
        May::Begin(self.epoch)
    }

    /// Ends a request.
    pub(super) fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Takes note of a good answer, and how long it took to come.
    pub(super) fn answered(&mut self, epoch: u64, after: Duration, now: Instant) {
        let quickest = self.quickest.map_or(after, |quickest| quickest.min(after));
        self.quickest = Some(quickest);
        if after >= SLOW && after > quickest * MUCH_SLOWER {
            return self.slow_down(epoch, now);
        }
        let Some(rate) = &mut self.rate else {
            let step = if self.is_starting { 1.0 } else { 1.0 / (ANSWERS_FOR_ONE_MORE * self.at_once) };
            self.at_once = (self.at_once + step).min(AT_ONCE_MAX);
            return;
        };
        rate.allowed += rate.refused * RATE_STEP;
        if rate.allowed > FORGOTTEN * rate.refused {
            self.rate = None;
        }
    }

    /// Halves the pace, because the server refused or delayed a request of this epoch.
    pub(super) fn slow_down(&mut self, epoch: u64, now: Instant) {
        if epoch != self.epoch {
            return;
        }
        self.epoch += 1;
        self.is_starting = false;
        // What is allowed may be far more than what was tried.
        let tried = self.at_once.min(f64::from(self.under_way));
        if tried >= 2.0 {
            self.at_once = tried / 2.0;
            tracing::debug!(at_once = self.at_once, "the git server is asked less at once");
            return;
        }
        self.at_once = 1.0;
        let recent = self.begun.iter().filter(|begun| now.saturating_duration_since(**begun) < WINDOW).count();
        let measured = f64::from(u32::try_from(recent).unwrap_or(u32::MAX)).max(1.0);
        let refused = self.rate.map_or(measured, |rate| rate.allowed.min(measured));
        self.rate = Some(Rate { allowed: refused / 2.0, refused });
        tracing::debug!(per_second = refused / 2.0, "the git server is asked more slowly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(pace: &mut Pace, now: Instant) -> u64 {
        match pace.begin(now) {
            May::Begin(epoch) => epoch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_held_back_until_the_server_refuses() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for _ in 0..1000 {
            let epoch = begun(&mut pace, now);
            pace.answered(epoch, Duration::ZERO, now);
            pace.end();
        }
    }

    #[test]
    fn as_many_begin_as_have_been_answered_well_and_eight() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for answered in 0..100 {
            assert!(pace.at_once >= (AT_ONCE_FIRST + f64::from(answered)).min(AT_ONCE_MAX), "{pace:?}");
            let epoch = begun(&mut pace, now);
            pace.answered(epoch, Duration::ZERO, now);
            pace.end();
        }
    }

    #[test]
    fn requests_refused_together_slow_the_pace_once() {
        let (mut pace, now) = (Pace { at_once: 16.0, ..Pace::default() }, Instant::now());
        let epochs: Vec<u64> = (0..16).map(|_| begun(&mut pace, now)).collect();
        for epoch in epochs {
            pace.slow_down(epoch, now);
        }
        for _ in 0..16 {
            pace.end();
        }
        for _ in 0..8 {
            begun(&mut pace, now);
        }
        assert_eq!(pace.begin(now), May::Later);
    }

    #[test]
    fn when_one_at_a_time_is_refused_they_begin_half_as_fast_and_recover() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut epoch = 0;
        for _ in 0..10 {
            epoch = begun(&mut pace, start);
            pace.end();
        }
        pace.under_way = 1;
        pace.slow_down(epoch, start);
        pace.under_way = 0;
        assert_eq!(pace.begin(start), May::At(start + Duration::from_millis(200)), "five a second");
        let mut now = start;
        let mut answers = 0;
        while pace.rate.is_some() {
            match pace.begin(now) {
                May::Begin(epoch) => {
                    pace.answered(epoch, Duration::ZERO, now);
                    pace.end();
                    answers += 1;
                }
                May::At(next) => now = next,
                May::Later => unreachable!("one at a time is always allowed"),
            }
        }
        assert!((400..700).contains(&answers), "{answers}");
    }

    #[test]
    fn a_server_that_answers_much_later_than_before_is_asked_less() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for after in [Duration::from_millis(80), SLOW] {
            for _ in 0..8 {
                begun(&mut pace, now);
            }
            let epoch = pace.epoch;
            pace.answered(epoch, after, now);
            (0..8).for_each(|_| pace.end());
        }
        assert!(pace.at_once <= 4.0, "{pace:?}");
        let mut always_slow = Pace::default();
        let epoch = begun(&mut always_slow, now);
        always_slow.answered(epoch, SLOW * 2, now);
        assert!(always_slow.rate.is_none() && always_slow.at_once > AT_ONCE_FIRST, "{always_slow:?}");
    }
}
