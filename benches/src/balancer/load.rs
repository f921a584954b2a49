//! The clients: closed loops for CPU a request, an offered rate for latency, and connections that only wait.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use memchr::memmem;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use crate::latency::Latencies;

const WARM_UP: Duration = Duration::from_millis(500);
/// How long one more held connection may take to be opened and served.
const HELD_WITHIN: Duration = Duration::from_secs(10);

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Over TLS.
    pub(crate) tls: bool,
    /// How many at a time.
    pub(crate) connections: usize,
    /// Bytes of a response's body.
    pub(crate) body_bytes: usize,
    /// Whether each request has a connection of its own.
    pub(crate) connection_per_request: bool,
    /// Requests a second in all; `None`: as many as go.
    pub(crate) rate: Option<u64>,
}

/// What clients saw.
pub(crate) struct Seen {
    /// Requests completed while it was measured.
    pub(crate) requests: u64,
    /// How long that was.
    pub(crate) elapsed: Duration,
    /// What `cpu_us` rose by.
    pub(crate) cpu_us: u64,
    /// Of the requests; at an offered rate from the moment that each was due.
    pub(crate) latencies: Latencies,
}

impl Seen {
    pub(crate) fn cpu_us_a_request(&self) -> f64 {
        self.cpu_us as f64 / self.requests.max(1) as f64
    }

    pub(crate) fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

struct Shared {
    address: SocketAddr,
    shape: Shape,
    request: Vec<u8>,
    tls: Option<TlsConnector>,
    done: Cell<u64>,
    failed: RefCell<Option<anyhow::Error>>,
    measuring: Cell<bool>,
    stop: Cell<bool>,
    latencies: RefCell<Latencies>,
    opened: Cell<u32>,
}

/// Runs clients of that shape against an address; fails when a request fails.
pub(crate) async fn run(
    address: SocketAddr,
    shape: Shape,
    measured: Duration,
    cpu_us: impl Fn() -> anyhow::Result<u64>,
) -> anyhow::Result<Seen> {
    let shared = Rc::new(Shared::new(address, shape));
    let local = LocalSet::new();
    for n in 0..shape.connections {
        let shared = shared.clone();
        local.spawn_local(async move {
            if let Err(error) = client(&shared, n).await {
                shared.failed.borrow_mut().get_or_insert(error);
                shared.stop.set(true);
            }
        });
    }
    let figures = local.run_until(async {
        tokio::time::sleep(WARM_UP).await;
        let (cpu_before, done_before, started) = (cpu_us()?, shared.done.get(), Instant::now());
        shared.measuring.set(true);
        tokio::time::sleep(measured).await;
        let figures = (shared.done.get() - done_before, started.elapsed(), cpu_us()? - cpu_before);
        shared.stop.set(true);
        anyhow::Ok(figures)
    });
    let (requests, elapsed, cpu_us) = figures.await?;
    if let Some(error) = shared.failed.take() {
        return Err(error.context(format!("a request to {address} failed")));
    }
    ensure!(requests > 0, "nothing answered on {address}");
    Ok(Seen { requests, elapsed, cpu_us, latencies: shared.latencies.borrow().clone() })
}

impl Shared {
    fn new(address: SocketAddr, shape: Shape) -> Self {
        // What a browser or an SDK sends, in length; a bare GET would flatter the slower parsers.
        let connection = if shape.connection_per_request { "Connection: close\r\n" } else { "" };
        let request = format!(
            "GET /{} HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) bench/1.0\r\n\
             Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
             Accept-Encoding: gzip, deflate\r\nCookie: theme=dark; lang=en\r\n{connection}\r\n",
            shape.body_bytes
        );
        Self {
            address,
            shape,
            request: request.into_bytes(),
            tls: shape.tls.then(connector),
            done: Cell::new(0),
            failed: RefCell::default(),
            measuring: Cell::new(false),
            stop: Cell::new(false),
            latencies: RefCell::new(Latencies::new()),
            opened: Cell::new(0),
        }
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let n = self.opened.get();
        self.opened.set(n.wrapping_add(1));
        let tcp = connect_from(n, self.address).await?;
        match &self.tls {
            None => Ok(Connection::Plain(tcp)),
            Some(tls) => {
                let name = ServerName::try_from("bench.example.com").context("a name")?;
                Ok(Connection::Tls(Box::new(tls.connect(name, tcp).await?)))
            }
        }
    }
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Connection {
    async fn ask(&mut self, request: &[u8], buffer: &mut Vec<u8>) -> anyhow::Result<()> {
        match self {
            Self::Plain(stream) => ask(stream, request, buffer).await,
            Self::Tls(stream) => ask(stream, request, buffer).await,
        }
    }
}

/// Many source addresses: one has too few ports for a connection per request.
async fn connect_from(n: u32, to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 8, 0, 1 + (n % 200) as u8)), 0))?;
    let stream = socket.connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn connector() -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3's suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
        .with_no_client_auth();
    // Every handshake is a full one.
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

/// Looks at no certificate: the clients' CPU is nobody's figure.
#[derive(Debug)]
struct Unverified(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

async fn client(shared: &Shared, n: usize) -> anyhow::Result<()> {
    let mut buffer = Vec::with_capacity(256 << 10);
    let mut connection = None;
    let period = shared.shape.rate.map(|rate| Duration::from_secs_f64(shared.shape.connections as f64 / rate as f64));
    let begun = Instant::now();
    let mut due = begun + period.unwrap_or_default().mul_f64(n as f64 / shared.shape.connections as f64);
    while !shared.stop.get() {
        let mut started = Instant::now();
        if let Some(period) = period {
            if due > started {
                tokio::time::sleep_until(due.into()).await;
            }
            // From when it was due: a server that falls behind may not hide it.
            started = due;
            due += period;
        }
        let mut current = match connection.take() {
            Some(open) => open,
            None => shared.connect().await?,
        };
        current.ask(&shared.request, &mut buffer).await?;
        if !shared.shape.connection_per_request {
            connection = Some(current);
        }
        shared.done.set(shared.done.get() + 1);
        if shared.measuring.get() {
            shared.latencies.borrow_mut().record(started.elapsed());
        }
    }
    Ok(())
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> anyhow::Result<()> {
    stream.write_all(request).await?;
    stream.flush().await?;
    buffer.clear();
    let head = loop {
        ensure!(stream.read_buf(buffer).await? > 0, "closed before a response");
        if let Some(end) = memmem::find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
    };
    ensure!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..head]));
    let length = content_length(&buffer[..head])?;
    let mut left = (head + length).checked_sub(buffer.len()).context("more than one response")?;
    while left > 0 {
        buffer.clear();
        let read = stream.read_buf(buffer).await?;
        ensure!(read > 0 && read <= left, "closed within a response");
        left -= read;
    }
    Ok(())
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    let mut lines = std::str::from_utf8(head)?.lines();
    let value = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    Ok(value.context("no Content-Length")?.trim().parse()?)
}

/// Opens so many connections, asks once on each, keeps them all and calls `then`.
pub(crate) async fn hold<T>(
    address: SocketAddr,
    tls: bool,
    connections: usize,
    then: impl AsyncFnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let shape = Shape { tls, connections, body_bytes: 1024, connection_per_request: false, rate: None };
    let shared = Shared::new(address, shape);
    let (mut held, mut buffer) = (Vec::with_capacity(connections), Vec::with_capacity(256 << 10));
    for n in 0..connections {
        let connection = async {
            let mut connection = shared.connect().await?;
            connection.ask(&shared.request, &mut buffer).await?;
            anyhow::Ok(connection)
        };
        let connection = tokio::time::timeout(HELD_WITHIN, connection).await;
        held.push(connection.with_context(|| format!("{n} connections are held, and no further one is served"))??);
    }
    let outcome = then().await;
    drop(held);
    outcome
}
