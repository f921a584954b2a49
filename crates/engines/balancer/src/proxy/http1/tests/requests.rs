//! Request heads.

use super::*;

const BROWSER: &str = "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\nUser-Agent: curl/8\r\n\
    X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nAccept: */*\r\n\r\n";

#[test]
fn an_ordinary_request_goes_out_as_it_came_but_for_what_concerns_the_connection() {
    let (head, out) = forwarded(BROWSER);
    let expected = "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\
        X-Forwarded-For: 1.2.3.4, 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n\r\n";
    assert_eq!(out, expected);
    assert_eq!(head.bytes, BROWSER.len());
    assert_eq!((head.framing, head.keep_alive, head.desync), (Framing::None, true, Verdict::default()));
    let bytes = BROWSER.as_bytes();
    assert_eq!(
        (head.method(bytes), head.target(bytes), head.host(bytes)),
        (&b"GET"[..], &b"/a?b=c"[..], &b"example.com"[..])
    );
    assert_eq!(head.user_agent(bytes), Some(&b"curl/8"[..]));
}

#[test]
fn http_1_0_is_spoken_on_as_1_1_with_a_host() {
    let (head, out) = forwarded("GET /old HTTP/1.0\r\n\r\n");
    assert_eq!(out, format!("GET /old HTTP/1.1\r\nHost: 127.1.0.1\r\n{ADDED}"));
    assert_eq!((head.minor, head.keep_alive, head.version_name()), (0, false, "HTTP/1.0"));
    assert!(forwarded("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").0.keep_alive);
    assert!(!forwarded("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n").0.keep_alive);
}

#[test]
fn http_0_9_is_one_line_and_what_follows_is_not_looked_at() {
    let (head, out) = forwarded("GET /oldest\r\nGET /smuggled HTTP/1.1\r\n\r\n");
    assert_eq!(out, format!("GET /oldest HTTP/1.1\r\nHost: 127.1.0.1\r\n{ADDED}"));
    assert!(head.is_simple && head.is_last && !head.keep_alive);
    assert_eq!((head.bytes, head.version_name()), (13, "HTTP/0.9"));
    assert!(parse(b"GET /oldest\r\n", DesyncMode::Strictest).is_err());
    assert!(parse(b"POST /oldest\r\n\r\n", DesyncMode::Monitor).is_err());
    assert!(parse(b"GET /a\tHTTP/1.1\r\nHost: a\r\n\r\n", DesyncMode::Monitor).is_err());
}

#[test]
fn what_connection_names_is_removed_and_what_frames_or_routes_is_not() {
    let (head, out) = forwarded(
        "POST / HTTP/1.1\r\nHost: a\r\nX-Secret: 1\r\nConnection: x-secret, Content-Length, Host, X-Forwarded-For\r\n\
         Content-Length: 3\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\n\r\n",
    );
    assert_eq!(out, format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n{ADDED}"));
    assert_eq!(head.framing, Framing::Length(3));
}

#[test]
fn x_forwarded_for_of_several_lines_becomes_one() {
    let (_, out) =
        forwarded("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2, 3.3.3.3\r\n\r\n");
    assert!(out.contains("\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.7\r\n"), "{out}");
}

#[test]
fn an_ipv6_client_is_named_without_brackets_and_an_ipv6_node_with_them() {
    let forwarded =
        Forwarded { client: "2001:db8::7".parse().unwrap(), node: "2001:db8::1".parse().unwrap(), ..FORWARDED };
    let mut out = Vec::new();
    let request = b"GET / HTTP/1.0\r\n\r\n";
    parse_request(request, &Limits::default(), DesyncMode::Strictest, &forwarded, &mut out).unwrap().unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("Host: [2001:db8::1]\r\n") && out.contains("For: 2001:db8::7\r\n"), "{out}");
}

#[test]
fn a_target_with_a_host_overrules_the_host_header() {
    let bytes = "GET HTTP://real.example/x?y HTTP/1.1\r\nHost: other.example\r\n\r\n";
    let (head, out) = forwarded(bytes);
    assert_eq!(out, format!("GET /x?y HTTP/1.1\r\nHost: real.example\r\n{ADDED}"));
    assert_eq!((head.host(bytes.as_bytes()), head.target(bytes.as_bytes())), (&b"real.example"[..], &b"/x?y"[..]));
    assert!(forwarded("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n").1.starts_with("GET /?q HTTP/1.1\r\n"));
    for bad in ["http://", "http:///x", "http://u@a/", "ftp://a/", "a:80", "*", "x"] {
        assert!(
            parse(format!("GET {bad} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), DesyncMode::Monitor).is_err(),
            "{bad}"
        );
    }
    assert!(forwarded("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").1.starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[test]
fn what_has_no_safe_reading_is_refused_in_every_mode() {
    let cases = [
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        "GET HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\r\nHost: a\r\n\r\n",
        "G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, cow\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        "\x16\x03\x01\x02",
    ];
    for case in cases {
        for mode in MODES {
            assert!(parse(case.as_bytes(), mode).is_err(), "{case:?} in {mode:?}");
        }
    }
}

#[test]
fn what_others_might_read_differently_is_written_as_it_was_understood_and_ends_the_connection() {
    let chunked = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{ADDED}");
    let cases = [
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", chunked.clone()),
        ("Content-Length: 4\r\nTransfer-Encoding: CHUNKED;x=y\r\n", chunked.clone()),
        ("Transfer-Encoding : chunked\r\nContent-Length: 4\r\n", chunked.clone()),
        ("Transfer-Encoding: chunked, chunked\r\n", chunked.clone()),
        ("Content-Length: x\r\nTransfer-Encoding: chunked\r\n", chunked.clone()),
        ("Transfer-Encoding:\r\n chunked\r\n", chunked),
        ("Content-Length: 4, 4\r\n", format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n{ADDED}")),
        (
            "Content-Length: 4\r\nContent-Length: 4\r\n",
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n{ADDED}"),
        ),
        ("Content_Length: 4\r\n", format!("POST / HTTP/1.1\r\nHost: a\r\n{ADDED}")),
        ("Tran\u{17f}fer-Encoding: chunked\r\n", format!("POST / HTTP/1.1\r\nHost: a\r\n{ADDED}")),
        ("X: a\r\n b\r\n", format!("POST / HTTP/1.1\r\nHost: a\r\nX: a b\r\n{ADDED}")),
        (": x\r\n", format!("POST / HTTP/1.1\r\nHost: a\r\n{ADDED}")),
    ];
    for (lines, expected) in cases {
        let (head, out) = forwarded_in(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), DesyncMode::Monitor);
        assert_eq!(out, expected, "{lines:?}");
        assert!(head.is_last && !head.keep_alive && head.desync.tier >= Tier::Ambiguous, "{lines:?}");
    }
}

#[test]
fn what_is_merely_untidy_is_tidied_and_the_connection_goes_on() {
    let cases = [
        ("GET /a b HTTP/1.1\r\nHost: a\r\n", "GET /a%20b HTTP/1.1\r\nHost: a\r\n"),
        ("GET /a HTTP/1.1 \r\nHost: a\r\n", "GET /a HTTP/1.1\r\nHost: a\r\n"),
        ("GET /a HTTP/1.2\r\nHost: a\r\n", "GET /a HTTP/1.1\r\nHost: a\r\n"),
        ("GET /a HTTP/1.1\nHost: a\n", "GET /a HTTP/1.1\r\nHost: a\r\n"),
        ("GET /a HTTP/1.1\r\nHost: a\r\nX : y\r\n", "GET /a HTTP/1.1\r\nHost: a\r\n"),
        ("GET /a HTTP/1.1\r\nHost: a\r\nX: y\x01z\r\n", "GET /a HTTP/1.1\r\nHost: a\r\nX: y z\r\n"),
        ("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"),
    ];
    for (request, expected) in cases {
        let (head, out) = forwarded(&format!("{request}\r\n"));
        assert_eq!(out, format!("{expected}{ADDED}"));
        assert!(!head.is_last && head.keep_alive && head.desync.tier == Tier::Acceptable, "{request:?}");
    }
    // The oracle's library sees nothing in this name; we do not bet on everybody else.
    assert!(forwarded("POST /a HTTP/1.1\r\nHost: a\r\nTransfer Encoding: chunked\r\n\r\n").0.is_last);
    let (head, out) = forwarded("\r\nGET / HTTP/1.1\r\nHost:a\r\nX:  y \r\nEmpty:\r\n\r\n");
    assert_eq!(out, format!("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nEmpty: \r\n{ADDED}"));
    assert_eq!(head.desync, Verdict::default());
}

#[test]
fn a_get_with_a_body_keeps_its_connection_in_monitor_mode_only() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    let (head, _) = forwarded_in(request, DesyncMode::Monitor);
    assert!(head.keep_alive && !head.is_last && head.framing == Framing::Length(2));
    let (head, _) = forwarded_in(request, DesyncMode::Defensive);
    assert!(!head.keep_alive && head.is_last && head.framing == Framing::Length(2));
}

#[test]
fn methods_beyond_127_bytes_get_405() {
    let of_length = |length: usize| format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(length));
    assert!(parse(of_length(127).as_bytes(), DesyncMode::Strictest).is_ok());
    let refusal = parse(of_length(128).as_bytes(), DesyncMode::Monitor).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::MethodTooLong);
}

#[test]
fn every_bound_holds_to_the_byte() {
    let limits = Limits::default();
    let ok = |request: String| parse(request.as_bytes(), DesyncMode::Strictest).is_ok();
    let line =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - "GET / HTTP/1.1".len()));
    assert!(ok(line(limits.request_line_bytes_max)));
    assert!(!ok(line(limits.request_line_bytes_max + 1)));
    let header = |bytes: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(bytes - "X: ".len()));
    assert!(ok(header(limits.header_bytes_max)));
    assert!(!ok(header(limits.header_bytes_max + 1)));
    let count = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    assert!(ok(count(HEADERS_MAX)));
    assert!(!ok(count(HEADERS_MAX + 1)));
    let whole = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\n";
        let lines = format!("X: {}\r\n", "x".repeat(10_000)).repeat(6);
        let left = bytes - start.len() - lines.len() - "Y: \r\n\r\n".len();
        format!("{start}{lines}Y: {}\r\n\r\n", "y".repeat(left))
    };
    assert!(ok(whole(limits.request_head_bytes_max)));
    assert!(!ok(whole(limits.request_head_bytes_max + 1)));
    let empty = |lines: usize| format!("{}GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n".repeat(lines));
    assert!(ok(empty(4)) && !ok(empty(5)));
    let named =
        |names: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", vec!["x"; names].join(","));
    assert!(ok(named(64)) && !ok(named(65)));
    // Endless ones are refused before they end.
    assert!(parse(&vec![b'G'; limits.request_line_bytes_max + 3], DesyncMode::Monitor).is_err());
}

#[test]
fn an_upgrade_is_asked_for_properly_or_not_at_all() {
    let upgrade = |lines: &str| forwarded(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    let (head, out) = upgrade("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n");
    assert!(head.upgrade && out.contains("\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"), "{out}");
    for lines in [
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
    ] {
        let (head, out) = upgrade(lines);
        assert!(!head.upgrade && !out.contains("pgrade") && !out.contains("HTTP2"), "{lines:?}: {out}");
    }
}

#[test]
fn expectations_are_removed() {
    let (head, out) = forwarded("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n");
    assert!(head.expect_continue && !out.contains("Expect"));
    assert!(!forwarded("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").0.expect_continue);
}
