//! `ghbk-sandbox`: the sandbox for scripts, and the tools that fill its folder.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ghbk_sandbox::{AppOptions, Generate, GenerateIssues, Options, Sandbox, generate, generate_issues, import_bundle};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Plays GitHub, its git server and a Slack webhook on loopback.
#[derive(Parser)]
#[command(name = "ghbk-sandbox", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a folder of bare repositories until SIGTERM or SIGINT.
    ///
    /// When it is ready it prints its addresses as one line of JSON.
    Serve(Serve),
    /// Makes small repositories in a folder.
    Generate {
        /// The folder; repositories go to OWNER/NAME.git below it.
        folder: PathBuf,
        /// The owner of the repositories.
        #[arg(long, default_value = "acme")]
        owner: String,
        /// How many repositories.
        #[arg(long, default_value_t = 5)]
        count: usize,
        /// How many commits each has.
        #[arg(long, default_value_t = 5)]
        commits: usize,
    },
    /// Replaces what is written in a repository by generated issues and pull requests.
    GenerateIssues {
        /// The folder with OWNER/NAME.git bare repositories.
        folder: PathBuf,
        /// The repository, OWNER/NAME.
        repository: String,
        /// How many issues.
        #[arg(long, default_value_t = 50)]
        issues: usize,
        /// How many pull requests.
        #[arg(long, default_value_t = 20)]
        pulls: usize,
        /// How many comments each has on average.
        #[arg(long, default_value_t = 2)]
        comments: usize,
        /// How many reviews each pull request has.
        #[arg(long, default_value_t = 1)]
        reviews: usize,
        /// Another seed gives other texts, people and dates.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Adds the repositories in git bundles to a folder, each under the name of its file.
    Import {
        /// The folder.
        folder: PathBuf,
        /// The owner of the repositories.
        owner: String,
        /// The bundles.
        #[arg(required = true)]
        bundles: Vec<PathBuf>,
    },
}

#[derive(clap::Args)]
struct Serve {
    /// The folder with OWNER/NAME.git bare repositories.
    #[arg(long)]
    repositories: PathBuf,
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The personal access token to accept.
    #[arg(long)]
    token: Option<String>,
    /// A file to write the addresses to as well, when ready.
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// Serves over TLS, and writes the certificate that clients must trust to this file.
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// Keeps git's answers and gives them again when a repository is what it was, for benchmarks of clients.
    #[arg(long)]
    keep_answers: bool,
    /// The identifier of a GitHub App to accept.
    #[arg(long, requires = "app_public_key")]
    app_id: Option<u64>,
    /// The App's installation.
    #[arg(long, default_value_t = 1)]
    app_installation_id: u64,
    /// A file with the public half of the App's key, in PEM.
    #[arg(long, requires = "app_id")]
    app_public_key: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the command says.
fn run(command: Command) -> io::Result<()> {
    match command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Generate { folder, owner, count, commits } => {
            let names = generate(&folder, &Generate { owner, count, commits_each: commits, ..Generate::default() })?;
            names.iter().try_for_each(|name| writeln!(io::stdout(), "{name}"))
        }
        Command::GenerateIssues { folder, repository, issues, pulls, comments, reviews, seed } => {
            let (comments_per_item, reviews_per_pull) = (comments, reviews);
            let description = GenerateIssues { repository, issues, pulls, comments_per_item, reviews_per_pull, seed };
            generate_issues(&folder, &description)
        }
        Command::Import { folder, owner, bundles } => bundles.iter().try_for_each(|bundle| {
            let name = format!("{owner}/{}", stem(bundle)?);
            import_bundle(bundle, &folder, &name)?;
            writeln!(io::stdout(), "{name}")
        }),
    }
}

/// Serves until a signal.
fn serve(arguments: &Serve) -> io::Result<()> {
    let mut options = Options { port: arguments.port, ..Options::new(&arguments.repositories) };
    if let Some(token) = &arguments.token {
        options.token.clone_from(token);
    }
    if let (Some(id), Some(key)) = (arguments.app_id, &arguments.app_public_key) {
        options.app = Some(AppOptions::new(id, arguments.app_installation_id, fs::read_to_string(key)?));
    }
    options.tls = arguments.tls_certificate.is_some();
    options.keep_answers = arguments.keep_answers;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        // Before the sandbox says that it is ready: who has read that may send the signal.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let sandbox = Sandbox::start(options)?;
        if let (Some(file), Some(certificate)) = (&arguments.tls_certificate, sandbox.certificate()) {
            write_at_once(file, certificate)?;
        }
        let ready = json!({
            "url": sandbox.url(),
            "api_url": sandbox.api_url(),
            "slack_url": sandbox.slack_url(),
            "control_url": format!("{}/_sandbox", sandbox.url()),
            "token": sandbox.token(),
        });
        if let Some(file) = &arguments.ready_file {
            write_at_once(file, &format!("{ready}\n"))?;
        }
        writeln!(io::stdout(), "{ready}")?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

/// Writes a file such that who waits for it never sees half of it.
fn write_at_once(file: &Path, content: &str) -> io::Result<()> {
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".tmp");
    fs::write(&unfinished, content)?;
    fs::rename(&unfinished, file)
}

/// Returns the name of a bundle's file without its extension.
fn stem(bundle: &Path) -> io::Result<&str> {
    bundle.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("not the name of a repository: {}", bundle.display()))
    })
}
