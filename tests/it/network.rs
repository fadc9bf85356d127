//! A bad network and a server out of its mind: bounded time, bounded memory, the right outcome, and everybody else is
//! backed up.

use std::time::{Duration, Instant};

use ghbk_sandbox::{Fault, Options};
use serde_json::{Value, json};

use crate::wire::{Cut, End, Line};
use crate::world::{Ended, World, finish, is_everything};

/// Two tries, each of which waits a second for a sign of life, and the pause between them.
const BOUND: Duration = Duration::from_secs(45);

const NAMES: [&str; 4] = ["acme/one", "acme/two", "acme/three", "acme/two.wiki"];

/// Three repositories, one with a wiki.
fn organisation() -> World {
    let world = World::new();
    for name in NAMES {
        world.add(name);
    }
    world
}

fn run(world: &World, settings: &[(&str, &str)]) -> Ended {
    let started = Instant::now();
    let mut command = world.ghbk(&["run", "--json"]);
    command.env("GHBK_LIMITS__STALL_TIMEOUT", "1s").envs(settings.iter().copied());
    let ended = finish(&mut command);
    assert!(started.elapsed() < BOUND, "it took {:?}: {ended:#?}", started.elapsed());
    assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
    ended
}

fn failures(summary: &Value) -> Vec<String> {
    let failures = summary["failures"].as_array().unwrap().iter();
    failures.map(|failure| failure["repository"].as_str().unwrap().to_owned()).collect()
}

/// Where in an answer to cut: at both ends, around the end of the header, and evenly between.
fn cuts(bytes: usize) -> Vec<usize> {
    if is_everything() {
        return (0..bytes).collect();
    }
    let mut cuts = vec![0, 1, bytes / 3, bytes / 2, bytes.saturating_sub(1)];
    cuts.dedup();
    cuts
}

/// Cuts the answer to one kind of request after so many bytes, in every way, for good.
fn cut_everywhere(request: &str, judge: impl Fn(&World, &Ended)) {
    let world = organisation();
    let line = Line::to(&world.sandbox);
    let api_url = line.api_url();
    let settings = [("GHBK_GITHUB__API_URL", api_url.as_str())];
    run(&world, &settings).expect(0);
    let bytes = line.answered_bytes(request);
    assert!(bytes > 100, "no answer to {request}: {bytes}");
    let mut tried = 0;
    for after_bytes in cuts(bytes) {
        for end in [End::Close, End::Reset, End::Stall] {
            // A second for each would take hours.
            let is_sampled = if is_everything() { after_bytes % 50 == 0 } else { after_bytes == bytes / 2 };
            if end == End::Stall && !is_sampled {
                continue;
            }
            std::fs::remove_dir_all(&world.root).unwrap();
            std::fs::create_dir(&world.root).unwrap();
            line.cut(Some(Cut { request: request.to_owned(), after_bytes, end, times: usize::MAX }));
            let ended = run(&world, &[settings[0], ("GHBK_LIMITS__RETRIES", "0")]);
            // An answer may be a few bytes shorter than the one before, or lack only the mark of its end.
            if ended.code == Some(0) {
                assert!(after_bytes + 50 > bytes, "cut after {after_bytes} of {bytes}, {end:?}: {ended:#?}");
                for name in NAMES {
                    world.assert_mirrors(name);
                }
            } else {
                judge(&world, &ended);
            }
            // Once is no failure.
            line.cut(Some(Cut { request: request.to_owned(), after_bytes, end, times: 1 }));
            run(&world, &settings).expect(0);
            tried += 1;
        }
    }
    eprintln!("{}", json!({ "request": request, "answer_bytes": bytes, "tried": tried }));
}

/// All but one repository are good, and that one is named and not there.
fn only(broken: &'static str) -> impl Fn(&World, &Ended) {
    move |world, ended| {
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        assert_eq!(failures(&ended.json()), [broken], "{ended:#?}");
        for name in NAMES {
            assert_eq!(world.mirror(name).exists(), name != broken, "{name}: {ended:#?}");
        }
    }
}

#[test]
fn a_listing_cut_anywhere_is_no_listing() {
    cut_everywhere("/orgs/acme/repos", |world, ended| {
        assert_eq!(ended.code, Some(3), "{ended:#?}");
        assert!(!world.root.join("acme").exists(), "something was mirrored from half a listing");
    });
}

#[test]
fn an_advertisement_cut_anywhere_fails_its_repository_alone() {
    cut_everywhere("/acme/one.git/info/refs", only("acme/one"));
}

#[test]
fn a_pack_cut_anywhere_fails_its_repository_alone() {
    cut_everywhere("/acme/one.git/git-upload-pack", only("acme/one"));
}

#[test]
fn a_wiki_cut_anywhere_fails_by_its_name() {
    cut_everywhere("/acme/two.wiki.git/info/refs", only("acme/two.wiki"));
}

#[test]
fn slack_cut_anywhere_fails_no_backup() {
    let world = organisation();
    let line = Line::to(&world.sandbox);
    let webhook = line.url(world.sandbox.slack_url().strip_prefix(world.sandbox.url()).unwrap());
    for (after_bytes, end) in [(0, End::Close), (0, End::Reset), (0, End::Stall), (20, End::Close), (20, End::Stall)] {
        line.cut(Some(Cut { request: "POST".to_owned(), after_bytes, end, times: usize::MAX }));
        let ended = run(&world, &[("SLACK_WEBHOOK_URL", &webhook)]).expect(0);
        assert!(ended.stderr.contains("Slack"), "{ended:#?}");
    }
}

#[test]
fn servers_that_are_none_are_named() {
    let world = organisation();
    let secure = World::with(|options: Options| Options { tls: true, ..options });
    let cases = [
        ("http://127.0.0.1:1/api/v3".to_owned(), "refused"),
        ("https://no-such-host.invalid/api/v3".to_owned(), "there is no host no-such-host.invalid"),
        // Not TLS at the other end.
        (world.sandbox.api_url().replace("http://", "https://"), "connect"),
        // A certificate that nobody vouches for.
        (secure.sandbox.api_url(), "certificate"),
    ];
    for (api_url, expected) in cases {
        let ended = run(&world, &[("GHBK_GITHUB__API_URL", &api_url)]).expect(3);
        assert!(ended.stdout.contains(expected) || ended.stderr.contains(expected), "{expected}: {ended:#?}");
        assert!(!world.root.join("acme").exists());
    }
}

/// What the listing answers instead of repositories.
#[test]
fn a_listing_that_makes_no_sense_is_a_failure() {
    let link = |world: &World, page: u32| {
        format!("<{}/orgs/acme/repos?per_page=100&page={page}>; rel=\"next\"", world.sandbox.api_url())
    };
    let answers: Vec<(&str, String)> = vec![
        ("malformed", "[{\"id\": 1".to_owned()),
        ("no JSON", "<html>Sign in</html>".to_owned()),
        ("empty", String::new()),
        ("an object", "{}".to_owned()),
        ("null", "null".to_owned()),
        ("null items", "[null]".to_owned()),
        ("a wrong type", json!([{"id": "one", "name": "one", "full_name": "acme/one"}]).to_string()),
        ("a negative id", json!([{"id": -1, "name": "one", "full_name": "acme/one"}]).to_string()),
        ("a huge id", "[{\"id\": 99999999999999999999999, \"name\": \"one\", \"full_name\": \"acme/one\"}]".to_owned()),
        ("no name", json!([{"id": 1}]).to_string()),
        ("deep", "[".repeat(100_000)),
        ("invalid UTF-8 escaped", "[\"\\ud800\"]".to_owned()),
    ];
    for (what, body) in answers {
        let world = organisation();
        world.sandbox.fault(Fault::on("/orgs/acme/repos").status(200).body(body));
        let ended = run(&world, &[]);
        assert!(matches!(ended.code, Some(1 | 3)), "{what}: {ended:#?}");
        assert!(!failures(&ended.json()).is_empty(), "{what}: {ended:#?}");
        assert!(!world.root.join("acme").exists(), "{what}");
    }
    let world = organisation();
    let one = json!([{"id": 1, "name": "one", "full_name": "acme/one", "owner": {"login": "acme"}}]).to_string();
    for page in [1, 2] {
        world.sandbox.clear_faults();
        let fault = Fault::on("/orgs/acme/repos").status(200).header("link", link(&world, page)).body(&one);
        world.sandbox.fault(fault);
        let ended = run(&world, &[]);
        assert_ne!(ended.code, Some(0), "a loop of pages: {ended:#?}");
        assert!(world.sandbox.requests().len() < 20, "{}", world.sandbox.requests().len());
    }
}

#[test]
fn statuses_of_every_kind_end_in_bounded_time() {
    let elsewhere = "http://127.0.0.1:1/";
    for (path, is_listing) in [("/orgs/acme/repos", true), ("/acme/one.git/info/refs", false)] {
        let mut faults: Vec<(String, Fault)> = [400, 402, 404, 405, 409, 410, 418, 422, 451, 500, 501, 502, 503, 504]
            .into_iter()
            .map(|status| (status.to_string(), Fault::on(path).status(status).body("{\"message\": \"no\"}")))
            .collect();
        for wait in ["-1", "0", "99999999999999999999", "1e9", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "", "3600"] {
            let fault = Fault::on(path).status(429).header("retry-after", wait);
            faults.push((format!("retry-after {wait:?}"), fault));
        }
        for code in [301, 302, 307, 308] {
            for (what, location) in [
                ("itself", format!("{path}?service=git-upload-pack")),
                ("elsewhere", elsewhere.to_owned()),
                ("nonsense", "http://[".to_owned()),
                ("a file", "file:///etc/passwd".to_owned()),
            ] {
                let fault = Fault::on(path).status(code).header("location", location);
                faults.push((format!("{code} to {what}"), fault));
            }
            faults.push((format!("{code} to nowhere"), Fault::on(path).status(code)));
        }
        let world = organisation();
        for (what, fault) in faults {
            world.sandbox.clear_faults();
            world.sandbox.fault(fault);
            let ended = run(&world, &[("GHBK_LIMITS__RATE_LIMIT_WAIT", "2s")]);
            assert!(matches!(ended.code, Some(1 | 3)), "{path}, {what}: {ended:#?}");
            let named = failures(&ended.json());
            assert!(!named.is_empty(), "{path}, {what}: {ended:#?}");
            // A refusal for being too fast is for all.
            if !is_listing && !what.starts_with("retry-after") {
                assert_eq!(named, ["acme/one"], "{what}: {ended:#?}");
            }
        }
    }
}

/// GitHub Enterprise Server with the certificate that it makes for itself: git and curl accept it once it is trusted, and ghbk
/// said `CaUsedAsEndEntity`.
#[test]
fn a_server_s_own_certificate_is_accepted_if_it_is_trusted_and_only_then() {
    for as_authority in [false, true] {
        let world = World::with(|options| Options { tls: true, tls_as_authority: as_authority, ..options });
        world.add("acme/site");
        let trusted = world.folder.path().join("trusted.pem");
        std::fs::write(&trusted, world.sandbox.certificate().unwrap()).unwrap();
        let other = World::with(|options| Options { tls: true, tls_as_authority: as_authority, ..options });
        let untrusted = world.folder.path().join("untrusted.pem");
        std::fs::write(&untrusted, other.sandbox.certificate().unwrap()).unwrap();
        for (variable, path, code) in [
            ("GHBK_GITHUB__CA_FILE", &untrusted, 3),
            ("SSL_CERT_FILE", &untrusted, 3),
            ("GHBK_GITHUB__CA_FILE", &trusted, 0),
            ("SSL_CERT_FILE", &trusted, 0),
        ] {
            let mut command = world.ghbk(&["run", "--json"]);
            // Slack is the same sandbox, so it would be asked beside.
            let command =
                command.env(variable, path).env("GHBK_SLACK__NOTIFY", "never").env("GHBK_LIMITS__RETRIES", "4");
            let before = world.sandbox.traffic().connections;
            let ended = finish(command).expect(code);
            if code == 3 {
                let failure = &ended.json()["failures"][0];
                assert!(failure["error"].as_str().unwrap().contains("not trusted"), "{ended:#?}");
                assert!(failure["hint"].as_str().unwrap().contains("github.ca_file"), "{ended:#?}");
                let tried = world.sandbox.traffic().connections - before;
                assert_eq!(tried, 1, "what cannot mend itself is tried again: {ended:#?}");
            }
        }
    }
}

#[test]
fn a_file_of_certificates_that_cannot_be_used_is_named() {
    let world = World::new();
    let path = world.folder.path().join("ca.pem");
    for content in [None, Some("no certificate\n")] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let ended = finish(world.ghbk(&["run"]).env("GHBK_GITHUB__CA_FILE", &path)).expect(3);
        assert!(ended.stdout.contains("ca.pem") || ended.stderr.contains("ca.pem"), "{ended:#?}");
    }
}

/// A dead proxy was "the connection to GitHub failed … see githubstatus.com"; `NO_PROXY` with spaces was ignored.
#[test]
fn a_proxy_in_the_way_is_named_and_its_password_is_not() {
    let world = World::new();
    world.add("acme/site");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://alice:pr0xySecret@{free}");
    for list in [None, Some("example.com"), Some("example.com, 127.0.0.1"), Some("example.com 127.0.0.1"), Some("*")] {
        let mut command = world.ghbk(&["-vv", "run"]);
        command.env("HTTP_PROXY", &dead).env("GHBK_LIMITS__RETRIES", "0");
        command.envs(list.map(|list| ("NO_PROXY", list)));
        let ended = finish(&mut command);
        let is_exempt = list.is_some_and(|list| list != "example.com");
        assert_eq!(ended.code, Some(if is_exempt { 0 } else { 3 }), "{list:?}: {ended:#?}");
        let named = ended.stdout.contains(&format!("through the proxy {free}")) && ended.stdout.contains("HTTPS_PROXY");
        assert_eq!(named, !is_exempt, "{list:?}: {ended:#?}");
        assert!(!ended.stdout.contains("pr0xySecret") && !ended.stderr.contains("pr0xySecret"), "{ended:#?}");
    }
    for value in ["socks5://alice:pr0xySecret@127.0.0.1:1080", "not a proxy"] {
        let ended = finish(world.ghbk(&["run"]).env("ALL_PROXY", value)).expect(3);
        let text = ended.stdout + &ended.stderr;
        assert!(text.contains("ALL_PROXY") && !text.contains("pr0xySecret"), "{text}");
    }
    world.sandbox.fault(Fault::on("/orgs/acme").status(407));
    world.sandbox.clear_requests();
    let ended = finish(world.ghbk(&["run"]).env("GHBK_LIMITS__RETRIES", "4")).expect(3);
    assert!(ended.stdout.contains("the proxy on the way asks for a user name"), "{ended:#?}");
    assert!(ended.stdout.contains("http://USER:PASSWORD@HOST:PORT"), "{ended:#?}");
    let asked = world.sandbox.requests().iter().filter(|request| request.path.contains("/orgs/acme")).count();
    assert_eq!(asked, 1, "what cannot mend itself is tried again: {ended:#?}");
}
