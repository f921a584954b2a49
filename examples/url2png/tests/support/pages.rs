//! Pages on loopback, for Chromium to visit.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A web server with a few pages; each connection has a thread, which ends with its client.
pub(crate) struct Pages {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stalled: AtomicUsize,
    slow: AtomicUsize,
    /// Whether `/stall` stalls.
    stalling: AtomicBool,
}

impl Pages {
    pub(crate) fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { stalling: AtomicBool::new(true), ..State::default() });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, state) = (connection.unwrap(), Arc::clone(&shared));
                // A browser that goes away breaks its connection; that's no concern of ours.
                thread::spawn(move || answer(connection, &state).ok());
            }
        });
        Self { address, state }
    }

    /// The pages are `/color/RRGGBB` (a text on that background), `/slow/RRGGBB` (the same, 2 s later), `/stall` (red,
    /// but see below), `/alert`, `/jump/missing`, `/jump/green` and `/jump/refused` (redirect by script); all else is 404.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often `/stall` was visited and never answered.
    #[allow(dead_code, reason = "each test binary uses its share")]
    pub(crate) fn stalled(&self) -> usize {
        self.state.stalled.load(Ordering::SeqCst)
    }

    /// How often a `/slow/` page was visited.
    #[allow(dead_code, reason = "each test binary uses its share")]
    pub(crate) fn slow_visits(&self) -> usize {
        self.state.slow.load(Ordering::SeqCst)
    }

    /// From now on `/stall` answers at once.
    #[allow(dead_code, reason = "each test binary uses its share")]
    pub(crate) fn stop_stalling(&self) {
        self.state.stalling.store(false, Ordering::SeqCst);
    }
}

/// A URL on a port that nobody listens on.
pub(crate) fn nobody_listens() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}/")
}

fn answer(connection: TcpStream, state: &State) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(300)))?;
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split([' ', '?']).nth(1).unwrap_or("/");
    if path == "/stall" && state.stalling.load(Ordering::SeqCst) {
        state.stalled.fetch_add(1, Ordering::SeqCst);
        // Returns when the browser is gone.
        lines.next();
        return Ok(());
    }
    if path.starts_with("/slow/") {
        state.slow.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_secs(2));
    }
    let jump = |to: &str| Some(page("ffffff", &format!("<script>location.replace('{to}')</script>")));
    let body = match path {
        "/stall" => Some(page("cc0000", "")),
        "/alert" => Some(page("cc00cc", "<script>alert('stop!')</script>")),
        "/jump/missing" => jump("/missing"),
        "/jump/green" => jump("/color/00aa00"),
        "/jump/refused" => jump("http://127.0.0.1:1/"),
        _ => path.strip_prefix("/color/").or(path.strip_prefix("/slow/")).map(|color| page(color, "")),
    };
    let (status, body) = body.map_or_else(|| ("404 Not Found", page("ffffff", "missing")), |body| ("200 OK", body));
    let length = body.len();
    write!(
        &connection,
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn page(color: &str, more: &str) -> String {
    format!(
        "<!doctype html><title>{color}</title><body style='background:#{color};font:96px sans-serif'>\
         <h1>{color}</h1>{more}</body>"
    )
}
