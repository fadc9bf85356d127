//! What people wrote on GitHub beside git: issues, pull requests, releases. Stored as JSON that anybody can read.
//!
//! [`canonical`] is the form in which it is stored.

pub mod canonical;
