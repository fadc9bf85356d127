//! Accepts connections, and leads each request through recording and faults to what answers it.

mod body;
mod connection;
mod origin;
mod route;
mod tls;
mod traffic;

pub(crate) use body::Body;
pub(crate) use connection::serve;
pub(crate) use origin::Origin;
pub(crate) use route::{Host, Reply, text};
pub(crate) use tls::acceptor;
pub use traffic::Traffic;
pub(crate) use traffic::TrafficCounter;
