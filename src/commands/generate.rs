//! `ghbk completions` and `ghbk man`, from the definitions of the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use super::print;
use crate::cli::Cli;
use crate::error::{Error, Exit};

pub(super) fn completions(shell: Shell) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ghbk", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Good)
}

/// Prints one page: the program, then each command.
pub(super) fn man() -> Result<Exit, Error> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    let failed = |error: std::io::Error| {
        Error::new(Exit::Impossible, format!("cannot write the manual page: {error}"), "please report this")
    };
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(failed)?;
    for verb in command.get_subcommands() {
        let name = format!("ghbk-{}", verb.get_name());
        let man = clap_mangen::Man::new(verb.clone().name(name.clone()));
        page.extend_from_slice(format!(".SH \"{}\"\n", name.to_uppercase()).as_bytes());
        man.render_synopsis_section(&mut page).map_err(failed)?;
        man.render_description_section(&mut page).map_err(failed)?;
        man.render_options_section(&mut page).map_err(failed)?;
        man.render_extra_section(&mut page).map_err(failed)?;
    }
    print(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Good)
}
