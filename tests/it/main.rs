//! ghbk through its public door: the binary against the sandbox. Real git, real HTTP, real files.

mod check;
mod daemon;
mod faults;
mod interruption;
mod inventory;
mod list;
mod mirror;
mod names;
mod real;
mod report;
mod secrets;
mod status;
mod store;
mod surface;
mod token;
mod world;
