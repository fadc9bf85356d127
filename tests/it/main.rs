//! ghbk through its public door: the binary against the sandbox. Real git, real HTTP, real files.

mod mirror;
mod names;
mod world;
