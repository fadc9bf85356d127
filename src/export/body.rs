//! A stranger's Markdown as HTML that does no harm and loads nothing.
//!
//! comrak turns Markdown into HTML as GitHub does, and ammonia keeps of it only elements and attributes that are known to be
//! harmless. What a newcomer would get wrong: what comes after ammonia must only ever add what is escaped. [`Links::linked`] comes
//! after it: it reads the well-formed HTML that ammonia writes, turns images into links, and mentions into links to other pages.

use std::fmt::Write;
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};
use comrak::Options;
use url::Url;

use super::{Numbers, plain};

/// Cleaning takes time that grows with the square of the depth: seconds for what fits into one comment. Nobody writes that to be read.
const DEPTH_MAX: usize = 1_000;
/// Elements that have no end. Source: the HTML standard, "Void elements".
const VOID: &[&str] = &["area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
/// Elements that take what follows for something else than text, so that words would be lost: they are shown as they were
/// written. The first nine are those of GitHub's "Disallowed Raw HTML" (GitHub Flavored Markdown, 6.11).
const SHOWN_AS_TEXT: &[&str] = &[
    "title",
    "textarea",
    "style",
    "xmp",
    "iframe",
    "noembed",
    "noframes",
    "script",
    "plaintext",
    "template",
    "svg",
    "math",
    "select",
    "noscript",
    "frameset",
    "object",
    "head",
];
/// Elements in which text is not looked at: it is code, or a link already.
const OPAQUE: &[&str] = &["a", "code", "pre", "kbd", "samp"];

static OPTIONS: LazyLock<Options<'static>> = LazyLock::new(|| {
    let mut options = Options::default();
    options.extension.strikethrough = true;
    options.extension.table = true;
    options.extension.autolink = true;
    options.extension.alerts = true;
    // On GitHub, a line break in a comment is one.
    options.render.hardbreaks = true;
    // People write HTML in comments; ammonia decides what stays.
    options.render.r#unsafe = true;
    options
});

/// Where links in bodies lead.
pub(super) struct Links {
    sanitizer: Builder<'static>,
    /// The addresses of the repository's issues and pull requests, up to the number.
    own: [String; 2],
    /// `OWNER/NAME`.
    name: String,
    numbers: Numbers,
}

impl Links {
    /// For a repository of a GitHub, and the numbers that have pages.
    pub(super) fn new(host: &str, name: &str, numbers: Numbers) -> Self {
        let own = ["issues", "pull"].map(|kind| format!("https://{host}/{name}/{kind}/"));
        let mut sanitizer = Builder::default();
        sanitizer
            .url_schemes(["http", "https", "mailto"].into())
            .generic_attributes(["lang", "title", "dir"].into())
            .add_tag_attributes("details", ["open"])
            // They are text by now; an element that is missed there keeps its words, too.
            .clean_content_tags([].into())
            .link_rel(Some("noopener noreferrer nofollow"));
        // A link that was relative on GitHub leads to GitHub.
        let relative = Url::parse(&own[0]).map_or(UrlRelative::Deny, UrlRelative::RewriteWithBase);
        sanitizer.url_relative(relative);
        Self { sanitizer, own, name: name.to_owned(), numbers }
    }

    /// Renders a body; one that is nested too deeply is shown as it was written.
    pub(super) fn render(&self, markdown: &str) -> String {
        let markdown = plain(markdown);
        let html = with_tags_as_text(&comrak::markdown_to_html(&markdown, &OPTIONS));
        if depth(&html) > DEPTH_MAX {
            return format!("<pre>{}</pre>\n", ammonia::clean_text(&markdown));
        }
        // A character may have been written as an entity, too. Addresses have their schemes by now.
        self.linked(&plain(&self.sanitizer.clean(&html).to_string()))
    }

    /// Turns what names another page into a link to it, in a text that is escaped already.
    pub(super) fn with_mentions(&self, escaped: &str) -> String {
        let mut out = String::new();
        self.link_text(&mut out, escaped, &[]);
        out
    }

    /// Turns images into links, and what names another page into a link to it.
    fn linked(&self, html: &str) -> String {
        let mut out = String::with_capacity(html.len());
        let mut open: Vec<&str> = Vec::new();
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            self.link_text(&mut out, &rest[..start], &open);
            let tag = &rest[start..start + end_of_tag(&rest[start..])];
            rest = &rest[start + tag.len()..];
            let name = tag_name(tag);
            if name == "img" {
                write_image(&mut out, tag, open.contains(&"a"));
                continue;
            }
            match OPAQUE.iter().find(|opaque| **opaque == name) {
                Some(name) if tag.starts_with("</") => {
                    if let Some(at) = open.iter().rposition(|open| open == name) {
                        open.remove(at);
                    }
                }
                Some(name) => open.push(name),
                None => {}
            }
            match self.page_of(tag).filter(|_| name == "a" && !tag.starts_with("</")) {
                Some(number) => {
                    let _ = write!(out, "<a href=\"{number}.html\">");
                }
                None => out.push_str(tag),
            }
        }
        self.link_text(&mut out, rest, &open);
        out
    }

    /// Returns the number whose page on GitHub a link leads to, if it has a page here.
    fn page_of(&self, tag: &str) -> Option<u64> {
        let address = attribute(tag, "href")?;
        let number = self.own.iter().find_map(|own| address.strip_prefix(own.as_str()))?;
        let number = number.split(['#', '?', '/']).next()?.parse().ok()?;
        self.numbers.contains(number).then_some(number)
    }

    /// Writes text, with links in place of `#123`.
    fn link_text(&self, out: &mut String, text: &str, open: &[&str]) {
        if !open.is_empty() || !text.contains('#') {
            out.push_str(text);
            return;
        }
        let mut rest = text;
        while let Some(at) = rest.find('#') {
            let (before, behind) = (&rest[..at], &rest[at + 1..]);
            let digits = &behind[..behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len())];
            // `a#1` is another repository's, and `&#39;` is a character.
            let stands_alone = before.ends_with(&self.name)
                || !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '&' | '#' | '_' | '/' | '-'));
            let ends = !behind[digits.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
            let number = digits.parse().ok().filter(|number| stands_alone && ends && self.numbers.contains(*number));
            out.push_str(before);
            if let Some(number) = number {
                let _ = write!(out, "<a href=\"{number}.html\">#{digits}</a>");
            } else {
                out.push('#');
                out.push_str(digits);
            }
            rest = &behind[digits.len()..];
        }
        out.push_str(rest);
    }
}

/// Returns how many elements are open at once, at most; those that are never closed count as open to the end.
fn depth(html: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for tag in html.split('<').skip(1) {
        if tag.starts_with('/') {
            open = open.saturating_sub(1);
        } else if !VOID.contains(&tag_name(tag)) {
            open += 1;
            most = most.max(open);
        }
    }
    most
}

/// Writes a link in place of an image; within a link, only what the image is called.
fn write_image(out: &mut String, tag: &str, is_in_link: bool) {
    // Both were escaped for an attribute, where some leave angle brackets as they are.
    let harmless = |text: &str| text.replace('<', "&lt;").replace('>', "&gt;");
    let alt = attribute(tag, "alt").map(harmless).filter(|alt| !alt.trim().is_empty());
    let called = alt.unwrap_or_else(|| "image".to_owned());
    match attribute(tag, "src").map(harmless).filter(|_| !is_in_link) {
        Some(src) => {
            let _ = write!(
                out,
                "<a class=\"image\" href=\"{src}\" rel=\"noopener noreferrer nofollow\">image: {called}</a>"
            );
        }
        None => {
            let _ = write!(out, "<span class=\"image\">image: {called}</span>");
        }
    }
}

/// Returns the length of the tag at the start of a text; an angle bracket in an attribute does not end it.
fn end_of_tag(text: &str) -> usize {
    let mut is_quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'>' if !is_quoted => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Shows tags that would swallow what follows as they were written. Code is escaped already.
fn with_tags_as_text(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        let name = tag_name(&rest[start..]);
        let is_text = SHOWN_AS_TEXT.iter().any(|shown| shown.eq_ignore_ascii_case(name));
        out.push_str(if is_text { "&lt;" } else { "<" });
        rest = &rest[start + 1..];
    }
    out.push_str(rest);
    out
}

fn tag_name(tag: &str) -> &str {
    let name = tag.trim_start_matches(['<', '/']);
    &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())]
}

/// Returns the value of an attribute as it is written, escaped.
fn attribute<'a>(tag: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = tag;
    while let Some((before, behind)) = rest.split_once("=\"") {
        let (value, behind) = behind.split_once('"')?;
        if before.rsplit([' ', '\t', '\n']).next() == Some(wanted) {
            return Some(value);
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn links() -> Links {
        Links::new("github.com", "acme/site", Numbers(vec![1, 12, 123]))
    }

    /// Fails if a browser would do or load anything: what it would make of a page is what a cleaner finds that removes nothing.
    fn assert_harmless(html: &str) {
        const HARMFUL: &[&str] =
            &["script", "img", "iframe", "style", "textarea", "form", "input", "svg", "math", "meta", "base"];
        const DOING: &[&str] = &["src", "onerror", "style", "srcset", "action"];
        let mut lenient = Builder::default();
        lenient
            .clean_content_tags([].into())
            .add_tags(HARMFUL)
            .add_generic_attributes(DOING)
            .add_generic_attributes(["class"])
            .add_url_schemes(["javascript", "data"]);
        let seen = lenient.clean(html).to_string();
        for tag in seen.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            let name = tag.trim_start_matches('/').split(' ').next().unwrap();
            assert!(!HARMFUL.contains(&name), "<{tag}>: {html}");
            assert!(!DOING.iter().any(|name| tag.contains(&format!(" {name}=\""))), "<{tag}>: {html}");
            assert!(!["\"javascript:", "\"data:"].iter().any(|scheme| tag.contains(scheme)), "<{tag}>: {html}");
        }
        assert!(!html.chars().any(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || c == '\u{202e}'), "{html:?}");
    }

    /// `<script>` in a sentence took the rest of the comment with it, and the export said that it was complete.
    #[test]
    fn no_tag_swallows_what_follows() {
        let tags =
            SHOWN_AS_TEXT.iter().chain(&["table", "form", "input", "button", "dialog", "body", "html", "caption"]);
        for tag in tags {
            for (open, close) in [("", ""), ("\n\n", "\n\n"), ("", "</nothing>")] {
                let body = format!("Before the {open}<{tag}>{close} tag. KEYA\n\n- KEYB\n\nKEYC `<{tag}>` KEYD");
                let html = links().render(&body);
                for word in ["Before", "KEYA", "KEYB", "KEYC", "KEYD"] {
                    assert!(html.contains(word), "{body}: {html}");
                }
                // On a line of its own, such a tag makes raw HTML of what follows, on GitHub as here.
                assert!(!open.is_empty() || html.contains("<li>KEYB"), "{body}: {html}");
                assert_harmless(&html);
            }
        }
        assert!(links().render("a <SCRIPT>alert(1)</SCRIPT> b").contains("&lt;SCRIPT&gt;alert(1)&lt;/SCRIPT&gt;"));
    }

    #[test]
    fn what_strangers_write_does_no_harm() {
        for hostile in [
            "<script>alert(1)</script>",
            "</textarea><script>alert(1)</script>",
            "[a](javascript:alert(1)) <a href=\"jav&#x09;ascript:alert(1)\">b</a>",
            "<img src=x onerror=alert(1)>",
            "![a\"><script>](https://evil.example/a.png)",
            "<img alt='\"><script>alert(1)</script>' src='https://evil.example/\"><script>'>",
            "<svg><style><img src=x onerror=alert(1)></style></svg>",
            "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
            "<a href=\"https://x.example/#1\" title='<#1>'>x</a>",
            "<div style='background:url(https://evil.example)'>x</div>",
            "<meta http-equiv=refresh content='0;url=https://evil.example'><base href=https://evil.example>",
            "<iframe src=https://evil.example></iframe><form action=https://evil.example><input></form>",
            "a\0b\u{202e}c &#x202e;&#27; <b>&#x202e;&#27;</b> <a href=\"java&#1;script:alert(1)\">x</a>",
            "<!-- #1 --> <b #1=\"#1\">#1",
        ] {
            assert_harmless(&links().render(hostile));
        }
    }

    #[test]
    fn images_become_links_and_mentions_lead_to_pages() {
        let links = links();
        for (markdown, html) in [
            ("see #12, (#1) and #99", "<p>see <a href=\"12.html\">#12</a>, (<a href=\"1.html\">#1</a>) and #99</p>"),
            ("acme/site#12", "<p>acme/site<a href=\"12.html\">#12</a></p>"),
            ("`#12` a#12 acme/x#12 #12a &#49;", "<p><code>#12</code> a#12 acme/x#12 #12a 1</p>"),
            (
                "https://github.com/acme/site/pull/12#issuecomment-5",
                "<p><a href=\"12.html\">https://github.com/acme/site/pull/12#issuecomment-5</a></p>",
            ),
            (
                "![a cat](https://x.example/c.png)",
                "<p><a class=\"image\" href=\"https://x.example/c.png\" rel=\"noopener noreferrer nofollow\">image: a cat</a></p>",
            ),
            (
                "[![ci](https://x.example/c.svg)](https://x.example)",
                "<p><a href=\"https://x.example\" rel=\"noopener noreferrer nofollow\"><span class=\"image\">image: ci</span></a></p>",
            ),
            (
                "[x](../blob/main/a.md)",
                "<p><a href=\"https://github.com/acme/site/blob/main/a.md\" rel=\"noopener noreferrer nofollow\">x</a></p>",
            ),
            ("- [x] done", "<ul>\n<li>[x] done</li>\n</ul>"),
        ] {
            assert_eq!(links.render(markdown).trim_end(), html);
        }
    }

    #[test]
    fn deep_nesting_ends_neither_the_stack_nor_the_patience() {
        let links = links();
        for hostile in [
            "> ".repeat(20_000),
            "<b>".repeat(20_000),
            "[".repeat(60_000),
            (0..200).map(|depth| format!("{}- a\n", "  ".repeat(depth))).collect(),
            "<details>".repeat(7_000),
        ] {
            let started = std::time::Instant::now();
            assert_harmless(&links.render(&hostile));
            assert!(started.elapsed() < std::time::Duration::from_secs(5), "{}", &hostile[..9]);
        }
    }

    proptest! {
        #[test]
        fn no_markdown_does_harm(markdown in "([<>\"'=#a1 \\[\\]()!&;/-]|<img |<a |src=|href=|alt=|https://x\\.example/|&#x1b;|&#x202e;|javascript:|<script>|onerror=|\\n){0,40}") {
            assert_harmless(&links().render(&markdown));
        }
    }
}
