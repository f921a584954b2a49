//! Servers that can be made to hang, to break off and to die, and that remember what they were asked.

use std::collections::HashMap;
use std::hash::Hasher;
use std::io::{self, BufReader, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher24};
use tokio::time::Instant;

use super::http::{Message, read_message, write_chunked};

/// Tells bodies apart.
pub fn digest(bytes: &[u8]) -> String {
    let mut hasher = SipHasher24::new_with_keys(1, 2);
    hasher.write(bytes);
    let hash = hasher.finish128();
    format!("{:016x}{:016x}", hash.h1, hash.h2)
}

/// Bytes that follow from a seed.
pub fn body_of(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut body = Vec::with_capacity(bytes + 8);
    while body.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.extend_from_slice(&state.to_le_bytes());
    }
    body.truncate(bytes);
    body
}

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    Answer,
    /// Reads, and says nothing for as long as this lasts.
    Hang,
    /// Sends half of an answer's body and closes.
    BreakOff,
    /// Reads a request's head and closes.
    Close,
}

/// One sight of a request at a server.
#[derive(Clone, Debug)]
pub struct Sight {
    pub backend: usize,
    pub at: Instant,
    /// The digest of the body that came.
    pub digest: String,
    /// Whether the server meant to answer it in full.
    pub mode: Mode,
}

/// What all servers have seen, by the request's `x-id`.
#[derive(Default)]
pub struct Ledger {
    pub sights: Mutex<HashMap<String, Vec<Sight>>>,
}

/// A server. `GET /size` or `POST /size` answers with that many bytes that follow from `x-id`; `/slow/ms` waits first.
pub struct Backend {
    pub address: SocketAddr,
    inner: Arc<Inner>,
    acceptor: Option<JoinHandle<()>>,
}

struct Inner {
    number: usize,
    mode: AtomicU8,
    /// Ends threads that hang.
    stopped: AtomicBool,
    served: AtomicU64,
    open: Mutex<HashMap<u64, TcpStream>>,
    next: AtomicU64,
    ledger: Arc<Ledger>,
}

impl Backend {
    pub fn start(number: usize, ip: IpAddr, port: u16, ledger: &Arc<Ledger>) -> Self {
        let listener = TcpListener::bind((ip, port)).unwrap();
        let inner = Arc::new(Inner {
            number,
            mode: AtomicU8::new(Mode::Answer as u8),
            stopped: AtomicBool::new(false),
            served: AtomicU64::new(0),
            open: Mutex::default(),
            next: AtomicU64::new(0),
            ledger: Arc::clone(ledger),
        });
        let address = listener.local_addr().unwrap();
        let acceptor = std::thread::spawn({
            let inner = Arc::clone(&inner);
            move || accept(&inner, &listener)
        });
        Self { address, inner, acceptor: Some(acceptor) }
    }

    pub fn set(&self, mode: Mode) {
        self.inner.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Requests answered in full.
    pub fn served(&self) -> u64 {
        self.inner.served.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    /// Dies: stops listening and breaks every connection.
    fn drop(&mut self) {
        self.inner.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.acceptor.take().unwrap().join().unwrap();
        for stream in self.inner.open.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(inner: &Arc<Inner>, listener: &TcpListener) {
    for stream in listener.incoming() {
        if inner.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = inner.next.fetch_add(1, Ordering::SeqCst);
        inner.open.lock().unwrap().insert(number, stream.try_clone().unwrap());
        let inner = Arc::clone(inner);
        std::thread::spawn(move || {
            let _ = stream.set_nodelay(true);
            let _ = serve(&inner, &stream);
            inner.open.lock().unwrap().remove(&number);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

fn serve(inner: &Inner, stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_message(&mut reader)? {
        let mode = inner.mode();
        let id = request.header("x-id").unwrap_or("0").to_owned();
        let sight = Sight { backend: inner.number, at: Instant::now(), digest: digest(&request.body), mode };
        inner.ledger.sights.lock().unwrap().entry(id.clone()).or_default().push(sight);
        match mode {
            Mode::Close => return Ok(()),
            Mode::Hang => {
                while inner.mode() == Mode::Hang && !inner.stopped.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                return Ok(());
            }
            Mode::Answer | Mode::BreakOff => answer(inner, stream, &request, &id, mode)?,
        }
        if mode == Mode::BreakOff {
            return Ok(());
        }
        inner.served.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

fn answer(inner: &Inner, mut stream: &TcpStream, request: &Message, id: &str, mode: Mode) -> io::Result<()> {
    let path = request.start.split(' ').nth(1).unwrap_or("/");
    if let Some(ms) = path.strip_prefix("/slow/").and_then(|ms| ms.parse().ok()) {
        std::thread::sleep(Duration::from_millis(ms));
    }
    let size = path.strip_prefix('/').and_then(|size| size.parse().ok()).unwrap_or(2);
    let body = body_of(id.parse().unwrap_or(0), size);
    let mut head = format!("HTTP/1.1 200 OK\r\nx-backend: {}\r\nx-saw: {}\r\n", inner.number, digest(&request.body));
    let chunked = size % 2 == 1;
    match chunked {
        true => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
        false => head.push_str(&format!("Content-Length: {size}\r\n\r\n")),
    }
    let mut bytes = head.into_bytes();
    let head_bytes = bytes.len();
    match chunked {
        true => write_chunked(&mut bytes, &body, 5000)?,
        false => bytes.extend_from_slice(&body),
    }
    if mode == Mode::BreakOff {
        bytes.truncate(head_bytes + (bytes.len() - head_bytes) / 2);
    }
    stream.write_all(&bytes)
}

impl Inner {
    fn mode(&self) -> Mode {
        match self.mode.load(Ordering::SeqCst) {
            0 => Mode::Answer,
            1 => Mode::Hang,
            2 => Mode::BreakOff,
            _ => Mode::Close,
        }
    }
}
