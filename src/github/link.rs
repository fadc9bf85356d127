//! `Link` headers: which page comes next, and where a deprecation is explained. Pure.
//!
//! Source: RFC 8288, "Web Linking". GitHub sends one line today; the RFC allows several, quoted commas, and more than one
//! relation for an address.

use http::HeaderMap;
use http::header::LINK;

/// Returns the first address that has a relation, such as `next`.
pub(super) fn related<'a>(headers: &'a HeaderMap, relation: &str) -> Option<&'a str> {
    let lines = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    for link in lines.flat_map(|line| split(line, ',')) {
        let Some((address, parameters)) = link.strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
            continue;
        };
        let of_relation = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let relations = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && relations.split_ascii_whitespace().any(|it| it.eq_ignore_ascii_case(relation))
        };
        if split(parameters, ';').any(of_relation) {
            return Some(address.trim());
        }
    }
    None
}

/// Splits at a separator that stands neither in quotes nor in an address.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped, mut is_address) = (false, false, false);
    let parts = text.split(move |c: char| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match c {
            '\\' if is_quoted => is_escaped = !was_escaped,
            '"' if !was_escaped && !is_address => is_quoted = !is_quoted,
            '<' if !is_quoted => is_address = true,
            '>' if !is_quoted => is_address = false,
            _ => return c == separator && !is_quoted && !is_address,
        }
        false
    });
    parts.map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEPRECATION: &str = r#"<https://docs.example/api-versions>; rel="deprecation"; type="text/html""#;
    const NEXT: &str =
        r#"<https://api.example/repos?page=2>; rel="next", <https://api.example/repos?page=9>; rel="last""#;
    const SECOND_PAGE: Option<&str> = Some("https://api.example/repos?page=2");

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (LINK, line.parse().unwrap())).collect()
    }

    #[test]
    fn the_next_page_is_found_wherever_it_stands() {
        for lines in [
            vec![NEXT.to_owned()],
            vec![DEPRECATION.to_owned(), NEXT.to_owned()],
            vec![NEXT.to_owned(), DEPRECATION.to_owned()],
            vec![format!("{DEPRECATION}, {NEXT}")],
            vec![r#"<https://api.example/repos?page=2>; title="a, <b>; \"rel=next"; rel="next""#.to_owned()],
            vec!["<https://api.example/repos?page=2>;rel=next".to_owned()],
            vec![r#"<https://api.example/repos?page=2> ; Rel="last next""#.to_owned()],
            vec![r#"garbage, <https://api.example/x>, <https://api.example/repos?page=2>; rel="next""#.to_owned()],
        ] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(related(&headers(&lines), "next"), SECOND_PAGE, "{lines:?}");
        }
        let both = headers(&[DEPRECATION, NEXT]);
        assert_eq!(related(&both, "deprecation"), Some("https://docs.example/api-versions"));
        assert_eq!(related(&headers(&[DEPRECATION]), "next"), None);
    }

    #[test]
    fn separators_inside_of_an_address_belong_to_it() {
        let line = r#"<https://api.example/repos?affiliation=owner,member;x&page=2>; rel="next""#;
        assert_eq!(
            related(&headers(&[line]), "next"),
            Some("https://api.example/repos?affiliation=owner,member;x&page=2")
        );
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line in "[ -~]{0,60}") {
            let _ = related(&headers(&[&line]), "next");
        }
    }
}
