//! ghbk
fn main() {}
