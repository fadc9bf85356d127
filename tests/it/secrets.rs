//! Where the token comes from: Parameter Store (moto's real server), the environment, files.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::{World, finish};

/// moto's server on a port of its own.
struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    /// None if moto is not installed and not demanded.
    fn start() -> Option<Self> {
        let program = std::env::var("GHBK_TEST_MOTO").unwrap_or_else(|_| "moto_server".to_owned());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let spawned = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) if std::env::var_os("GHBK_TEST_REQUIRE_ALL").is_none() => {
                eprintln!("skipped: moto_server: {error}; scripts/test installs it");
                return None;
            }
            Err(error) => panic!("moto_server: {error}"),
        };
        let moto = Self { child, url: format!("http://127.0.0.1:{port}") };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_mins(1), "moto does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(moto)
    }

    /// Puts a parameter there as people do, but over HTTP: the AWS CLI is large.
    fn put(&self, name: &str, value: &str) {
        let body = serde_json::json!({"Name": name, "Value": value, "Type": "SecureString", "Overwrite": true});
        let status = Command::new("curl")
            .args(["-sf", "-X", "POST", "-H", "X-Amz-Target: AmazonSSM.PutParameter"])
            .args(["-H", "Content-Type: application/x-amz-json-1.1"])
            .args(["-H", "Authorization: AWS4-HMAC-SHA256 Credential=testing/20260101/ap-northeast-1/ssm/aws4_request, SignedHeaders=host, Signature=0"])
            .args(["-d", &body.to_string(), &self.url])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn ghbk(&self, world: &World, arguments: &[&str]) -> Command {
        let mut command = world.ghbk(arguments);
        command
            .env_remove("GITHUB_TOKEN")
            .env_remove("SLACK_WEBHOOK_URL")
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_REGION", "ap-northeast-1")
            .env("AWS_ACCESS_KEY_ID", "testing")
            .env("AWS_SECRET_ACCESS_KEY", "testing");
        command
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn parameter_store_gives_both_secrets_decrypted_and_afresh_for_each_run() {
    let Some(moto) = Moto::start() else { return };
    let world = World::generated(1);
    let ended = finish(&mut moto.ghbk(&world, &["run"])).expect(3);
    assert!(ended.stdout.contains("the SSM parameter github-token in ap-northeast-1 does not exist"), "{ended:#?}");
    assert!(
        ended.stdout.contains("aws ssm put-parameter --region ap-northeast-1 --name github-token --type SecureString"),
        "{ended:#?}"
    );
    moto.put("github-token", &format!("{}\n", world.sandbox.token()));
    let ended = finish(&mut moto.ghbk(&world, &["run"])).expect(0);
    assert!(ended.stderr.contains("slack-webhook-url"), "a missing Slack address is a warning: {ended:#?}");
    moto.put("slack-webhook-url", &world.sandbox.slack_url());
    finish(&mut moto.ghbk(&world, &["run"])).expect(0);
    assert_eq!(world.sandbox.slack_messages().len(), 1);
}

#[test]
fn parameters_may_have_other_names() {
    let Some(moto) = Moto::start() else { return };
    let world = World::generated(1);
    moto.put("/backup/token", world.sandbox.token());
    let mut command = moto.ghbk(&world, &["run"]);
    finish(command.env("GHBK_SECRETS__GITHUB_TOKEN", "/backup/token")).expect(0);
}

/// Runs ghbk with a Parameter Store at an address; returns what it says.
fn asking(address: &str, settings: &[(&str, &str)]) -> String {
    let world = World::generated(1);
    let mut command = world.ghbk(&["run"]);
    command.env_remove("GITHUB_TOKEN").env("AWS_ENDPOINT_URL", address).env("AWS_REGION", "eu-west-1");
    command.envs(settings.iter().copied());
    finish(&mut command).expect(3).stdout
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing")];

#[test]
fn a_parameter_store_that_does_not_answer_is_named() {
    let told = asking("http://127.0.0.1:9", &KEYS);
    assert!(told.contains("cannot read SSM Parameter Store in eu-west-1: "), "{told}");
    assert!(
        told.contains("Connection refused") && told.contains("hint: check the network path from this machine"),
        "{told}"
    );
    assert!(
        !told.contains("Failure") && !told.contains("source:"),
        "the SDK's structures are nobody's business: {told}"
    );
}

#[test]
fn a_machine_without_a_role_is_told_so() {
    let told = asking("http://127.0.0.1:9", &[("AWS_EC2_METADATA_DISABLED", "true")]);
    assert!(told.contains("credential") && told.contains("hint: attach an instance profile"), "{told}");
    assert!(!told.contains("Failure") && !told.contains("source:"), "{told}");
}

#[test]
fn what_aws_refuses_is_told_in_its_words_with_its_remedy() {
    for (code, hint) in [
        ("AccessDeniedException", "allow ssm:GetParameters on github-token and slack-webhook-url"),
        ("InvalidSignatureException", "set this machine's clock right"),
        ("ExpiredTokenException", "renew the AWS credentials"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.read(&mut [0; 4096]);
                let body = format!(r#"{{"__type":"{code}","message":"User: arn:aws:sts::1:assumed-role/x may not"}}"#);
                let length = body.len();
                let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close";
                let _ = write!(client, "{head}\r\ncontent-length: {length}\r\n\r\n{body}");
            }
        });
        let told = asking(&address, &KEYS);
        let expected = format!("in eu-west-1: {code}: User: arn:aws:sts::1:assumed-role/x may not");
        assert!(told.contains(&expected) && told.contains(hint), "{told}");
    }
}

#[test]
fn files_are_read_from_the_credentials_directory() {
    let world = World::generated(1);
    let folder = world.folder.path().join("credentials");
    std::fs::create_dir(&folder).unwrap();
    let command = || {
        let mut command = world.ghbk(&["run"]);
        command.env_remove("GITHUB_TOKEN").env_remove("SLACK_WEBHOOK_URL").env("CREDENTIALS_DIRECTORY", &folder);
        command
    };
    // systemd sets the variable even if none of the files that a unit would take is there.
    let ended = finish(command().env("AWS_EC2_METADATA_DISABLED", "true")).expect(3);
    assert!(ended.stderr.contains("nor an AWS region for Parameter Store"), "{ended:#?}");
    assert_eq!(std::fs::read_dir(&world.root).unwrap().count(), 0, "what cannot even begin leaves nothing");
    std::fs::write(folder.join("slack-webhook-url"), format!(" {}\n", world.sandbox.slack_url())).unwrap();
    let ended = finish(&mut command()).expect(3);
    assert!(ended.stdout.contains("credentials/github-token does not exist"), "{ended:#?}");
    std::fs::write(folder.join("github-token"), format!("{}\n", world.sandbox.token())).unwrap();
    finish(&mut command()).expect(0);
    assert_eq!(world.sandbox.slack_messages().len(), 2);
}

#[test]
fn a_slack_address_that_is_none_fails_no_backup_and_a_missing_token_is_told_to_slack() {
    let world = World::generated(1);
    let mut command = world.ghbk(&["run"]);
    let ended = finish(command.env("SLACK_WEBHOOK_URL", "not a url")).expect(0);
    assert!(ended.stderr.contains("is not a URL"), "{ended:#?}");
    let mut command = world.ghbk(&["run"]);
    finish(command.env_remove("GITHUB_TOKEN").env("GHBK_SECRETS__SOURCE", "env")).expect(3);
    let told = world.sandbox.slack_messages();
    assert!(told[0].body.to_string().contains("GITHUB_TOKEN does not exist"), "{}", told[0].body);
}

#[test]
fn a_missing_variable_is_named() {
    let world = World::generated(1);
    let mut command = world.ghbk(&["run"]);
    let ended = finish(command.env_remove("GITHUB_TOKEN").env("GHBK_SECRETS__SOURCE", "env")).expect(3);
    assert!(ended.stdout.contains("the environment variable GITHUB_TOKEN does not exist"), "{ended:#?}");
}
