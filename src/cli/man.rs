//! The manual pages, made of the definitions of the command line and of `config.example.toml`.

use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};

use super::Cli;
use super::help::{EXAMPLES, EXIT_STATUS};
use crate::config::template::EXAMPLE;

/// One page.
#[derive(Debug)]
pub struct Page {
    /// As it is asked for: `ghbk`, `run`, `config`.
    pub name: String,
    /// The file's name, such as `ghbk-run.1`.
    pub file: PathBuf,
    /// The text, in roff.
    pub text: String,
}

const ENVIRONMENT: &[(&str, &str)] = &[
    ("GHBK_CONFIG", "The configuration file, as --config."),
    ("GHBK_TABLE__KEY", "Overrides a key of the configuration, such as GHBK_STORE__ROOT; see ghbk.toml(5)."),
    ("GITHUB_TOKEN, SLACK_WEBHOOK_URL, GITHUB_APP_KEY", "The secrets, if secrets.source is \"env\" or not set."),
    ("GHBK_PUSH_TOKEN", "The token for ghbk restore --push."),
    ("CREDENTIALS_DIRECTORY", "Where systemd puts the secrets of LoadCredential=."),
    ("AWS_REGION, AWS_PROFILE, …", "How AWS Parameter Store is reached."),
    ("HTTPS_PROXY, NO_PROXY", "The proxy to GitHub and Slack."),
    ("SSL_CERT_FILE", "Certificates that are trusted; github.ca_file adds to them."),
    ("TZ", "The machine's time zone, unless schedule.timezone is set."),
    ("NO_COLOR, CLICOLOR_FORCE, TERM", "Whether the output has colour."),
];

const FILES: &[(&str, &str)] = &[
    ("/etc/ghbk/config.toml", "The configuration; see ghbk.toml(5)."),
    ("ROOT/OWNER/NAME.git, ROOT/OWNER/NAME.wiki.git, ROOT/OWNER/NAME.meta", "The mirrors: bare git repositories."),
    ("ROOT/OWNER/NAME.git/lfs/objects/", "The contents of large files (Git LFS)."),
    ("ROOT/.ghbk/runs/", "The record of each run, in JSON lines."),
    ("ROOT/.ghbk/attic/, damaged/, adopted/", "Mirrors and clones that were set aside; never removed by ghbk."),
];

/// Makes all pages.
///
/// # Errors
/// Those of writing to memory, which are bugs.
pub fn pages() -> std::io::Result<Vec<Page>> {
    let mut command = Cli::command();
    command.build();
    let mut pages = vec![general(&command)?];
    for verb in command.get_subcommands().filter(|verb| !matches!(verb.get_name(), "help" | "version")) {
        pages.push(of_verb(verb)?);
    }
    pages.push(configuration(&command));
    Ok(pages)
}

fn general(command: &Command) -> std::io::Result<Page> {
    let man = Man::new(command.clone().after_help(None::<&str>));
    let mut text = beginning(&man, command)?;
    let (examples, notes) = split(command);
    let mut roff = Roff::new();
    describe(&mut roff, &notes);
    roff.control("SH", ["COMMANDS"]);
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        let page = match verb.get_name() {
            "version" => bold("version"),
            name => bold(format!("ghbk-{name}(1)")),
        };
        entry(&mut roff, vec![page], &verb.get_about().map(ToString::to_string).unwrap_or_default());
    }
    roff.to_writer(&mut text)?;
    options(command, "GLOBAL OPTIONS").to_writer(&mut text)?;
    let mut roff = Roff::new();
    exit_status(&mut roff);
    for (heading, entries) in [("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)] {
        roff.control("SH", [heading]);
        for (name, meaning) in entries {
            entry(&mut roff, vec![italic(*name)], meaning);
        }
    }
    show_examples(&mut roff, &examples);
    see_also(&mut roff, &["ghbk.toml(5)", "git(1)", "git-lfs(1)", "systemctl(1)"]);
    roff.to_writer(&mut text)?;
    Ok(Page { name: "ghbk".to_owned(), file: "ghbk.1".into(), text: String::from_utf8_lossy(&text).into_owned() })
}

fn of_verb(verb: &Command) -> std::io::Result<Page> {
    let name = verb.get_name().to_owned();
    let title = format!("ghbk-{name}");
    // The options of every command are on the page of the program.
    let own = verb.clone().name(title.clone()).bin_name(format!("ghbk {name}")).after_help(None::<&str>);
    let man = Man::new(own).title(&title);
    let mut text = beginning(&man, verb)?;
    let (examples, notes) = split(verb);
    let mut roff = Roff::new();
    describe(&mut roff, &notes);
    roff.to_writer(&mut text)?;
    options(verb, "OPTIONS").to_writer(&mut text)?;
    let mut roff = Roff::new();
    roff.control("PP", []);
    roff.text([roman("Every command takes the options in "), bold("ghbk(1)"), roman(", too.")]);
    exit_status(&mut roff);
    show_examples(&mut roff, &examples);
    see_also(&mut roff, &["ghbk(1)", "ghbk.toml(5)"]);
    roff.to_writer(&mut text)?;
    Ok(Page { name, file: format!("{title}.1").into(), text: String::from_utf8_lossy(&text).into_owned() })
}

/// Title, name and synopsis.
fn beginning(man: &Man, command: &Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    synopsis(command).to_writer(&mut text)?;
    Ok(text)
}

fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman(usage.trim_start_matches("Usage: "))]);
    roff
}

/// Lists arguments and options; on the program's page those of every command, on others the rest.
fn options(command: &Command, heading: &str) -> Roff {
    let mut roff = Roff::new();
    let is_general = heading == "GLOBAL OPTIONS";
    let mut shown = command
        .get_arguments()
        .filter(|it| it.is_global_set() == is_general && !matches!(it.get_id().as_str(), "help" | "version"))
        .peekable();
    if shown.peek().is_some() {
        roff.control("SH", [heading]);
    }
    for argument in shown {
        let mut name = Vec::new();
        if let Some(short) = argument.get_short() {
            name.extend([bold(format!("-{short}")), roman(", ")]);
        }
        name.extend(argument.get_long().map(|long| bold(format!("--{long}"))));
        if argument.get_action().takes_values() || argument.is_positional() {
            let value = argument.get_value_names().unwrap_or_default().join(" ");
            let value = if value.is_empty() { argument.get_id().as_str().to_uppercase() } else { value };
            name.extend([roman(if name.is_empty() { "" } else { " " }), italic(value)]);
        }
        let mut about = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if argument.get_action().takes_values() && !defaults.is_empty() {
            about.push_str(&format!(" [default: {}]", defaults.join(" ")));
        }
        let possible: Vec<String> = argument.get_possible_values().iter().map(|it| it.get_name().to_owned()).collect();
        if argument.get_action().takes_values() && !possible.is_empty() {
            about.push_str(&format!(" [one of: {}]", possible.join(", ")));
        }
        entry(&mut roff, name, &about);
    }
    roff
}

/// The configuration's page: the example's comments are the meaning of what follows them.
fn configuration(command: &Command) -> Page {
    let mut roff = Roff::new();
    let version = format!("ghbk {}", command.get_version().unwrap_or_default());
    roff.control("TH", ["ghbk.toml", "5", "", version.as_str()]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("ghbk.toml - the configuration of ghbk")]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([italic("/etc/ghbk/config.toml"), roman(", or the file after "), bold("--config"), roman(".")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "A file in TOML. Only github.owners must be set; every other key is shown with its default. All mistakes are reported at \
         once, with line and suggestion. The variable GHBK_TABLE__KEY overrides a key; --root and --owner override both.",
    )]);
    let mut meaning: Vec<&str> = Vec::new();
    for line in EXAMPLE.lines() {
        let comment = line.strip_prefix("# ");
        if let Some(table) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            roff.control("SH", [format!("[{table}]").as_str()]);
            meaning.clear();
        } else if let Some((key, value)) = key_of(comment.unwrap_or(line)) {
            let (value, note) = value.split_once("   # ").unwrap_or((value, ""));
            let unset = if comment.is_some() { "not set; for example " } else { "" };
            let name = vec![bold(key), roman(" = "), italic(format!("{unset}{value}"))];
            let all: Vec<&str> = meaning.drain(..).chain([note]).filter(|text| !text.is_empty()).collect();
            entry(&mut roff, name, &all.join(" "));
        } else if let Some(comment) = comment {
            meaning.push(comment);
        } else {
            meaning.clear();
        }
    }
    see_also(&mut roff, &["ghbk(1)", "ghbk-init(1)", "ghbk-check(1)"]);
    Page { name: "config".to_owned(), file: "ghbk.toml.5".into(), text: roff.to_roff() }
}

/// Splits a line `key = value`.
fn key_of(line: &str) -> Option<(&str, &str)> {
    line.split_once(" = ").filter(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

/// Splits what help says after the options into examples and paragraphs.
fn split(command: &Command) -> (Vec<String>, Vec<String>) {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (examples, notes): (Vec<&str>, Vec<&str>) =
        text.split("\n\n").filter(|text| !text.is_empty()).partition(|text| text.starts_with(EXAMPLES));
    let examples = examples.iter().flat_map(|text| text.lines().skip(1)).map(|line| line.trim_start().to_owned());
    (examples.collect(), notes.into_iter().map(str::to_owned).collect())
}

fn describe(roff: &mut Roff, paragraphs: &[String]) {
    if paragraphs.is_empty() {
        return;
    }
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in paragraphs {
        roff.control("PP", []);
        roff.text([roman(paragraph.as_str())]);
    }
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for (number, meaning) in EXIT_STATUS {
        entry(roff, vec![bold(*number)], meaning);
    }
}

fn show_examples(roff: &mut Roff, examples: &[String]) {
    if examples.is_empty() {
        return;
    }
    roff.control("SH", ["EXAMPLES"]);
    roff.control("nf", []);
    for line in examples {
        roff.text([roman(line.as_str())]);
    }
    roff.control("fi", []);
}

fn see_also(roff: &mut Roff, pages: &[&str]) {
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(pages.join(", "))]);
}

fn entry(roff: &mut Roff, name: Vec<Inline>, meaning: &str) {
    roff.control("TP", []);
    roff.text(name);
    roff.text([roman(meaning)]);
}
