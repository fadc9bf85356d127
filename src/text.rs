//! Text made fit to print: no control characters, no endless lines, no secrets, causes spelled out. Pure.

use secrecy::{ExposeSecret, SecretString};

/// Returns the text on one line without control characters, cut to so many characters.
pub fn printable(text: &str, max_chars: usize) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_endless_lines_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[31m\n\tb\r\n", 80), "a [31m b");
        assert_eq!(printable("\u{202e}abc", 80), "abc");
        assert_eq!(printable(&"x".repeat(10), 3), "xxx…");
    }
}
