//! What goes over the network between here and a git server.
//!
//! [`server`] speaks HTTP, [`advertisement`] is pure, [`transport`] passes on what the server sends, `receive` makes a pack of
//! it, [`transfer`] counts progress, [`push`] sends refs and objects to a new repository.

pub mod advertisement;
pub mod error;
pub mod push;
pub(crate) mod receive;
pub mod server;
pub mod transfer;
pub mod transport;
