//! Globs over names of repositories: one of the included must match, and none of the excluded.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::names::FullName;

/// Which names are let through.
#[derive(Clone, Debug)]
pub struct Globs {
    include: GlobSet,
    exclude: GlobSet,
    /// Those of `include`, then those of `exclude`, as they were written.
    written: Vec<String>,
}

impl Globs {
    /// Builds them; a glob may match `OWNER/NAME` or the bare name.
    ///
    /// # Errors
    /// The glob that cannot be read; the check of the configuration has refused it before.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, globset::Error> {
        let set = |globs: &[String]| {
            let mut builder = GlobSetBuilder::new();
            for glob in globs {
                // GitHub's names are case-insensitive.
                builder.add(GlobBuilder::new(glob).case_insensitive(true).build()?);
            }
            builder.build()
        };
        Ok(Self { include: set(include)?, exclude: set(exclude)?, written: [include, exclude].concat() })
    }

    /// Lets nothing through.
    pub fn nothing() -> Self {
        Self { include: GlobSet::empty(), exclude: GlobSet::empty(), written: Vec::new() }
    }

    /// Returns whether they let a name through.
    pub fn take(&self, name: &FullName) -> bool {
        let full_name = name.to_string();
        let matches = |set: &GlobSet| set.is_match(&full_name) || set.is_match(name.name());
        matches(&self.include) && !matches(&self.exclude)
    }

    /// Returns the globs that match none of these names: most likely they are misspelt.
    pub fn unmatched<'a>(&self, names: impl Iterator<Item = &'a FullName>) -> Vec<String> {
        let mut is_matched = vec![false; self.written.len()];
        for name in names {
            let full_name = name.to_string();
            for (set, first) in [(&self.include, 0), (&self.exclude, self.include.len())] {
                for at in set.matches(&full_name).into_iter().chain(set.matches(name.name())) {
                    is_matched[first + at] = true;
                }
            }
        }
        let globs = self.written.iter().zip(is_matched).filter(|(_, is_matched)| !is_matched);
        globs.map(|(glob, _)| glob.clone()).collect()
    }
}
