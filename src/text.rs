//! Text made fit to print: no control characters, no endless lines, no secrets, causes spelled out.
//!
//! What a newcomer would get wrong: code that turns a server's text into an error need not know the secrets that it may quote.
//! They are announced once, by [`keep_secret`], and [`printable`], which every such text passes through, takes them out.

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use bytesize::ByteSize;
use indicatif::HumanCount;
use secrecy::{ExposeSecret, SecretString};

/// The secrets in use, the newest last.
static SECRETS: RwLock<Vec<SecretString>> = RwLock::new(Vec::new());
/// A daemon that runs for months mints a token each hour; older ones are worth nothing.
const SECRETS_MAX: usize = 64;
/// Anything shorter is no secret, and taking it out would mangle every text.
const SECRET_CHARS_MIN: usize = 6;

/// Announces a secret that no text may quote from now on.
pub fn keep_secret(secret: &SecretString) {
    if secret.expose_secret().len() < SECRET_CHARS_MIN {
        return;
    }
    let mut secrets = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    if secrets.iter().any(|known| known.expose_secret() == secret.expose_secret()) {
        return;
    }
    if secrets.len() >= SECRETS_MAX {
        secrets.remove(0);
    }
    secrets.push(secret.clone());
}

/// Returns the text on one line without control characters and secrets, cut to this many characters.
pub fn printable(text: &str, max_chars: usize) -> String {
    let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    let text = secrets.iter().fold(text.to_owned(), |text, secret| redact(&text, secret));
    drop(secrets);
    let mut out = String::new();
    let mut chars = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
            chars += 1;
        }
        for c in word.chars().filter(|c| !is_direction_mark(*c)) {
            if chars >= max_chars {
                out.push('…');
                return out;
            }
            out.push(c);
            chars += 1;
        }
    }
    out
}

/// The options of this call that a printed command must repeat.
static INVOCATION: RwLock<String> = RwLock::new(String::new());

/// Notes the options that a printed command must repeat, such as ` --root ./backup`.
pub fn set_invocation(options: String) {
    *INVOCATION.write().unwrap_or_else(PoisonError::into_inner) = options;
}

/// Puts the options that this call had into every command in backquotes, so that it does what it says when it is pasted.
pub fn with_invocation(text: &str) -> String {
    let options = INVOCATION.read().unwrap_or_else(PoisonError::into_inner);
    if options.is_empty() {
        return text.to_owned();
    }
    let mut repeated = String::with_capacity(text.len());
    for piece in text.split_inclusive('`') {
        match piece.strip_prefix("ghbk ") {
            // One that says itself what it works on needs no more.
            Some(arguments)
                if repeated.ends_with('`') && !piece.contains(" --config ") && !piece.contains(" --root ") =>
            {
                repeated.push_str("ghbk");
                repeated.push_str(&options);
                repeated.push(' ');
                repeated.push_str(arguments);
            }
            _ => repeated.push_str(piece),
        }
    }
    repeated
}

/// Takes a secret out of a text that may quote it, as a proxy's error page does.
pub fn redact(text: &str, secret: &SecretString) -> String {
    let secret = secret.expose_secret();
    if secret.is_empty() { text.to_owned() } else { text.replace(secret, "[redacted]") }
}

/// Marks that turn the direction of text can make a report read as something else.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Joins an error with its causes, each once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Finds the known name that was probably meant; none if no name is near.
pub fn nearest<T: AsRef<str> + Ord>(given: &str, known: impl IntoIterator<Item = T>) -> Option<T> {
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(given, name.as_ref()), name));
    let (_, name) = distances.min().filter(|(distance, _)| *distance <= given.len().div_ceil(3))?;
    Some(name)
}

/// Joins names, and says how many are left out.
pub fn some_of(names: &[String], most: usize) -> String {
    let mut text = names.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > most {
        text.push_str(&format!(" and {} more", names.len() - most));
    }
    text
}

/// Formats a count with its noun.
pub fn count(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", HumanCount(number), if number == 1 { singular } else { plural })
}

/// Formats a size as people read it.
pub fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// Returns whether a text is a page for browsers, which does not belong in an error.
pub fn is_web_page(text: &str) -> bool {
    let text = text.trim_start().as_bytes();
    let starts_with = |start: &str| text.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start.as_bytes()));
    ["<!doctype", "<html", "<!--", "<?xml"].into_iter().any(starts_with)
}

/// Writes a path as a shell reads it.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if text.chars().all(is_plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_announced_is_in_no_text() {
        keep_secret(&SecretString::from("ghp_announced"));
        assert_eq!(printable("token ghp_announced is blocked", 80), "token [redacted] is blocked");
        keep_secret(&SecretString::from("is"));
        assert_eq!(printable("it is", 80), "it is", "too short to be one");
    }

    #[test]
    fn pages_for_browsers_are_told_however_short_and_in_any_language() {
        for page in ["<html>", "\n<HTML lang", "<!DOCTYPE html>", "<!--é-->", "<html>é"] {
            assert!(is_web_page(page), "{page}");
        }
        assert!(!is_web_page("<h") && !is_web_page("é<html>"));
    }

    #[test]
    fn a_path_is_written_as_a_shell_reads_it() {
        assert_eq!(quoted(Path::new("/mnt/efs/acme/site.git")), "/mnt/efs/acme/site.git");
        assert_eq!(quoted(Path::new("/mnt/my disk/it's.git")), r"'/mnt/my disk/it'\''s.git'");
    }

    #[test]
    fn control_characters_and_endless_lines_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[31m\n\tb\r\n", 80), "a [31m b");
        assert_eq!(printable("\u{202e}abc", 80), "abc");
        assert_eq!(printable(&"x".repeat(10), 3), "xxx…");
    }
}
