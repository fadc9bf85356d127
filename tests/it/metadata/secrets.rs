//! Nothing that opens something is stored.

use super::{Kept, git};

#[test]
fn neither_the_token_nor_a_live_token_in_an_answer_reaches_the_store() {
    let kept = Kept::new();
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.open_issue("It breaks", "");
    tracker.open_pull("Mend it", "", "mend", "main");
    kept.back_up();
    let mirror = kept.world.root.join("acme/site.meta");
    let all = git(&mirror, &["grep", "-I", "-e", "", "main"]);
    let secrets = [kept.world.sandbox.token(), ghbk_sandbox::TEMP_CLONE_TOKEN];
    for secret in secrets.into_iter().chain(["temp_clone_token", "tempCloneToken", "body_html", "avatar_url"]) {
        assert!(!all.contains(secret), "{secret}");
    }
    let files = walk(&kept.world.root).into_iter().chain(walk(&kept.world.folder.path().join("scratch")));
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for secret in secrets {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{secret} in {}", file.display());
        }
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}
