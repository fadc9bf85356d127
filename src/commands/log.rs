//! `ghbk log`: how one issue or pull request changed from stored state to stored state.

use git2::Oid;

use super::point::Point;
use super::show::source::{Source, no_such_number};
use super::{Context, print, print_json};
use crate::blocking::unblock;
use crate::cli::LogArgs;
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::git::GitError;
use crate::metadata::read::changes::changes;
use crate::metadata::read::{Reader, State};
use crate::report::log::{Step, text};

pub(super) async fn log(context: &Context, arguments: LogArgs) -> Result<Exit, Error> {
    let (config, number) = (context.config.clone(), arguments.number);
    let (name, steps) = unblock(move || read(&config, &arguments)).await?;
    if context.global.json {
        print_json(&steps)?;
    } else {
        print(&text(&name, number, &steps))?;
    }
    Ok(Exit::Good)
}

fn read(config: &Config, arguments: &LogArgs) -> Result<(String, Vec<Step>), Error> {
    let source = Source::open(config, &arguments.repository, &Point::Newest)?;
    let steps = steps(&source.reader, arguments.number).map_err(|error| source.failed(&error))?;
    if steps.is_empty() {
        return Err(no_such_number(&source, arguments.number, false));
    }
    Ok((source.name, steps))
}

/// Walks the states, and reads the file only where its id changed: thousands of states have a handful of these.
fn steps(reader: &Reader, number: u64) -> Result<Vec<Step>, GitError> {
    let mut steps = Vec::new();
    let mut later: Option<(State, Option<Oid>)> = None;
    for state in reader.states() {
        let state = state?;
        let file = reader.file_of(&state, number)?;
        if let Some((later, later_file)) = later.take().filter(|(_, later_file)| *later_file != file) {
            steps.push(step(reader, number, &later, file, later_file)?);
        }
        later = Some((state, file));
    }
    if let Some((first, Some(file))) = later {
        steps.push(step(reader, number, &first, None, Some(file))?);
    }
    Ok(steps)
}

fn step(
    reader: &Reader,
    number: u64,
    state: &State,
    before: Option<Oid>,
    after: Option<Oid>,
) -> Result<Step, GitError> {
    let read = |file: Option<Oid>| file.map(|file| reader.value(file)).transpose();
    Ok(Step::new(state, changes(number, read(before)?.as_ref(), read(after)?.as_ref())))
}
