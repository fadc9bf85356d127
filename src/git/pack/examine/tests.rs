use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::git::pack::{packs_in, rows_of, write_idx};

fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(folder).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut git = git.env("GIT_CONFIG_GLOBAL", "/dev/null").stderr(Stdio::null()).spawn().unwrap();
    git.stdin.take().unwrap().write_all(input).unwrap();
    String::from_utf8(git.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

/// Makes a pack of two files, one of them far larger than what is read at once, and of what the arguments ask for.
fn packed(objects: &[(&str, &[u8])]) -> (tempfile::TempDir, Pack) {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet", "--bare"], b"");
    let oids: Vec<String> = objects
        .iter()
        .map(|(kind, data)| git(folder.path(), &["hash-object", "-w", "--literally", "--stdin", "-t", kind], data))
        .collect();
    let packs = folder.path().join("objects/pack");
    let name = packs.join("pack");
    git(folder.path(), &["pack-objects", "--quiet", name.to_str().unwrap()], oids.join("\n").as_bytes());
    let pack = packs_in(&packs).unwrap().remove(0);
    for file in [&pack.pack, &pack.idx] {
        fs::remove_file(file.with_extension("rev")).ok();
        let mut writable = fs::metadata(file).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut writable, 0o600);
        fs::set_permissions(file, writable).unwrap();
    }
    (folder, pack)
}

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes as u64 / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes()).collect()
}

type Change = fn(&mut Vec<u8>, &mut Vec<Row>);

/// Changes a pack and its rows, and updates the checksums of both.
fn changed(pack: &Pack, change: impl Fn(&mut Vec<u8>, &mut Vec<Row>)) {
    let mut rows = rows_of(&pack.index().unwrap());
    let mut bytes = fs::read(&pack.pack).unwrap();
    bytes.truncate(bytes.len() - OID_BYTES);
    change(&mut bytes, &mut rows);
    let mut hasher = gix_hash::hasher(Sha1);
    hasher.update(&bytes);
    let checksum = hasher.try_finalize().unwrap();
    bytes.extend_from_slice(checksum.as_bytes());
    fs::write(&pack.pack, bytes).unwrap();
    write_idx(&pack.idx, rows, checksum.as_bytes()).unwrap();
}

fn examined(pack: &Pack, depth: Depth) -> Result<Examined, GitError> {
    check_files(pack)?;
    stored(pack, depth, None, &CancellationToken::new())
}

#[test]
fn a_pack_that_git_does_not_take_is_damaged() {
    let large = noise(200_000);
    let objects: [(&str, &[u8]); 3] = [("blob", &large), ("blob", b"two\n"), ("blob", b"three\n")];
    let (_folder, pack) = packed(&objects);
    assert_eq!(examined(&pack, Depth::Hash).unwrap().objects, 3);
    let changes: [(&str, Change); 8] = [
        ("header is not one", |bytes, _| bytes[..4].copy_from_slice(b"JUNK")),
        ("wrong count", |bytes, _| bytes[11] += 1),
        ("the first one is not in the index", |bytes, rows| {
            bytes[11] -= 1;
            rows.retain(|row| row.offset != HEADER_BYTES);
        }),
        ("none is in the index", |bytes, rows| {
            bytes[11] = 0;
            rows.clear();
        }),
        ("the last one is not in the index", |bytes, rows| {
            bytes[11] -= 1;
            let last = rows.iter().map(|row| row.offset).max();
            rows.retain(|row| Some(row.offset) != last);
        }),
        ("bytes behind the last one", |bytes, _| bytes.extend_from_slice(b"more")),
        ("a wrong checksum in the index", |_, rows| rows[1].crc32 ^= 1),
        ("a wrong id in the index", |_, rows| rows[1].oid[19] ^= 1),
    ];
    for (what, change) in changes {
        let (_folder, pack) = packed(&objects);
        changed(&pack, change);
        let verified = Command::new("git").args(["verify-pack"]).arg(&pack.idx).stderr(Stdio::null()).status();
        assert!(!verified.unwrap().success(), "git takes it: {what}");
        assert!(matches!(examined(&pack, Depth::Hash), Err(GitError::Damaged(_))), "{what}");
    }
}

#[test]
fn what_is_unpacked_only_is_held_to_its_checksum() {
    let (_folder, pack) = packed(&[("blob", b"one\n"), ("blob", b"two\n")]);
    changed(&pack, |_, rows| rows[1].crc32 ^= 1);
    assert!(matches!(examined(&pack, Depth::Unpack), Err(GitError::Damaged(what)) if what.contains("checksum")));
}

#[test]
fn the_null_id_is_no_object_that_is_there() {
    let null = "0".repeat(40);
    let commit = format!("tree {null}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nc\n");
    let (_folder, pack) = packed(&[("commit", commit.as_bytes())]);
    let needs = examined(&pack, Depth::Hash).unwrap().needs;
    assert_eq!(needs.into_iter().collect::<Vec<_>>(), [Oid::ZERO_SHA1]);
    let proven = prove(std::slice::from_ref(&pack), &HashSet::new(), &CancellationToken::new());
    assert!(matches!(proven, Err(GitError::Incomplete(_))));
    let entry = |row: &Row| (row.offset, row.crc32);
    let (offset, crc32) = rows_of(&pack.index().unwrap()).iter().map(entry).next().unwrap();
    let mut arriving = Arriving { end: fs::metadata(&pack.pack).unwrap().len() - 20, ..Arriving::default() };
    assert!(arriving.push(offset, None, crc32));
    let known = arrived(&pack.pack, arriving, ByteSize::mib(1), &CancellationToken::new()).unwrap();
    assert_eq!(known.needs.iter().collect::<Vec<_>>(), [[0; OID_BYTES]]);
}

#[test]
fn what_was_not_written_as_it_came_is_broken() {
    let (_folder, pack) = packed(&[("blob", b"one\n")]);
    let mut arriving = Arriving { end: fs::metadata(&pack.pack).unwrap().len() - 20, ..Arriving::default() };
    assert!(arriving.push(HEADER_BYTES, None, 7));
    let known = arrived(&pack.pack, arriving, ByteSize::mib(1), &CancellationToken::new());
    assert!(matches!(known, Err(GitError::BrokenPack(_))));
    let mut arriving = Arriving::default();
    assert!(!arriving.push(100, Some(50), 0) && !Arriving::default().push(100, Some(200), 0));
}

#[test]
fn deltas_by_id_have_their_base_in_the_pack() {
    let (one, two) = (noise(4_000), [noise(4_000), b"more".to_vec()].concat());
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet", "--bare"], b"");
    let oids = [&one, &two].map(|data| git(folder.path(), &["hash-object", "-w", "--stdin"], data));
    let name = folder.path().join("objects/pack/pack");
    git(
        folder.path(),
        &["-c", "repack.useDeltaBaseOffset=false", "pack-objects", "--quiet", name.to_str().unwrap()],
        oids.join("\n").as_bytes(),
    );
    let pack = packs_in(&folder.path().join("objects/pack")).unwrap().remove(0);
    assert_eq!(examined(&pack, Depth::Hash).unwrap().objects, 2);
}
