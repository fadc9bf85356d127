//! The sandbox as a client sees it: over HTTP, and through the real git.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod app;
mod authentication;
mod benchmarks;
mod binary;
mod control;
mod faults;
mod fixtures;
mod git;
mod graphql;
mod issues;
mod lfs;
mod listing;
mod renames;
mod scene;
mod slack;
mod tracker;
