//! Both sides of the handshake and of the stream, against each other over loopback sockets.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use host::SystemClock;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::{Certificate, PrivateKey, Tls, TlsPolicy};

const LONG: Duration = Duration::from_secs(20);
pub(crate) const ECDSA: &rcgen::SignatureAlgorithm = &rcgen::PKCS_ECDSA_P256_SHA256;

pub(crate) fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Arc<Certificate> {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let params = rcgen::CertificateParams::new(vec!["example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Arc::new(Certificate { chain: vec![certificate.der().to_vec()], private_key: PrivateKey(key.serialize_der()) })
}

fn public_key(certificate: &Certificate) -> Vec<u8> {
    der::public_key_info(&certificate.chain[0]).unwrap().to_vec()
}

fn policy(suites: &[&str], tls13: bool, server_order: bool) -> Arc<TlsPolicy> {
    let cipher_suites: Vec<Arc<str>> = suites.iter().map(|name| Arc::from(*name)).collect();
    Arc::new(TlsPolicy { tls12: !suites.is_empty(), tls13, cipher_suites, server_order })
}

fn configs() -> Configs {
    Configs::new(Arc::new(SystemClock))
}

pub(crate) fn modern(certificate: &Arc<Certificate>) -> Tls {
    let policy = policy(&["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"], true, true);
    Tls { certificate: Arc::clone(certificate), policy }
}

/// Client and server that have met over TCP only.
pub(crate) async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

type Both = (io::Result<Stream>, io::Result<(Stream, crate::access_record::TlsInfo)>);

async fn handshakes(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Both {
    let (client_tcp, server_tcp) = sockets().await;
    tokio::join!(connect(client_tcp, Arc::clone(client), LONG), accept(server_tcp, Arc::clone(server), LONG))
}

pub(crate) async fn streams(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> (Stream, Stream) {
    let (client, server) = handshakes(client, server).await;
    (client.unwrap(), server.unwrap().0)
}

async fn modern_streams() -> (Stream, Stream) {
    let mut configs = configs();
    let server = configs.server(&modern(&certificate(ECDSA)), true).unwrap();
    streams(&configs.client(None).unwrap(), &server).await
}

fn tls(stream: &Stream) -> &TlsStream {
    match stream {
        Stream::Tls(tls) => tls,
        _ => panic!("in the clear"),
    }
}

/// Sends a byte each way, so that the client has seen the server's tickets.
async fn greet(client: &mut Stream, server: &mut Stream) {
    for (from, to) in [(0, 1), (1, 0)] {
        let both = [&mut *client, &mut *server];
        both[from].write_all(b"x").await.unwrap();
        both[from].flush().await.unwrap();
        assert_eq!(both[to].read_u8().await.unwrap(), b'x');
    }
}

#[tokio::test(flavor = "local")]
async fn each_suite_is_negotiated_under_its_openssl_name() {
    let (ecdsa, rsa) = (certificate(ECDSA), certificate(&rcgen::PKCS_RSA_SHA256));
    for (name, certificate) in [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", &ecdsa),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", &ecdsa),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", &ecdsa),
        ("ECDHE-RSA-AES128-GCM-SHA256", &rsa),
        ("ECDHE-RSA-AES256-GCM-SHA384", &rsa),
        ("ECDHE-RSA-CHACHA20-POLY1305", &rsa),
    ] {
        assert!(suite_is_supported(name));
        let mut configs = configs();
        let tls = Tls { certificate: Arc::clone(certificate), policy: policy(&["AES128-SHA", name], false, true) };
        let server = configs.server(&tls, true).unwrap();
        let (client, accepted) = handshakes(&configs.client(None).unwrap(), &server).await;
        let (mut server, info) = accepted.unwrap();
        assert_eq!((info.cipher, info.protocol), (name, "TLSv1.2"));
        greet(&mut client.unwrap(), &mut server).await;
    }
}

#[tokio::test(flavor = "local")]
async fn tls_1_3_is_spoken_where_the_policy_allows_it() {
    let mut configs = configs();
    let server = configs.server(&modern(&certificate(ECDSA)), true).unwrap();
    let (client, accepted) = handshakes(&configs.client(None).unwrap(), &server).await;
    let (mut server, info) = accepted.unwrap();
    assert_eq!((info.cipher, info.protocol), ("TLS_AES_128_GCM_SHA256", "TLSv1.3"));
    greet(&mut client.unwrap(), &mut server).await;
}

#[tokio::test(flavor = "local")]
async fn the_order_of_a_policy_decides_only_where_it_says_so() {
    let certificate = certificate(ECDSA);
    // rustls' clients prefer AES-256.
    for (server_order, expected) in [(true, "ECDHE-ECDSA-AES128-GCM-SHA256"), (false, "ECDHE-ECDSA-AES256-GCM-SHA384")]
    {
        let suites = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"];
        let tls = Tls { certificate: Arc::clone(&certificate), policy: policy(&suites, false, server_order) };
        let mut configs = configs();
        let server = configs.server(&tls, true).unwrap();
        let accepted = handshakes(&configs.client(None).unwrap(), &server).await.1;
        assert_eq!(accepted.unwrap().1.cipher, expected);
    }
}

#[test]
fn a_policy_that_leaves_nothing_is_refused() {
    let certificate = certificate(ECDSA);
    for suites in [&["AES128-SHA", "DHE-RSA-AES128-SHA", "RC4-SHA", "TLS_AES_128_GCM_SHA256"][..], &[]] {
        assert!(!suites.iter().any(|name| suite_is_supported(name)));
        let tls = Tls { certificate: Arc::clone(&certificate), policy: policy(suites, false, true) };
        assert_eq!(configs().server(&tls, true).unwrap_err(), TlsConfigError::NothingToNegotiate);
    }
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let (one, other) = (certificate(ECDSA), certificate(ECDSA));
    assert_eq!(check_certificate(&one), Ok(()));
    let mixed = Certificate { chain: one.chain.clone(), private_key: other.private_key.clone() };
    assert_eq!(check_certificate(&mixed), Err(CertificateError::Mismatch));
    let none = Certificate { chain: Vec::new(), private_key: one.private_key.clone() };
    assert_eq!(check_certificate(&none), Err(CertificateError::Missing));
    let garbage = Certificate { chain: vec![vec![1, 2, 3]], private_key: one.private_key.clone() };
    assert_eq!(check_certificate(&garbage), Err(CertificateError::Certificate));
    let keyless = Certificate { chain: one.chain.clone(), private_key: PrivateKey(vec![0x30, 0]) };
    assert!(matches!(check_certificate(&keyless), Err(CertificateError::PrivateKey(_))));
}

#[tokio::test(flavor = "local")]
async fn a_session_is_resumed_after_the_configuration_was_published_again() {
    let certificate = certificate(ECDSA);
    let tls12 =
        Tls { certificate: Arc::clone(&certificate), policy: policy(&["ECDHE-ECDSA-AES128-GCM-SHA256"], false, true) };
    for listener in [modern(&certificate), tls12] {
        let mut configs = configs();
        let client = configs.client(None).unwrap();
        let before = configs.server(&listener, true).unwrap();
        let (mut c, mut s) = streams(&client, &before).await;
        assert_eq!(tls(&s).common().handshake_kind(), Some(HandshakeKind::Full));
        greet(&mut c, &mut s).await;
        // The next configuration is made while this one serves, from values that are equal, not the same.
        let again = Tls {
            certificate: Arc::new((*listener.certificate).clone()),
            policy: Arc::new((*listener.policy).clone()),
        };
        let after = configs.server(&again, true).unwrap();
        assert!(Arc::ptr_eq(&before, &after));
        let (mut c, mut s) = streams(&client, &after).await;
        assert_eq!(tls(&s).common().handshake_kind(), Some(HandshakeKind::Resumed));
        greet(&mut c, &mut s).await;
    }
}

#[tokio::test(flavor = "local")]
async fn another_certificate_makes_another_configuration_and_keeps_live_connections() {
    let mut configs = configs();
    let client = configs.client(None).unwrap();
    let (one, other) = (modern(&certificate(ECDSA)), modern(&certificate(ECDSA)));
    let before = configs.server(&one, true).unwrap();
    let (mut c, mut s) = streams(&client, &before).await;
    greet(&mut c, &mut s).await;
    let after = configs.server(&other, true).unwrap();
    assert!(!Arc::ptr_eq(&before, &after));
    drop(before);
    let (_c, fresh) = streams(&client, &after).await;
    assert_eq!(tls(&fresh).common().handshake_kind(), Some(HandshakeKind::Full));
    greet(&mut c, &mut s).await;
}

#[test]
fn what_nobody_uses_is_forgotten() {
    let mut configs = configs();
    for _ in 0..10 {
        configs.server(&modern(&certificate(ECDSA)), true).unwrap();
        configs.client(Some(&Arc::from(vec![vec![1]]))).unwrap();
    }
    assert!(configs.remembered() <= 2);
}

#[tokio::test(flavor = "local")]
async fn a_target_passes_by_its_key_and_only_by_its_key() {
    let (shown, other) = (certificate(ECDSA), certificate(ECDSA));
    let mut configs = configs();
    let server = configs.server(&modern(&shown), false).unwrap();
    let trusting = Arc::from(vec![public_key(&other), public_key(&shown)]);
    let (mut c, mut s) = streams(&configs.client(Some(&trusting)).unwrap(), &server).await;
    greet(&mut c, &mut s).await;
    let mistrusting: Arc<[Vec<u8>]> = Arc::from(vec![public_key(&other)]);
    let (client, accepted) = handshakes(&configs.client(Some(&mistrusting)).unwrap(), &server).await;
    assert!(client.is_err() && accepted.is_err());
}

#[tokio::test(flavor = "local")]
async fn a_target_that_shows_a_certificate_without_having_its_key_does_not_pass() {
    let (shown, other) = (certificate(ECDSA), certificate(ECDSA));
    for tls13 in [false, true] {
        let mut configs = configs();
        let version = if tls13 { &rustls::version::TLS13 } else { &rustls::version::TLS12 };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(other.private_key.0.clone()).into();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let forged = rustls::sign::CertifiedKey::new(vec![shown.chain[0].clone().into()], key);
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(forged)));
        let server = Arc::new(server);
        let trusting = Arc::from(vec![public_key(&shown)]);
        let client = configs.client(Some(&trusting)).unwrap();
        assert!(handshakes(&client, &server).await.0.is_err());
        assert!(handshakes(&configs.client(None).unwrap(), &server).await.0.is_err());
    }
}

#[tokio::test(flavor = "local")]
async fn a_certificate_of_version_1_will_do() {
    for (algorithm, tls13) in [(ECDSA, true), (ECDSA, false), (&rcgen::PKCS_RSA_SHA256, true)] {
        let modern = certificate(algorithm);
        let old = Certificate {
            chain: vec![der::tests::as_version_1(&modern.chain[0])],
            private_key: modern.private_key.clone(),
        };
        let suites = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"];
        let tls = Tls { certificate: Arc::new(old), policy: policy(&suites, tls13, true) };
        let mut configs = configs();
        let server = configs.server(&tls, true).unwrap();
        let (mut c, mut s) = streams(&configs.client(None).unwrap(), &server).await;
        greet(&mut c, &mut s).await;
    }
}

#[tokio::test(flavor = "local")]
async fn megabytes_arrive_unchanged_both_ways_at_once_whatever_the_sizes_of_reads() {
    let (client, server) = modern_streams().await;
    let sent: Arc<[u8]> = (0..5_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let both = [(client, 1000), (server, 100_000)].map(|(stream, read_size)| {
        let sent = Arc::clone(&sent);
        tokio::task::spawn_local(async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let write = async {
                for piece in sent.chunks(33_333) {
                    writer.write_all(piece).await.unwrap();
                }
                writer.shutdown().await.unwrap();
            };
            let read = async {
                let mut received = Vec::new();
                let mut buf = vec![0; read_size];
                loop {
                    match reader.read(&mut buf).await.unwrap() {
                        0 => return received,
                        n => received.extend_from_slice(&buf[..n]),
                    }
                }
            };
            let received = tokio::join!(write, read).1;
            assert!(received == *sent);
        })
    });
    for task in both {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "local")]
async fn a_side_that_has_closed_its_half_still_reads() {
    let (mut client, mut server) = modern_streams().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = Vec::new();
    server.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    server.write_all(b"answer").await.unwrap();
    server.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
}

#[tokio::test(flavor = "local")]
async fn an_end_without_close_notify_is_an_error() {
    let (client, mut server) = modern_streams().await;
    drop(client);
    assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let (mut client, mut server) = modern_streams().await;
    let Stream::Tls(cut) = &mut client else { unreachable!() };
    cut.tcp_mut().shutdown().await.unwrap();
    let e = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test(flavor = "local")]
async fn a_head_and_its_body_travel_in_one_record() {
    let (mut client, mut server) = modern_streams().await;
    greet(&mut client, &mut server).await;
    let (head, body) = ([b'h'; 200], [b'b'; 1000]);
    let n = server.write_vectored(&[IoSlice::new(&head), IoSlice::new(&body)]).await.unwrap();
    assert_eq!(n, 1200);
    let Stream::Tls(raw) = &mut client else { unreachable!() };
    let mut wire = [0; 4096];
    // Header, inner type and tag.
    assert_eq!(raw.tcp_mut().peek(&mut wire).await.unwrap(), 1200 + 5 + 1 + 16);
    let mut plain = [0; 4096];
    assert_eq!(client.read(&mut plain).await.unwrap(), 1200);
    assert!(plain[..200] == head && plain[200..1200] == body);
}

#[tokio::test(flavor = "local")]
async fn an_idle_connection_holds_no_buffer() {
    let (mut client, mut server) = modern_streams().await;
    greet(&mut client, &mut server).await;
    for _ in 0..3 {
        server.write_all(&vec![7; 60_000]).await.unwrap();
        server.flush().await.unwrap();
        let mut received = vec![0; 60_000];
        client.read_exact(&mut received).await.unwrap();
    }
    greet(&mut client, &mut server).await;
    assert_eq!((tls(&client).held(), tls(&server).held()), (0, 0));
}

#[tokio::test(flavor = "local")]
async fn a_peer_that_does_not_read_makes_writing_wait() {
    let (mut client, mut server) = modern_streams().await;
    let piece = vec![1; 64 << 10];
    let mut written = 0;
    while let Ok(n) = tokio::time::timeout(Duration::from_millis(300), server.write(&piece)).await {
        written += n.unwrap();
        assert!(written < 64 << 20, "nothing stops the writer");
        assert!(tls(&server).held() <= 256 << 10);
    }
    let drained = async {
        let (mut received, mut buf) = (0, vec![0; 64 << 10]);
        while received < written {
            received += client.read(&mut buf).await.unwrap();
        }
        received
    };
    let (received, flushed) = tokio::join!(drained, server.flush());
    flushed.unwrap();
    assert_eq!(received, written);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_says_nothing_is_given_up_after_the_timeout() {
    let (_silent, server_tcp) = sockets().await;
    let server = configs().server(&modern(&certificate(ECDSA)), true).unwrap();
    let began = tokio::time::Instant::now();
    let e = accept(server_tcp, server, Duration::from_secs(10)).await.err().unwrap();
    assert_eq!(e.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(flavor = "local")]
async fn a_client_that_speaks_no_tls_is_told_so_by_an_alert() {
    let (mut client, server_tcp) = sockets().await;
    let server = configs().server(&modern(&certificate(ECDSA)), true).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(accept(server_tcp, server, LONG).await.err().unwrap().kind(), io::ErrorKind::InvalidData);
    let mut alert = Vec::new();
    let _ = client.read_to_end(&mut alert).await;
    assert_eq!((alert.len(), alert[0]), (7, 21));
}

#[tokio::test(flavor = "local")]
async fn waiting_to_read_is_over_for_bytes_and_not_for_tickets() {
    let (mut client, mut server) = modern_streams().await;
    // The server's ticket is sent as soon as it waits for the client.
    let nothing = tokio::time::timeout(Duration::from_millis(50), server.read_u8()).await;
    assert!(nothing.is_err());
    let ready = std::future::poll_fn(|cx| client.poll_read_ready(cx));
    assert!(tokio::time::timeout(Duration::from_millis(100), ready).await.is_err());
    server.write_all(b"x").await.unwrap();
    std::future::poll_fn(|cx| client.poll_read_ready(cx)).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'x');
}
