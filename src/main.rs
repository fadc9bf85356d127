//! `ghbk`: parse, dispatch, exit status. Everything else is in the library.

use std::process::ExitCode;
use std::time::Duration;

use ghbk::cli::Cli;
use ghbk::commands;
use ghbk::error::{Error, Exit};
use ghbk::terminal;

/// A thread that hangs on a dead mount must not keep the process from ending.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let cli = Cli::read();
    refuse_core_dumps();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let hint = "check the limits of processes and memory";
            return report(&Error::new(Exit::Impossible, format!("cannot start: {error}"), hint));
        }
    };
    let result = runtime.block_on(commands::dispatch(cli));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    match result {
        Ok(exit) => exit.into(),
        Err(error) => report(&error),
    }
}

fn report(error: &Error) -> ExitCode {
    // Nobody is left to tell if that fails.
    let _ = terminal::write(&mut std::io::stderr().lock(), &format!("{error}\n"));
    error.exit().into()
}

/// The token is in this process's memory; a core dump would write it to disk.
fn refuse_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    // Refused only where a stricter limit holds already.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
}
