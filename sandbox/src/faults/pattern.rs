//! Which paths a fault's pattern means. Pure.

/// Tells whether a path is meant: itself or a parent by name, or the whole of it with `*` for any characters.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    if pattern.contains('*') {
        return glob(pattern, path);
    }
    let pattern = pattern.trim_end_matches('/');
    path.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Matches the parts between the stars in order, each at its first place; the last one must end the path.
fn glob(pattern: &str, path: &str) -> bool {
    let (first, rest) = pattern.split_once('*').expect("only patterns with a star come here");
    let Some(mut remaining) = path.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = remaining.find(part) else { return false };
        remaining = &remaining[at + part.len()..];
    }
    remaining.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_plain_pattern_means_the_path_and_what_is_below() {
        assert!(matches("/orgs/acme/repos", "/orgs/acme/repos"));
        assert!(matches("/acme/a.git", "/acme/a.git/info/refs"));
        assert!(matches("/", "/anything"));
        assert!(!matches("/acme/a", "/acme/ab/info/refs"));
        assert!(!matches("/acme/a.git/info/refs", "/acme/a.git"));
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(matches("/acme/*/git-upload-pack", "/acme/a.git/git-upload-pack"));
        assert!(matches("*.wiki.git/*", "/acme/a.wiki.git/info/refs"));
        assert!(matches("/*/*/info/refs", "/acme/a.git/info/refs"));
        assert!(!matches("/acme/*/git-upload-pack", "/acme/a.git/info/refs"));
        assert!(!matches("/a*a", "/a"));
    }
}
