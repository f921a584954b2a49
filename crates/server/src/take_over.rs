//! Handing the listening sockets from one process to the next, so that an upgrade drops no connection.
//!
//! The two talk over a Unix socket in the data directory, which nobody else can enter, in lines of text:
//!
//! ```text
//! new   take over 1
//! old   {"front_door":["127.0.0.1:4566"],"balancer":["127.16.0.1:80", …]}    then a byte with each batch of sockets
//! new   got them
//! old   released        it accepts no more API requests, has finished those it had, and let go of the data directory
//! new   serving         it accepts at all of the sockets
//! old   (closes)        it has finished what load balancers had begun
//! ```
//!
//! Invariants:
//! - Between any two steps somebody accepts connections, or the kernel keeps them until somebody does.
//! - Until `released` the old process can go on as if nothing had happened; after it, it starts anew by itself if the new
//!   one fails.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use balancer::ListeningSocket;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};

/// The socket's name in the data directory.
const SOCKET: &str = "take-over.sock";
const ASK: &str = "take over 1";
const GOT_THEM: &str = "got them";
const RELEASED: &str = "released";
const SERVING: &str = "serving";
/// The kernel passes at most 253 in one message.
const BATCH: usize = 128;
/// Longer lines are nobody's who knows this protocol.
const LINE_BYTES_MAX: usize = 4 << 20;
/// How long a step may take that needs no waiting for clients.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// Listening sockets on their way to the next process.
#[derive(Debug, Default)]
pub struct Sockets {
    /// The front door's.
    pub front_door: Vec<ListeningSocket>,
    /// The load balancers'.
    pub balancer: Vec<ListeningSocket>,
}

/// Which addresses the sockets have, in the order in which they come.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    front_door: Vec<SocketAddr>,
    balancer: Vec<SocketAddr>,
}

/// Where the next process asks.
#[derive(Debug)]
pub struct Desk(UnixListener);

/// The process that takes over from this one.
#[derive(Debug)]
pub struct Successor(UnixStream);

/// The process that this one takes over from.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

impl Desk {
    /// Opens it. Only who holds the data directory may: what an earlier process left is removed.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let (_dir, path) = reachable(data_dir)?;
        match remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self(UnixListener::bind(path)?))
    }

    /// Waits for a process that wants to take over.
    pub async fn next(&self) -> Successor {
        loop {
            let asked = async {
                let (mut stream, _) = self.0.accept().await?;
                expect(&mut stream, ASK, Some(STEP_TIMEOUT)).await?;
                Ok::<_, io::Error>(stream)
            };
            match asked.await {
                Ok(stream) => return Successor(stream),
                Err(error) => {
                    tracing::warn!(%error, "somebody asked to take over and did not mean it");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Successor {
    /// Gives it the sockets.
    ///
    /// # Errors
    /// It did not take them; they are this process' alone.
    pub async fn give(&mut self, sockets: &Sockets) -> io::Result<()> {
        let addresses = |sockets: &[ListeningSocket]| sockets.iter().map(|socket| socket.address).collect();
        let manifest = Manifest { front_door: addresses(&sockets.front_door), balancer: addresses(&sockets.balancer) };
        let all: Vec<BorrowedFd<'_>> =
            sockets.front_door.iter().chain(&sockets.balancer).map(|socket| socket.fd.as_fd()).collect();
        let giving = async {
            say(&mut self.0, &serde_json::to_string(&manifest)?).await?;
            for batch in all.chunks(BATCH) {
                self.0.async_io(Interest::WRITABLE, || send_batch(&self.0, batch)).await?;
            }
            expect(&mut self.0, GOT_THEM, None).await
        };
        tokio::time::timeout(STEP_TIMEOUT, giving).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Says why it cannot have them.
    pub async fn refuse(mut self, reason: &str) {
        let _ = say(&mut self.0, &format!("no: {reason}")).await;
    }

    /// Tells it that the data directory is free, and waits until it serves.
    ///
    /// # Errors
    /// It has ended without serving.
    pub async fn release(&mut self) -> io::Result<()> {
        say(&mut self.0, RELEASED).await?;
        expect(&mut self.0, SERVING, None).await
    }
}

impl Predecessor {
    /// Asks the process that serves the data directory for its sockets; `None` when there is none.
    ///
    /// # Errors
    /// It does not give them.
    pub async fn ask(data_dir: &Path) -> io::Result<Option<(Self, Sockets)>> {
        let connected = match reachable(data_dir) {
            Ok((_dir, path)) => UnixStream::connect(path).await,
            Err(error) => Err(error),
        };
        let mut stream = match connected {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let asking = async {
            say(&mut stream, ASK).await?;
            let sockets = receive(&mut stream).await?;
            say(&mut stream, GOT_THEM).await?;
            Ok(sockets)
        };
        let sockets = tokio::time::timeout(STEP_TIMEOUT, asking)
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the running server does not answer")))?;
        Ok(Some((Self(stream), sockets)))
    }

    /// Waits until it has let go of the data directory.
    ///
    /// # Errors
    /// It has ended, or failed to.
    pub async fn released(&mut self) -> io::Result<()> {
        expect(&mut self.0, RELEASED, None).await
    }

    /// Tells it that this process serves.
    ///
    /// # Errors
    /// It has ended.
    pub async fn serving(&mut self) -> io::Result<()> {
        say(&mut self.0, SERVING).await
    }

    /// Waits until it has ended.
    pub async fn gone(mut self) {
        let mut byte = [0];
        while self.0.read(&mut byte).await.is_ok_and(|count| count > 0) {}
    }
}

async fn receive(stream: &mut UnixStream) -> io::Result<Sockets> {
    let line = hear(stream).await?;
    if let Some(reason) = line.strip_prefix("no: ") {
        return Err(io::Error::other(reason.to_owned()));
    }
    let manifest: Manifest = serde_json::from_str(&line)?;
    let count = manifest.front_door.len() + manifest.balancer.len();
    let mut fds = Vec::with_capacity(count);
    while fds.len() < count {
        let expected = BATCH.min(count - fds.len());
        fds.extend(stream.async_io(Interest::READABLE, || receive_batch(stream, expected)).await?);
    }
    let mut fds = fds.into_iter();
    let mut take = |addresses: Vec<SocketAddr>| {
        addresses.into_iter().zip(fds.by_ref()).map(|(address, fd)| ListeningSocket { address, fd }).collect()
    };
    Ok(Sockets { front_door: take(manifest.front_door), balancer: take(manifest.balancer) })
}

/// One byte, and the sockets with it.
fn send_batch(stream: &UnixStream, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many sockets for one message"));
    }
    sendmsg(stream, &[IoSlice::new(b".")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive_batch(stream: &UnixStream, expected: usize) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    // Fewer come when this process may not open as many.
    if received.bytes != 1 || fds.len() != expected {
        let reason = format!("{} of {expected} sockets came; raise the limit on open files (ulimit -n)", fds.len());
        return Err(io::Error::other(reason));
    }
    Ok(fds)
}

/// A path by which the socket is reached however long the data directory's own is: socket addresses are short. It holds
/// as long as the directory is open.
fn reachable(data_dir: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    use rustix::fs::{Mode, OFlags, open};
    use std::os::fd::AsRawFd;
    let dir = open(data_dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(SOCKET);
    Ok((dir, path))
}

#[allow(clippy::disallowed_methods, reason = "a socket, not state")]
fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

async fn say(stream: &mut UnixStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes()).await
}

/// A line; read byte by byte, because sockets come with what follows it.
async fn hear(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            _ if line.len() >= LINE_BYTES_MAX => return Err(io::ErrorKind::InvalidData.into()),
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into())
}

async fn expect(stream: &mut UnixStream, expected: &str, within: Option<Duration>) -> io::Result<()> {
    let line = match within {
        None => hear(stream).await?,
        Some(within) => tokio::time::timeout(within, hear(stream)).await.map_err(|_| io::ErrorKind::TimedOut)??,
    };
    if line == expected {
        return Ok(());
    }
    let reason = line.strip_prefix("no: ").map_or_else(|| format!("heard {line:?}, not {expected:?}"), str::to_owned);
    Err(io::Error::other(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> ListeningSocket {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        ListeningSocket { address: listener.local_addr().unwrap(), fd: listener.into() }
    }

    fn addresses(sockets: &[ListeningSocket]) -> Vec<SocketAddr> {
        sockets.iter().map(|socket| socket.address).collect()
    }

    /// A data directory whose path is too long for a socket's address.
    fn data_dir(root: &tempfile::TempDir) -> PathBuf {
        let path = root.path().join("long".repeat(50));
        std::fs::DirBuilder::new().create(&path).unwrap();
        path
    }

    #[tokio::test]
    async fn sockets_go_from_one_to_the_other_however_many() {
        let root = tempfile::tempdir().unwrap();
        let dir = data_dir(&root);
        let desk = Desk::open(&dir).unwrap();
        let given = Sockets { front_door: vec![socket()], balancer: (0..300).map(|_| socket()).collect() };
        let expected = (addresses(&given.front_door), addresses(&given.balancer));
        let old = async {
            let mut successor = desk.next().await;
            successor.give(&given).await.unwrap();
            successor.release().await.unwrap();
        };
        let new = async {
            let (mut predecessor, sockets) = Predecessor::ask(&dir).await.unwrap().unwrap();
            predecessor.released().await.unwrap();
            predecessor.serving().await.unwrap();
            (predecessor, sockets)
        };
        let ((), (predecessor, sockets)) = tokio::join!(old, new);
        predecessor.gone().await;
        assert_eq!((addresses(&sockets.front_door), addresses(&sockets.balancer)), expected);
        for socket in sockets.balancer {
            let listener = std::net::TcpListener::from(socket.fd);
            assert_eq!(listener.local_addr().unwrap(), socket.address);
        }
    }

    #[tokio::test]
    async fn where_nobody_serves_there_is_nobody_to_take_over_from() {
        let root = tempfile::tempdir().unwrap();
        assert!(Predecessor::ask(&root.path().join("nowhere")).await.unwrap().is_none());
        assert!(Predecessor::ask(root.path()).await.unwrap().is_none());
        // What a killed process left.
        drop(Desk::open(root.path()).unwrap());
        assert!(Predecessor::ask(root.path()).await.unwrap().is_none());
        drop(Desk::open(root.path()).unwrap());
    }

    #[tokio::test]
    async fn a_refusal_says_why() {
        let root = tempfile::tempdir().unwrap();
        let desk = Desk::open(root.path()).unwrap();
        let old = async { desk.next().await.refuse("too early").await };
        let ((), asked) = tokio::join!(old, Predecessor::ask(root.path()));
        assert_eq!(asked.unwrap_err().to_string(), "too early");
    }

    #[tokio::test]
    async fn a_successor_that_dies_is_noticed_at_each_step() {
        let root = tempfile::tempdir().unwrap();
        let desk = Desk::open(root.path()).unwrap();
        let given = Sockets { front_door: vec![socket()], balancer: Vec::new() };
        let old = async {
            let mut successor = desk.next().await;
            successor.give(&given).await.unwrap();
            assert!(successor.release().await.is_err());
        };
        let new = async { drop(Predecessor::ask(root.path()).await.unwrap().unwrap()) };
        tokio::join!(old, new);
    }
}
