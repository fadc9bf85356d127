//! A git server that lies: packs and advertisements that are not what they say. Nothing of it is published, memory and
//! time stay bounded, and every other repository is backed up.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use ghbk_sandbox::RepositoryEditor;

use crate::wire::Line;
use crate::world::{Ended, World, finish_watched};

/// What any lie may cost. A run over small repositories takes a tenth.
const MEMORY_MAX_KIB: u64 = 400 * 1024;
const BOUND: Duration = Duration::from_mins(1);

struct Liar {
    world: World,
    line: Line,
    one: RepositoryEditor,
}

/// What is asked of the liar.
#[derive(Clone, Copy)]
enum About {
    Refs,
    Pack,
}

impl Liar {
    fn new() -> Self {
        let world = World::new();
        let one = world.add("acme/one");
        one.commit("main", "more", "content\n").unwrap();
        world.add("acme/two");
        let line = Line::to(&world.sandbox);
        Self { world, line, one }
    }

    fn answer(&self, about: About, body: Vec<u8>) {
        let (request, content_type) = match about {
            About::Refs => ("GET /acme/one.git/info/refs", "application/x-git-upload-pack-advertisement"),
            About::Pack => ("POST /acme/one.git/git-upload-pack", "application/x-git-upload-pack-result"),
        };
        let body = Arc::new(body);
        self.line.answer(request, move |client| {
            let length = body.len();
            write!(client, "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n")?;
            client.write_all(&body)
        });
    }

    /// Runs, and checks that the lie has cost its own repository alone.
    fn run(&self, what: &str) -> Ended {
        let started = Instant::now();
        let mut command = self.world.ghbk(&["run", "--json"]);
        command.env("GHBK_GITHUB__API_URL", self.line.api_url()).env("GHBK_LIMITS__STALL_TIMEOUT", "5s");
        command.env("GHBK_LIMITS__RETRIES", "0");
        let (ended, peak_kib) = finish_watched(&mut command);
        eprintln!("{what}: {peak_kib} KiB, {:.1} s", started.elapsed().as_secs_f64());
        assert!(started.elapsed() < BOUND, "{what}: {ended:#?}");
        assert!(peak_kib < MEMORY_MAX_KIB, "{what}: {peak_kib} KiB: {ended:#?}");
        assert!(!ended.stderr.contains("panicked"), "{what}: {ended:#?}");
        ended
    }

    #[track_caller]
    fn expect_refused(&self, what: &str, hidden: bool) -> String {
        let ended = self.run(what);
        assert_eq!(ended.code, Some(1), "{what}: {ended:#?}");
        let summary = ended.json();
        assert_eq!(summary["failures"].as_array().unwrap().len(), 1, "{what}: {summary:#}");
        assert_eq!(summary["failures"][0]["repository"], "acme/one", "{what}: {summary:#}");
        assert!(self.world.mirror("acme/two").exists(), "{what}");
        assert_eq!(self.world.mirror("acme/one").exists(), !hidden, "{what}");
        let scratch = std::fs::read_dir(self.world.folder.path().join("scratch")).unwrap().count();
        assert_eq!(scratch, 0, "{what}: scratch is left");
        summary["failures"][0]["error"].as_str().unwrap().to_owned()
    }

    /// The true pack of everything.
    fn pack(&self, revisions: &str) -> Vec<u8> {
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(self.one.path())
            .args(["pack-objects", "--revs", "--stdout", "--quiet", "--no-reuse-delta"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(revisions.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    }
}

fn line(payload: &[u8]) -> Vec<u8> {
    [format!("{:04x}", payload.len() + 4).as_bytes(), payload].concat()
}

/// An answer with a pack in it, as a server sends it.
fn sent(pack: &[u8]) -> Vec<u8> {
    let mut out = line(b"NAK\n");
    for piece in pack.chunks(60_000) {
        out.extend(line(&[b"\x01", piece].concat()));
    }
    out.extend(b"0000");
    out
}

/// Gives a pack without its checksum the right one.
fn sealed(mut pack: Vec<u8>) -> Vec<u8> {
    let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
    hasher.update(&pack);
    pack.extend_from_slice(hasher.try_finalize().unwrap().as_bytes());
    pack
}

fn unsealed(pack: &[u8]) -> Vec<u8> {
    pack[..pack.len() - 20].to_vec()
}

fn header(version: u32, objects: u32) -> Vec<u8> {
    [b"PACK".as_slice(), &version.to_be_bytes(), &objects.to_be_bytes()].concat()
}

/// An entry's header: type and length (gitformat-pack, "Pack entries").
fn entry(kind: u8, mut length: u64) -> Vec<u8> {
    let mut byte = (kind << 4) | (length & 0xf) as u8;
    length >>= 4;
    let mut out = Vec::new();
    while length > 0 {
        out.push(byte | 0x80);
        byte = (length & 0x7f) as u8;
        length >>= 7;
    }
    out.push(byte);
    out
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// So many zeros, compressed.
fn deflated_zeros(bytes: u64) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), bytes), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

const BLOB: u8 = 3;
const OFFSET_DELTA: u8 = 6;
const REF_DELTA: u8 = 7;

/// Packs that are wrong in one way each, for a repository of which nothing is stored.
fn wrong_packs(liar: &Liar) -> Vec<(&'static str, Vec<u8>)> {
    let whole = liar.pack("main\n");
    let objects = u32::from_be_bytes(whole[8..12].try_into().unwrap());
    let body = &unsealed(&whole)[12..];
    let counted = |count: u32| sealed([header(2, count).as_slice(), body].concat());
    let with = |more: &[u8]| sealed([header(2, objects + 1).as_slice(), body, more].concat());
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let without_tip = liar.pack("main~1\n");
    let huge = 1 << 34;
    vec![
        ("one object fewer than it says", sent(&counted(objects + 1))),
        ("one object more than it says", sent(&counted(objects - 1))),
        ("four thousand million objects", sent(&counted(u32::MAX))),
        ("no object", sent(&sealed(header(2, 0)))),
        ("a wrong checksum", sent(&flipped)),
        ("no checksum", sent(&unsealed(&whole))),
        ("version 9", sent(&sealed([header(9, objects).as_slice(), body].concat()))),
        ("no pack", sent(b"")),
        ("not a pack", sent(&[b'x'; 1000])),
        ("without what the refs name", sent(&without_tip)),
        (
            "a delta without its base",
            sent(&with(&[entry(REF_DELTA, 4), vec![7; 20], deflated(&[1, 1, 1, b'x'])].concat())),
        ),
        (
            "a delta before the pack's start",
            sent(&with(&[entry(OFFSET_DELTA, 4), vec![0xff, 0x7f], deflated(&[1, 1, 1, b'x'])].concat())),
        ),
        ("an object of no kind", sent(&with(&[entry(5, 1), deflated(b"x")].concat()))),
        ("an object shorter than it says", sent(&with(&[entry(BLOB, 100), deflated(b"x")].concat()))),
        ("an object longer than it says", sent(&with(&[entry(BLOB, 1), deflated(b"much longer")].concat()))),
        ("an object said to be 16 GiB", sent(&with(&[entry(BLOB, huge), deflated(b"x")].concat()))),
        ("an object of 16 EiB", sent(&with(&[entry(BLOB, u64::MAX), deflated(b"x")].concat()))),
        ("garbage instead of zlib", sent(&with(&[entry(BLOB, 10), vec![0xff; 30]].concat()))),
        ("an object of 3 GiB in 3 MB", sent(&with(&[entry(BLOB, 3 << 30), deflated_zeros(3 << 30)].concat()))),
        ("an error in git's words", [line(b"NAK\n"), line(b"\x03out of memory\n"), b"0000".to_vec()].concat()),
        ("an error line", line(b"ERR access denied\n")),
        ("nothing at all", Vec::new()),
        ("no NAK", [line(b"ACK 1111111111111111111111111111111111111111\n"), b"0000".to_vec()].concat()),
        ("a line of a wrong length", b"zzzzNAK\n".to_vec()),
        (
            "only progress",
            [line(b"NAK\n"), line(&[b"\x02".as_slice(), &[b'.'; 900]].concat()).repeat(20_000), b"0000".to_vec()]
                .concat(),
        ),
        ("an unknown band", [line(b"NAK\n"), line(b"\x09x"), b"0000".to_vec()].concat()),
    ]
}

#[test]
fn a_first_pack_that_lies_is_never_published() {
    let liar = Liar::new();
    for (what, answer) in wrong_packs(&liar) {
        liar.answer(About::Pack, answer);
        let error = liar.expect_refused(what, true);
        eprintln!("    {error}");
    }
}

#[test]
fn a_later_pack_that_lies_leaves_the_mirror_as_it_was() {
    let liar = Liar::new();
    // Through the same address as later, for a store belongs to one GitHub.
    liar.run("nothing but the truth").expect(0);
    liar.one.commit("main", "newer", "x").unwrap();
    let before = crate::world::files_below(&liar.world.mirror("acme/one"));
    for (what, answer) in wrong_packs(&liar) {
        liar.answer(About::Pack, answer);
        let error = liar.expect_refused(what, false);
        eprintln!("    {error}");
        assert_eq!(crate::world::files_below(&liar.world.mirror("acme/one")), before, "{what}");
    }
}

#[test]
fn an_advertisement_that_lies_is_refused() {
    let liar = Liar::new();
    let tip = liar.one.rev_parse("main").unwrap();
    let announced = [line(b"# service=git-upload-pack\n"), b"0000".to_vec()].concat();
    let with = |lines: &[String]| {
        let lines: Vec<u8> = lines.iter().flat_map(|text| line(text.as_bytes())).collect();
        [announced.clone(), lines, b"0000".to_vec()].concat()
    };
    let capabilities = "\0side-band-64k ofs-delta\n";
    let first = |rest: &str| format!("{tip} refs/heads/main{rest}");
    let sha256 = format!("{} refs/heads/main\0side-band-64k ofs-delta object-format=sha256\n", "1".repeat(64));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("SHA-256", with(&[sha256]), "SHA-256"),
        ("another version", with(&["version 2\n".to_owned()]), ""),
        ("no announcement", b"0000".to_vec(), ""),
        ("a web page", b"<html></html>".to_vec(), ""),
        ("no end", [announced.clone(), line(first(capabilities).as_bytes())].concat(), "early"),
        ("a shallow repository", with(&[first(capabilities), format!("shallow {tip}\n")]), "shallow"),
        ("a ref to what is not there", with(&[format!("{} refs/heads/main{capabilities}", "1".repeat(40))]), ""),
        ("an id that is none", with(&[format!("{} refs/heads/main{capabilities}", "z".repeat(40))]), "object id"),
        ("an error", with(&["ERR go away\n".to_owned()]), "go away"),
        ("a peeled line without its tag", with(&[first(capabilities), format!("{tip} refs/tags/v1^{{}}\n")]), "peeled"),
        ("binary names", with(&[first(capabilities), format!("{tip} refs/heads/\u{1b}[31m\n")]), "cannot be stored"),
        (
            "a name that climbs",
            with(&[first(capabilities), format!("{tip} refs/heads/../../../config\n")]),
            "cannot be stored",
        ),
    ];
    for (what, answer, expected) in cases {
        let _ = std::fs::remove_dir_all(liar.world.mirror("acme/one"));
        liar.answer(About::Refs, answer);
        let ended = liar.run(what);
        assert_eq!(ended.code, Some(1), "{what}: {ended:#?}");
        let summary = ended.json();
        assert_eq!(summary["failures"][0]["repository"], "acme/one", "{what}: {summary:#}");
        let error = summary["failures"][0]["error"].as_str().unwrap();
        assert!(error.contains(expected), "{what}: {error}");
        assert!(!ended.stderr.contains('\u{1b}'), "{what}: {ended:#?}");
    }
}

/// Streams without end, as many bytes as the client takes.
#[test]
fn what_never_ends_is_cut_off() {
    let liar = Liar::new();
    let endless = |request: &str, content_type: &'static str, first: Vec<u8>, piece: Vec<u8>| {
        liar.line.answer(request, move |client| {
            write!(client, "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n")?;
            client.write_all(&first)?;
            loop {
                client.write_all(&piece)?;
            }
        });
    };
    let announced = [line(b"# service=git-upload-pack\n"), b"0000".to_vec()].concat();
    let refs: Vec<u8> =
        (0..1000).flat_map(|number| line(format!("{} refs/heads/b{number}\n", "1".repeat(40)).as_bytes())).collect();
    let advertisement = "application/x-git-upload-pack-advertisement";
    endless("GET /acme/one.git/info/refs", advertisement, announced, refs);
    liar.expect_refused("millions of refs", true);

    let blob = [entry(BLOB, 1), deflated(b"x")].concat().repeat(3000);
    let first = [line(b"NAK\n"), line(&[b"\x01".as_slice(), &header(2, u32::MAX - 1000)].concat())].concat();
    let piece = line(&[b"\x01".as_slice(), &blob].concat());
    endless("POST /acme/one.git/git-upload-pack", "application/x-git-upload-pack-result", first, piece);
    let ended = {
        let mut command = liar.world.ghbk(&["run", "--json"]);
        command.env("GHBK_GITHUB__API_URL", liar.line.api_url()).env("GHBK_LIMITS__REPOSITORY_SIZE", "20 MB");
        let (ended, peak_kib) = finish_watched(&mut command);
        assert!(peak_kib < MEMORY_MAX_KIB, "{peak_kib} KiB");
        ended.expect(1)
    };
    let error = ended.json()["failures"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("limits.repository_size"), "{error}");
}

/// A listing of a few kilobytes that unpacks to gigabytes.
#[test]
fn a_listing_that_unpacks_to_gigabytes_is_refused() {
    let liar = Liar::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(b' '), 4 << 30), &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    for request in ["GET /api/v3/orgs/acme/repos", "GET /acme/one.git/info/refs"] {
        let bomb = bomb.clone();
        liar.line.answer(request, move |client| {
            let kind = if request.contains("info") { "x-git-upload-pack-advertisement" } else { "json" };
            let length = bomb.len();
            write!(client, "HTTP/1.1 200 OK\r\ncontent-type: application/{kind}\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n")?;
            client.write_all(&bomb)
        });
        let ended = liar.run(request);
        assert!(matches!(ended.code, Some(1 | 3)), "{request}: {ended:#?}");
        assert!(!ended.json()["failures"].as_array().unwrap().is_empty());
    }
}
