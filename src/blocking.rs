//! Blocking work on threads of its own: an NFS mount may hang for ever.

use crate::error::{Error, Exit};
use crate::store::StoreError;

/// Does two things at the same time, each of which waits for something else; without a thread to spare, one after the other.
pub(crate) fn side_by_side<A: Send, B>(one: impl Fn() -> A + Sync, other: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let begun = std::thread::Builder::new().spawn_scoped(scope, &one);
        let other = other();
        let one = match begun {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => one(),
        };
        (one, other)
    })
}

/// Runs blocking work on the store on its own thread.
pub(crate) async fn on_store<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Error> {
    unblock(move || Ok(work()?)).await
}

/// Runs blocking work on its own thread.
pub(crate) async fn unblock<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(Exit::Impossible, format!("a task failed: {error}"), "please report this")),
    }
}
