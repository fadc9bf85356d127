//! What all pages have in common. Every text that is not HTML already is escaped here.

use chrono::{DateTime, Utc};

use crate::text::printable;

/// Longer names and titles are cut to this many characters.
const LINE_CHARS: usize = 500;

/// Forbids a page everything but its own style, should anything ever get past the cleaning.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1f2328;--soft:#59636e;--line:#d1d9e0;--ground:#fff;--raised:#f6f8fa;--link:#0550ae;\
--open:#1a7f37;--closed:#8250df;--gone:#b42318}\
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9198a1;--line:#3d444d;--ground:#0d1117;--raised:#151b23;\
--link:#79b8ff;--open:#3fb950;--closed:#ab7df8;--gone:#ff8f85}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:60rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--text);background:var(--ground)}\
a{color:var(--link)}h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.15rem}\
nav,.facts,.event,footer{color:var(--soft);font-size:.9rem}\
.number{color:var(--soft);font-weight:400}\
article,.thread{border:1px solid var(--line);border-radius:6px;margin:1rem 0}\
article>header,.thread>header{padding:.4rem .8rem;background:var(--raised);border-bottom:1px solid var(--line);font-size:.9rem;\
border-radius:6px 6px 0 0;overflow-wrap:anywhere}\
.thread article{margin:.8rem}\
.body{padding:.2rem .8rem;overflow-wrap:anywhere;unicode-bidi:isolate}\
.event{margin:.5rem .8rem;overflow-wrap:anywhere}\
pre{overflow-x:auto;padding:.6rem;background:var(--raised);border-radius:6px}code{font-size:.9em}\
table{border-collapse:collapse;display:block;overflow-x:auto}td,th{border:1px solid var(--line);padding:.2rem .5rem}\
blockquote{margin:0 0 0 .2rem;padding-left:.8rem;border-left:3px solid var(--line);color:var(--soft)}\
.state,.label{display:inline-block;padding:0 .5rem;border:1px solid currentcolor;border-radius:1rem;font-size:.85rem}\
.open{color:var(--open)}.closed{color:var(--closed)}.gone{color:var(--gone)}\
.label{color:var(--text);border-color:var(--c,var(--line))}\
ul.rows{list-style:none;padding:0}ul.rows>li{border-top:1px solid var(--line);padding:.5rem 0;overflow-wrap:anywhere}\
.image{font-style:italic}\
@media(max-width:30rem){body{padding:.6rem}}";

/// Escapes a text of one line for HTML and its attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in printable(text, LINE_CHARS).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// Formats a time; in UTC, so that a page does not depend on where it was made.
pub(super) fn shown(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "at some time".to_owned(), |time| time.format("%Y-%m-%d %H:%M UTC").to_string())
}

/// Returns the page up to its content.
pub(super) fn beginning(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        escaped(title)
    )
}

/// Returns the page after its content.
pub(super) fn end(stored: &str) -> String {
    format!("<footer><p>As stored {stored} by ghbk.</p></footer>\n</body>\n</html>\n")
}
