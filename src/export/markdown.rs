//! Markdown: a file for each number, and lists by state and label.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{fs, io};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::lists::Lists;
use super::{Exported, Origin, Rest, Writer, file_of, plain};
use crate::metadata::read::changes::how_gone;
use crate::metadata::read::conversation::{Entry, conversation, review_told};
use crate::metadata::read::events::{actor, told};
use crate::metadata::read::item::{Item, gone, login, text, time};
use crate::report::show::{pull_request_branches, thread_told};
use crate::text::{count, printable};

/// Longer names and titles are cut to this many characters.
const LINE_CHARS: usize = 500;

/// Writes the files.
pub(super) struct Notes {
    folder: PathBuf,
    name: String,
    stored: String,
    lists: Lists,
}

impl Notes {
    pub(super) fn begin(folder: PathBuf, origin: &Origin<'_>) -> io::Result<Self> {
        fs::create_dir(folder.join("issues"))?;
        let lists = Lists::new(folder.clone());
        Ok(Self { folder, name: origin.name.to_owned(), stored: shown(Some(origin.state.time)), lists })
    }
}

impl Writer for Notes {
    fn add(&mut self, item: &Item<'_>) -> io::Result<()> {
        fs::write(self.folder.join(file_of(item.number, "md")), note(&self.name, item))?;
        let line = format!(
            "- [#{}](issues/{}.md) {} ({}, {})\n",
            item.number,
            item.number,
            escaped(item.title()),
            item.state(),
            escaped(item.author())
        );
        self.lists.append(if item.is_open() { "open.md" } else { "closed.md" }, &line)?;
        for label in item.labels() {
            let file = self.lists.label(label);
            self.lists.append(&format!("{file}.md"), &line)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, exported: &Exported, rest: &Rest) -> io::Result<()> {
        // Both are linked, whether or not there is anything in them.
        self.lists.append("open.md", "")?;
        self.lists.append("closed.md", "")?;
        self.lists.flush()?;
        let all = exported.issues + exported.pull_requests;
        let mut index = format!("# {}: issues and pull requests\n\n", self.name);
        let _ = write!(
            index,
            "{} and {}, as stored {}.\n\n- [Open](open.md): {}\n- [Closed](closed.md): {}\n",
            count(exported.issues, "issue", "issues"),
            count(exported.pull_requests, "pull request", "pull requests"),
            self.stored,
            exported.open,
            all - exported.open
        );
        if !self.lists.labels().is_empty() {
            index.push_str("\n## Labels\n\n");
        }
        for (name, label) in self.lists.labels() {
            let _ = writeln!(index, "- [{}]({}.md): {}", escaped(name), label.file, label.count);
        }
        let milestones: Vec<&Value> = rest.milestones.iter().filter_map(Value::as_array).flatten().collect();
        if !milestones.is_empty() {
            index.push_str("\n## Milestones\n\n");
        }
        for milestone in milestones {
            let _ = writeln!(index, "- {} ({})", escaped(text(milestone, "title")), escaped(text(milestone, "state")));
        }
        fs::write(self.folder.join("index.md"), index)
    }
}

/// Writes one line so that Markdown takes nothing in it for its own.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in printable(text, LINE_CHARS).chars() {
        if matches!(c, '\\' | '[' | ']' | '<' | '>' | '`' | '*' | '_' | '&' | '|') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn shown(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "at some time".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn note(name: &str, item: &Item<'_>) -> String {
    let mut out = front_matter(name, item);
    let _ = write!(out, "\n# {}\n\n", escaped(item.title()));
    if let Some(gone) = item.gone() {
        let _ = write!(out, "**{} on GitHub, found {}**\n\n", escaped(&how_gone(&gone)), shown(gone.since));
    }
    if let Some(branches) = pull_request_branches(item.file) {
        let _ = write!(out, "{}\n\n", escaped(&branches));
    }
    write_body(&mut out, item.body());
    for timed in conversation(item.file) {
        let at = shown(timed.at);
        match timed.entry {
            Entry::Comment(comment) => write_written(&mut out, "##", (comment, "user"), "commented", &at),
            Entry::Review(review) => write_written(&mut out, "##", (review, "author"), review_told(review), &at),
            Entry::Thread(thread) => {
                let _ = write!(out, "## {}, {at}\n\n", escaped(&thread_told(&thread)));
                for comment in &thread.comments {
                    let at = shown(time(comment, "created_at"));
                    write_written(&mut out, "###", (comment, "user"), "commented", &at);
                }
            }
            Entry::Event(event) => {
                let _ = write!(out, "*{at}: {} {}*\n\n", escaped(actor(event)), escaped(&told(event)));
            }
        }
    }
    out
}

/// The facts, in YAML; a text in JSON's quotation marks is YAML, too.
fn front_matter(name: &str, item: &Item<'_>) -> String {
    let line = |text: &str| json!(printable(text, LINE_CHARS));
    let lines = |texts: Vec<&str>| json!(texts.into_iter().map(|text| printable(text, LINE_CHARS)).collect::<Vec<_>>());
    let at = |member: &str| json!(item.time(member).map(|time| shown(Some(time))));
    let mut out = "---\n".to_owned();
    for (key, value) in [
        ("repository", line(name)),
        ("number", json!(item.number)),
        ("kind", json!(item.kind())),
        ("title", line(item.title())),
        ("state", json!(item.state())),
        ("author", line(item.author())),
        ("labels", lines(item.labels().collect())),
        ("assignees", lines(item.assignees().collect())),
        ("milestone", line(item.milestone())),
        ("created_at", at("created_at")),
        ("updated_at", at("updated_at")),
        ("closed_at", at("closed_at")),
    ] {
        if !value.is_null() && value != json!("") && value != json!([]) {
            let _ = writeln!(out, "{key}: {value}");
        }
    }
    out.push_str("---\n");
    out
}

fn write_written(out: &mut String, level: &str, (written, author): (&Value, &str), how: &str, at: &str) {
    let _ = write!(out, "{level} {} {how}, {at}\n\n", escaped(login(written, author)));
    if let Some(gone) = gone(written) {
        let _ = write!(out, "**{} on GitHub, found {}**\n\n", escaped(&how_gone(&gone)), shown(gone.since));
    }
    write_body(out, text(written, "body"));
}

fn write_body(out: &mut String, body: &str) {
    let body = plain(body);
    if !body.trim().is_empty() {
        let _ = write!(out, "{}\n\n", body.trim_end());
    }
}
