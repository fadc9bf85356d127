use std::os::unix::fs::PermissionsExt;

use super::*;

/// The SHA-256 of "hello\n".
const HELLO: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

fn hello() -> Pointer {
    Pointer { oid: HELLO.parse().unwrap(), size_bytes: 6 }
}

fn fetched(contents: &Contents, pieces: &[&[u8]]) -> Result<(), ContentError> {
    let mut incoming = contents.begin(hello())?;
    for piece in pieces {
        incoming.write(piece)?;
    }
    incoming.finish(contents)
}

#[test]
fn what_is_stored_has_the_hash_that_its_name_says() {
    let mirror = tempfile::tempdir().unwrap();
    let contents = Contents::of(mirror.path());
    for wrong in [&[b"hellO\n".as_slice()][..], &[b"hel"], &[b"hello\n", b"!"], &[]] {
        assert!(fetched(&contents, wrong).is_err(), "{wrong:?}");
        assert_eq!(contents.list().unwrap(), []);
    }
    fetched(&contents, &[b"hel", b"lo\n"]).unwrap();
    assert!(contents.has(hello(), &CancellationToken::new()).unwrap());
    let of_another_size = Pointer { size_bytes: 7, ..hello() };
    assert!(contents.has(of_another_size, &CancellationToken::new()).unwrap(), "the hash is right");
    assert_eq!(contents.prove(&hello().oid, &CancellationToken::new()).unwrap(), Some(6));
    let path = mirror.path().join(format!("lfs/objects/58/91/{HELLO}"));
    assert_eq!(fs::read(&path).unwrap(), b"hello\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o222, 0, "nobody may write to it");
    // Nothing else is left.
    assert_eq!(contents.sweep(&[hello().oid]).unwrap(), 0);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_link_is_read_before_it_counts() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (Contents::of(one.path()), Contents::of(other.path()));
    let cancel = CancellationToken::new();
    let path = from.path(&hello().oid);
    assert!(!to.link_from(&path, hello(), &cancel).unwrap());
    fetched(&from, &[b"hello\n"]).unwrap();
    assert!(to.link_from(&path, hello(), &cancel).unwrap());
    assert_eq!(to.list().unwrap(), [hello().oid]);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "hellO\n").unwrap();
    let third = tempfile::tempdir().unwrap();
    assert!(Contents::of(third.path()).link_from(&path, hello(), &cancel).is_err());
    assert_eq!(Contents::of(third.path()).list().unwrap(), []);
}

#[test]
fn what_a_killed_run_has_left_is_swept_and_nothing_else() {
    let mirror = tempfile::tempdir().unwrap();
    let contents = Contents::of(mirror.path());
    std::mem::forget(contents.begin(hello()).unwrap());
    let other = contents.path(&hello().oid).with_file_name("other");
    fs::write(&other, "").unwrap();
    assert_eq!(contents.sweep(&[hello().oid]).unwrap(), 1);
    assert!(other.exists());
    // And what is not swept is begun anew.
    std::mem::forget(contents.begin(hello()).unwrap());
    fetched(&contents, &[b"hello\n"]).unwrap();
    assert_eq!(contents.list().unwrap(), [hello().oid]);
}
