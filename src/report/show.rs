//! Issues and pull requests, for people.
//!
//! What a newcomer would get wrong: every text here was written by strangers. Each passes through [`printable`], and each line of a
//! body stands behind a bar, so that it cannot pass for a line of ghbk.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::count;
use crate::metadata::read::State;
use crate::metadata::read::changes::how_gone;
use crate::metadata::read::conversation::{Entry, Thread, conversation, review_told};
use crate::metadata::read::events::{actor, told};
use crate::metadata::read::item::{Item, gone, login, text, time};
use crate::text::printable;
use crate::zone::{day, shown, shown_to_the_second};

/// Longer names, titles and events are cut to this many characters.
const LINE_CHARS: usize = 300;
/// A title in a list is cut to this many characters.
const TITLE_CHARS: usize = 100;
/// A line of a body is cut to this many characters; `--json` has all of it.
const BODY_LINE_CHARS: usize = 300_000;

/// One line of a list; what `ghbk show --json` prints for each number is a contract with scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The number.
    pub number: u64,
    /// `issue` or `pull request`.
    pub kind: &'static str,
    /// `open`, `draft`, `merged`, `closed`, or `closed as …`.
    pub state: &'static str,
    /// The title.
    pub title: String,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// Who opened it.
    pub author: String,
    /// When it was opened.
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed on GitHub.
    pub updated_at: Option<DateTime<Utc>>,
    /// How it went, if GitHub no longer has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
}

impl Row {
    /// Describes an issue or a pull request.
    pub fn of(item: &Item<'_>) -> Self {
        Self {
            number: item.number,
            kind: item.kind(),
            state: item.state(),
            title: item.title().to_owned(),
            labels: item.labels().map(str::to_owned).collect(),
            author: item.author().to_owned(),
            created_at: item.time("created_at"),
            updated_at: item.time("updated_at"),
            gone: item.gone().map(|gone| how_gone(&gone)),
        }
    }
}

/// Formats a list for a terminal; `stored` is how many numbers there are in all.
pub fn list_text(name: &str, state: &State, rows: &[Row], stored: u64) -> String {
    let mut out = String::new();
    let numbers = count(stored, "issue or pull request", "issues and pull requests");
    let shown_of = if rows.len() as u64 == stored { String::new() } else { format!(", {} shown", rows.len()) };
    let _ = writeln!(out, "{name}: {numbers}{shown_of}; {}", as_stored(state));
    let width = rows.iter().map(|row| row.number.to_string().len()).max().unwrap_or(1) + 1;
    for row in rows {
        let mark = if row.gone.is_some() { '!' } else { ' ' };
        let kind = if row.kind == "issue" { "issue" } else { "pull" };
        let updated = row.updated_at.map_or_else(|| "-".to_owned(), day);
        let number = format!("#{}", row.number);
        let _ = write!(out, "{mark} {number:<width$}  {kind:<5}  {:<21}  {updated:<10}  ", row.state);
        let title = line(&row.title, TITLE_CHARS);
        let title = if title.is_empty() { "(no title)".to_owned() } else { title };
        let _ = write!(out, "{title} ({})", line(&row.author, LINE_CHARS));
        if !row.labels.is_empty() {
            let labels: Vec<String> = row.labels.iter().map(|label| line(label, TITLE_CHARS)).collect();
            let _ = write!(out, " [{}]", labels.join(", "));
        }
        if let Some(how) = &row.gone {
            let _ = write!(out, " {} on GitHub", line(how, LINE_CHARS));
        }
        out.push('\n');
    }
    out
}

fn as_stored(state: &State) -> String {
    let run = state.run_id.as_ref().map(|run_id| format!(" (run {run_id})")).unwrap_or_default();
    format!("as stored {}{run}", shown_to_the_second(state.time))
}

/// Formats a whole conversation for a terminal.
pub fn item_text(name: &str, state: &State, item: &Item<'_>) -> String {
    let mut out = String::new();
    write_head(&mut out, name, state, item);
    if item.is_incomplete() {
        out.push_str("warning: some of it could not be fetched from GitHub; every run tries again\n");
    }
    write_body(&mut out, item.body(), "  ");
    for timed in conversation(item.file) {
        let at = timed.at.map_or_else(|| "at some time".to_owned(), shown);
        match timed.entry {
            Entry::Comment(comment) => {
                write_written(&mut out, &at, comment, "user", "commented");
                write_body(&mut out, text(comment, "body"), "  ");
            }
            Entry::Review(review) => {
                write_written(&mut out, &at, review, "author", review_told(review));
                write_body(&mut out, text(review, "body"), "  ");
            }
            Entry::Thread(thread) => write_thread(&mut out, &at, &thread),
            Entry::Event(event) => {
                let (actor, told) = (line(actor(event), LINE_CHARS), line(&told(event), LINE_CHARS));
                let _ = writeln!(out, "\n  {at}  {actor} {told}{}", gone_since(event));
            }
        }
    }
    out
}

fn write_head(out: &mut String, name: &str, state: &State, item: &Item<'_>) {
    let _ = writeln!(out, "{name} #{}: {}", item.number, line(item.title(), LINE_CHARS));
    let mut facts = vec![format!("{} {}", item.kind(), item.state())];
    facts.push(format!("by {}", line(item.author(), LINE_CHARS)));
    for (what, member) in [("opened", "created_at"), ("updated", "updated_at"), ("closed", "closed_at")] {
        facts.extend(item.time(member).map(|time| format!("{what} {}", shown(time))));
    }
    let _ = writeln!(out, "{}", facts.join(", "));
    let _ = writeln!(out, "{}", as_stored(state));
    if let Some(gone) = item.gone() {
        let since = gone.since.map(|since| format!(", found {}", shown(since))).unwrap_or_default();
        let _ = writeln!(out, "! {} on GitHub{since}", line(&how_gone(&gone), LINE_CHARS));
    }
    let joined = |names: Vec<&str>| {
        let names: Vec<String> = names.into_iter().map(|name| line(name, LINE_CHARS)).collect();
        names.join(", ")
    };
    let milestone = Some(item.milestone()).filter(|milestone| !milestone.is_empty());
    let branches = pull_request_branches(item.file);
    for (what, names) in [
        ("labels", item.labels().collect()),
        ("assignees", item.assignees().collect()),
        ("milestone", milestone.into_iter().collect()),
        ("branches", branches.iter().map(String::as_str).collect::<Vec<_>>()),
    ] {
        if !names.is_empty() {
            let _ = writeln!(out, "{what}: {}", joined(names));
        }
    }
}

/// Says what a pull request wants to merge, and how much that is.
pub fn pull_request_branches(file: &Value) -> Option<String> {
    let branch = |side: &str| Some(text(file.get("pull_request")?.get(side)?, "ref")).filter(|name| !name.is_empty());
    let (head, base) = (branch("head")?, branch("base")?);
    let number = |name: &str| file.pointer(&format!("/pull_request_details/{name}")).and_then(Value::as_u64);
    let size = match (number("additions"), number("deletions"), number("changedFiles")) {
        (Some(added), Some(removed), Some(files)) => {
            format!(" (+{added} -{removed} in {})", count(files, "file", "files"))
        }
        _ => String::new(),
    };
    Some(format!("{head} into {base}{size}"))
}

fn write_written(out: &mut String, at: &str, written: &Value, author: &str, how: &str) {
    let author = line(login(written, author), LINE_CHARS);
    let edited = edited_at(written).map(|time| format!(", edited {}", shown(time))).unwrap_or_default();
    let mark = if gone(written).is_some() { '!' } else { ' ' };
    let _ = writeln!(out, "\n{mark} {at}  {author} {how}{edited}{}", gone_since(written));
}

/// Returns when a comment was edited, if it was.
pub fn edited_at(written: &Value) -> Option<DateTime<Utc>> {
    let created = time(written, "created_at").or_else(|| time(written, "submittedAt"))?;
    let updated = time(written, "updated_at").or_else(|| time(written, "updatedAt"))?;
    (updated > created).then_some(updated)
}

/// Says how something went, and when that was found; nothing of what GitHub still has.
fn gone_since(value: &Value) -> String {
    gone(value).map_or_else(String::new, |gone| {
        let since = gone.since.map(|since| format!(", found {}", shown(since))).unwrap_or_default();
        format!("; {} on GitHub{since}", line(&how_gone(&gone), LINE_CHARS))
    })
}

fn write_thread(out: &mut String, at: &str, thread: &Thread<'_>) {
    let _ = writeln!(out, "\n  {at}  {}", line(&thread_told(thread), LINE_CHARS));
    for comment in &thread.comments {
        let author = line(login(comment, "user"), LINE_CHARS);
        let at = time(comment, "created_at").map_or_else(|| "at some time".to_owned(), shown);
        let mark = if gone(comment).is_some() { "! " } else { "" };
        let _ = writeln!(out, "    {mark}{author}, {at}{}", gone_since(comment));
        write_body(out, text(comment, "body"), "    ");
    }
}

/// Says where a thread is, and whether it is resolved. The text may hold anything.
pub fn thread_told(thread: &Thread<'_>) -> String {
    let line = thread.line.map(|line| format!(", line {line}")).unwrap_or_default();
    let resolved = match (thread.is_resolved, thread.resolved_by) {
        (Some(true), "") => ", resolved".to_owned(),
        (Some(true), by) => format!(", resolved by {by}"),
        (Some(false), _) => ", not resolved".to_owned(),
        (None, _) => String::new(),
    };
    let outdated = if thread.is_outdated { ", outdated" } else { "" };
    format!("on {}{line}{resolved}{outdated}", thread.path)
}

/// Makes a text fit to print on one line.
pub(super) fn line(text: &str, max_chars: usize) -> String {
    quoted(&printable(text, max_chars))
}

/// Keeps commands as they were written: what somebody quotes is not to be completed with the options of this call.
fn quoted(text: &str) -> String {
    text.replace(&["`", "ghbk "].concat(), &["`", "ghbk\u{a0}"].concat())
}

/// Writes a body, each line behind a bar.
fn write_body(out: &mut String, body: &str, indent: &str) {
    if body.trim().is_empty() {
        return;
    }
    let mut is_code = false;
    for line in body.trim_end().lines() {
        is_code ^= line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        let _ = writeln!(out, "{}", format!("{indent}| {}", body_line(line, is_code)).trim_end());
    }
}

/// Makes a line of a body fit to print, and keeps the spaces that mean something.
fn body_line(line: &str, is_code: bool) -> String {
    let line = line.replace('\t', "    ");
    let spaces = line.len() - line.trim_start_matches(' ').len();
    let text = if is_code || spaces >= 4 {
        let words = line[spaces..].split(' ').map(|word| printable(word, BODY_LINE_CHARS));
        words.collect::<Vec<_>>().join(" ")
    } else {
        printable(&line, BODY_LINE_CHARS)
    };
    format!("{}{}", " ".repeat(spaces.min(TITLE_CHARS)), quoted(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_keeps_its_indents_and_loses_what_could_harm_a_terminal() {
        let mut out = String::new();
        write_body(
            &mut out,
            "one  two\n\terror: \u{1b}[31mred\u{7}\n\n```\na   b\n```\n\u{202e}evil\u{9b}0m\r\n\n",
            "  ",
        );
        assert_eq!(out, "  | one two\n  |     error: [31mred\n  |\n  | ```\n  | a   b\n  | ```\n  | evil 0m\n");
        let mut out = String::new();
        write_body(&mut out, " \n", "  ");
        assert_eq!(out, "");
    }
}
