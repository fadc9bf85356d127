//! ghbk
