//! Globs over names of repositories: one of some must match, and none of others.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::names::FullName;

/// Lets names through.
#[derive(Clone, Debug)]
pub struct Globs {
    include: GlobSet,
    exclude: GlobSet,
}

impl Globs {
    /// Builds them; a glob may match `OWNER/NAME` or the bare name.
    ///
    /// # Errors
    /// The glob that cannot be read; the configuration's check has refused it before.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, globset::Error> {
        let set = |globs: &[String]| {
            let mut builder = GlobSetBuilder::new();
            for glob in globs {
                // GitHub's names do not distinguish case.
                builder.add(GlobBuilder::new(glob).case_insensitive(true).build()?);
            }
            builder.build()
        };
        Ok(Self { include: set(include)?, exclude: set(exclude)? })
    }

    /// Lets nothing through.
    pub fn nothing() -> Self {
        Self { include: GlobSet::empty(), exclude: GlobSet::empty() }
    }

    /// Says whether they let a name through.
    pub fn take(&self, name: &FullName) -> bool {
        let full_name = name.to_string();
        let matches = |set: &GlobSet| set.is_match(&full_name) || set.is_match(name.name());
        matches(&self.include) && !matches(&self.exclude)
    }
}
