//! Answers' heads.

use super::*;

fn request(text: &str) -> RequestHead {
    forwarded(text).0
}

fn get() -> RequestHead {
    request("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn old() -> RequestHead {
    request("GET / HTTP/1.0\r\n\r\n")
}

fn told(text: &str, to: &RequestHead) -> (ResponseHead, String) {
    let answer = answer_to(text.as_bytes(), to).unwrap_or_else(|_| panic!("{text:?} is bad"));
    let (head, out) = answer.unwrap_or_else(|| panic!("{text:?} is not complete"));
    (head, String::from_utf8(out).unwrap())
}

#[test]
fn an_ordinary_answer_goes_out_as_it_came_but_for_what_concerns_the_connection() {
    let text = "HTTP/1.1 200 OK\r\ndate: today\r\nServer: x\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\ncontent-length: 5\r\n\r\n";
    let (head, out) = told(text, &get());
    assert_eq!(out, "HTTP/1.1 200 OK\r\ndate: today\r\nServer: x\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(head, ResponseHead { bytes: text.len(), status: 200, framing: Framing::Length(5), keep_alive: true });
}

#[test]
fn framing_follows_rfc_9112() {
    let head = request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let cases = [
        ("200 OK\r\nContent-Length: 5\r\n", get(), Framing::Length(5), "Content-Length: 5\r\n"),
        ("200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n", get(), Framing::Length(5), "Content-Length: 5\r\n"),
        ("200 OK\r\nContent-Length: 5, 5\r\n", get(), Framing::Length(5), "Content-Length: 5\r\n"),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n", get(), Framing::Chunked, "Transfer-Encoding: chunked\r\n"),
        (
            "200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            get(),
            Framing::Chunked,
            "Transfer-Encoding: chunked\r\n",
        ),
        (
            "200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            get(),
            Framing::Chunked,
            "Transfer-Encoding: chunked\r\n",
        ),
        (
            "200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            get(),
            Framing::Chunked,
            "Transfer-Encoding: gzip, chunked\r\n",
        ),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n", old(), Framing::Chunked, ""),
        ("200 OK\r\nTransfer-Encoding: identity\r\n", get(), Framing::UntilClose, ""),
        ("200 OK\r\n", get(), Framing::UntilClose, ""),
        ("200 OK\r\nContent-Length: 5\r\n", head, Framing::None, "Content-Length: 5\r\n"),
        ("304 Not Modified\r\nContent-Length: 5\r\n", get(), Framing::None, "Content-Length: 5\r\n"),
        ("204 No Content\r\nContent-Length: 5\r\n", get(), Framing::None, ""),
        ("204 No Content\r\nTransfer-Encoding: chunked\r\n", get(), Framing::None, ""),
        ("103 Early Hints\r\nContent-Length: 5\r\n", get(), Framing::None, ""),
    ];
    for (answer, request, framing, expected) in cases {
        let (head, out) = told(&format!("HTTP/1.1 {answer}\r\n"), &request);
        assert_eq!(head.framing, framing, "{answer:?}");
        let status = answer.split("\r\n").next().unwrap();
        assert_eq!(out, format!("HTTP/1.1 {status}\r\n{expected}\r\n"), "{answer:?}");
    }
}

#[test]
fn answers_that_could_end_in_two_places_or_are_no_http_are_bad() {
    for bad in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\x01: x\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "ready.",
        "HTTP/1.1 200 O\0K\r\n\r\n",
    ] {
        assert_eq!(answer_to(bad.as_bytes(), &get()), Err(BadResponse), "{bad:?}");
    }
}

#[test]
fn a_codings_that_an_old_client_cannot_undo_is_bad_for_it() {
    let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    assert_eq!(answer_to(text, &old()), Err(BadResponse));
}

#[test]
fn crooked_lines_are_put_right() {
    let text = "HTTP/1.0 200\nX:a\r\nY : b \r\nZ: c\r\n\td\r\nContent-Length:5\nE:\r\n\n";
    let (head, out) = told(text, &get());
    assert_eq!(out, "HTTP/1.1 200 \r\nX: a\r\nY: b\r\nZ: c d\r\nContent-Length: 5\r\nE: \r\n\r\n");
    assert_eq!((head.framing, head.keep_alive, head.bytes), (Framing::Length(5), false, text.len()));
}

#[test]
fn what_connection_names_is_removed_wherever_it_stands() {
    let text = "HTTP/1.1 200 OK\r\nX-Hop: 1\r\nConnection: X-Hop, close\r\nX-Keep: 2\r\nContent-Length: 0\r\n\r\n";
    let (head, out) = told(text, &get());
    assert_eq!(out, "HTTP/1.1 200 OK\r\nX-Keep: 2\r\nContent-Length: 0\r\n\r\n");
    assert!(!head.keep_alive);
}

#[test]
fn upgrades_are_told_of_where_they_mean_something() {
    let (_, out) = told("HTTP/1.1 200 OK\r\nUpgrade: h2\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n", &get());
    assert!(!out.to_lowercase().contains("upgrade"), "{out}");
    let (_, out) =
        told("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", &get());
    assert!(out.ends_with("Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"), "{out}");
}

#[test]
fn a_connection_whose_framing_is_in_doubt_is_not_used_again() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert!(!told(text, &get()).0.keep_alive, "{text:?}");
    }
    assert!(told("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", &get()).0.keep_alive);
}

#[test]
fn an_http_0_9_client_hears_no_head() {
    let (head, out) = told("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", &request("GET /\r\n"));
    assert_eq!((out.as_str(), head.framing), ("", Framing::Length(2)));
}

#[test]
fn a_head_beyond_its_bound_is_bad_whether_it_ends_or_not() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(40_000));
    assert_eq!(answer_to(long.as_bytes(), &get()), Err(BadResponse));
    assert_eq!(answer_to(format!("{long}\r\n\r\n").as_bytes(), &get()), Err(BadResponse));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX + 1));
    assert_eq!(answer_to(many.as_bytes(), &get()), Err(BadResponse));
}
