//! What GitHub knows of a repository beyond git: the `[sandbox]` section of its git `config`.
//!
//! The file is read here, not by `git config`, because a listing of 200 repositories must not start 200 processes.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::names::FullName;

/// What the `[sandbox]` section of a repository says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of GitHub's own object")]
pub(crate) struct Metadata {
    pub(crate) id: Option<u64>,
    pub(crate) private: bool,
    pub(crate) fork: bool,
    pub(crate) archived: bool,
    pub(crate) disabled: bool,
    pub(crate) has_wiki: bool,
    pub(crate) has_issues: bool,
    /// Whether the caller may push; nothing that is backed up can be.
    pub(crate) pushable: bool,
    pub(crate) description: Option<String>,
    pub(crate) former_names: Vec<FullName>,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            id: None,
            private: true,
            fork: false,
            archived: false,
            disabled: false,
            has_wiki: true, // GitHub says so even of a wiki that was never written
            has_issues: true,
            pushable: false,
            description: None,
            former_names: Vec::new(),
        }
    }
}

impl Metadata {
    /// Reads the `config` of a bare repository.
    pub(crate) fn read(repository: &Path) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(repository.join("config"))?))
    }

    /// Reads the text of a git configuration; what it does not know is left alone.
    fn parse(text: &str) -> Self {
        let mut metadata = Self::default();
        let mut inside = false;
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[') {
                inside = section.split(']').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("sandbox"));
                continue;
            }
            if !inside || line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let (key, value) = line.split_once('=').map_or((line, None), |(key, value)| (key, Some(value)));
            let value = value.map(|value| unquote(value.trim()));
            // A key without a value is true to git.
            let is_true = value
                .as_deref()
                .is_none_or(|value| ["true", "yes", "on", "1"].iter().any(|truth| value.eq_ignore_ascii_case(truth)));
            match key.trim().to_ascii_lowercase().as_str() {
                "id" => metadata.id = value.and_then(|value| value.parse().ok()),
                "private" => metadata.private = is_true,
                "fork" => metadata.fork = is_true,
                "archived" => metadata.archived = is_true,
                "disabled" => metadata.disabled = is_true,
                "haswiki" => metadata.has_wiki = is_true,
                "hasissues" => metadata.has_issues = is_true,
                "pushable" => metadata.pushable = is_true,
                "description" => metadata.description = value,
                "formername" => metadata.former_names.extend(value.as_deref().and_then(FullName::read)),
                _ => {}
            }
        }
        metadata
    }
}

/// Adds a line to the `[sandbox]` section; git reads a repeated section as one.
pub(crate) fn append(repository: &Path, key: &str, value: &str) -> io::Result<()> {
    let mut config = OpenOptions::new().append(true).open(repository.join("config"))?;
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    config.write_all(format!("[sandbox]\n\t{key} = \"{value}\"\n").as_bytes())
}

/// Undoes git's quoting, and drops a comment at the end of the line.
fn unquote(value: &str) -> String {
    let mut text = String::new();
    let mut quoted = false;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(other) => text.push(other),
                None => {}
            },
            '#' | ';' if !quoted => break,
            other => text.push(other),
        }
    }
    if quoted || value.ends_with('"') { text } else { text.trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::Metadata;

    #[test]
    fn the_sandbox_section_is_read_as_git_reads_it() {
        let text = "[core]\n\tbare = true\n\tid = 9\n[sandbox]\n\tid = 7 ; seven\n\tprivate = no\n\tarchived\n\
            \tdescription = \"a \\\"b\\\" # c\"\n[Sandbox]\n\tformerName = acme/old\n\tformerName = acme/older\n";
        let metadata = Metadata::parse(text);
        assert_eq!(metadata.id, Some(7));
        assert!(!metadata.private);
        assert!(metadata.archived && metadata.has_wiki && !metadata.fork);
        assert_eq!(metadata.description.as_deref(), Some("a \"b\" # c"));
        let former: Vec<_> = metadata.former_names.iter().map(ToString::to_string).collect();
        assert_eq!(former, ["acme/old", "acme/older"]);
    }
}
