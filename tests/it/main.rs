//! ghbk through its public door: the binary against the sandbox. Real git, real HTTP, real files.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod adopt;
mod api;
mod check;
mod checkout;
mod contracts;
mod costs;
mod daemon;
mod damage;
mod every_step;
mod faults;
mod fold;
mod forget;
mod history;
mod hostile;
mod hosts;
mod interruption;
mod inventory;
mod large_files;
mod lies;
mod list;
mod look;
mod mirror;
mod names;
mod network;
mod ordinary_user;
mod pace;
mod parts;
mod planted;
mod presence;
mod private;
mod proof;
mod push;
mod real;
mod recovery;
mod repair;
mod report;
mod restore;
mod secrets;
mod status;
mod store;
mod store_operations;
mod sums;
mod surface;
mod thorough;
mod token;
mod tolerance;
mod units;
mod unreadable;
mod updates;
mod verify;
mod wire;
mod world;
