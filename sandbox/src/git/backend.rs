//! Runs `git http-backend` as CGI (RFC 3875), streaming both ways.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use super::command;
use super::path::Service;
use crate::server::{Body, Reply};

/// How much is read from git at once: the size of a Linux pipe.
const PIECE: usize = 64 * 1024;

/// Runs git for one request, and returns as soon as its headers are there.
pub(super) async fn run(
    folder: &Path,
    project: &str,
    service: Service,
    parts: &Parts,
    body: impl http_body::Body<Data = Bytes, Error: Send> + Send + Unpin + 'static,
) -> io::Result<Reply> {
    let mut group = Group::spawn(cgi(folder, project, service, parts)?)?;
    let stdin = group.child.stdin.take().expect("it is piped");
    let mut stdout = BufReader::with_capacity(PIECE, group.child.stdout.take().expect("it is piped"));
    tokio::spawn(feed(stdin, body));
    let mut reply = head(&mut stdout).await?;
    let (sender, pieces) = Body::pieces(None);
    *reply.body_mut() = pieces;
    tokio::spawn(drain(stdout, sender, group));
    Ok(reply)
}

/// Returns the command with the variables of CGI.
fn cgi(folder: &Path, project: &str, service: Service, parts: &Parts) -> io::Result<std::process::Command> {
    let mut command = command();
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder.canonicalize()?)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{project}/{}", service.path()))
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", parts.method.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    let variables = [
        (CONTENT_TYPE, "CONTENT_TYPE"),
        (CONTENT_LENGTH, "CONTENT_LENGTH"),
        (CONTENT_ENCODING, "HTTP_CONTENT_ENCODING"),
        (HeaderName::from_static("git-protocol"), "GIT_PROTOCOL"),
    ];
    for (header, variable) in variables {
        if let Some(value) = parts.headers.get(header).and_then(|value| value.to_str().ok()) {
            command.env(variable, value);
        }
    }
    Ok(command)
}

/// Passes the request's body to git; when either side ends early, the other notices by itself.
async fn feed(mut stdin: ChildStdin, mut body: impl http_body::Body<Data = Bytes> + Unpin) {
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(bytes) = frame.into_data()
            && stdin.write_all(&bytes).await.is_err()
        {
            return;
        }
    }
}

/// Reads the headers that git writes before the body.
async fn head(stdout: &mut BufReader<ChildStdout>) -> io::Result<Reply> {
    let mut response = Response::builder().status(StatusCode::OK);
    let mut line = String::new();
    loop {
        line.clear();
        if stdout.read_line(&mut line).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "git http-backend wrote no headers"));
        }
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        let Some((name, value)) = header.split_once(':') else { continue };
        let value = value.trim();
        response = if name.eq_ignore_ascii_case("Status") {
            response.status(value.split(' ').next().unwrap_or(value))
        } else {
            response.header(name, value)
        };
    }
    response.body(Body::whole("")).map_err(io::Error::other)
}

/// Passes git's output to the client; when the client leaves, git is ended with everything it started.
async fn drain(mut stdout: BufReader<ChildStdout>, sender: mpsc::Sender<io::Result<Bytes>>, mut group: Group) {
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = tokio::select! {
            read = stdout.read_buf(&mut piece) => read,
            () = sender.closed() => return,
        };
        let ended = match read {
            Ok(0) => break,
            Ok(_) => sender.send(Ok(piece.freeze())).await.is_err(),
            Err(error) => {
                // Whether the client is still there to see it makes no difference.
                let _sent = sender.send(Err(error)).await;
                true
            }
        };
        if ended {
            return;
        }
    }
    group.wait().await;
}

/// A child and its descendants: killing `http-backend` alone would leave `pack-objects` computing for nobody.
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Group {
    /// Starts the leader of a group.
    fn spawn(command: std::process::Command) -> io::Result<Self> {
        let child = Command::from(command).kill_on_drop(true).spawn()?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, leader })
    }

    /// Waits for the leader; from then on its number may belong to somebody else.
    async fn wait(&mut self) {
        if self.child.wait().await.is_ok() {
            self.leader = None;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // It may have ended by itself just now.
            let _gone = kill_process_group(leader, Signal::KILL);
        }
    }
}
