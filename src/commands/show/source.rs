//! Whose metadata is meant, and which state of it.

use std::path::Path;

use chrono::{DateTime, Utc};

use crate::commands::point::{self, Point};
use crate::commands::{find_mirrors, open_store};
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::git::GitError;
use crate::git::pack::view::View;
use crate::metadata::read::{Reader, State};
use crate::mirrors::MirrorKind;
use crate::moment::{Moment, PointInTime};
use crate::names::Wanted;
use crate::store::{Index, Mirror, Store};
use crate::zone::shown_to_the_second;

/// The metadata of a repository, and one state of it.
pub(in crate::commands) struct Source {
    /// `OWNER/NAME`.
    pub(in crate::commands) name: String,
    pub(in crate::commands) reader: Reader,
    pub(in crate::commands) state: State,
    /// Where it lies; destinations must be elsewhere.
    pub(in crate::commands) store: Store,
}

/// Says which point in time `--at` means.
pub(in crate::commands) fn point(config: &Config, at: Option<&Moment>) -> Result<Point, Error> {
    match at {
        Some(at) => point::of_words(&PointInTime::At(at.clone()), "--at", Utc::now(), config.schedule.timezone),
        None => Ok(Point::Newest),
    }
}

/// Makes the error for a number that a state does not have.
pub(in crate::commands) fn no_such_number(source: &Source, number: u64, is_at_a_time: bool) -> Error {
    let name = &source.name;
    let (when, hint) = if is_at_a_time {
        (" at that time", format!("`ghbk log {name} {number}` says since when it is stored"))
    } else {
        ("", format!("`ghbk show {name}` lists them; what was opened since comes with the next run"))
    };
    Error::new(Exit::Usage, format!("{name} has no issue or pull request {number}{when}"), hint)
}

impl Source {
    /// Opens the metadata of a repository. Several may have had the name: the one in its place is meant, or the one that has the
    /// newest state by the time in question.
    ///
    /// # Errors
    /// [`Exit::Usage`] if there is none, or none so old; [`Exit::Partial`] if it cannot be read.
    pub(in crate::commands) fn open(config: &Config, wanted: &Wanted, point: &Point) -> Result<Self, Error> {
        let store = open_store(config)?;
        let mut first: Option<DateTime<Utc>> = None;
        let mut chosen: Option<(String, Reader, State)> = None;
        let mut has_any = false;
        for (_, mirror) in find_mirrors(&store, &Index::current(&store)?, wanted)? {
            let name = mirror.full_name.to_string();
            let failed = |error: &GitError| failed(&name, error);
            let held = mirror.held.contains_key(&MirrorKind::Metadata);
            let mirror = store.mirror_at(&mirror.place, MirrorKind::Metadata);
            if held && !mirror.exists().map_err(|error| failed(&GitError::io("examine", mirror.path())(error)))? {
                let message = format!("the metadata of {name} are missing from the store");
                let hint = format!(
                    "look for {} in `.ghbk` and in the backups of the file system",
                    crate::text::quoted(mirror.path())
                );
                return Err(Error::new(Exit::Partial, message, hint));
            }
            let Some(reader) = open(&mirror, &config.store.scratch).map_err(|error| failed(&error))? else { continue };
            has_any = true;
            let state = match point {
                Point::At(at) => reader.at(*at),
                _ => reader.newest().map(Some),
            };
            let Some(state) = state.map_err(|error| failed(&error))? else {
                let oldest =
                    reader.states().last().transpose().map_err(|error| failed(&error))?.map(|state| state.time);
                first = first.into_iter().chain(oldest).min();
                continue;
            };
            let is_better =
                chosen.as_ref().is_none_or(|(_, _, best)| matches!(point, Point::At(_)) && state.time > best.time);
            if is_better {
                chosen = Some((name, reader, state));
            }
        }
        match (chosen, point) {
            (Some((name, reader, state)), _) => Ok(Self { name, reader, state, store }),
            (None, Point::At(at)) if has_any => {
                let first = first.map(|first| format!("; the first is from {}", shown_to_the_second(first)));
                let message = format!(
                    "{wanted} has no issues or pull requests stored at {} or before{}",
                    shown_to_the_second(*at),
                    first.unwrap_or_default()
                );
                Err(Error::new(Exit::Usage, message, "name a later time, or leave --at out for the newest state"))
            }
            (None, _) => {
                let message = format!("the store has no issues or pull requests of {wanted}");
                let hint = format!(
                    "`ghbk status {}` shows what is stored of it; they are backed up if metadata.kinds names \"issues\"",
                    wanted.argument()
                );
                Err(Error::new(Exit::Usage, message, hint))
            }
        }
    }

    /// Makes the error for metadata that cannot be read.
    pub(in crate::commands) fn failed(&self, error: &GitError) -> Error {
        failed(&self.name, error)
    }
}

fn failed(name: &str, error: &GitError) -> Error {
    Error::new(Exit::Partial, format!("{name} ({}): {error}", MirrorKind::Metadata.label()), error.hint_for(name))
}

/// Opens the metadata at a mirror's place; `None` if nothing is stored there.
fn open(mirror: &Mirror, scratch: &Path) -> Result<Option<Reader>, GitError> {
    let Some(refs) = mirror.refs()? else { return Ok(None) };
    Ok(Reader::new(View::open_with_unindexed(mirror.path(), scratch)?, &refs))
}
