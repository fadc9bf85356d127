//! Reads the configuration and complains about everything that is wrong with it at once.
//!
//! Three layers, later ones win: the file, `GHBK_TABLE__KEY` variables, the command line. Pure but for reading the
//! file: the environment is passed in. What a newcomer would get wrong: serde stops at the first mistake, so a
//! mistaken entry is noted, taken out of the parsed document, and the rest is tried again.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::check::validate;
use super::problem::{ConfigError, ConfigProblem, Place};
use crate::text::nearest;

/// Holds what the command line sets.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--root DIR`
    pub root: Option<PathBuf>,
    /// `--owner NAME`, any number of times; replaces `github.owners`.
    pub owners: Vec<String>,
}

/// Reads and checks the configuration.
///
/// `file`: the path and whether it must exist. `env`: the process's variables, of which those that begin with
/// `GHBK_` and the name of a table, or hold `__`, are used.
///
/// # Errors
/// [`ConfigError`], with all mistakes at once.
pub fn load(
    file: Option<(&Path, bool)>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &Overrides,
) -> Result<Config, ConfigError> {
    let mut text = String::new();
    let mut origin = String::new();
    if let Some((path, required)) = file {
        match std::fs::read_to_string(path) {
            Ok(content) => {
                text = content;
                origin = path.display().to_string();
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {}
            Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        }
    }
    load_text(&text, &origin, env, overrides)
}

/// Reads and checks the text of a configuration; `origin` says where it came from.
pub(crate) fn load_text(
    text: &str,
    origin: &str,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &Overrides,
) -> Result<Config, ConfigError> {
    let mut document = Document { text, origin, overridden: Vec::new() };
    let mut problems = Vec::new();
    let mut env: Vec<_> = env.into_iter().filter(|(name, _)| is_override(name)).collect();
    env.sort();
    let mut config = document.parse(&env, &mut problems);
    if let Some(root) = &overrides.root {
        config.store.root.clone_from(root);
        document.overridden.push(("store.root".to_owned(), "--root".to_owned()));
    }
    if !overrides.owners.is_empty() {
        let is_named = |owner: &String| overrides.owners.iter().any(|named| named.eq_ignore_ascii_case(owner));
        config.is_narrowed = !config.github.owners.iter().all(is_named);
        config.github.owners.clone_from(&overrides.owners);
        document.overridden.push(("github.owners".to_owned(), "--owner".to_owned()));
    }
    validate(&config, &document, &mut problems);
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    if problems.is_empty() {
        for path in config.paths() {
            *path = from_home(path);
        }
        // A relative root would change its meaning when the daemon changes its folder.
        config.store.root = std::path::absolute(&config.store.root).unwrap_or(config.store.root);
        config.store.scratch = std::path::absolute(&config.store.scratch).unwrap_or(config.store.scratch);
        Ok(config)
    } else {
        Err(ConfigError::Mistakes(problems))
    }
}

/// Reads a path as a shell does: `~/` is the home folder.
pub(crate) fn from_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

/// Says whether a variable is, or is meant to be, one of the configuration.
fn is_override(name: &str) -> bool {
    let is_meant = |rest: &str| rest.contains("__") || after_table(rest).is_some() || table_of(rest).is_some();
    name.strip_prefix("GHBK_").is_some_and(is_meant)
}

/// Returns the table of a key that people name without it.
fn table_of(key: &str) -> Option<(&'static str, &'static str)> {
    match key.to_ascii_uppercase().as_str() {
        "ROOT" => Some(("store", "root")),
        "SCRATCH" => Some(("store", "scratch")),
        "OWNER" | "OWNERS" => Some(("github", "owners")),
        _ => None,
    }
}

/// Splits a name that begins with a table's, as when somebody wrote one underscore instead of two.
fn after_table(name: &str) -> Option<(&str, &str)> {
    let tables =
        ["STORE", "GITHUB", "SCHEDULE", "SECRETS", "LIMITS", "LARGE_FILES", "SLACK", "LOG", "RETENTION", "VERIFY"];
    let is_prefix = |table: &&str| {
        let (start, rest) = name.split_at_checked(table.len()).unwrap_or_default();
        start.eq_ignore_ascii_case(table) && rest.starts_with('_')
    };
    let table = tables.into_iter().find(is_prefix)?;
    Some((&name[..table.len()], &name[table.len() + 1..]))
}

/// A TOML document, with the names of where its entries came from.
pub(super) struct Document<'a> {
    text: &'a str,
    origin: &'a str,
    /// Key paths that do not come from the file, with the variable or option they come from.
    overridden: Vec<(String, String)>,
}

impl<'a> Document<'a> {
    /// Deserializes what can be, notes what cannot.
    fn parse(&mut self, env: &'a [(String, String)], problems: &mut Vec<ConfigProblem>) -> Config {
        let (table, syntax_errors) = DeTable::parse_recoverable(self.text);
        for error in &syntax_errors {
            problems.push(ConfigProblem {
                place: self.place(error.span()),
                message: error.message().lines().collect::<Vec<_>>().join(", "),
                suggestion: None,
            });
        }
        let mut table = table;
        let mut config = self.settle(&mut table, problems);
        for (variable, value) in env {
            match with_override(&table, variable, value) {
                Ok((overridden, path)) => match deserialize(&overridden) {
                    Ok(parsed) => {
                        config = parsed;
                        table = overridden;
                        self.overridden.push((path, variable.clone()));
                    }
                    Err(error) => {
                        problems.push(problem(Place::Elsewhere(variable.clone()), error.message(), last_part(&path)));
                    }
                },
                Err(message) => problems.push(ConfigProblem {
                    place: Place::Elsewhere(variable.clone()),
                    message,
                    suggestion: None,
                }),
            }
        }
        config
    }

    /// Takes out mistaken entries, each with a problem, until the rest deserializes.
    fn settle(&self, table: &mut Spanned<DeTable<'_>>, problems: &mut Vec<ConfigProblem>) -> Config {
        loop {
            let error = match deserialize(table) {
                Ok(config) => return config,
                Err(error) => error,
            };
            let span = error.span();
            let removed = span.clone().and_then(|span| remove_entry(table.get_mut(), &span));
            problems.push(problem(self.place(span), error.message(), removed.as_deref().unwrap_or_default()));
            if removed.is_none() {
                return Config::default();
            }
        }
    }

    fn place(&self, span: Option<Range<usize>>) -> Place {
        match span {
            Some(span) => {
                let line = self.text[..span.start.min(self.text.len())].matches('\n').count() + 1;
                Place::Line { file: self.origin.to_owned(), line }
            }
            None => Place::Elsewhere(self.origin.to_owned()),
        }
    }

    /// Finds where the value of a dotted key came from.
    pub(super) fn place_of(&self, path: &str) -> Place {
        if let Some((_, origin)) = self.overridden.iter().rev().find(|(key, _)| key == path) {
            return Place::Elsewhere(origin.clone());
        }
        let (table, _) = DeTable::parse_recoverable(self.text);
        let mut table = table.get_ref();
        let mut span = None;
        for part in path.split('.') {
            let Some((key, value)) = table.get_key_value(part) else { break };
            span = Some(key.span());
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        match (self.origin, span) {
            ("", _) => Place::Elsewhere("configuration".to_owned()),
            (_, span) => self.place(span),
        }
    }
}

fn deserialize(table: &Spanned<DeTable<'_>>) -> Result<Config, toml::de::Error> {
    Config::deserialize(toml::Deserializer::from(table.clone()))
}

/// Removes the innermost entry that the span points into; returns its key.
fn remove_entry(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (_, value) in table.iter_mut() {
        if let DeValue::Table(inner) = value.get_mut()
            && let Some(key) = remove_entry(inner, span)
        {
            return Some(key);
        }
    }
    let key = table.iter().find(|(key, value)| within(key.span()) || within(value.span()))?.0.clone();
    table.remove(&key);
    Some(key.into_inner().into_owned())
}

/// Sets the key that a `GHBK_TABLE__KEY` variable names; returns the table and the dotted key.
fn with_override<'a>(
    table: &Spanned<DeTable<'a>>,
    variable: &str,
    text: &'a str,
) -> Result<(Spanned<DeTable<'a>>, String), String> {
    let name = variable.strip_prefix("GHBK_").unwrap_or(variable).to_ascii_lowercase();
    let Some((section, key)) = name.split_once("__").filter(|(s, k)| !s.is_empty() && !k.is_empty()) else {
        let (table, key) = table_of(&name).or_else(|| after_table(&name)).unwrap_or(("store", "root"));
        let example = format!("GHBK_{table}__{}", key.trim_matches('_')).to_ascii_uppercase();
        return Err(format!("a variable is named GHBK_TABLE__KEY, with two underscores, as in {example}"));
    };
    let path = format!("{section}.{key}");
    let mut candidates = Vec::new();
    // A value that reads as TOML (a number, true, a list) is taken as that if it fits, else as text, else as a
    // list written `a,b`, as people write lists in an environment.
    candidates.extend(DeValue::parse(text).ok().map(Spanned::into_inner));
    candidates.push(DeValue::String(Cow::Borrowed(text)));
    let items = text.split(',').map(|item| unspanned(DeValue::String(Cow::Borrowed(item.trim()))));
    candidates.push(DeValue::Array(items.collect()));

    let mut as_text = None;
    for value in candidates {
        let is_text = matches!(value, DeValue::String(_));
        let mut candidate = table.clone();
        let entry = candidate
            .get_mut()
            .entry(unspanned(Cow::Owned(section.to_owned())))
            .or_insert_with(|| unspanned(DeValue::Table(DeTable::new())));
        let DeValue::Table(inner) = entry.get_mut() else { return Err(format!("{section} is not a table")) };
        inner.insert(unspanned(Cow::Owned(key.to_owned())), unspanned(value));
        if deserialize(&candidate).is_ok() {
            return Ok((candidate, path));
        }
        if is_text {
            as_text = Some(candidate);
        }
    }
    Ok((as_text.expect("one candidate is text"), path))
}

fn unspanned<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// Turns one serde error into a problem, with a suggestion when a known name is close.
fn problem(place: Place, message: &str, key: &str) -> ConfigProblem {
    let first_line = message.lines().next().unwrap_or_default();
    let (what, known) = match first_line.split_once(", expected ") {
        Some((what, known)) if what.starts_with("unknown ") => (what, known),
        _ => {
            let suggestion = unknown_time_zone(first_line).and_then(nearest_time_zone);
            let words = plain(first_line);
            let message = if key.is_empty() { words } else { format!("{key}: {words}") };
            return ConfigProblem { place, message, suggestion };
        }
    };
    let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let given = what.split('`').nth(1).unwrap_or(key);
    let what = what.replace("unknown field", "unknown key").replace("unknown variant", "unknown value");
    let suggestion = match nearest(given, &names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known: {}", names.join(", ")),
    };
    let message = if what.starts_with("unknown value") { format!("{key}: {what}") } else { what };
    ConfigProblem { place, message, suggestion: Some(suggestion) }
}

/// Rewords serde's complaint about a value as a person would put it.
fn plain(message: &str) -> String {
    let value = |rest: &str| -> Option<String> {
        let (given, expected) = rest.split_once(", expected ")?;
        let given = ["string ", "integer ", "floating point ", "boolean "]
            .iter()
            .find_map(|kind| given.strip_prefix(kind))
            .map_or_else(|| given.replace("sequence", "a list").replace("map", "a table"), |it| it.replace('`', ""));
        let expected = match expected {
            "a boolean" => "true or false",
            "a sequence" => "a list in brackets",
            "a string" | "path string" => "a text in quotation marks",
            "a duration" => "a duration, as in \"30m\" or \"2h\"",
            "parsable string" => "a size, as in \"50MiB\"",
            "usize" | "u64" | "u32" | "a nonzero usize" => "a whole number",
            other => other,
        };
        Some(format!("{given} is not {expected}"))
    };
    let rest = ["invalid type: ", "invalid value: "].iter().find_map(|prefix| message.strip_prefix(prefix));
    rest.and_then(value).unwrap_or_else(|| message.to_owned())
}

/// Recognises chrono-tz's complaint.
fn unknown_time_zone(message: &str) -> Option<&str> {
    message.strip_prefix("failed to parse timezone: ").map(|name| name.trim_matches('\''))
}

fn nearest_time_zone(given: &str) -> Option<String> {
    // Abbreviations that look alike may be hours apart.
    if given.len() <= 5 {
        return Some("write it as in `Asia/Tokyo` or `UTC`".to_owned());
    }
    let zone = nearest(given, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))?;
    Some(format!("did you mean `{zone}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_file(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(Some((&path, true)), env, &Overrides::default())
    }

    fn complaint(text: &str, env: &[(&str, &str)]) -> String {
        let error = load_file(text, env).unwrap_err().to_string();
        let folder = error.lines().find_map(|line| line.trim().split("config.toml").next()).unwrap_or_default();
        let folder = folder.to_owned();
        error.lines().map(|line| line.replace(folder.trim(), "")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_its_line() {
        let text = "[stroe]\nroot = \"/x\"\n[github]\nowner = [\"acme\"]\nauth = \"tokn\"\nforks = \"yes\"\n\
            exclude = [\"[a\"]\napi_url = \"http://example.com\"\n[limits]\nconcurrency = 0\n\
            repository_timeout = \"soon\"\n[schedule]\ncron = \"every sunday\"\ntimezone = \"Asia/Tokio\"\n";
        let error = load_file(text, &[]).unwrap_err();
        let ConfigError::Mistakes(problems) = error else { panic!("{error}") };
        let words: Vec<String> = problems
            .iter()
            .map(|problem| match &problem.place {
                Place::Line { line, .. } => {
                    format!("{line}: {} [{}]", problem.message, problem.suggestion.clone().unwrap_or_default())
                }
                Place::Elsewhere(origin) => format!("{origin}: {}", problem.message),
            })
            .collect();
        insta::assert_snapshot!(words.join("\n"));
    }

    #[test]
    fn a_file_that_is_no_toml_names_the_line() {
        assert!(complaint("[github]\nowners = [\"acme\"\n", &[]).contains("config.toml:"));
    }

    #[test]
    fn variables_override_keys_and_are_named_when_wrong() {
        let env = [
            ("GHBK_STORE__ROOT", "/data"),
            ("GHBK_GITHUB__OWNERS", "acme, b"),
            ("GHBK_LIMITS__CONCURRENCY", "3"),
            ("GHBK_LIMITS__STALL_TIMEOUT", "5s"),
            ("GHBK_LIMITS__BANDWIDTH", "50MiB"),
            ("GHBK_SLACK__NOTIFY", "never"),
        ];
        let config = load_file("[limits]\nconcurrency = 7\n", &env).unwrap();
        assert_eq!(config.store.root, PathBuf::from("/data"));
        assert_eq!(config.github.owners, ["acme", "b"]);
        assert_eq!(config.limits.concurrency, 3);
        assert_eq!(config.limits.stall_timeout.as_secs(), 5);
        assert_eq!(config.limits.bandwidth.unwrap().as_u64(), 50 * 1024 * 1024);
        let error = load_file("", &[("GHBK_LIMITS_CONCURRENCY", "3")]).unwrap_err().to_string();
        assert!(error.contains("as in GHBK_LIMITS__CONCURRENCY"), "{error}");
        assert!(load_file("", &[("GHBK_PUSH_TOKEN", "x"), ("GHBK_TEST_REQUIRE_ALL", "1")]).is_ok());
        let error = load_file("", &[("GHBK_ROOT", "/data")]).unwrap_err().to_string();
        assert!(error.contains("as in GHBK_STORE__ROOT"), "{error}");
        let error = load_file("", &[("GHBK_LIMITS__CONCURENCY", "3")]).unwrap_err().to_string();
        assert!(error.contains("GHBK_LIMITS__CONCURENCY") && error.contains("`concurrency`"), "{error}");
    }

    #[test]
    fn a_tilde_is_the_home_folder() {
        let home = std::env::home_dir().unwrap();
        let config = load_file("[store]\nroot = \"~/backup\"\n[log]\nfile = \"~/ghbk.jsonl\"\n", &[]).unwrap();
        assert_eq!((config.store.root, config.log.file), (home.join("backup"), Some(home.join("ghbk.jsonl"))));
    }

    #[test]
    fn the_mount_is_demanded_for_the_deployment_s_root_alone() {
        assert!(load_file("", &[]).unwrap().store.requires_mount());
        assert!(!load_file("", &[("GHBK_STORE__ROOT", "/data")]).unwrap().store.requires_mount());
        let both = [("GHBK_STORE__ROOT", "/data"), ("GHBK_STORE__REQUIRE_MOUNT", "true")];
        assert!(load_file("", &both).unwrap().store.requires_mount());
    }

    #[test]
    fn the_example_documents_every_key_with_its_default() {
        let example = crate::config::template::EXAMPLE;
        let parsed = load_file(example, &[]).unwrap();
        let default = Config {
            github: crate::config::GitHubConfig { owners: vec!["acme".into()], ..Default::default() },
            ..Default::default()
        };
        assert_eq!(format!("{parsed:?}"), format!("{default:?}"), "the example's values are not the defaults");
        // With the optional keys uncommented, every key that serde knows must be there.
        let uncommented: String = example
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        load_file(&uncommented, &[]).unwrap();
        for known in known_keys() {
            let (table, key) = known.split_once('.').unwrap();
            let section = uncommented.split(&format!("[{table}]")).nth(1).unwrap().split("\n[").next().unwrap();
            assert!(section.contains(&format!("\n{key} = ")), "{known} is not in config.example.toml");
        }
    }

    /// Asks serde itself: the error for an unknown key lists the known ones.
    fn known_keys() -> Vec<String> {
        let names = |text: &str| -> Vec<String> {
            let Err(error) = toml::from_str::<Config>(text) else { panic!("{text} was taken") };
            let known = error.message().split("expected").nth(1).unwrap().to_owned();
            known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        names("unknown = 1")
            .iter()
            .flat_map(|table| {
                names(&format!("[{table}]\nunknown = 1")).into_iter().map(move |key| format!("{table}.{key}"))
            })
            .collect()
    }
}
