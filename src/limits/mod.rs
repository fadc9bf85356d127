//! How fast ghbk may go: its own limits, and GitHub's when GitHub says so.
//!
//! One [`Gate`] serves the REST API and the git server. [`Refusal`] reads what GitHub says, `pace` finds out how fast the git
//! server may be asked, [`with_retries`] tries again. Touches the clock, nothing else. What a newcomer would get wrong: a refusal
//! pauses *everyone*; a caller who merely sleeps lets seven others run into the same refusal, and GitHub bans tokens that
//! continue while limited.

mod gate;
mod pace;
mod refusal;
mod retry;
mod waited;

pub use gate::{Gate, LimitExhausted, Resource, Turn};
pub use refusal::Refusal;
pub(crate) use refusal::words as refusal_words;
pub use retry::{Retry, Retryable, with_retries};
pub use waited::Waited;
