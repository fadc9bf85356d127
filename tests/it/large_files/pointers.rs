//! What is taken for a pointer: what git-lfs takes for one.

use ghbk::git::pointer::Pointer;
use proptest::prelude::*;

use super::GitLfs;

const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

/// Lines as they are in pointers, and as they might be.
fn line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        4 => Just("version"), 4 => Just("oid"), 4 => Just("size"),
        1 => Just("ext-0-foo"), 1 => Just("ext-0-bar"), 1 => Just("ext-12-x"), 1 => Just("ext-1-"), 1 => Just("other"), 1 => Just(""),
    ];
    let value = prop_oneof![
        Just("https://git-lfs.github.com/spec/v1".to_owned()),
        Just("https://hawser.github.com/spec/v1".to_owned()),
        Just("http://git-media.io/v/2".to_owned()),
        Just("https://git-lfs.github.com/spec/v2".to_owned()),
        Just(format!("sha256:{OID}")),
        Just(format!("sha256:{}", OID.to_uppercase())),
        Just(format!("sha1:{OID}")),
        Just("12345".to_owned()),
        "[-+]?[0-9]{1,20}",
        "\\PC{0,8}",
    ];
    (key, prop_oneof![9 => Just(" "), 1 => Just("  "), 1 => Just("\t"), 1 => Just("")], value)
        .prop_map(|(key, space, value)| format!("{key}{space}{value}"))
}

/// A pointer with some changes.
fn blob() -> impl Strategy<Value = String> {
    let right = Just(vec![
        "version https://git-lfs.github.com/spec/v1".to_owned(),
        format!("oid sha256:{OID}"),
        "size 12345".to_owned(),
    ]);
    let changed = (right.clone(), 0_usize..4, line()).prop_map(|(mut lines, at, line)| {
        lines.insert(at.min(lines.len()), line);
        lines
    });
    let replaced = (right.clone(), 0_usize..3, line()).prop_map(|(mut lines, at, line)| {
        lines[at] = line;
        lines
    });
    let lines = prop_oneof![2 => right, 4 => changed, 4 => replaced, 2 => proptest::collection::vec(line(), 0..5)];
    let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n"), 1 => Just("\r"), 1 => Just(" \n")];
    let last = prop_oneof![4 => Just(""), 1 => Just("\n"), 1 => Just(" "), 1 => Just("\u{a0}"), 1 => Just("\u{85}")];
    let before = prop_oneof![6 => Just(""), 1 => Just("\n"), 1 => Just(" ")];
    (before, lines, end, last).prop_map(|(before, lines, end, last)| format!("{before}{}{end}{last}", lines.join(end)))
}

#[test]
fn what_git_lfs_takes_for_a_pointer_is_one_and_nothing_else() {
    let (git, folder) = (GitLfs::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("blob");
    let path = file.to_str().unwrap();
    let config = proptest::test_runner::Config { cases: 400, failure_persistence: None, ..Default::default() };
    proptest!(config, |(blob in blob())| {
        std::fs::write(&file, &blob).unwrap();
        let theirs = git.output(folder.path(), &["lfs", "pointer", "--check", "--file", path]).status.success();
        // An empty file is a pointer to nothing for git-lfs, and nothing has to be fetched for it.
        let ours = blob.is_empty() || Pointer::parse(blob.as_bytes()).is_some();
        prop_assert_eq!(ours, theirs, "{:?}", blob);
    });
}
