//! `ghbk show`: the stored issues and pull requests, or one with its conversation.

pub(super) mod source;

use self::source::{Source, no_such_number, point};
use super::{Context, print, print_json, print_raw};
use crate::blocking::unblock;
use crate::cli::{ListedState, ShowArgs};
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::metadata::read::State;
use crate::metadata::read::item::Item;
use crate::report::show::{Row, item_text, list_text};

/// What was read, for people or as it is stored.
enum Shown {
    Item(String),
    List { name: String, state: State, rows: Vec<Row>, stored: u64, damage: Option<Error> },
}

pub(super) async fn show(context: &Context, arguments: ShowArgs) -> Result<Exit, Error> {
    let (config, is_json) = (context.config.clone(), context.global.json);
    let shown = unblock(move || match arguments.number {
        Some(number) => one(&config, &arguments, number, is_json),
        None => all(&config, &arguments),
    })
    .await?;
    match shown {
        Shown::Item(file) if is_json => print_raw(&file)?,
        Shown::Item(text) => print(&text)?,
        Shown::List { name, state, rows, stored, damage } => {
            if is_json {
                print_json(&rows)?;
            } else {
                print(&list_text(&name, &state, &rows, stored))?;
            }
            return damage.map_or(Ok(Exit::Good), Err);
        }
    }
    Ok(Exit::Good)
}

fn one(config: &Config, arguments: &ShowArgs, number: u64, is_json: bool) -> Result<Shown, Error> {
    let source = Source::open(config, &arguments.repository, &point(config, arguments.at.as_ref())?)?;
    let file = source.reader.file_of(&source.state, number).map_err(|error| source.failed(&error))?;
    let file = file.ok_or_else(|| no_such_number(&source, number, arguments.at.is_some()))?;
    if is_json {
        let bytes = source.reader.bytes(file).map_err(|error| source.failed(&error))?;
        return Ok(Shown::Item(String::from_utf8_lossy(&bytes).into_owned()));
    }
    let value = source.reader.value(file).map_err(|error| source.failed(&error))?;
    Ok(Shown::Item(item_text(&source.name, &source.state, &Item::new(number, &value))))
}

fn all(config: &Config, arguments: &ShowArgs) -> Result<Shown, Error> {
    let source = Source::open(config, &arguments.repository, &point(config, arguments.at.as_ref())?)?;
    let (mut rows, mut stored) = (Vec::new(), 0);
    let mut damage = None;
    for entry in source.reader.numbers(&source.state).map_err(|error| source.failed(&error))? {
        let read = entry.and_then(|(number, file)| {
            stored += 1;
            Ok((number, source.reader.value(file)?))
        });
        match read {
            Ok((number, value)) => {
                let item = Item::new(number, &value);
                if is_wanted(&item, arguments) {
                    rows.push(Row::of(&item));
                }
            }
            // Everything around it is still of use.
            Err(error) => drop(damage.get_or_insert_with(|| source.failed(&error))),
        }
    }
    Ok(Shown::List { name: source.name, state: source.state, rows, stored, damage })
}

fn is_wanted(item: &Item<'_>, arguments: &ShowArgs) -> bool {
    let has_state = match arguments.state {
        ListedState::All => true,
        ListedState::Open => item.is_open(),
        ListedState::Closed => !item.is_open(),
    };
    let has_label = |wanted: &String| item.labels().any(|label| label.to_lowercase() == wanted.to_lowercase());
    let title = item.title().to_lowercase();
    let words = arguments.search.as_deref().unwrap_or_default().to_lowercase();
    has_state && arguments.labels.iter().all(has_label) && words.split_whitespace().all(|word| title.contains(word))
}
