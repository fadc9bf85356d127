//! Commands that texts name: those of hints, documents and examples exist and parse.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

/// Every file with this ending below a folder.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Puts values in the places of what a text leaves open.
fn filled(command: &str) -> String {
    let mut text = command.replace("--run {}", "--run ID").replace("--run {run_id}", "--run ID");
    text = text.replace("{number}", "123").replace("--at {at}", "--at TIME");
    // What follows without a space is an option that may be there, such as ` --wiki`.
    while let Some(start) = text.find('{') {
        let end = start + text[start..].find('}').unwrap_or(text.len() - start - 1);
        let value = if text[..start].ends_with(' ') { "acme/site" } else { "" };
        text.replace_range(start..=end, value);
    }
    text.replace("OWNER/REPO", "acme/site")
        .replace(" ID DEST", " 1296269 DEST")
        .replace("OWNER-REPO", "acme-site")
        .replace("--run ID", "--run 20261129T050000.000Z")
        .replace("--at TIME", "--at 2026-11-22")
        .replace("4d7a2146…", &"4d7a2146".repeat(8))
        .replace("OID", &"4d7a2146".repeat(8))
        .replace('…', "")
}

/// Fails unless a command parses; in running text it may be without its arguments.
fn check(command: &str, from: &Path, is_text: bool) {
    let command = filled(command);
    let words = shell_words::split(&command).unwrap_or_else(|error| panic!("{}: `{command}`: {error}", from.display()));
    // What follows the command is the shell's.
    let ends = |word: &String| ["|", ">", "&&", ";", "#"].contains(&word.as_str());
    let words: Vec<String> = words.into_iter().take_while(|word| !ends(word)).collect();
    match ghbk::cli::command().try_get_matches_from(&words) {
        Ok(_) => {}
        Err(error) if is_text && error.kind() == ErrorKind::MissingRequiredArgument => {}
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {}
        Err(error) => panic!("{}: `{command}`: {error}", from.display()),
    }
}

/// Commands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|piece| piece.starts_with("ghbk ") && !piece.contains('\n'))
}

#[test]
fn commands_in_messages_and_hints_parse() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    for path in files(&source, ".rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        // A string may be continued on the next line.
        let text = text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n").replace("\\\n", "");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in text.lines().filter(|line| !line.starts_with("//")) {
            for command in quoted(line).filter(|command| !command.contains("COMMAND")) {
                // In running text a verb may stand alone; with arguments it has all that it needs.
                check(&command.replace("\\\"", "\""), &path, command.split(' ').count() <= 2);
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "only {checked} commands were found");
}

#[test]
fn commands_in_help_parse() {
    for verb in ghbk::cli::command().get_subcommands() {
        let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in text.lines().filter_map(|line| line.strip_prefix("  ")) {
            // An explanation follows after two spaces.
            let command = line.split("  ").next().unwrap_or_default();
            let command = command.trim_start_matches("sudo ").trim_start_matches("GITHUB_TOKEN=… ");
            if command.starts_with("ghbk ") {
                check(command, Path::new(verb.get_name()), false);
            }
        }
    }
}

#[test]
fn commands_in_documents_parse() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = files(&root.join("docs"), ".md");
    documents.push(root.join("README.md"));
    let mut checked = 0;
    for path in documents {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut is_shell = false;
        for line in text.lines() {
            if let Some(language) = line.strip_prefix("```") {
                is_shell = language == "sh";
                continue;
            }
            let commands: Vec<&str> = if is_shell {
                let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
                let line = line.trim_start_matches("GHBK_PUSH_TOKEN=… ");
                // A comment, which may hold quotation marks.
                let line = line.split("  #").next().unwrap_or(line).split(" # ").next().unwrap_or(line).trim_end();
                if line.starts_with("ghbk ") { vec![line] } else { Vec::new() }
            } else {
                quoted(line).filter(|command| !command.contains("COMMAND")).collect()
            };
            for command in commands {
                check(command, &path, !is_shell);
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "only {checked} commands were found");
}

#[test]
fn links_in_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = files(&root.join("docs"), ".md");
    documents.extend(["README.md", "CHANGELOG.md", "SECURITY.md", "sandbox/README.md"].map(|name| root.join(name)));
    for path in documents {
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if !heading.is_empty() {
                let target = std::fs::read_to_string(&target).unwrap();
                let anchor = |title: &str| -> String {
                    let title = title.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                    title.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
                };
                let has = target.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading);
                assert!(has, "{}: {link}", path.display());
            }
        }
    }
}
