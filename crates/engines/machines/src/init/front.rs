//! The metadata service's front in an unprivileged instance: the first process holds it, so that it is open before the
//! first line of user data runs, and stays open while the engine is away.
//!
//! Invariants:
//! - Whoever asks gets the engine's whole answer: what the engine's end cut short, and what an engine that has just begun
//!   cannot answer yet (503), is asked again until [`PATIENCE`] ends. Questions change nothing, so that one asked twice is one asked once.
//! - Questions under way, their heads, their answers and their waits have bounds.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Questions that are carried at a time; more wait to be accepted.
const CARRIERS: usize = 4;
const CARRIER_STACK_BYTES: usize = 128 << 10;
/// As the service has it.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// User data are the longest answer: 16 KiB; tags and credentials come nowhere near.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// How long an asker may take over its question, and over taking the answer.
const ASKER_WITHIN: Duration = Duration::from_secs(10);
/// How long the engine may take over one answer before it counts as gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long an engine is waited for: a server that was killed is back sooner, or it does not come back.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);

const NOT_YET: &[u8] = b"HTTP/1.1 503 ";
const GIVEN_UP: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Opens the front at `address`, and carries what is asked there to the engine behind it, for as long as this process
/// lives.
pub(super) fn open(address: Ipv4Addr, front: u16, behind: u16) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddrV4::new(address, front))?;
    let engine = SocketAddrV4::new(address, behind);
    for _ in 0..CARRIERS {
        let listener = listener.try_clone()?;
        let carrier = std::thread::Builder::new().name("metadata".to_owned()).stack_size(CARRIER_STACK_BYTES);
        carrier.spawn(move || {
            loop {
                match listener.accept() {
                    Ok((asker, _)) => drop(carry(asker, engine)),
                    // Out of descriptors, most likely: others must end first.
                    Err(_) => std::thread::sleep(PAUSE),
                }
            }
        })?;
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a deadline of real sockets; nothing here is simulated")]
fn carry(mut asker: TcpStream, engine: SocketAddrV4) -> io::Result<()> {
    let given_up_at = Instant::now() + PATIENCE;
    asker.set_read_timeout(Some(ASKER_WITHIN))?;
    asker.set_write_timeout(Some(ASKER_WITHIN))?;
    let Some(question) = read_question(&mut asker)? else { return Ok(()) };
    loop {
        match ask(engine, &question) {
            Ok(answer) => return asker.write_all(&answer),
            Err(_) if Instant::now() < given_up_at => std::thread::sleep(PAUSE),
            Err(_) => return asker.write_all(GIVEN_UP),
        }
    }
}

/// A request's head, made to end its connection; nothing when it does not come whole. No question has a body.
fn read_question(asker: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let (mut head, mut chunk) = (Vec::new(), [0; 2048]);
    let end = loop {
        if let Some(end) = end_of_head(&head) {
            break end;
        }
        match asker.read(&mut chunk)? {
            1.. if head.len() >= HEAD_BYTES_MAX => return Ok(None),
            0 => return Ok(None),
            read => head.extend_from_slice(&chunk[..read]),
        }
    };
    head.truncate(end - b"\r\n".len());
    head.extend_from_slice(b"connection: close\r\n\r\n");
    Ok(Some(head))
}

/// Asks once; an answer that does not come whole is an error, and so is "not yet".
fn ask(engine: SocketAddrV4, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut engine = TcpStream::connect(engine)?;
    engine.set_read_timeout(Some(ANSWER_WITHIN))?;
    engine.write_all(question)?;
    let mut answer = Vec::new();
    engine.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let is_head_alone = question.starts_with(b"HEAD ");
    let is_answer = is_whole(&answer, is_head_alone) && !answer.starts_with(NOT_YET);
    if is_answer { Ok(answer) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn is_whole(answer: &[u8], is_head_alone: bool) -> bool {
    let Some(end) = end_of_head(answer) else { return false };
    let head = String::from_utf8_lossy(&answer[..end]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    is_head_alone || length.is_none_or(|length| answer.len() - end >= length)
}

/// Where a head ends, its empty line included.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

    /// A port that was free a moment ago.
    fn port() -> u16 {
        TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap().port()
    }

    /// An engine that answers its one question with `bytes` and ends; what it was asked.
    fn answer_once(listener: &TcpListener, bytes: &[u8]) -> String {
        let (mut front, _) = listener.accept().unwrap();
        let question = read_question(&mut front).unwrap().unwrap();
        front.write_all(bytes).unwrap();
        String::from_utf8(question).unwrap()
    }

    #[test]
    fn an_answer_that_an_engines_end_cut_short_is_asked_of_the_next_one() {
        let (front, behind) = (port(), port());
        open(HERE, front, behind).unwrap();
        let mut asker = TcpStream::connect((HERE, front)).unwrap();
        asker.write_all(b"GET /latest/meta-data/local-ipv4 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        // Nobody is there yet; then one that ends without a word, one in the middle of its answer, one that has just begun, and
        // a whole one.
        let listener = TcpListener::bind((HERE, behind)).unwrap();
        drop(listener.accept().unwrap());
        answer_once(&listener, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n10.0");
        answer_once(&listener, b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n10.0.0.12";
        let question = answer_once(&listener, whole);
        assert!(question.contains("\r\nhost: x\r\nconnection: close\r\n"), "{question}");
        let mut got = Vec::new();
        asker.read_to_end(&mut got).unwrap();
        assert_eq!(got, whole);
    }

    #[test]
    fn an_answer_is_whole_with_all_of_its_length() {
        assert!(is_whole(b"HTTP/1.1 204 No Content\r\n\r\n", false));
        assert!(is_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", true));
        for half in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab"] {
            assert!(!is_whole(half.as_bytes(), false), "{half:?}");
        }
    }
}
