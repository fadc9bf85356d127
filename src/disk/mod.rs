//! Files of the store, read and written in as few operations as possible: each costs milliseconds on EFS.
//!
//! What is written is synced and read back past the cache before anybody can find it. What a newcomer would get wrong:
//! `fs::read` and `fs::copy` ask a file system three times as often as they need to.

mod error;
mod read;
mod write;

pub use error::{DiskError, ends_all_writing};
pub use read::read_at_once;
pub(crate) use read::{
    check_regular, free_bytes, is_missing, metadata, open_file, open_folder, open_regular, read_text,
};
pub(crate) use write::{Draft, create_all, forget, on_threads, replace_all};
pub use write::{TEMPORARY_PREFIX, replace, sync_file_system, sync_folder};
