//! `ghbk init`: a commented configuration from a few answers, checked at once.

use std::fs;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use dialoguer::{Confirm, Input};
use toml::Value;

use super::{print, run_command};
use crate::cli::{CheckArgs, Command, GlobalArgs, InitArgs};
use crate::config::{Notify, SecretSource, from_home, template};
use crate::error::{Error, Exit};
use crate::names;
use crate::schedule::Schedule;
use crate::text::quoted;

/// What the configuration says beyond defaults.
struct Answers {
    /// The GitHub, if a variable names another than GitHub's own.
    api_url: Option<String>,
    owners: Vec<String>,
    root: PathBuf,
    secrets: SecretSource,
    schedule: String,
    timezone: chrono_tz::Tz,
    slack: Option<Notify>,
}

/// The root of the deployment on AWS, and the default for everybody else.
const DEFAULT_ROOT: &str = "/mnt/efs";
const DEFAULT_SCHEDULE: &str = "0 5 * * Sun";

pub(super) async fn init(global: GlobalArgs, arguments: InitArgs) -> Result<Exit, Error> {
    let (path, _) = global.config_file();
    let path = std::path::absolute(&path).unwrap_or(path);
    refuse_existing(&path)?;
    refuse_unwritable(&path)?;
    let is_dialogue = !arguments.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let answers = if is_dialogue { ask(&global, &arguments)? } else { take(&global, &arguments)? };
    check(&answers)?;
    write(&path, &text(&answers))?;
    let is_silent = global.json || global.quiet;
    let say = |text: &str| if is_silent { Ok(()) } else { print(text) };
    say(&format!("wrote {}\n", quoted(&path)))?;
    create_root(&answers.root)?;
    let config = Some(path.clone());
    let exit = if arguments.no_check {
        Exit::Good
    } else {
        let global = GlobalArgs { config, root: None, owner: Vec::new(), ..global };
        run_command(global, Command::Check(CheckArgs::default())).await?
    };
    say(&next_steps(&path, &answers, exit == Exit::Good))?;
    Ok(exit)
}

/// An existing file is never overwritten, unless it is the one that the package left.
fn refuse_existing(path: &Path) -> Result<(), Error> {
    let refuse = |message: String, hint: String| Err(Error::new(Exit::Usage, message, hint));
    match fs::read_to_string(path) {
        Ok(text) if text == template::pristine() => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(_) => {
            let hint = format!("edit it, then `ghbk check --config {}`; or --config FILE for another", quoted(path));
            refuse(format!("{} exists already", quoted(path)), hint)
        }
        Err(error) => {
            refuse(format!("cannot read {}: {error}", quoted(path)), "name another: --config FILE".to_owned())
        }
    }
}

/// Refuses before anything is asked.
fn refuse_unwritable(path: &Path) -> Result<(), Error> {
    let existing = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).map_err(|error| {
        let message = format!("cannot write to {}: {error}", quoted(existing));
        Error::new(Exit::Impossible, message, "run it with sudo, or write elsewhere: `ghbk init --config ./ghbk.toml`")
    })
}

/// Takes the options, and defaults for what they leave out.
fn take(global: &GlobalArgs, arguments: &InitArgs) -> Result<Answers, Error> {
    if global.owner.is_empty() {
        let hint = "`ghbk init --owner NAME`; without --yes, and on a terminal, `ghbk init` asks";
        return Err(Error::new(Exit::Usage, "no owner is named: the organisation or user to back up", hint));
    }
    Ok(Answers {
        api_url: api_url(),
        owners: global.owner.clone(),
        root: global.root.clone().unwrap_or_else(|| DEFAULT_ROOT.into()),
        secrets: arguments.secrets.unwrap_or_else(likely_source),
        schedule: arguments.schedule.clone().unwrap_or_else(|| DEFAULT_SCHEDULE.to_owned()),
        timezone: arguments.timezone.unwrap_or_else(crate::zone::of_machine),
        slack: arguments.slack,
    })
}

/// What the check below will ask must be what the service asks, which does not have this variable.
fn api_url() -> Option<String> {
    crate::secrets::env_var("GHBK_GITHUB__API_URL")
}

/// Guesses where secrets are.
fn likely_source() -> SecretSource {
    let env = crate::secrets::env_var;
    let vendor = fs::read_to_string("/sys/devices/virtual/dmi/id/sys_vendor").unwrap_or_default();
    let is_on_aws = env("AWS_REGION").is_some() || vendor.trim() == "Amazon EC2";
    if env("GITHUB_TOKEN").is_none() && is_on_aws { SecretSource::Ssm } else { SecretSource::Env }
}

/// Asks for what the options leave out.
fn ask(global: &GlobalArgs, arguments: &InitArgs) -> Result<Answers, Error> {
    let failed = |error: dialoguer::Error| {
        Error::new(Exit::Usage, format!("no answer: {error}"), "`ghbk init --yes` takes options instead of asking")
    };
    let owners = if global.owner.is_empty() {
        let owners: String = Input::new()
            .with_prompt("Organisations or users to back up, separated by commas")
            .validate_with(|text: &String| owners_of(text).iter().try_for_each(|owner| check_owner(owner)))
            .interact_text()
            .map_err(failed)?;
        owners_of(&owners)
    } else {
        global.owner.clone()
    };
    let root = match &global.root {
        Some(root) => root.clone(),
        None => Input::<String>::new()
            .with_prompt("Folder for the mirrors")
            .default(DEFAULT_ROOT.to_owned())
            .interact_text()
            .map_err(failed)?
            .into(),
    };
    let secrets = if let Some(source) = arguments.secrets {
        source
    } else {
        let likely = if likely_source() == SecretSource::Env { "env" } else { "ssm" };
        let read = |text: &str| SecretSource::from_str(text.trim(), true);
        let source: String = Input::new()
            .with_prompt("Where the GitHub token comes from: env (GITHUB_TOKEN), file (systemd credentials), ssm (AWS)")
            .default(likely.to_owned())
            .validate_with(|text: &String| read(text).map(|_| ()).map_err(|_| "write env, file or ssm".to_owned()))
            .interact_text()
            .map_err(failed)?;
        read(&source).unwrap_or(SecretSource::Ssm)
    };
    let timezone = arguments.timezone.unwrap_or_else(crate::zone::of_machine);
    let schedule = match &arguments.schedule {
        Some(schedule) => schedule.clone(),
        None => Input::new()
            .with_prompt(format!("When to back up, as in a crontab ({timezone})"))
            .default(DEFAULT_SCHEDULE.to_owned())
            .validate_with(|text: &String| Schedule::new(text, timezone).map(|_| ()).map_err(|error| error.to_string()))
            .interact_text()
            .map_err(failed)?,
    };
    let slack = if arguments.slack.is_some() {
        arguments.slack
    } else {
        let wanted = Confirm::new().with_prompt("Report runs to Slack?").default(false).interact().map_err(failed)?;
        Some(if wanted { Notify::Always } else { Notify::Never })
    };
    Ok(Answers { api_url: api_url(), owners, root, secrets, schedule, timezone, slack })
}

fn owners_of(text: &str) -> Vec<String> {
    text.split(',').map(|owner| owner.trim().to_owned()).collect()
}

fn check_owner(owner: &str) -> Result<(), String> {
    match owner {
        "@me" | "@installation" => Ok(()),
        owner => names::check_owner(owner).map_err(|error| error.to_string()),
    }
}

fn check(answers: &Answers) -> Result<(), Error> {
    let usage = |message: String, hint: &str| Err(Error::new(Exit::Usage, message, hint));
    if let Some(problem) = answers.owners.iter().find_map(|owner| check_owner(owner).err()) {
        return usage(format!("--owner: {problem}"), "`ghbk help init`");
    }
    match Schedule::new(&answers.schedule, answers.timezone) {
        Err(error) => usage(format!("--schedule: {error}"), "as in crontab, \"0 5 * * Sun\", or \"@weekly\""),
        Ok(_) => Ok(()),
    }
}

fn text(answers: &Answers) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let root = std::path::absolute(from_home(&answers.root)).unwrap_or_else(|_| answers.root.clone());
    let owners: Vec<Value> = answers.owners.iter().map(|owner| Value::from(owner.as_str())).collect();
    let source = match answers.secrets {
        SecretSource::Env => "env",
        SecretSource::File => "file",
        SecretSource::Ssm => "ssm",
    };
    let notify = answers.slack.map(|notify| match notify {
        Notify::Always => "always",
        Notify::Failure => "failure",
        Notify::Never => "never",
    });
    let always = [
        ("github.owners", Value::Array(owners).to_string()),
        ("store.root", text(&root.to_string_lossy())),
        ("secrets.source", text(source)),
        ("schedule.cron", text(&answers.schedule)),
        ("schedule.timezone", text(answers.timezone.name())),
    ];
    let api_url = answers.api_url.as_deref().map(|url| ("github.api_url", text(url)));
    let notify = notify.map(|notify| ("slack.notify", text(notify)));
    template::filled(always.into_iter().chain(api_url).chain(notify))
}

/// Writes the file beside its place first: there is never a part of one, and a file that came meanwhile is left alone.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        Error::new(Exit::Impossible, format!("cannot write {}: {error}", quoted(path)), "name another: --config FILE")
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::Builder::new().prefix(".ghbk-init-").tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    // The service's user has to read it, whatever the umask; it holds no secret.
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    let persisted = if path.exists() { file.persist(path) } else { file.persist_noclobber(path) };
    persisted.map(drop).map_err(|error| failed(error.error))
}

/// Creates a root that is a plain folder; the root on a mount is for somebody else to create.
fn create_root(root: &Path) -> Result<(), Error> {
    let root = from_home(root);
    if root.starts_with(DEFAULT_ROOT) || root.exists() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(|error| {
        let message = format!("cannot create {}: {error}", quoted(&root));
        Error::new(Exit::Impossible, message, "create it yourself, or set another store.root")
    })
}

/// Says what to do now: for the service, also what its user and its unit need.
fn next_steps(path: &Path, answers: &Answers, is_good: bool) -> String {
    let is_default = path == Path::new(crate::config::DEFAULT_CONFIG_PATH);
    let option = if is_default { String::new() } else { format!(" --config {}", quoted(path)) };
    if !is_good {
        return format!("next: fix what failed above, then `ghbk check{option}`\n");
    }
    let owners = answers.owners.join(", ");
    if !is_default {
        return format!(
            "next: `ghbk run{option}` backs up {owners} now\n\
             then: `ghbk daemon{option}` stays and backs up on the schedule\n\
             for a crontab: `ghbk status --check -q{option}` is silent if the backup is healthy\n"
        );
    }
    let mut out = String::new();
    if !answers.root.starts_with(DEFAULT_ROOT) {
        let root = quoted(&answers.root);
        out.push_str(&format!("for the service: `sudo chown -R ghbk {root}`\n"));
        out.push_str(&format!(
            "for the service: `sudo systemctl edit ghbk ghbk-now ghbk-now@`, with [Unit] RequiresMountsFor={root} and \
             [Service] ReadWritePaths={root}\n"
        ));
    }
    if answers.secrets != SecretSource::Ssm {
        out.push_str(
            "for the service: put the token into /etc/credstore/github-token; it does not see your environment\n",
        );
    }
    out.push_str(&format!("next: `sudo systemctl start ghbk-now` backs up {owners} now\n"));
    out.push_str("then: `sudo systemctl enable --now ghbk` backs up on the schedule\n");
    out
}
