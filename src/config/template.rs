//! The commented configuration, with some keys set.

/// Every key with its meaning and its default.
pub const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Returns the example as the package installs it: nothing is backed up until somebody says what.
pub fn pristine() -> String {
    filled([("github.owners", "[]".to_owned())])
}

/// Returns the example with these keys set to these values in TOML; a key that is commented out takes effect.
///
/// # Panics
/// If the example has no such key, which is a bug.
pub fn filled(values: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut lines: Vec<String> = EXAMPLE.lines().map(str::to_owned).collect();
    for (path, value) in values {
        let (table, key) = path.split_once('.').expect("TABLE.KEY");
        let start = lines.iter().position(|line| line == &format!("[{table}]")).expect("the example has the table");
        let beginning = format!("{key} = ");
        let line = lines[start + 1..]
            .iter_mut()
            .take_while(|line| !line.starts_with('['))
            .find(|line| line.strip_prefix("# ").unwrap_or(line).starts_with(&beginning))
            .expect("the example has the key");
        *line = format!("{beginning}{value}");
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_set_and_comments_stay() {
        let text = filled([
            ("github.owners", "[\"acme\"]".to_owned()),
            ("schedule.timezone", "\"Europe/Berlin\"".to_owned()),
            ("slack.notify", "\"never\"".to_owned()),
        ]);
        assert_eq!(text.lines().count(), EXAMPLE.lines().count());
        let config = crate::config::load_text(&text, "config.toml", [], &crate::config::Overrides::default()).unwrap();
        assert_eq!(config.github.owners, ["acme"]);
        assert_eq!(config.schedule.timezone, chrono_tz::Europe::Berlin);
        assert_eq!(config.slack.notify, Some(crate::config::Notify::Never));
        assert_ne!(pristine(), EXAMPLE);
    }
}
