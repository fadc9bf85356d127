//! GitHub's own answers, recorded with their headers by Octokit, `PyGithub` and `github3.py`, read as ghbk reads them.
//! `scripts/test` installs them.

use std::collections::BTreeMap;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::Value;

use super::GitHubError;
use super::api::Answer;
use super::client::{list, refused};
use super::link::related;
use super::notices::Notices;
use super::repository::Repository;
use crate::limits::{Retry, Retryable};
use crate::metadata::canonical::{Canonical, parse, to_bytes};
use crate::text::printable;

/// One recorded exchange.
struct Recorded {
    method: String,
    path: String,
    answer: Answer,
    body: Value,
}

/// Reads all that was recorded; `None` where it is not installed and need not be.
fn recorded() -> Option<Vec<Recorded>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let answers = folder.join("python/answers.jsonl");
    let scenarios = std::fs::read_dir(folder.join("node_modules/@octokit/fixtures/scenarios/api.github.com"));
    let (Ok(scenarios), Ok(answers)) = (scenarios, std::fs::read_to_string(answers)) else {
        assert!(
            std::env::var_os("GHBK_TEST_REQUIRE_ALL").is_none(),
            "recorded answers are not installed: run scripts/test"
        );
        eprintln!("skipped: run scripts/test, which installs GitHub's recorded answers");
        return None;
    };
    let mut exchanges: Vec<Recorded> = answers.lines().map(|line| exchange(&parsed(line.as_bytes()), "body")).collect();
    for scenario in scenarios {
        let fixture = parsed(&std::fs::read(scenario.unwrap().path().join("raw-fixture.json")).unwrap());
        exchanges.extend(fixture.as_array().unwrap().iter().map(|recorded| exchange(recorded, "response")));
    }
    assert!(exchanges.len() > 3_400, "{}", exchanges.len());
    Some(exchanges)
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn exchange(recorded: &Value, body: &str) -> Recorded {
    let text = |field: &str| recorded[field].as_str().unwrap_or_default().to_owned();
    let strings = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    // Octokit's list holds names and values in turn; the others' holds pairs.
    let mut raw = strings(&recorded["rawHeaders"]);
    raw.extend(recorded["headers"].as_array().into_iter().flatten().flat_map(strings));
    let headers: HeaderMap = raw
        .as_chunks()
        .0
        .iter()
        .map(|[name, value]| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    let bytes = recorded[body].as_str().map_or_else(|| recorded[body].to_string(), str::to_owned);
    let body = serde_json::from_str(&bytes).unwrap_or_else(|_| Value::String(bytes.clone()));
    let status = StatusCode::from_u16(u16::try_from(recorded["status"].as_u64().unwrap()).unwrap()).unwrap();
    let answer = Answer { status, headers, body: bytes.into() };
    Recorded { method: text("method").to_uppercase(), path: text("path"), answer, body }
}

/// Finds every repository in a body, wherever it stands.
fn repositories<'a>(body: &'a Value, found: &mut Vec<&'a Value>) {
    match body {
        Value::Array(items) => items.iter().for_each(|item| repositories(item, found)),
        Value::Object(members) => {
            if members.contains_key("full_name") {
                found.push(body);
            }
            members.values().for_each(|member| repositories(member, found));
        }
        _ => {}
    }
}

/// Lists the paths of all members that hold something.
fn members(value: &Value, path: &str, found: &mut BTreeMap<String, u64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| members(item, path, found)),
        Value::Object(object) => {
            for (key, value) in object {
                let path = format!("{path}.{key}");
                *found.entry(path.clone()).or_default() += 1;
                members(value, &path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_answer_takes_the_form_in_which_it_is_stored_and_loses_only_what_is_listed() {
    let Some(recorded) = recorded() else { return };
    let canonical = Canonical::new([]);
    let (mut lost, mut answers) = (BTreeMap::new(), 0);
    for Recorded { method, body, .. } in recorded.iter().filter(|it| it.answer.status.is_success()) {
        if method != "GET" || !(body.is_array() || body.is_object()) {
            continue;
        }
        let form = canonical.form(body.clone());
        assert_eq!(canonical.form(form.clone()), form);
        assert_eq!(parse(&to_bytes(&form)).unwrap(), form);
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        members(body, "", &mut before);
        members(&form, "", &mut after);
        for (path, number) in before {
            if after.get(&path) != Some(&number) {
                let key = path.rsplit('.').next().unwrap_or_default().to_owned();
                let parents = path.split('.').map(str::to_owned).collect::<Vec<_>>();
                // What is in something that is dropped goes with it.
                if !parents[..parents.len() - 1]
                    .iter()
                    .any(|parent| matches!(parent.as_str(), "_links" | "last_response"))
                {
                    *lost.entry(key).or_insert(0u64) += 1;
                }
            }
        }
        answers += 1;
    }
    assert!(answers > 1_500, "{answers}");
    let lost: Vec<String> = lost.into_keys().collect();
    insta::assert_snapshot!(lost.join("\n"));
}

#[test]
fn every_repository_and_account_that_github_described_is_read() {
    let Some(recorded) = recorded() else { return };
    let (mut read, mut accounts) = (0, 0);
    for Recorded { method, path, answer, body } in recorded.iter().filter(|it| it.answer.status.is_success()) {
        let mut found = Vec::new();
        repositories(body, &mut found);
        for entry in found {
            let repository = Repository::read(entry).unwrap_or_else(|bad| panic!("{path}: {bad:?}"));
            assert_eq!(repository.full_name.to_string(), entry["full_name"].as_str().unwrap());
            assert_eq!(repository.private, entry["private"].as_bool().unwrap_or(true));
            read += 1;
        }
        if method == "GET" && (path.starts_with("/orgs/") || path.starts_with("/users/")) && body.get("login").is_some()
        {
            let (login, count) = Repository::counted_by(body);
            assert_eq!(Some(login.as_str()), body["login"].as_str());
            assert!(count >= body["public_repos"].as_u64(), "{path}: {count:?}");
            accounts += 1;
        }
        if method == "GET" && (body.is_array() || body.is_object()) {
            assert_eq!(answer.json(path).unwrap(), *body);
            assert_eq!(
                list(body.clone(), path).is_ok(),
                body.is_array() || body.get("repositories").is_some(),
                "{path}"
            );
        }
    }
    assert!(read > 20 && accounts > 0, "{read} repositories, {accounts} accounts");
}

#[test]
fn every_header_that_github_sent_is_read() {
    let Some(recorded) = recorded() else { return };
    let (mut pages, mut deprecated) = (0, 0);
    for Recorded { path, answer, .. } in &recorded {
        let mut notices = Notices::default();
        let in_link = |links: &HeaderValue| links.to_str().is_ok_and(|links| links.contains("rel=\"deprecation\""));
        let is_deprecated =
            answer.headers.contains_key("deprecation") || answer.headers.get("link").is_some_and(in_link);
        assert_eq!(notices.read(&answer.headers), is_deprecated, "{path}: {:?}", answer.headers);
        deprecated += usize::from(is_deprecated);
        assert_eq!(notices.as_of.is_some(), answer.headers.contains_key("date"), "{path}");
        if let Some(link) = answer.headers.get("link").map(|link| link.to_str().unwrap()) {
            assert_eq!(related(&answer.headers, "next").is_some(), link.contains("rel=\"next\""), "{path}: {link}");
            pages += 1;
        }
    }
    assert!(pages > 3 && deprecated > 0, "{pages} pages, {deprecated} deprecated");
}

#[test]
fn every_error_that_github_gave_has_its_class() {
    let Some(recorded) = recorded() else { return };
    let token = SecretString::from("ghp_none");
    let is_error = |it: &&Recorded| it.answer.status.is_client_error() || it.answer.status.is_server_error();
    let mut classes = BTreeMap::new();
    for Recorded { path, answer, body, .. } in recorded.iter().filter(is_error) {
        let error = refused(answer, &token, path);
        let words = error.to_string();
        let said = printable(body["message"].as_str().unwrap_or_default(), usize::MAX);
        let is_limit = said.contains("abuse detection") || said.contains("Rate Limit");
        let is_right = match answer.status.as_u16() {
            401 => matches!(error, GitHubError::Unauthorized),
            403 if is_limit => matches!(error.retry(), Retry::Limited(..)),
            403 => matches!(error, GitHubError::Forbidden { .. }) && words.contains(&said),
            404 => matches!(error, GitHubError::NotFound { .. }),
            500.. => matches!(error.retry(), Retry::Transient),
            _ => matches!(&error, GitHubError::Status { .. }) && words.contains(&said),
        };
        assert!(is_right, "{path}: {} {body}: {error:?}", answer.status);
        let is_final = answer.status.is_client_error() && !is_limit;
        assert!(!is_final || error.retry() == Retry::Never, "{path}: {error}");
        assert!(!error.hint().is_empty(), "{error}");
        *classes.entry(answer.status.as_u16()).or_insert(0) += 1;
    }
    for status in [400, 401, 403, 404, 405, 409, 422, 500, 502, 503] {
        assert!(classes.contains_key(&status), "{status} of {classes:?}");
    }
}

/// What GitHub answers in so many words, by its documentation and by larger collections of recorded answers.
#[test]
fn refusals_are_told_in_githubs_words_with_their_remedy() {
    let token = SecretString::from("ghp_planted");
    let told = |status: u16, headers: &[(&'static str, &str)], body: &str| {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let answer = Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_owned().into() };
        refused(&answer, &token, "organisation acme").to_string()
    };
    let long = format!(
        "{} https://github.com/settings/personal-access-tokens/1234",
        "The 'acme' organization forbids access. ".repeat(6)
    );
    let words = told(403, &[], &serde_json::json!({"message": long}).to_string());
    assert!(words.contains("https://github.com/settings/personal-access-tokens/1234"), "{words}");
    let permission = [("x-accepted-github-permissions", "metadata=read")];
    assert!(told(403, &permission, r#"{"message":"no"}"#).ends_with("no (this needs the permission metadata=read)"));
    let sso = [("x-github-sso", "required; url=https://github.com/orgs/acme/sso?authorization_request=A")];
    assert!(told(403, &sso, r#"{"message":"SAML"}"#).contains("authorise it at https://github.com/orgs/acme/sso"));
    let html = [("content-type", "text/html; charset=utf-8")];
    for (headers, body) in [(&html[..], "<b>x"), (&[][..], "\n<!DOCTYPE html>\n<!-- Hello future GitHubber! -->")] {
        let words = told(502, headers, body);
        assert_eq!(words, "GitHub answered 502 Bad Gateway for organisation acme: it sent a web page");
    }
    assert!(told(410, &[], r#"{"message":"gone for good"}"#).contains("(410): gone for good"));
    assert!(!told(500, &[], "ghp_planted is blocked").contains("ghp_planted"));
}
