//! What help says beyond the definitions: examples, and the overview that `ghbk help` prints.
//!
//! Each text begins with examples; what follows is for reading once. Manual pages are made of the same texts.

use std::fmt::Write;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The heading of examples, in help and in the texts below.
pub(super) const EXAMPLES: &str = "Examples:";

pub(super) const GENERAL: &str = "\
Examples:
  GITHUB_TOKEN=… ghbk run --root ./backup acme/site      one repository
  GITHUB_TOKEN=… ghbk run --root ./backup --owner acme   all of an organisation
  ghbk restore --root ./backup acme/site ./site.git      as it was last seen
  ghbk status --root ./backup

Each repository becomes an ordinary bare git repository, ROOT/OWNER/NAME.git, that plain git can clone without ghbk. \
Nothing that happens on GitHub ever removes a mirror.";

pub(super) const RUN: &str = "\
Examples:
  ghbk run                          everything that github.owners names
  ghbk run acme/site acme/api       only these, listed or not
  ghbk run --dry-run                what it would do
  ghbk run --repair acme/site       fetch it anew, because it is damaged
  ghbk run --repair                 the same for all known to be damaged
  ghbk run --json | jq .counts      the result for a script

A run never removes a mirror. It can be interrupted at any moment; the next one continues.";

pub(super) const DAEMON: &str = "\
Examples:
  systemctl start ghbk              as a service, the ordinary way
  ghbk daemon -v                    in a terminal, to see what it does

SIGTERM ends it within seconds, with every mirror whole. SIGHUP reloads the configuration, and keeps the old one if the \
new one is wrong. A run that was missed while the daemon was down is made up for when it starts (schedule.catch_up).";

pub(super) const LIST: &str = "\
Examples:
  ghbk list                         one line for each repository
  ghbk list --json | jq '.[] | select(.action != \"update\")'

Actions: create (no mirror yet), update, rename (the mirror moves), replace (another repository had this name; its \
mirror moves to the attic), gone (GitHub no longer has it; the mirror stays).";

pub(super) const STATUS: &str = "\
Examples:
  ghbk status                       also while a run is under way
  ghbk status acme/site             everything about one repository
  ghbk status --all                 every mirror, one line each
  ghbk status --sizes               the same, the largest first
  ghbk status --check -q            for cron: silent if healthy, else one line
  ghbk status --json | jq .hours_since_success

Healthy means: the last complete backup of everything is no older than --max-age, nothing that failed in the last run \
over everything still stands, and no mirror is known to be damaged or missing. Needs neither network nor token.";

pub(super) const SNAPSHOTS: &str = "\
Examples:
  ghbk snapshots acme/site          ! marks what GitHub has lost
  ghbk snapshots acme/site --json | jq '.[].snapshots[].run_id'

A run that finds a repository unchanged adds no snapshot: the one before still holds. Needs neither network nor token.";

pub(super) const DIFF: &str = "\
Examples:
  ghbk diff acme/site                          what the newest snapshot changed
  ghbk diff acme/site 2026-11-01               since the end of that day
  ghbk diff acme/site \"3 weeks ago\" \"1 week ago\"
  ghbk diff acme/site 20261122T050000.000Z 20261129T050000.000Z

For each branch and tag that differs: the commits that are only in the later point (+), and those that are only in the \
earlier one (-), as after a force push. Needs neither network nor token.";

pub(super) const RESTORE: &str = "\
Examples:
  ghbk restore acme/site ./site.git              as last seen, bare
  ghbk restore acme/site ./site.git --run 20261129T050000.000Z
  ghbk restore acme/site ./site --checkout --at \"3 days ago\"
  ghbk restore acme/site ./files --path docs --path README.md
  ghbk restore 1296269 ./old.git                 by id, as of a deleted one
  ghbk restore --all ./everything --at 2026-11-22
  ghbk restore acme/site --push https://github.com/acme/site-restored.git

TIME is RFC 3339 (2026-11-22T05:00:00Z), a minute (\"2026-11-22 05:00\", to its end), a date (the end of that day), or \
\"3 days ago\"; without an offset it is in schedule.timezone, like every time that ghbk prints. Every restore ends with a \
check that nothing is missing. Only --push needs network and a token, from GHBK_PUSH_TOKEN, or the configured one if the \
address is on the configured GitHub.";

pub(super) const SHOW: &str = "\
Examples:
  ghbk show acme/site                            all, the highest number first
  ghbk show acme/site --state open --label bug
  ghbk show acme/site --search \"login fails\"
  ghbk show acme/site 123                        the whole conversation
  ghbk show acme/site 123 --at \"3 days ago\"     before it was edited
  ghbk show acme/site 123 --json                 the file as it is stored

! marks what GitHub no longer has; ghbk keeps it. TIME is as in `ghbk restore`: a date, a minute, RFC 3339, or \
\"3 days ago\". Needs neither network nor token, and a store that can be read is enough.";

pub(super) const LOG: &str = "\
Examples:
  ghbk log acme/site 123            what changed, and when it was stored
  ghbk log acme/site 123 --json | jq '.[].changes[].what'

The newest change comes first. In a text that was edited, [-these words-] were removed and {+these+} were added. Changes \
between two runs are one state: ghbk stores what it finds. Needs neither network nor token.";

pub(super) const EXPORT: &str = "\
Examples:
  ghbk export acme/site ./issues                      pages for a browser
  ghbk export acme/site ./issues --at 2026-11-22
  ghbk export acme/site ./notes --format markdown     a file for each number
  ghbk export acme/site ./data --format jsonl         for scripts

Open index.html: the pages need no network, run no script and load nothing; images are links. The folder must not exist, and \
is there only when everything is in it. The same state always gives the same files. TIME is as in `ghbk restore`. Needs \
neither network nor token.";

pub(super) const VERIFY: &str = "\
Examples:
  ghbk verify                       every mirror
  ghbk verify acme/site --deep      this one, hashing every object
  ghbk verify --json | jq '.[] | select(.damage != [])'

Reads every pack whole: with EFS in infrequent access that costs money. Each run does the same to a share of the store, \
so that all of it is read every verify.full_every. Needs neither network nor token. Exit status 1: damage was found.";

pub(super) const ADOPT: &str = "\
Examples:
  ghbk adopt --dry-run                        which clones there are, and whose
  ghbk adopt                                  all of them
  ghbk adopt /mnt/efs/old --as acme/site      one whose origin does not tell

Looks at ROOT/NAME and ROOT/OWNER/NAME, bare or not. GitHub is asked whose they are; nothing is fetched. Every branch \
and tag becomes the first snapshot, dated when the clone was last brought up to date; what only the clone has is kept. \
The clone itself moves to ROOT/.ghbk/adopted/, and is yours to remove. The next run fetches what is new.";

pub(super) const FORGET: &str = "\
Examples:
  ghbk forget acme/old              its mirror was moved or removed on purpose
  ghbk forget acme/site --wiki      only the mirror of its wiki was
  ghbk forget 1296269               by id, where several had the same name

ghbk never removes a mirror. Move or remove the folder yourself first: while it is in its place, nothing is forgotten, \
and the command that removes it is printed. Until a missing mirror is forgotten, the run that replaces it reports a \
failure, because the snapshots of the old one are missing. A repository that GitHub still lists gets a new mirror in the \
next run, unless github.exclude names it. Needs neither network nor token.";

pub(super) const ACCEPT: &str = "\
Examples:
  ghbk accept acme/site             all that can be accepted, with their ids
  ghbk accept acme/site 4d7a2146…   only this one, by its whole id

A large file that GitHub does not have is a failure once, and a warning from then on; this ends the warning. It gives up \
nothing: every run still asks for the file, and `ghbk status` still counts it. What could not be fetched for any other \
reason stays a failure. Needs neither network nor token.";

pub(super) const INIT: &str = "\
Examples:
  ghbk init                                       asks what it needs to know
  ghbk init --config ./ghbk.toml --owner acme --root ~/backup --yes
  sudo ghbk init --owner acme --secrets ssm       for the service

Writes a configuration in which every key is explained, checks it with `ghbk check`, and says what to do next. An \
existing file is never overwritten.";

pub(super) const CHECK: &str = "\
Examples:
  ghbk check                        before the first run
  ghbk check --slack                send a test message, too

Exit status 3: something that a run needs does not work.";

pub(super) const REPORT_FAILURE: &str = "\
Examples:
  systemctl start ghbk-failed@ghbk.service     as systemd does

systemd says why in MONITOR_SERVICE_RESULT, MONITOR_EXIT_CODE and MONITOR_EXIT_STATUS. A run that ended by itself has \
told Slack already, and is not reported twice.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  source <(ghbk completions bash)                      in this shell
  ghbk completions zsh > /usr/share/zsh/site-functions/_ghbk
  ghbk completions fish > ~/.config/fish/completions/ghbk.fish

Commands, options, repositories of the store, and ids of runs are completed. The package installs these.";

pub(super) const MAN: &str = "\
Examples:
  ghbk man | man -l -               ghbk(1)
  ghbk man restore | man -l -       ghbk-restore(1)
  ghbk man config | man -l -        ghbk.toml(5)
  ghbk man --out ./man              all of them, as files";

/// What the numbers mean; in the general help and in every manual page.
pub(super) const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "all is well"),
    ("1", "the run finished, but something failed; damage was found; or the backup is not healthy"),
    ("2", "wrong usage or configuration"),
    ("3", "the run could not take place (no token, GitHub refused, store not mounted)"),
    ("75", "a run is already under way"),
    ("130, 143", "stopped by SIGINT or SIGTERM; the record is closed as cancelled"),
];

/// The commands that only look at the store.
const LOOKING: &[&str] =
    &["status", "snapshots", "diff", "restore", "show", "log", "export", "verify", "forget", "accept"];

/// Gives `ghbk help` an overview that fits a screen of 24 lines, and each command's help a word on the options of all.
pub(super) fn with_overview(mut command: Command) -> Command {
    // `help` is among the commands only then.
    let built = {
        let mut built = command.clone();
        built.build();
        built
    };
    // `--version` is what people type.
    let is_listed = |verb: &&Command| !verb.is_hide_set() && !matches!(verb.get_name(), "help" | "version");
    let visible: Vec<&Command> = built.get_subcommands().filter(is_listed).collect();
    let width = visible.iter().map(|verb| verb.get_name().len()).max().unwrap_or_default();
    let mut overview = "{about}\n{usage-heading} {usage}\n\n".to_owned();
    for verb in visible {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(overview, "  {:<width$}  {about}", verb.get_name());
    }
    let _ = write!(
        overview,
        "\nOptions: {}\n`ghbk COMMAND --help` explains one, with examples; `ghbk man` has the rest.\n",
        global_options(&built)
    );
    command = command.help_template(overview).override_usage("ghbk [OPTIONS] COMMAND");
    let all = global_options(&built);
    let of_store = all.replace("--owner NAME, ", "");
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    for name in names {
        // Commands that only look at the store refuse an owner.
        let looks = LOOKING.contains(&name.as_str());
        let more = format!("It also takes {}: `ghbk man`.", if looks { &of_store } else { &all });
        command = command.mut_subcommand(name, |verb| {
            let own = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            verb.after_help(format!("{own}\n\n{more}").trim_start().to_owned())
        });
    }
    command
}

/// Lists the options that every command takes, in short.
fn global_options(command: &Command) -> String {
    let options = command.get_arguments().filter(|argument| argument.is_global_set()).map(|argument| {
        let long = argument.get_long().unwrap_or_default();
        match (argument.get_value_names(), argument.get_short()) {
            (Some(names), _) if argument.get_action().takes_values() => format!("--{long} {}", names.join(" ")),
            (_, Some(short)) => format!("-{short}"),
            _ => format!("--{long}"),
        }
    });
    options.collect::<Vec<_>>().join(", ")
}

/// What people type who know another tool.
const ELSEWHERE: &[(&str, &str)] = &[
    ("repair", "`ghbk run --repair` fetches damaged mirrors anew"),
    ("update", "`ghbk run` backs up what is new"),
    ("sync", "`ghbk run` backs up what is new"),
    ("clone", "`ghbk run OWNER/REPO` backs up one repository"),
    ("prune", "nothing is removed, unless retention.keep says so in the configuration"),
    ("remove", "`ghbk forget` accepts that a mirror was removed; ghbk itself removes none"),
    ("rm", "`ghbk forget` accepts that a mirror was removed; ghbk itself removes none"),
    ("test", "`ghbk check` checks configuration, store, token and GitHub"),
    ("delete", "`ghbk forget` accepts that a mirror was removed; ghbk itself removes none"),
    ("issues", "`ghbk show OWNER/REPO` lists the stored issues and pull requests"),
    ("config", "`ghbk init` writes a configuration, and `ghbk check` checks it"),
    ("start", "`systemctl start ghbk`, or `ghbk daemon` in a terminal"),
];

/// Replaces what clap suggests for an unknown command where something better is known.
pub(super) fn advise(mut error: clap::Error) -> clap::Error {
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand)
        && let Some((_, advice)) = ELSEWHERE.iter().find(|(word, _)| word == typed)
    {
        error.remove(ContextKind::SuggestedSubcommand);
        let advice = ContextValue::StyledStrs(vec![(*advice).into()]);
        error.insert(ContextKind::Suggested, advice);
    }
    error
}
