//! Git LFS as GitHub speaks it: the batch API beside git, and contents on another host.
//!
//! Contents lie in the bare repository, where git-lfs keeps them: `lfs/objects/ab/cd/OID`. A file `OID.error` beside one, with a status
//! and a message, is what the batch API says of it instead.

mod batch;
mod contents;
mod media;
mod path;

pub(crate) use batch::answer;
pub(crate) use contents::add;
pub(crate) use media::answer as answer_media;
pub(crate) use path::LfsPath;
