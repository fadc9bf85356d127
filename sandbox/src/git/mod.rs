//! Git over HTTPS: GitHub's rules at the door, and the real `git http-backend` behind it.

mod backend;
mod command;
mod gate;
mod kept;
mod pace;
mod path;

pub(crate) use command::{DATE, command};
pub(crate) use gate::answer;
pub(crate) use kept::KeptAnswers;
pub(crate) use pace::PaceCounter;
pub(crate) use path::GitPath;
