//! What people write in a repository: issues, pull requests, comments, labels, milestones and their timeline.
//!
//! REST and GraphQL both answer from the same model, which lies in the repository's folder.

mod changes;
mod clock;
mod dump;
mod generate;
mod handle;
mod model;
mod pulls;
mod store;

pub(crate) use clock::{read as read_time, written};
pub use generate::{GenerateIssues, generate_issues};
pub use handle::Tracker;
pub(crate) use model::{
    Comment, Event, Gone, Item, Label, Milestone, Model, Pull, Reactions, Review, ReviewComment, parts_of_id, public_id,
};
pub(crate) use pulls::imagined_oid;
pub(crate) use store::{FILE, Loaded, Orders, Place, Trackers};
