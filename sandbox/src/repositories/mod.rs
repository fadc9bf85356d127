//! The folder of bare repositories, which is the only truth the sandbox knows.
//!
//! A newcomer would look for a cache. There is none: 200 repositories are 400 small files, and a test may change the
//! folder at any time. Git's requests read one repository only, because there are as many of them as repositories.

mod catalogue;
mod measure;
mod metadata;
mod moves;
mod names;

pub(crate) use catalogue::{Catalogue, Found, Owner, Repository};
pub(crate) use measure::{Measure, newest_ref};
pub(crate) use metadata::{Metadata, append};
pub(crate) use moves::{delete, rename};
pub(crate) use names::{FullName, stable_id};
