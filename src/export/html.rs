//! Pages for a browser: one for each number, and lists by state and label.
//!
//! A list is cut into pages of [`ROWS_MAX`] lines, because a browser takes long for a page of 100,000.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{fs, io};

use serde_json::Value;

use super::body::Links;
use super::lists::Lists;
use super::page::{beginning, end, escaped, shown};
use super::{Exported, Numbers, Origin, Rest, Writer, file_of};
use crate::metadata::read::changes::how_gone;
use crate::metadata::read::conversation::{Entry, Thread, conversation, review_told};
use crate::metadata::read::events::{actor, told};
use crate::metadata::read::item::{Item, gone, list, login, text, time};
use crate::report::show::{edited_at, pull_request_branches, thread_told};
use crate::text::count;

/// How many lines a page of a list has at most.
const ROWS_MAX: usize = 200;
/// How many of the newest the first page shows.
const NEWEST_MAX: usize = 50;

/// Writes the pages.
pub(super) struct Pages {
    folder: PathBuf,
    name: String,
    stored: String,
    links: Links,
    lists: Lists,
    /// The list's page that is being written, and how many lines it has; the list by the name of its first file.
    written: BTreeMap<String, (usize, usize)>,
    newest: Vec<String>,
    comments: u64,
}

impl Pages {
    pub(super) fn begin(folder: PathBuf, origin: &Origin<'_>, numbers: Numbers) -> io::Result<Self> {
        fs::create_dir(folder.join("issues"))?;
        Ok(Self {
            lists: Lists::new(folder.clone()),
            folder,
            name: origin.name.to_owned(),
            stored: shown(Some(origin.state.time)),
            links: Links::new(origin.host, origin.name, numbers),
            written: BTreeMap::new(),
            newest: Vec::new(),
            comments: 0,
        })
    }

    /// Adds a line to a list, on a new page if the last one is full.
    fn list(&mut self, file: &str, title: &str, row: &str) -> io::Result<()> {
        let (mut page, mut rows) = self.written.get(file).copied().unwrap_or((0, 0));
        if page == 0 || rows == ROWS_MAX {
            if page > 0 {
                let more = format!(
                    "</ul>\n<nav><a href=\"{}\">more</a></nav>\n{}",
                    file_of_page(file, page + 1),
                    end(&self.stored)
                );
                self.lists.append(&file_of_page(file, page), &more)?;
            }
            (page, rows) = (page + 1, 0);
            self.lists.append(&file_of_page(file, page), &self.list_beginning(title, file, page))?;
        }
        self.lists.append(&file_of_page(file, page), row)?;
        self.written.insert(file.to_owned(), (page, rows + 1));
        Ok(())
    }

    fn list_beginning(&self, title: &str, file: &str, page: usize) -> String {
        let mut out = beginning(&format!("{}: {title}", self.name));
        let _ =
            write!(out, "<nav><a href=\"index.html\">{}</a></nav>\n<h1>{}</h1>\n", escaped(&self.name), escaped(title));
        if page > 1 {
            let _ = writeln!(out, "<nav><a href=\"{}\">newer</a></nav>", file_of_page(file, page - 1));
        }
        out.push_str("<ul class=\"rows\">\n");
        out
    }

    /// Returns the page of a number; the files of its labels are known already.
    fn page(&self, item: &Item<'_>, labels: &str) -> String {
        let mut out = beginning(&format!("#{} {}", item.number, item.title()));
        let _ = write!(
            out,
            "<nav><a href=\"../index.html\">{}</a></nav>\n<h1><bdi>{}</bdi> <span class=\"number\">#{}</span></h1>\n",
            escaped(&self.name),
            escaped(item.title()),
            item.number
        );
        let _ = write!(
            out,
            "<p class=\"facts\">{} {} by <bdi>{}</bdi>",
            state_of(item),
            item.kind(),
            escaped(item.author())
        );
        for (what, member) in [("opened", "created_at"), ("updated", "updated_at"), ("closed", "closed_at")] {
            if let Some(time) = item.time(member) {
                let _ = write!(out, ", {what} {}", shown(Some(time)));
            }
        }
        out.push_str("</p>\n");
        if let Some(gone) = item.gone() {
            let _ = writeln!(
                out,
                "<p class=\"gone\">{} on GitHub, found {}</p>",
                escaped(&how_gone(&gone)),
                shown(gone.since)
            );
        }
        let assignees: Vec<&str> = item.assignees().collect();
        let branches = pull_request_branches(item.file).unwrap_or_default();
        for (what, text) in
            [("assignees", assignees.join(", ")), ("milestone", item.milestone().to_owned()), ("branches", branches)]
        {
            if !text.is_empty() {
                let _ = writeln!(out, "<p class=\"facts\">{what}: <bdi>{}</bdi></p>", escaped(&text));
            }
        }
        if !labels.is_empty() {
            let _ = writeln!(out, "<p>{labels}</p>");
        }
        out.push_str(&self.article(&format!("<b>{}</b> wrote", escaped(item.author())), item.body()));
        for timed in conversation(item.file) {
            let at = shown(timed.at);
            match timed.entry {
                Entry::Comment(comment) => out.push_str(&self.article_of(comment, "user", "commented", &at)),
                Entry::Review(review) => out.push_str(&self.article_of(review, "author", review_told(review), &at)),
                Entry::Thread(thread) => self.write_thread(&mut out, &thread),
                Entry::Event(event) => {
                    let (actor, told) = (escaped(actor(event)), self.links.with_mentions(&escaped(&told(event))));
                    let _ = writeln!(out, "<p class=\"event\">{at}: <bdi>{actor} {told}</bdi></p>");
                }
            }
        }
        out.push_str(&end(&self.stored));
        out
    }

    fn write_thread(&self, out: &mut String, thread: &Thread<'_>) {
        let _ = writeln!(out, "<section class=\"thread\"><header>{}</header>", escaped(&thread_told(thread)));
        for comment in &thread.comments {
            out.push_str(&self.article_of(comment, "user", "commented", &shown(time(comment, "created_at"))));
        }
        out.push_str("</section>\n");
    }

    fn article_of(&self, written: &Value, author: &str, how: &str, at: &str) -> String {
        let mut head = format!("<b>{}</b> {how}, {at}", escaped(login(written, author)));
        if let Some(edited) = edited_at(written) {
            let _ = write!(head, ", edited {}", shown(Some(edited)));
        }
        if let Some(gone) = gone(written) {
            let _ = write!(
                head,
                " <span class=\"gone\">{} on GitHub, found {}</span>",
                escaped(&how_gone(&gone)),
                shown(gone.since)
            );
        }
        self.article(&head, text(written, "body"))
    }

    /// Returns a head, which is HTML, and a body, which a stranger wrote.
    fn article(&self, head: &str, body: &str) -> String {
        if body.trim().is_empty() {
            return format!("<article><header>{head}</header></article>\n");
        }
        let body = self.links.render(body);
        format!("<article><header>{head}</header><div class=\"body\" dir=\"auto\">\n{body}</div></article>\n")
    }

    fn index(&self, exported: &Exported, rest: &Rest) -> String {
        let all = exported.issues + exported.pull_requests;
        let mut out = beginning(&format!("{}: issues and pull requests", self.name));
        let _ = write!(
            out,
            "<h1>{}</h1>\n<p>{}, {}, {}</p>\n<ul>\n",
            escaped(&self.name),
            count(exported.issues, "issue", "issues"),
            count(exported.pull_requests, "pull request", "pull requests"),
            count(self.comments, "comment", "comments"),
        );
        for (file, name, number) in
            [("open", "open", exported.open), ("closed", "closed", all - exported.open), ("all", "all", all)]
        {
            if number > 0 {
                let _ = writeln!(out, "<li><a href=\"{file}.html\">{name}</a>: {number}</li>");
            } else {
                let _ = writeln!(out, "<li>{name}: 0</li>");
            }
        }
        out.push_str("</ul>\n");
        if !self.lists.labels().is_empty() {
            out.push_str("<h2>Labels</h2>\n<ul>\n");
            for (name, label) in self.lists.labels() {
                let _ = writeln!(
                    out,
                    "<li><a href=\"{}.html\"><bdi>{}</bdi></a>: {}</li>",
                    label.file,
                    escaped(name),
                    label.count
                );
            }
            out.push_str("</ul>\n");
        }
        let milestones: Vec<&Value> = rest.milestones.iter().filter_map(Value::as_array).flatten().collect();
        if !milestones.is_empty() {
            out.push_str("<h2>Milestones</h2>\n<ul>\n");
            for milestone in milestones {
                let _ = writeln!(
                    out,
                    "<li><bdi>{}</bdi> ({})</li>",
                    escaped(text(milestone, "title")),
                    escaped(text(milestone, "state"))
                );
            }
            out.push_str("</ul>\n");
        }
        let _ =
            write!(out, "<h2>Newest</h2>\n<ul class=\"rows\">\n{}</ul>\n{}", self.newest.concat(), end(&self.stored));
        out
    }
}

impl Writer for Pages {
    fn add(&mut self, item: &Item<'_>) -> io::Result<()> {
        let labels: Vec<(String, String)> =
            item.labels().map(|label| (label.to_owned(), self.lists.label(label))).collect();
        let shown_labels = |up: &str| -> String {
            let label = |(name, file): &(String, String)| {
                let colour = colour_of(item, name).map(|hex| format!(" style=\"--c:#{hex}\"")).unwrap_or_default();
                format!("<a class=\"label\"{colour} href=\"{up}{file}.html\"><bdi>{}</bdi></a>", escaped(name))
            };
            labels.iter().map(label).collect::<Vec<_>>().join(" ")
        };
        fs::write(self.folder.join(file_of(item.number, "html")), self.page(item, &shown_labels("../")))?;
        self.comments +=
            ["comments", "review_comments"].map(|name| list(item.file, name).len() as u64).iter().sum::<u64>();
        let row = format!(
            "<li>{} <a href=\"issues/{}.html\"><bdi>{}</bdi></a> <span class=\"number\">#{}</span> {}<br>\
             <span class=\"facts\">{} by <bdi>{}</bdi>, updated {}</span></li>\n",
            state_of(item),
            item.number,
            if item.title().trim().is_empty() { "(no title)".to_owned() } else { escaped(item.title()) },
            item.number,
            shown_labels(""),
            item.kind(),
            escaped(item.author()),
            shown(item.time("updated_at")),
        );
        if self.newest.len() < NEWEST_MAX {
            self.newest.push(row.clone());
        }
        self.list("all", "all", &row)?;
        let state = if item.is_open() { "open" } else { "closed" };
        self.list(state, state, &row)?;
        for (name, file) in &labels {
            self.list(file, &format!("label {name}"), &row)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, exported: &Exported, rest: &Rest) -> io::Result<()> {
        for (file, (page, _)) in std::mem::take(&mut self.written) {
            let last = format!("</ul>\n{}", end(&self.stored));
            self.lists.append(&file_of_page(&file, page), &last)?;
        }
        self.lists.flush()?;
        fs::write(self.folder.join("index.html"), self.index(exported, rest))
    }
}

fn file_of_page(list: &str, page: usize) -> String {
    if page == 1 { format!("{list}.html") } else { format!("{list}-{page}.html") }
}

fn state_of(item: &Item<'_>) -> String {
    let class = match item.gone() {
        Some(_) => "gone",
        None if item.is_open() => "open",
        None => "closed",
    };
    format!("<span class=\"state {class}\">{}</span>", item.state())
}

/// Returns the colour of a label, if it is one.
fn colour_of<'a>(item: &Item<'a>, name: &str) -> Option<&'a str> {
    let label = item.stored_labels().iter().find(|label| text(label, "name") == name)?;
    Some(text(label, "color")).filter(|hex| hex.len() == 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
