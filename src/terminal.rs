//! What people see on a terminal: colour where it matters, and lines that break between words. Anywhere else, the text as it is.
//!
//! Reports are plain text; the mark at the start of a line decides its colour. What a newcomer would get wrong: text from the
//! network never starts a line, so it cannot choose a colour.

use std::io;
use std::os::fd::AsFd;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use crate::text::with_invocation;

/// Narrower terminals are served as if they had this width, in columns.
const WIDTH_MIN: u16 = 40;
/// A table's last column is wrapped below itself only if this many columns are left for it.
const COLUMN_MIN: usize = 30;
/// On a narrow terminal a deeper indent would leave no room for words, in columns.
const INDENT_MAX: usize = 10;

const BAD: Style = AnsiColor::Red.on_default().bold();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const REMEDY: Style = AnsiColor::Cyan.on_default();

/// What a line may start with. The first that fits counts.
const MARKS: &[(&str, Style)] = &[
    ("backup complete", GOOD),
    ("backup incomplete", BAD),
    ("backup failed", BAD),
    ("backup cancelled", DOUBTFUL),
    ("healthy", GOOD),
    ("not healthy", BAD),
    ("complete but", DOUBTFUL),
    ("complete", GOOD),
    ("incomplete", BAD),
    ("ok", GOOD),
    ("FAILED", BAD),
    ("DAMAGED", BAD),
    ("MISSING", BAD),
    ("failed", BAD),
    ("damaged", BAD),
    ("damage", BAD),
    ("missing", BAD),
    ("not restored", BAD),
    ("error", BAD),
    ("!", BAD),
    ("warning", DOUBTFUL),
    ("unknown", DOUBTFUL),
    ("hint", REMEDY),
];

/// How text is shown on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// In columns; none where lines are not broken.
    pub width: Option<usize>,
    /// Whether marks are coloured.
    pub has_colour: bool,
}

impl Look {
    /// Looks at where a stream leads, and at `NO_COLOR`, `CLICOLOR_FORCE` and `TERM`.
    fn of(stream: &(impl anstream::stream::RawStream + AsFd)) -> Self {
        let size = rustix::termios::tcgetwinsize(stream).ok().filter(|_| stream.is_terminal());
        // A terminal that does not know its size says 0.
        let width = size.map(|size| size.ws_col).filter(|columns| *columns > 0);
        Self {
            width: width.map(|columns| usize::from(columns.max(WIDTH_MIN))),
            has_colour: AutoStream::choice(stream) != ColorChoice::Never,
        }
    }

    /// Breaks the lines of a text, and colours their marks.
    pub fn show(self, text: &str) -> String {
        let mut out = String::new();
        for line in text.split_inclusive('\n') {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            let wrapped = self.width.map_or_else(|| line.to_owned(), |width| wrap(line, width));
            out.push_str(&if self.has_colour { paint(&wrapped) } else { wrapped });
            out.push_str(end);
        }
        out
    }
}

/// Returns whether text on this stream may have colour.
pub fn has_colour(stream: &(impl anstream::stream::RawStream + AsFd)) -> bool {
    Look::of(stream).has_colour
}

/// Writes text for people, with colour and broken lines where the stream is a terminal.
///
/// # Errors
/// Those of the stream.
pub fn write(stream: &mut (impl anstream::stream::RawStream + AsFd), text: &str) -> io::Result<()> {
    let text = Look::of(stream).show(&with_invocation(text));
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// Colours the mark at the start of a line.
fn paint(line: &str) -> String {
    let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
    let is_mark = |mark: &str| {
        let next = rest.strip_prefix(mark).map(|rest| rest.chars().next());
        next.is_some_and(|next| next.is_none_or(|next| next.is_whitespace() || next == ':'))
    };
    match MARKS.iter().find(|(mark, _)| is_mark(mark)) {
        Some((mark, style)) => format!("{indent}{style}{mark}{style:#}{}", &rest[mark.len()..]),
        None => line.to_owned(),
    }
}

/// Breaks a line between words. What follows is indented: below the last column of a table, else a little more than its start.
/// A command in backquotes is never broken, however narrow the terminal is: what is copied must be what was meant.
fn wrap(line: &str, width: usize) -> String {
    if textwrap::core::display_width(line) <= width {
        return line.to_owned();
    }
    let (indent, text) = line.split_at(line.len() - line.trim_start().len());
    let column = text.rfind("  ").map(|at| indent.len() + at + 2);
    let next = column.filter(|column| column + COLUMN_MIN <= width).unwrap_or((indent.len() + 2).min(INDENT_MAX));
    let (indent, next) = (&indent[..indent.len().min(INDENT_MAX)], " ".repeat(next));
    let options = Options::new(width)
        .initial_indent(indent)
        .subsequent_indent(&next)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(&hold_commands(text), options).join("\n").replace(HELD, " ")
}

/// Stands for a space at which a line is not broken; reports have none, see [`crate::text::printable`].
const HELD: char = '\u{a0}';

/// Keeps commands in backquotes whole.
fn hold_commands(text: &str) -> String {
    let pieces = text
        .split('`')
        .enumerate()
        .map(|(number, piece)| if number % 2 == 1 { piece.replace(' ', &HELD.to_string()) } else { piece.to_owned() });
    pieces.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
not healthy: 1 mirror is damaged (acme/api); the last complete backup is 9 d 2 h old; the limit is 8 d
  failed: acme/site: the git server answered 502 Bad Gateway
    hint: run again with `ghbk run --root ./backup acme/site`; if it persists, see githubstatus.com
                        hint: `ghbk restore acme/site ./site.git --run 20261129T050000.000Z --checkout` restores it
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx and more
ok       store          /mnt/efs, mounted, writable, 8.0 GiB free on its file system, which is a lot for one
ok       acme/repository-001-with-a-name-that-no-line-of-forty-columns-holds
okay, this is no mark
! 2026-11-29 05:00:01 UTC  run 20261129T050001.000Z  1 branch force-pushed, 1 branch deleted, 1 tag moved
";

    #[test]
    fn lines_break_between_words_at_any_width() {
        let at = |columns: usize| Look { width: Some(columns), has_colour: false }.show(TEXT);
        insta::assert_snapshot!(format!("{}\n{}\n{}", at(40), at(80), at(140)));
        for columns in 40..200 {
            let shown = at(columns);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&shown), words(TEXT), "{columns} columns lose nothing");
            assert!(shown.lines().all(|line| !line.trim().is_empty()), "{columns}: an empty line");
            for command in TEXT.split('`').skip(1).step_by(2) {
                assert!(shown.lines().any(|line| line.contains(command)), "{columns}: {command} is broken");
            }
            let is_one_word = |line: &str| {
                let without_commands: String = line.split('`').step_by(2).collect();
                line.contains('`') || without_commands.trim_start().split("  ").all(|cell| !cell.trim().contains(' '))
            };
            for line in shown.lines().filter(|line| !is_one_word(line)) {
                assert!(textwrap::core::display_width(line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn colour_is_for_the_mark_alone() {
        let shown = Look { width: None, has_colour: true }.show(TEXT);
        assert_eq!(anstream::adapter::strip_str(&shown).to_string(), TEXT);
        insta::assert_snapshot!(shown.replace('\u{1b}', "␛"));
        assert_eq!(Look { width: None, has_colour: false }.show(TEXT), TEXT);
    }
}
