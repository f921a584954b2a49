//! What reading a head and writing it anew costs, for a request as browsers send it and a usual answer.
//!
//! `cargo run --release -p balancer --example http1_speed`

use std::hint::black_box;

use balancer::DesyncMode;
use balancer::fuzzing::Parser;
use tokio::time::Instant;

/// Short enough that most batches are not interrupted.
const ROUNDS: u32 = 500;
const BATCHES: u32 = 2000;

const BROWSER: &str = "GET /articles/2026/11/how-we-measure?page=2&sort=new HTTP/1.1\r\nHost: www.example.com\r\n\
    Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
    AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,\
    application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Dest: document\r\nReferer: https://www.example.com/articles/2026/11/\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Accept-Language: en-US,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1\r\n\r\n";

const PROGRAM: &str = "GET /1k HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n";

const POST: &str = "POST /orders HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: python-requests/2.32\r\nAccept-Encoding: gzip\r\n\
    Accept: */*\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: 128\r\n\r\n";

const SUSPICIOUS: &str =
    "POST /orders HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";

const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.28.0\r\nDate: Sat, 28 Nov 2026 01:00:00 GMT\r\nContent-Type: text/html; \
    charset=utf-8\r\nContent-Length: 1024\r\nLast-Modified: Fri, 27 Nov 2026 10:00:00 GMT\r\nConnection: keep-alive\r\n\
    ETag: \"6746f0a0-400\"\r\nAccept-Ranges: bytes\r\n\r\n";

fn measure(name: &str, bytes: usize, mut once: impl FnMut()) {
    // The best of many: what the code costs, not what else the machine does.
    let best = (0..BATCHES).map(|_| {
        let begun = Instant::now();
        (0..ROUNDS).for_each(|_| once());
        begun.elapsed() / ROUNDS
    });
    println!("{name:28} {bytes:5} bytes  {:5} ns", best.min().unwrap_or_default().as_nanos());
}

fn main() {
    let mut parser = Parser::default();
    let requests = [
        ("browser's request", BROWSER),
        ("program's request", PROGRAM),
        ("POST", POST),
        ("suspicious POST", SUSPICIOUS),
    ];
    for (name, text) in requests {
        measure(name, text.len(), || {
            let forwarded = parser.request(black_box(text.as_bytes()), DesyncMode::Defensive);
            assert!(black_box(forwarded).is_some());
        });
    }
    measure("answer", RESPONSE.len(), || assert!(black_box(parser.response(black_box(RESPONSE.as_bytes()))).is_some()));
}
