//! Writes the stored issues and pull requests of a repository as files that are read without ghbk. Blocking.
//!
//! One number after the other is read and written, so memory does not grow with what is written of each. The same state always
//! gives the same bytes: nothing here asks for the time, the machine or the order of a hash table.

mod body;
mod html;
mod jsonl;
mod lists;
mod markdown;
mod page;

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::git::GitError;
use crate::metadata::read::item::Item;
use crate::metadata::read::{Reader, State};

/// How something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Pages for a browser.
    Html,
    /// A Markdown file for each number.
    Markdown,
    /// A line of JSON for each number.
    JsonLines,
}

/// What an export is of.
pub struct Origin<'a> {
    /// `OWNER/NAME`.
    pub name: &'a str,
    /// The host of its GitHub, to which links lead.
    pub host: &'a str,
    /// The state that is written.
    pub state: &'a State,
}

/// What was written; a contract with scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// How many issues.
    pub issues: u64,
    /// How many pull requests.
    pub pull_requests: u64,
    /// How many of both are open.
    pub open: u64,
    /// What is stored and cannot be read, in words.
    pub lost: Vec<String>,
}

/// The numbers that there are, in ascending order: a mention of one becomes a link.
struct Numbers(Vec<u64>);

impl Numbers {
    fn contains(&self, number: u64) -> bool {
        self.0.binary_search(&number).is_ok()
    }
}

/// What is written beside the numbers.
struct Rest {
    labels: Option<Value>,
    milestones: Option<Value>,
}

/// One form of export. The numbers come in descending order, but for [`Form::JsonLines`].
trait Writer {
    /// Writes an issue or a pull request.
    fn add(&mut self, item: &Item<'_>) -> io::Result<()>;

    /// Writes what is left when all numbers are written.
    fn finish(self: Box<Self>, exported: &Exported, rest: &Rest) -> io::Result<()>;
}

/// Writes a state into an existing, empty folder.
///
/// # Errors
/// [`GitError::Damaged`] if not even the list of folders can be read; [`GitError::Disk`]; [`GitError::Cancelled`].
pub fn export(
    reader: &Reader,
    origin: &Origin<'_>,
    form: Form,
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<Exported, GitError> {
    let failed = |error: io::Error| GitError::io("write to", folder)(error);
    let rest = Rest {
        labels: reader.root_file(origin.state, "labels.json")?,
        milestones: reader.root_file(origin.state, "milestones.json")?,
    };
    let mut exported = Exported::default();
    let mut entries = Vec::new();
    for entry in reader.numbers(origin.state)?.rev() {
        match entry {
            Ok(entry) => entries.push(entry),
            // Everything around it is still of use.
            Err(error) => exported.lost.push(error.to_string()),
        }
    }
    let numbers = Numbers(entries.iter().map(|(number, _)| *number).collect());
    let mut writer: Box<dyn Writer + '_> = match form {
        Form::Html => Box::new(html::Pages::begin(folder.to_owned(), origin, numbers).map_err(failed)?),
        Form::Markdown => Box::new(markdown::Notes::begin(folder.to_owned(), origin).map_err(failed)?),
        Form::JsonLines => Box::new(jsonl::Lines::begin(folder.to_owned()).map_err(failed)?),
    };
    if form != Form::JsonLines {
        entries.reverse();
    }
    for (number, file) in entries {
        if cancel.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        let value = match reader.value(file) {
            Ok(value) => value,
            Err(error) => {
                exported.lost.push(format!("#{number}: {error}"));
                continue;
            }
        };
        let item = Item::new(number, &value);
        if item.is_incomplete() {
            exported.lost.push(format!("#{number}: some of it could not be fetched from GitHub"));
        }
        let counted = if item.is_pull_request() { &mut exported.pull_requests } else { &mut exported.issues };
        *counted += 1;
        exported.open += u64::from(item.is_open());
        writer.add(&item).map_err(failed)?;
    }
    writer.finish(&exported, &rest).map_err(failed)?;
    Ok(exported)
}

/// Returns the file of a number, relative to the folder of the export.
fn file_of(number: u64, ending: &str) -> PathBuf {
    PathBuf::from("issues").join(format!("{number}.{ending}"))
}

/// Takes control characters and marks that turn the direction of text out of a text of several lines.
fn plain(text: &str) -> String {
    let is_kept = |c: &char| {
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        matches!(c, '\n' | '\t') || !(c.is_control() || turns)
    };
    text.replace("\r\n", "\n").chars().filter(is_kept).collect()
}
