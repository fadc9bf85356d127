//! What is tried again, how often, and after how long.
//!
//! What a newcomer would get wrong: a refusal for being too fast is not a failure like others. It does not count against
//! `limits.retries`, and the gate says how long to wait, because everybody waits.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::{Gate, Refusal, Resource};

/// What a failure means for trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It may pass: a reset, a timeout, a 5xx.
    Transient,
    /// It may be chance; a second failure is not.
    Once,
    /// GitHub refused because it was asked too fast; the gate decides how long everybody waits.
    Limited(Resource, Refusal),
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

/// Runs an operation until it succeeds, fails for good, or has been retried often enough. `what` names it in the log.
///
/// # Errors
/// The operation's last error.
pub async fn with_retries<T, E, F>(gate: &Gate, retries: u32, what: &str, mut operation: F) -> Result<T, E>
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
    let (mut limited, mut was_tried_once) = (0, false);
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
            Retry::Once if was_tried_once => return Err(error),
            retry @ (Retry::Transient | Retry::Once) => {
                was_tried_once |= retry == Retry::Once;
                let Some(delay) = delays.next() else { return Err(error) };
                tracing::info!(what, %error, "trying again in {:.1} s", delay.as_secs_f64());
                tokio::time::sleep(delay).await;
            }
            Retry::Limited(resource, refusal) => {
                limited += 1;
                if limited > LIMITED_RETRIES_MAX {
                    return Err(error);
                }
                if let Err(exhausted) = gate.refuse(resource, refusal) {
                    tracing::warn!(what, %exhausted, "giving up");
                    return Err(error);
                }
            }
        }
    }
}
