//! The accept loop. All connections end with the runtime that holds them.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::server::route::{self, Host};
use crate::state::State;

/// Serves connections for ever.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>, host: Host) {
    let listener = tokio::net::TcpListener::from_std(listener)
        .expect("the listener is non-blocking and this runs inside a runtime with I/O");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: those in use come back, so it is worth a pause.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Answers are written whole; to wait for more would only delay their last packet.
        let _unchanged = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        let stream = state.traffic.count(stream);
        match tls.clone() {
            None => drop(tokio::spawn(answer(stream, state, host))),
            Some(tls) => drop(tokio::spawn(async move {
                // A client that does not trust the certificate says so itself.
                if let Ok(stream) = tls.accept(stream).await {
                    answer(stream, state, host).await;
                }
            })),
        }
    }
}

/// Answers the requests of one connection.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send, state: Arc<State>, host: Host) {
    let service = service_fn(|request| route::answer(Arc::clone(&state), host, request));
    // An error here is a client that went away, or a fault that broke the connection off on purpose.
    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
