//! The resolver's sockets, and the host's resolvers behind it.
//!
//! Invariants:
//! - Questions under way have a bound; beyond it they are dropped, as a resolver under load does, and asked again.
//! - What the host's resolvers say is believed only from the address and with the number that was asked.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Names;
use super::answer::{Outcome, answer, failure};
use crate::network::config::{Networks, VpcId};

/// Questions of one VPC that are being answered.
const QUESTIONS_MAX: usize = 512;
/// Without fragments on any path (DNS flag day 2020).
const DATAGRAM_BYTES_MAX: usize = 1232;
/// How long one of the host's resolvers is waited for before the next is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long a client may keep a TCP connection without a question.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// What all VPCs' resolvers answer from.
pub(crate) struct Resolver {
    pub(crate) networks: Arc<ArcSwap<Networks>>,
    pub(crate) names: RwLock<Option<Arc<dyn Names>>>,
    /// The host's own.
    pub(crate) upstream: Vec<SocketAddr>,
}

impl Resolver {
    /// Answers datagrams for as long as it is polled.
    pub(crate) async fn serve_udp(self: Arc<Self>, vpc: VpcId, socket: UdpSocket) {
        let (socket, permits) = (Arc::new(socket), Arc::new(Semaphore::new(QUESTIONS_MAX)));
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut datagram).await else { continue };
            let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
            let (resolver, socket, vpc) = (self.clone(), socket.clone(), vpc.clone());
            let request = datagram[..length].to_vec();
            tokio::spawn(async move {
                if let Some(answer) = resolver.answer(&vpc, &request, Transport::Udp).await {
                    let _ = socket.send_to(&answer, client).await;
                }
                drop(permit);
            });
        }
    }

    /// The same over TCP.
    pub(crate) async fn serve_tcp(self: Arc<Self>, vpc: VpcId, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(QUESTIONS_MAX));
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (resolver, vpc) = (self.clone(), vpc.clone());
            tokio::spawn(async move {
                let _ = resolver.converse(&vpc, stream).await;
                drop(permit);
            });
        }
    }

    async fn converse(&self, vpc: &VpcId, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let length = timeout(SILENT_MAX, stream.read_u16()).await??;
            let mut request = vec![0; usize::from(length)];
            timeout(SILENT_MAX, stream.read_exact(&mut request)).await??;
            let Some(answer) = self.answer(vpc, &request, Transport::Tcp).await else { return Ok(()) };
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await?;
        }
    }

    async fn answer(&self, vpc: &VpcId, request: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let bytes_max = if transport == Transport::Udp { DATAGRAM_BYTES_MAX as u16 } else { u16::MAX };
        let networks = self.networks.load_full();
        let names = self.names.read().clone();
        let outcome = answer(vpc, networks.vpcs.get(vpc)?, names.as_ref(), request, bytes_max);
        match outcome {
            Outcome::Answer(bytes) => Some(bytes),
            Outcome::Nothing => None,
            Outcome::Elsewhere => {
                for upstream in &self.upstream {
                    let asked = async {
                        match transport {
                            Transport::Udp => ask_by_datagram(*upstream, request).await,
                            Transport::Tcp => ask_by_stream(*upstream, request).await,
                        }
                    };
                    if let Ok(Ok(answer)) = timeout(ANSWER_WITHIN, asked).await {
                        return Some(answer);
                    }
                }
                failure(request, bytes_max)
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

async fn ask_by_datagram(upstream: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if upstream.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    // A socket of its own has a port that nobody guesses; connected, it hears nobody else.
    let socket = UdpSocket::bind(any).await?;
    socket.connect(upstream).await?;
    socket.send(request).await?;
    let mut answer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= 12 && answer.get(..2) == request.get(..2) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn ask_by_stream(upstream: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await?;
    let length = u16::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], request].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// The host's resolvers, out of its `/etc/resolv.conf`.
pub(crate) fn resolvers_of(resolv_conf: &str) -> Vec<SocketAddr> {
    let servers = resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|server| Some(SocketAddr::new(server.trim().parse().ok()?, 53))).collect()
}
