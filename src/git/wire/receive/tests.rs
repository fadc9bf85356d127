use std::process::{Command, Stdio};

use git2::ObjectType;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::disk::DiskError;

const LARGE: ByteSize = ByteSize::mib(1);

/// Makes a pack with deltas, as a server with or without `ofs-delta` would.
fn pack_of_git(arguments: &[&str]) -> Vec<u8> {
    let version = |version: usize| -> String {
        (0..200).map(|line| format!("line {}\n", line * 7919 + version / (line + 1))).collect()
    };
    pack_of(&[version(0), version(1), version(2)], arguments)
}

fn pack_of(files: &[String], arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str], input: &[u8]| -> Vec<u8> {
        let mut git = Command::new("git");
        git.arg("--git-dir").arg(folder.path()).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut git = git.env("GIT_CONFIG_GLOBAL", "/dev/null").stderr(Stdio::null()).spawn().unwrap();
        git.stdin.take().unwrap().write_all(input).unwrap();
        git.wait_with_output().unwrap().stdout
    };
    git(&["init", "--quiet", "--bare"], b"");
    let hash = |file: &String| git(&["hash-object", "-w", "--stdin"], file.as_bytes());
    let oids: Vec<u8> = files.iter().flat_map(hash).collect();
    git(&[&["pack-objects", "--stdout", "--quiet"], arguments].concat(), &oids)
}

fn line(out: &mut Vec<u8>, payload: &[u8]) {
    push_line(out, payload);
}

/// Frames a pack as a server does.
fn answer(pack: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    line(&mut out, b"NAK\n");
    line(&mut out, b"\x02Counting objects\n");
    for piece in pack.chunks(100) {
        line(&mut out, &[b"\x01", piece].concat());
    }
    out.extend_from_slice(FLUSH);
    out
}

fn own() -> Vec<NewObject> {
    vec![NewObject::new(ObjectType::Blob, b"ref: refs/heads/main\n".to_vec()).unwrap()]
}

fn write_into_scratch(bytes: &[u8]) -> (Result<Option<Received>, GitError>, tempfile::TempDir) {
    write_after_haves(bytes, 0, &own())
}

fn write_after_haves(
    bytes: &[u8],
    haves: usize,
    own: &[NewObject],
) -> (Result<Option<Received>, GitError>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let answer = Answer { bytes, haves };
    let written = write(answer, own, &folder.path().join("growing.pack"), &Transfer::default(), LARGE);
    (written, folder)
}

#[test]
fn a_pack_arrives_with_our_objects_behind_it() {
    let (received, folder) = write_into_scratch(&answer(&pack_of_git(&["--delta-base-offset"])));
    let received = received.unwrap().unwrap();
    let growing = folder.path().join("growing.pack");
    let cancel = CancellationToken::new();
    let Known { mut rows, needs, .. } = examine::arrived(&growing, received.arriving, LARGE, &cancel).unwrap();
    assert_eq!((rows.len(), needs.iter().count()), (3, 0));
    rows.extend(received.own);
    let pack = pack::name(&growing, rows, received.checksum, folder.path()).unwrap();
    let verified = Command::new("git").arg("verify-pack").arg(&pack.idx).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    assert_eq!(pack.oids().unwrap().len(), 4);
}

#[test]
fn bases_named_by_id_are_for_libgit2() {
    assert!(write_into_scratch(&answer(&pack_of_git(&[]))).0.unwrap().is_none());
}

#[test]
fn a_full_disk_is_no_broken_pack() {
    let digits: String = (0..400_000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let answer = answer(&pack_of(&[digits], &["--delta-base-offset"]));
    let full = Path::new("/dev/full");
    let file = File::options().write(true).open(full).unwrap();
    let answer = Answer { bytes: answer.as_slice(), haves: 0 };
    let written = write_to(answer, &own(), file, full, &Transfer::default(), LARGE);
    let Err(GitError::Disk(DiskError::Io { source, .. })) = written else { panic!("{:?}", written.err()) };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn an_answer_cut_anywhere_or_with_a_wrong_byte_is_no_pack() {
    let pack = pack_of_git(&["--delta-base-offset"]);
    let whole = answer(&pack);
    let end_of_pack = whole.len() - FLUSH.len();
    for end in 0..end_of_pack {
        assert!(write_into_scratch(&whole[..end]).0.is_err(), "cut at {end}");
    }
    for at in 0..pack.len() {
        let mut wrong = pack.clone();
        wrong[at] ^= 1;
        assert!(write_into_scratch(&answer(&wrong)).0.is_err(), "wrong at {at}");
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let pack = pack_of_git(&["--delta-base-offset"]);
    let mut out = Vec::new();
    line(&mut out, b"NAK\n");
    line(&mut out, &[b"\x01", pack.as_slice(), b"more"].concat());
    assert!(matches!(write_into_scratch(&out).0, Err(GitError::BrokenPack(_))));
}

/// An answer to a request that named some stored commits, in the words of git's `upload-pack` without `multi_ack`.
fn answer_with(acknowledgements: &[&str], pack: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for acknowledgement in acknowledgements {
        line(&mut out, format!("{acknowledgement}\n").as_bytes());
    }
    line(&mut out, &[b"\x01", pack].concat());
    out.extend_from_slice(FLUSH);
    out
}

const ACK: &str = "ACK 8b137891791fe96927ad78e64b0aad7bded08bdc";

#[test]
fn a_pack_comes_after_any_number_of_acknowledgements() {
    let pack = pack_of_git(&["--delta-base-offset"]);
    for acknowledgements in [&["NAK"][..], &[ACK], &[ACK, ACK]] {
        let written = write_after_haves(&answer_with(acknowledgements, &pack), 2, &[]).0;
        assert_eq!(written.unwrap().unwrap().arriving.entries.len(), 3, "{acknowledgements:?}");
    }
    let too_many = write_after_haves(&answer_with(&[ACK; 4], &pack), 2, &[]).0;
    assert!(matches!(too_many, Err(GitError::Wire(WireError::Protocol(_)))));
    let of_nothing = write_into_scratch(&answer_with(&[ACK], &pack)).0;
    assert!(matches!(of_nothing, Err(GitError::Wire(WireError::Protocol(_)))));
    let only = answer_with(&[ACK], &[]);
    assert!(write_after_haves(&only, 2, &[]).0.is_err());
}

#[test]
fn a_pack_without_objects_ends_with_its_checksum_too() {
    let empty = pack_of(&[], &["--delta-base-offset"]);
    let whole = write_after_haves(&answer_with(&[ACK], &empty), 1, &[]).0;
    assert!(whole.unwrap().unwrap().arriving.entries.is_empty());
    for end in 0..empty.len() {
        assert!(write_after_haves(&answer_with(&[ACK], &empty[..end]), 1, &[]).0.is_err(), "cut at {end}");
    }
    let more = [empty.as_slice(), b"x"].concat();
    assert!(write_after_haves(&answer_with(&[ACK], &more), 1, &[]).0.is_err());
    let mut wrong = empty;
    *wrong.last_mut().unwrap() ^= 1;
    assert!(write_after_haves(&answer_with(&[ACK], &wrong), 1, &[]).0.is_err());
}

#[test]
fn what_the_server_says_is_reported() {
    let mut out = Vec::new();
    line(&mut out, b"ERR upload-pack: not our ref\n");
    assert!(
        matches!(write_into_scratch(&out).0, Err(GitError::Wire(WireError::Remote(text))) if text.contains("not our ref"))
    );
    let mut out = Vec::new();
    line(&mut out, b"NAK\n");
    line(&mut out, b"\x03fatal: bad object\n");
    assert!(
        matches!(write_into_scratch(&out).0, Err(GitError::Wire(WireError::Remote(text))) if text.contains("bad object"))
    );
    let mut out = Vec::new();
    line(&mut out, b"hello\n");
    assert!(matches!(write_into_scratch(&out).0, Err(GitError::Wire(WireError::Protocol(_)))));
}
