//! A way to a registry that can be closed in the middle: a test says which requests wait at it, and for how long.

#![expect(clippy::unwrap_used, reason = "tests")]

use crate::servers::PATIENCE;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Passes everything on to a server of plain HTTP, and holds what it is told to hold.
pub struct Gate {
    host: String,
    inner: Arc<Inner>,
}

struct Inner {
    target: String,
    state: Mutex<State>,
    changed: Condvar,
}

/// Which requests are held, by their first lines.
type Pattern = Box<dyn Fn(&str) -> bool + Send>;

#[derive(Default)]
struct State {
    /// First lines of all requests.
    requests: Vec<String>,
    /// Those that are held.
    pattern: Option<Pattern>,
    /// How many of these may pass before.
    free: usize,
    /// How many wait now.
    waiting: usize,
    /// Whether those who wait are thrown out.
    is_cut: bool,
    is_gone: bool,
}

impl Gate {
    /// An open gate before `target`, `host:port`.
    pub fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inner = Arc::new(Inner {
            target: target.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.state().is_gone {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.pass(stream));
            }
        });
        Self { host, inner }
    }

    /// Where it is.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// From now on requests whose first line is such wait, but for the first `free` of them.
    pub fn hold(&self, free: usize, pattern: impl Fn(&str) -> bool + Send + 'static) {
        let mut state = self.inner.state();
        state.pattern = Some(Box::new(pattern));
        (state.free, state.is_cut) = (free, false);
    }

    /// Waits until so many requests wait.
    #[track_caller]
    pub fn until_held(&self, count: usize) {
        let state = self.inner.state();
        let too_few = |state: &mut State| state.waiting < count;
        let waited = self.inner.changed.wait_timeout_while(state, PATIENCE, too_few).unwrap();
        assert!(!waited.1.timed_out(), "no request came to the gate");
    }

    /// Lets everything pass, what waits and what comes.
    pub fn open(&self) {
        self.inner.state().pattern = None;
        self.inner.changed.notify_all();
    }

    /// Throws out what waits, and lets pass what comes.
    pub fn cut(&self) {
        self.inner.state().is_cut = true;
        self.open();
        let state = self.inner.state();
        drop(self.inner.changed.wait_while(state, |state| state.waiting > 0).unwrap());
    }

    /// First lines of all requests so far; they are forgotten.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.state().requests)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.inner.state().is_gone = true;
        self.open();
        // The one who listens looks up at the next who comes.
        let _ = TcpStream::connect(&self.host);
    }
}

impl Inner {
    /// Of use even to a test that has failed, whose end it must not spoil.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes one connection on. A client that does not send the next request before it has its answer begins it with
    /// what comes next.
    fn pass(self: Arc<Self>, mut client: TcpStream) {
        let Ok(mut server) = TcpStream::connect(&self.target) else {
            return;
        };
        let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut back_from, &mut back_to);
            let _ = back_to.shutdown(Shutdown::Both);
        });
        let mut buffer = [0; 64 << 10];
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            let piece = &buffer[..count];
            if first_line(piece).is_some_and(|line| !self.may_pass(&line)) {
                break;
            }
            if server.write_all(piece).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
    }

    /// Notes a request, and returns when it may pass, or is thrown out.
    fn may_pass(&self, line: &str) -> bool {
        let mut state = self.state();
        state.requests.push(line.to_owned());
        if !state.holds(line) {
            return true;
        }
        if state.free > 0 {
            state.free -= 1;
            return true;
        }
        state.waiting += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.holds(line)).unwrap();
        state.waiting -= 1;
        self.changed.notify_all();
        !state.is_cut
    }
}

impl State {
    fn holds(&self, line: &str) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern(line))
    }
}

/// The first line of a request, when this is the beginning of one.
fn first_line(piece: &[u8]) -> Option<String> {
    let is_request = ["GET ", "HEAD ", "PUT ", "POST ", "PATCH ", "DELETE "]
        .iter()
        .any(|method| piece.starts_with(method.as_bytes()));
    let end = piece.iter().position(|byte| *byte == b'\r')?;
    is_request.then(|| String::from_utf8_lossy(&piece[..end]).into_owned())
}
