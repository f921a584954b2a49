//! HTTPS: one port for both, certificates of our own authority, and who gets none.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::support::{Key, Place, Server};

fn certificate(server: &Server) -> String {
    let answer = server.get("/_millpond/ca.pem", &[]);
    assert_eq!(answer.status, 200);
    answer.text()
}

/// A client that trusts `authority` and nobody else.
fn handshake(
    address: SocketAddr,
    authority: &str,
    name: &str,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn exchange(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    // Some servers end without TLS's own goodbye; ours must not.
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_port_of_http_speaks_https_to_who_begins_with_it() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let authority = certificate(&server);
    let host = "sqs.us-east-1.amazonaws.com";
    let stream = handshake(server.address, &authority, host).unwrap();
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AmazonSQS.CreateQueue")];
    let body = json!({"QueueName": "jobs"}).to_string();
    let signed = Key::any().sign(host, "POST", "/", "sqs", &headers, &body);
    let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = exchange(stream, &server.request("POST", "/", &signed, &body));
    let created: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(created["QueueUrl"], "https://sqs.us-east-1.amazonaws.com/000000000000/jobs");
    // The same port, without.
    assert!(server.create_queue("plain").starts_with("http://"));
}

#[test]
fn every_name_of_aws_has_a_certificate_and_others_have_none() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral", "--base-domain", "cloud.example"]);
    let authority = certificate(&server);
    for name in [
        "queue.amazonaws.com",
        "s3.amazonaws.com",
        "shop.s3.amazonaws.com",
        "my.dotted.shop.s3.eu-west-1.amazonaws.com",
        "elasticloadbalancing.eu-west-1.amazonaws.com",
        "cloudformation.us-east-1.amazonaws.com",
        "localhost",
        "sqs.cloud.example",
        "127.0.0.1",
    ] {
        let stream = handshake(server.address, &authority, name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let request = format!("GET /_millpond/health HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
        assert!(exchange(stream, &request).starts_with("HTTP/1.1 200"), "{name}");
    }
    for name in ["bank.example", "amazonaws.com.evil.example"] {
        assert!(handshake(server.address, &authority, name).is_err(), "{name}");
    }
    assert_eq!(server.get("/_millpond/health", &[]).status, 200, "and goes on");
}

#[test]
fn a_tls_listener_takes_nothing_else() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral", "--tls-listen", "127.0.0.1:0"]);
    let line = server.banner.iter().find(|line| line.contains("https://")).unwrap();
    let address: SocketAddr = line.split("https://").nth(1).unwrap().trim().parse().unwrap();
    let stream = handshake(address, &certificate(&server), "localhost").unwrap();
    assert!(exchange(stream, "GET /_millpond/health HTTP/1.1\r\nhost: localhost\r\n\r\n").starts_with("HTTP/1.1 200"));
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET /_millpond/health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn the_authority_of_a_data_directory_stays_and_is_printed() {
    let place = Place::new();
    let server = place.serve(&[]);
    let before = certificate(&server);
    let printed = place.run(&["ca"]);
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), before);
    assert!(String::from_utf8(printed.stderr).unwrap().contains("update-ca-certificates"));
    server.stop();
    let again = place.serve(&[]);
    assert_eq!(certificate(&again), before);
    let another = Place::new();
    let other = another.serve(&["--ephemeral"]);
    assert_ne!(certificate(&other), before);
    assert!(handshake(again.address, &certificate(&other), "localhost").is_err(), "one vouches not for another");
}

#[test]
fn a_data_directory_that_is_none_gets_no_authority() {
    let place = Place::new();
    assert!(place.refusal(&["ca"]).contains("there is no data directory"));
    assert!(!place.data_dir().exists());
}
