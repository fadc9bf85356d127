//! `ghbk completions`, `ghbk man` and `ghbk version`.

use super::print_raw;
use crate::cli::{CompletionsArgs, ManArgs, man, registration};
use crate::error::{Error, Exit};
use crate::text::nearest;

pub(super) fn completions(arguments: &CompletionsArgs) -> Result<Exit, Error> {
    let shell = arguments.shell.to_string();
    let script = registration(&shell).ok_or_else(|| {
        Error::new(Exit::Usage, format!("there are no completions for {shell}"), "`ghbk help completions`")
    })?;
    print_raw(&script)?;
    Ok(Exit::Good)
}

pub(super) fn man(arguments: &ManArgs) -> Result<Exit, Error> {
    let bug = |error: std::io::Error| {
        Error::new(Exit::Impossible, format!("cannot make the manual pages: {error}"), "please report this")
    };
    let pages = man::pages().map_err(bug)?;
    if let Some(folder) = &arguments.out {
        let write = || {
            std::fs::create_dir_all(folder)?;
            pages.iter().try_for_each(|page| std::fs::write(folder.join(&page.file), &page.text))
        };
        write().map_err(|error| {
            Error::new(
                Exit::Impossible,
                format!("cannot write to {}: {error}", folder.display()),
                "name another folder",
            )
        })?;
        return Ok(Exit::Good);
    }
    let wanted = arguments.page.as_deref().unwrap_or("ghbk");
    let named = |page: &&man::Page| page.name == wanted || page.file.file_stem().is_some_and(|stem| stem == wanted);
    let Some(page) = pages.iter().find(named) else {
        let known: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        let hint = match nearest(wanted, &known) {
            Some(name) => format!("did you mean `ghbk man {name}`?"),
            None => format!("there are: {}", known.join(", ")),
        };
        return Err(Error::new(Exit::Usage, format!("there is no manual page {wanted:?}"), hint));
    };
    print_raw(&page.text)?;
    Ok(Exit::Good)
}

pub(super) fn version() -> Result<Exit, Error> {
    print_raw(concat!("ghbk ", env!("CARGO_PKG_VERSION"), "\n"))?;
    Ok(Exit::Good)
}
