//! Single checks against servers that answer, fail and hang.

use tokio::net::TcpListener;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A target that reads a request, sends `answer` in pieces of `piece` bytes, and closes (or not).
async fn target(answer: &'static [u8], piece: usize, closes: bool) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert!(tcp.read_buf(&mut request).await.unwrap() > 0);
        }
        for piece in answer.chunks(piece) {
            let _ = tcp.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        if !closes {
            let mut rest = Vec::new();
            let _ = tcp.read_to_end(&mut rest).await;
        }
        String::from_utf8(request).unwrap()
    });
    (address, task)
}

fn check(kind: HealthCheckKind, timeout: Duration) -> Arc<HealthCheck> {
    let interval = Duration::from_secs(30);
    Arc::new(HealthCheck { kind, port: 80, interval, timeout, unhealthy_threshold: 2, healthy_threshold: 10 })
}

fn http() -> HealthCheckKind {
    HealthCheckKind::Http("/ping?deep=1".into())
}

async fn outcome(answer: &'static [u8], piece: usize, closes: bool) -> Result<(), Failure> {
    let (address, task) = target(answer, piece, closes).await;
    let outcome = probe(check(http(), TIMEOUT), address, None).await;
    task.await.unwrap();
    outcome
}

#[tokio::test]
async fn the_request_is_what_elb_sends() {
    let (address, task) = target(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 100, true).await;
    assert_eq!(probe(check(http(), TIMEOUT), address, None).await, Ok(()));
    assert_eq!(
        task.await.unwrap(),
        format!(
            "GET /ping?deep=1 HTTP/1.1\r\nHost: {address}\r\nUser-Agent: ELB-HealthChecker/1.0\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        )
    );
}

#[test]
fn a_path_cannot_end_the_request_line() {
    let request = request("10.0.0.1:80".parse().unwrap(), "/a b\r\nX: \u{e9}");
    assert!(request.starts_with("GET /a%20b%0D%0AX:%20%C3%A9 HTTP/1.1\r\nHost: 10.0.0.1:80\r\n"), "{request}");
}

#[tokio::test]
async fn a_200_with_its_whole_body_passes() {
    let answers: [&[u8]; 8] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 Fine\r\ncontent-length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n1 \r\n!\r\n00\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n0\r\n\r\n",
    ];
    for answer in answers {
        for (piece, closes) in [(1, false), (7, false), (1000, true)] {
            assert_eq!(outcome(answer, piece, closes).await, Ok(()), "{}", answer.escape_ascii());
        }
    }
    // No body at all needs no length.
    assert_eq!(outcome(b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n", 100, true).await, Ok(()));
}

#[tokio::test]
async fn everything_else_fails_and_says_why() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answers: [(String, &str); 13] = [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(), "got 404, not 200"),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), "got 204, not 200"),
        ("HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n".into(), "got 301, not 200"),
        ("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n".into(), "got 201, not 200"),
        ("HTTP/1.0 200 OK\r\n\r\nhello".into(), "the body has neither a Content-Length nor chunked encoding"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello".into(),
            "the connection was closed before the response was complete",
        ),
        ("HTTP/1.1 200 OK\r\nContent-".into(), "the connection was closed before the response was complete"),
        (format!("{chunked}5\r\nhello\r\n0\r\n"), "the connection was closed before the response was complete"),
        (format!("{chunked}xyz\r\nhello\r\n0\r\n\r\n"), "the answer is not HTTP"),
        (format!("{chunked}5\r\nhelloworld\r\n0\r\n\r\n"), "the answer is not HTTP"),
        (format!("{chunked}fffffffffffffffff\r\n"), "the answer is not HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".into(), "the answer is not HTTP"),
        ("220 smtp.example.com ESMTP\r\n".into(), "the answer is not HTTP"),
    ];
    for (answer, sentence) in answers {
        for piece in [1, 1000] {
            let answer: &'static [u8] = answer.clone().leak().as_bytes();
            let failure = outcome(answer, piece, true).await.unwrap_err();
            assert_eq!(failure.to_string(), sentence, "{}", answer.escape_ascii());
        }
    }
}

#[tokio::test]
async fn a_head_without_end_is_not_read_forever() {
    let endless: &'static [u8] = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; 40_000]].concat().leak();
    let failure = outcome(endless, 1000, true).await.unwrap_err();
    assert_eq!(failure.to_string(), "the response's head is longer than 16 KB");
}

#[tokio::test]
async fn nobody_there_is_a_refused_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for kind in [HealthCheckKind::Tcp, HealthCheckKind::Ssl, http()] {
        let failure = probe(check(kind, TIMEOUT), address, None).await.unwrap_err();
        assert_eq!(failure.to_string(), "connection refused");
    }
}

#[tokio::test]
async fn silence_is_a_timeout_but_a_tcp_check_asks_for_a_connection_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let short = Duration::from_millis(200);
    assert_eq!(probe(check(http(), short), address, None).await, Err(Failure::TimedOut(short)));
    assert_eq!(probe(check(HealthCheckKind::Tcp, short), address, None).await, Ok(()));
    assert_eq!(Failure::TimedOut(TIMEOUT).to_string(), "timed out after 5 s");
    drop(listener);
}

mod tls {
    use std::io::{Read, Write};

    use host::SystemClock;

    use super::*;
    use crate::config::{Certificate, PrivateKey, Tls, TlsPolicy};
    use crate::tls::Configs;

    /// A target within TLS that answers one connection.
    fn target(answer: &'static [u8]) -> SocketAddr {
        let key = rcgen::generate_simple_self_signed(vec!["anything.example".to_owned()]).unwrap();
        let certificate = Certificate {
            chain: vec![key.cert.der().to_vec()],
            private_key: PrivateKey(key.signing_key.serialize_der()),
        };
        let policy = TlsPolicy { tls12: true, tls13: true, cipher_suites: Vec::new(), server_order: true };
        let tls = Tls { certificate: Arc::new(certificate), policy: Arc::new(policy) };
        let config = Configs::new(Arc::new(SystemClock)).server(&tls, true).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (tcp, _) = listener.accept().unwrap();
            let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), tcp);
            let mut request = [0; 1024];
            if stream.read(&mut request).is_ok_and(|read| read > 0) {
                stream.write_all(answer).unwrap();
                stream.flush().unwrap();
            }
        });
        address
    }

    fn client() -> Option<Arc<ClientConfig>> {
        Some(Configs::new(Arc::new(SystemClock)).client(None).unwrap())
    }

    #[tokio::test]
    async fn an_https_target_passes_with_any_certificate() {
        let kind = HealthCheckKind::Https("/".into());
        let address = target(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(probe(check(kind.clone(), TIMEOUT), address, client()).await, Ok(()));
        let address = target(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno");
        assert_eq!(probe(check(kind, TIMEOUT), address, client()).await, Err(Failure::Status(503)));
    }

    #[tokio::test]
    async fn an_ssl_target_passes_with_its_handshake() {
        assert_eq!(probe(check(HealthCheckKind::Ssl, TIMEOUT), target(b""), client()).await, Ok(()));
    }

    #[tokio::test]
    async fn who_does_not_speak_tls_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let _ = tcp.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
            let mut rest = Vec::new();
            let _ = tcp.read_to_end(&mut rest).await;
        });
        let failure = probe(check(HealthCheckKind::Ssl, TIMEOUT), address, client()).await.unwrap_err();
        assert!(failure.to_string().starts_with("the TLS handshake failed: "), "{failure}");
    }
}
