//! HTTP/1.1 forwarding, RFC 9112 and 9110 section by section: one row, one test, over real sockets.
//!
//! A row says what a client sends, what the target answers to each message that ends as `until` says, and then what the
//! target must have heard (`heard`, never `unheard`), what the client must get (`told`, never `untold`), and whether its
//! connection goes on. Empty `heard` and `unheard` lists with `until: NOTHING` are for what never reaches a target.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Lab, eventually, free_address, http_listener, load_balancer, target};

#[derive(Clone, Copy)]
struct Row {
    client: &'static str,
    until: &'static str,
    answer: &'static str,
    heard: &'static [&'static str],
    unheard: &'static [&'static str],
    told: &'static [&'static str],
    untold: &'static [&'static str],
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Open,
    Closed,
}
use Then::{Closed, Open};

/// What ends a head.
const HEAD: &str = "\r\n\r\n";
/// No target is asked.
const NOTHING: &str = "\0";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const IS_OK: &[&str] = &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"];
const BAD: &[&str] = &["HTTP/1.1 400 BAD_REQUEST\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"];
const BAD_GATEWAY: &[&str] = &["HTTP/1.1 502 BAD_GATEWAY\r\n"];

impl Row {
    fn run(self) {
        let lab = Lab::start();
        let (port, heard) = self.start_target();
        let address = free_address("127.0.0.1");
        let local = IpAddr::from([127, 0, 0, 1]);
        lab.serve(load_balancer(1, local, [http_listener(address.port(), port)], [target(1, local)]));
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(self.client.as_bytes()).unwrap();
        let (told, then) = self.listen(&mut client);
        for wanted in self.told {
            assert!(told.contains(wanted), "the client is not told {wanted:?} but {told:?}");
        }
        for unwanted in self.untold {
            assert!(!told.contains(unwanted), "the client is told {unwanted:?}: {told:?}");
        }
        assert_eq!(then, self.then, "{told:?}");
        let is_heard = |wanted: &&&str| String::from_utf8_lossy(&heard.lock().unwrap()).contains(**wanted);
        eventually(&format!("the target hears {:?}", self.heard), || {
            self.heard.iter().filter(is_heard).count() == self.heard.len()
        });
        let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        assert!(self.until != NOTHING || heard.is_empty(), "the target hears {heard:?}");
        for unwanted in self.unheard {
            assert!(
                !heard.to_lowercase().contains(&unwanted.to_lowercase()),
                "the target hears {unwanted:?}: {heard:?}"
            );
        }
    }

    /// A server that answers whenever `until` ends what it hears, and closes after an answer without an end.
    fn start_target(self) -> (u16, Arc<Mutex<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let all = Arc::clone(&all);
                std::thread::spawn(move || self.answer(stream.unwrap(), &all));
            }
        });
        (port, heard)
    }

    fn answer(self, mut stream: TcpStream, all: &Mutex<Vec<u8>>) {
        let mut message = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            all.lock().unwrap().extend_from_slice(&piece[..count]);
            message.extend_from_slice(&piece[..count]);
            if !message.ends_with(self.until.as_bytes()) {
                continue;
            }
            message.clear();
            let (answer, ends) = self.answer.strip_suffix('\0').map_or((self.answer, false), |answer| (answer, true));
            if stream.write_all(answer.as_bytes()).is_err() || ends {
                return;
            }
        }
    }

    /// Until all was told that should be, and a moment longer.
    fn listen(&self, client: &mut TcpStream) -> (String, Then) {
        let mut told = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&told).into_owned();
            let is_all = self.told.iter().all(|wanted| text.contains(wanted));
            let patience = if is_all && self.then == Open { 100 } else { 5000 };
            client.set_read_timeout(Some(Duration::from_millis(patience))).unwrap();
            match client.read(&mut piece) {
                Ok(0) => return (text, Closed),
                Ok(count) => told.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return (text, Open),
                Err(_) => return (text, Closed),
            }
        }
    }
}

macro_rules! rows {
    ($($name:ident: $client:expr, $until:expr, $answer:expr, heard $heard:expr, unheard $unheard:expr, told $told:expr, untold $untold:expr, $then:expr;)*) => {
        $(#[test]
        fn $name() {
            let row = Row { client: $client, until: $until, answer: $answer, heard: &$heard, unheard: &$unheard, told: $told, untold: &$untold, then: $then };
            row.run();
        })*
    };
}

// RFC 9112, 2 and 3: messages and request lines.
rows! {
    a_request_is_forwarded_as_http_1_1_with_its_headers_as_they_came:
        "GET /a?b=%20c HTTP/1.1\r\nHost: Example.com:81\r\nX-MiXeD: A  b\r\nx-utf: \u{e4}\r\n\r\n", HEAD, OK,
        heard ["GET /a?b=%20c HTTP/1.1\r\n", "\r\nHost: Example.com:81\r\n", "\r\nX-MiXeD: A  b\r\n", "\r\nx-utf: \u{e4}\r\n"],
        unheard [], told IS_OK, untold ["Connection"], Open;
    who_asks_and_how_is_told_to_the_target:
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\n\r\n", HEAD, OK,
        heard ["\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n", "\r\nX-Forwarded-Proto: http\r\n", "\r\nX-Forwarded-Port: "],
        unheard ["https", "-Port: 1\r\n"], told IS_OK, untold [], Open;
    an_empty_line_before_a_request_is_ignored:
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, OK, heard ["GET / HTTP/1.1\r\n"], unheard [], told IS_OK, untold [], Open;
    lines_that_end_in_lf_are_understood_and_written_properly:
        "GET / HTTP/1.1\nHost: a\nX: y\n\n", HEAD, OK, heard ["GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n"], unheard [], told IS_OK, untold [], Open;
    blanks_around_a_value_are_not_part_of_it:
        "GET / HTTP/1.1\r\nHost:a\r\nX: \t y \t\r\n\r\n", HEAD, OK, heard ["\r\nHost: a\r\nX: y\r\n"], unheard [], told IS_OK, untold [], Open;
    a_space_in_the_target_is_escaped:
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, OK, heard ["GET /a%20b HTTP/1.1\r\n"], unheard [], told IS_OK, untold [], Open;
    an_absolute_target_is_forwarded_as_a_path_and_its_host:
        "GET http://real/x HTTP/1.1\r\nHost: other\r\n\r\n", HEAD, OK, heard ["GET /x HTTP/1.1\r\nHost: real\r\n"], unheard ["other"], told IS_OK, untold [], Open;
    options_asks_about_the_server_as_a_whole:
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, OK, heard ["OPTIONS * HTTP/1.1\r\n"], unheard [], told IS_OK, untold [], Open;
    any_method_is_forwarded:
        "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, OK, heard ["BREW /pot HTTP/1.1\r\n"], unheard [], told IS_OK, untold [], Open;
    connect_is_refused:
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", NOTHING, OK, heard [], unheard [], told BAD, untold [], Closed;
    a_request_without_a_host_is_refused:
        "GET / HTTP/1.1\r\n\r\n", NOTHING, OK, heard [], unheard [], told BAD, untold [], Closed;
    a_request_with_two_hosts_is_refused:
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", NOTHING, OK, heard [], unheard [], told BAD, untold [], Closed;
    a_later_minor_version_is_understood_as_1_1:
        "GET / HTTP/1.7\r\nHost: a\r\n\r\n", HEAD, OK, heard ["GET / HTTP/1.1\r\n"], unheard [], told IS_OK, untold [], Open;
    the_preface_of_http_2_is_refused:
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NOTHING, OK, heard [], unheard [], told BAD, untold [], Closed;
    a_null_in_a_header_is_refused:
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", NOTHING, OK, heard [], unheard [], told BAD, untold [], Closed;
    a_line_without_a_colon_is_refused:
        "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", NOTHING, OK, heard [], unheard [], told BAD, untold [], Closed;
    a_folded_header_is_unfolded_and_the_connection_ends:
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n  z\r\n\r\n", HEAD, OK, heard ["\r\nX: y z\r\n"], unheard [], told &["\r\nConnection: close\r\n", "ok"], untold [], Closed;
    a_header_whose_name_is_no_token_is_dropped:
        "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\nZ: 1\r\n\r\n", HEAD, OK, heard ["\r\nZ: 1\r\n"], unheard ["y\r\n"], told IS_OK, untold [], Open;
}

// RFC 9112, 6 and 7: bodies.
rows! {
    a_body_with_a_length_is_forwarded_with_it:
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "hello", OK, heard ["\r\nContent-Length: 5\r\n", "\r\n\r\nhello"], unheard ["Transfer"], told IS_OK, untold [], Open;
    a_body_in_chunks_is_forwarded_in_chunks:
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "0\r\n\r\n", OK,
        heard ["\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"], unheard ["Content-Length"], told IS_OK, untold [], Open;
    extensions_of_chunks_are_dropped_and_trailers_forwarded:
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c\r\nhello\r\n0;d\r\nX-Sum: 1\r\n\r\n", "0\r\nX-Sum: 1\r\n\r\n", OK,
        heard ["5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"], unheard [";"], told IS_OK, untold [], Open;
    trailers_that_would_frame_or_route_are_dropped:
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\nHost: b\r\n\r\n", "0\r\n\r\n", OK,
        heard ["0\r\n\r\n"], unheard ["Content-Length", "Host: b"], told IS_OK, untold [], Open;
    chunks_override_a_length_and_both_connections_end:
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n\r\n", OK,
        heard ["\r\nTransfer-Encoding: chunked\r\n"], unheard ["Content-Length", "/next"], told &["\r\nConnection: close\r\n", "ok"], untold [], Closed;
    equal_lengths_become_one_and_the_connection_ends:
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "hi", OK, heard ["\r\nContent-Length: 2\r\nX-"], unheard [], told &["\r\nConnection: close\r\n", "ok"], untold [], Closed;
    different_lengths_are_refused:
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", NOTHING, OK, heard [], unheard [], told BAD, untold [], Closed;
    a_coding_without_chunks_is_refused:
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", NOTHING, OK, heard [], unheard [], told BAD, untold [], Closed;
    a_get_with_a_body_is_forwarded_and_ends_the_connection:
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "hi", OK, heard ["\r\n\r\nhi"], unheard [], told &["\r\nConnection: close\r\n", "ok"], untold [], Closed;
    a_chunk_that_is_none_gets_400:
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n", "never", OK, heard [], unheard ["0\r\n\r\n"], told BAD, untold [], Closed;
}

// RFC 9110, 7.6 and 7.8, 10.1: what is for one hop.
rows! {
    hop_by_hop_headers_end_here:
        "GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: x\r\nX: y\r\n\r\n", HEAD, OK,
        heard ["\r\nX: y\r\n"], unheard ["Keep-Alive", "TE:", "Proxy"], told IS_OK, untold [], Open;
    headers_that_connection_names_end_here:
        "GET / HTTP/1.1\r\nHost: a\r\nX-Hop: 1\r\nConnection: x-hop\r\nX: y\r\n\r\n", HEAD, OK, heard ["\r\nX: y\r\n"], unheard ["x-hop", "Connection"], told IS_OK, untold [], Open;
    what_frames_cannot_be_named_away:
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length, host\r\nContent-Length: 2\r\n\r\nhi", "hi", OK, heard ["\r\nHost: a\r\nContent-Length: 2\r\n"], unheard [], told IS_OK, untold [], Open;
    an_answers_hop_by_hop_headers_end_here:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nX-Hop: 1\r\nConnection: X-Hop, keep-alive\r\nKeep-Alive: timeout=5\r\nDate: d\r\nServer: s\r\nContent-Length: 2\r\n\r\nok",
        heard [], unheard [], told &["HTTP/1.1 200 OK\r\nDate: d\r\nServer: s\r\nContent-Length: 2\r\n\r\nok"], untold ["Keep-Alive", "X-Hop"], Open;
    expect_is_answered_here:
        "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "never", OK, heard ["\r\nContent-Length: 2\r\n"], unheard ["Expect"], told &["HTTP/1.1 100 Continue\r\n\r\n"], untold [], Open;
    expect_with_its_body_here_is_not_answered:
        "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", "hi", OK, heard [], unheard ["Expect"], told IS_OK, untold ["100 Continue"], Open;
    an_upgrade_is_asked_for_and_what_follows_is_bytes:
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", HEAD, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        heard ["\r\nUpgrade: websocket\r\n", "\r\nConnection: upgrade\r\n"], unheard [], told &["HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello"], untold [], Open;
    an_upgrade_to_http_2_is_not_asked_for:
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n", HEAD, OK, heard [], unheard ["h2c", "upgrade", "settings"], told IS_OK, untold [], Open;
    a_switch_that_nobody_asked_for_is_a_bad_gateway:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 101 Switching Protocols\r\n\r\n", heard [], unheard [], told BAD_GATEWAY, untold ["101"], Open;
}

// RFC 9112, 9: connections.
rows! {
    pipelined_requests_are_answered_in_order_and_never_pipelined_on:
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, OK, heard ["GET /1 ", "GET /2 "], unheard [],
        told &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], untold [], Open;
    a_client_that_wants_to_close_is_closed:
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, OK, heard [], unheard ["/2", "Connection"], told &["\r\nConnection: close\r\n", "ok"], untold [], Closed;
    http_1_0_closes:
        "GET / HTTP/1.0\r\n\r\n", HEAD, OK, heard ["GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"], unheard [], told &["\r\nConnection: close\r\n", "ok"], untold [], Closed;
    http_1_0_goes_on_if_it_asks:
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", HEAD, OK, heard [], unheard ["Connection"], told &["\r\nConnection: keep-alive\r\n", "ok"], untold [], Open;
    http_1_0_gets_no_chunks:
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", heard [], unheard [], told &["\r\nConnection: close\r\n\r\nok"], untold ["chunked", "0\r\n"], Closed;
    http_0_9_gets_a_body_and_no_head:
        "GET /old\r\n", HEAD, OK, heard ["GET /old HTTP/1.1\r\nHost: 127.0.0.1\r\n"], unheard [], told &["ok"], untold ["HTTP"], Closed;
    a_target_that_closes_does_not_close_the_client:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok\0", heard [], unheard [], told IS_OK, untold ["close"], Open;
    a_target_that_speaks_1_0_is_answered_for_in_1_1:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok\0", heard [], unheard [], told IS_OK, untold [], Open;
    a_target_that_speaks_1_0_without_a_length_ends_with_the_connection:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.0 200 OK\r\n\r\nall\0", heard [], unheard [], told &["HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall"], untold [], Closed;
}

// RFC 9112, 6.3: answers.
rows! {
    an_answer_in_chunks_is_passed_on_in_chunks_with_its_trailers:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", heard [], unheard [],
        told &["\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"], untold [";x"], Open;
    an_answers_chunks_override_its_length:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", heard [], unheard [],
        told &["2\r\nok\r\n0\r\n\r\n"], untold ["Content-Length"], Open;
    an_answer_with_two_lengths_is_a_bad_gateway:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", heard [], unheard [], told BAD_GATEWAY, untold ["ok"], Open;
    an_answer_with_a_null_is_a_bad_gateway:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok", heard [], unheard [], told BAD_GATEWAY, untold ["ok"], Open;
    an_answer_with_a_lone_cr_is_a_bad_gateway:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", heard [], unheard [], told BAD_GATEWAY, untold ["Cookie"], Open;
    a_folded_line_of_an_answer_is_unfolded:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", heard [], unheard [], told &["\r\nX: a b\r\n", "\r\n\r\nok"], untold [], Open;
    what_a_target_says_beyond_its_answer_is_nobodys:
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        heard ["GET /2 "], unheard [], told &["okHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], untold ["evil"], Open;
    an_answer_to_head_has_no_body:
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", heard ["GET /2 "], unheard [],
        told &["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], untold [], Open;
    no_content_has_none_whatever_it_says:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\nX: y\r\n\r\n", heard [], unheard [], told &["HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"], untold [], Open;
    not_modified_keeps_its_length_and_has_no_body:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", heard [], unheard [], told &["HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"], untold [], Open;
    interim_answers_are_passed_on:
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, "HTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", heard [], unheard [],
        told &["HTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], untold [], Open;
    an_early_answer_is_passed_on_and_ends_the_connection:
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nsome", "some", "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", heard [], unheard [], told &["HTTP/1.1 413 ", "\r\nConnection: close\r\n\r\nno"], untold [], Closed;
}
