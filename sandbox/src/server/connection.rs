//! The accept loop. All connections end with the runtime that holds them.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::server::route;
use crate::state::State;

/// Serves connections for ever.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener)
        .expect("the listener is non-blocking and this runs inside a runtime with I/O");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: those in use come back, so it is worth a pause.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request| route::answer(Arc::clone(&state), request));
            // An error here is a client that went away, or a fault that broke the connection off on purpose.
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
