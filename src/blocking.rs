//! Blocking work on threads of its own: an NFS mount may hang for ever.

use crate::error::{Error, Exit};
use crate::store::StoreError;

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
