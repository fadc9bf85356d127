//! A line between ghbk and its server that can be cut after any byte, or answer in the server's place.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ghbk_sandbox::Sandbox;

const PIECE_BYTES: usize = 1 << 14;

/// How an answer ends too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection is closed in order.
    Close,
    /// It is reset.
    Reset,
    /// Nothing more comes.
    Stall,
}

/// Which answers are cut, and where.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// Part of the first line of the request.
    pub(crate) request: String,
    /// Bytes of the answer that arrive, its header included.
    pub(crate) after_bytes: usize,
    pub(crate) end: End,
    /// How many answers are cut; the rest pass.
    pub(crate) times: usize,
}

/// Writes an answer, header included, as long as the client takes it.
type Answer = Arc<dyn Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync>;

#[derive(Default)]
struct State {
    cut: Option<Cut>,
    /// What answers in the server's place, by part of the request's first line.
    instead: Option<(String, Answer)>,
    /// The bytes of the last answer to each request, by its first line.
    answers: Vec<(String, usize)>,
}

/// The line; it goes on until the test ends.
pub(crate) struct Line {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Line {
    pub(crate) fn to(sandbox: &Sandbox) -> Self {
        let server = sandbox.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                carry(client, server, &shared);
            }
        });
        Self { address, state }
    }

    /// The address of the REST API at this end.
    pub(crate) fn api_url(&self) -> String {
        format!("http://{}/api/v3", self.address)
    }

    /// The same address with another path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn cut(&self, cut: Option<Cut>) {
        self.state.lock().unwrap().cut = cut;
    }

    /// Answers one kind of request in the server's place.
    pub(crate) fn answer(
        &self,
        request: &str,
        answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) {
        self.state.lock().unwrap().instead = Some((request.to_owned(), Arc::new(answer)));
    }

    /// How long the last answer was to a request whose first line holds this.
    pub(crate) fn answered_bytes(&self, request: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.answers.iter().rev().find(|(line, _)| line.contains(request)).map_or(0, |(_, bytes)| *bytes)
    }
}

/// Carries both directions, each on a thread of its own.
fn carry(mut client: TcpStream, mut server: TcpStream, state: &Arc<Mutex<State>>) {
    // What is left of the answer that is being cut, if one is; and which answer it is.
    let left: Arc<Mutex<Option<(usize, End)>>> = Arc::default();
    let current = Arc::new(AtomicUsize::new(usize::MAX));
    let asking = Arc::clone(&current);
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (asked, to_cut) = (Arc::clone(state), Arc::clone(&left));
    std::thread::spawn(move || {
        let mut piece = [0; PIECE_BYTES];
        while let Ok(count @ 1..) = from_client.read(&mut piece) {
            let text = String::from_utf8_lossy(&piece[..count]);
            if let Some(line) = text.lines().next().filter(|line| line.ends_with("HTTP/1.1")) {
                let mut state = asked.lock().unwrap();
                let instead = state.instead.as_ref().filter(|(request, _)| line.contains(request));
                if let Some(answer) = instead.map(|(_, answer)| Arc::clone(answer)) {
                    drop(state);
                    return answer_instead(&mut from_client, &answer);
                }
                asking.store(state.answers.len(), Ordering::SeqCst);
                state.answers.push((line.to_owned(), 0));
                let cut = state.cut.as_mut().filter(|cut| cut.times > 0 && line.contains(&cut.request));
                *to_cut.lock().unwrap() = cut.map(|cut| {
                    cut.times -= 1;
                    (cut.after_bytes, cut.end)
                });
            }
            if to_server.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        let mut piece = [0; PIECE_BYTES];
        loop {
            let due = *left.lock().unwrap();
            if let Some((0, end)) = due {
                return finish(&client, end);
            }
            let Ok(count @ 1..) = server.read(&mut piece) else { break };
            let mut left = left.lock().unwrap();
            let passed = left.map_or(count, |(left, _)| left.min(count));
            if let Some((left, _)) = left.as_mut() {
                *left -= passed;
            }
            if let Some((_, bytes)) = state.lock().unwrap().answers.get_mut(current.load(Ordering::SeqCst)) {
                *bytes += passed;
            }
            if client.write_all(&piece[..passed]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    });
}

/// How long the rest of a request may take to come.
const REST_OF_REQUEST: Duration = Duration::from_millis(50);

fn answer_instead(client: &mut TcpStream, answer: &Answer) {
    client.set_read_timeout(Some(REST_OF_REQUEST)).unwrap();
    let mut piece = [0; PIECE_BYTES];
    while matches!(client.read(&mut piece), Ok(1..)) {}
    // A client that has heard enough leaves.
    let _ = answer(client);
    let _ = client.shutdown(Shutdown::Both);
}

fn finish(client: &TcpStream, end: End) {
    match end {
        End::Close => drop(client.shutdown(Shutdown::Both)),
        End::Reset => {
            // Closing with a linger of nothing resets (socket(7), SO_LINGER).
            let _ = rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO));
        }
        End::Stall => {
            // Until the client leaves.
            let mut byte = [0];
            while matches!((&mut &*client).read(&mut byte), Ok(1..)) {}
        }
    }
}
