//! What holds for any bytes.

use proptest::prelude::*;

use super::*;
use crate::proxy::http1::request::parse_ordinary;

/// Pieces that requests and attacks are made of, so that chance finds more than noise.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "GET ",
        "POST ",
        "HEAD ",
        "/",
        "/a",
        "http://h/x",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "HTTP/1.1",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        "Host: a\r\n",
        "Host",
        "Content-Length: 5\r\n",
        "Content-Length",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding",
        "chunked",
        ", ",
        "5",
        "0",
        "Connection: ",
        "close",
        "keep-alive",
        "X-A",
        "X-A: b\r\n",
        "X-Forwarded-For: 1.1.1.1\r\n",
        "Upgrade: websocket\r\n",
        "Expect: 100-continue\r\n",
        "\0",
        "\x01",
        "\u{17f}",
        "_",
        ";",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 204 ",
        "HTTP/1.0 ",
    ];
    prop_oneof![
        9 => proptest::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

fn soup() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), proptest::collection::vec(piece(), 0..24)).prop_map(|(is_begun, pieces)| {
        let start: &[u8] = if is_begun { b"POST /x HTTP/1.1\r\nHost: a\r\n" } else { b"" };
        let mut bytes = start.to_vec();
        bytes.extend(pieces.concat());
        if is_begun {
            bytes.extend_from_slice(b"\r\n\r\n");
        }
        bytes
    })
}

fn mode() -> impl Strategy<Value = DesyncMode> {
    proptest::sample::select(MODES.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_is_read_alike_however_it_is_cut(bytes in soup(), mode in mode()) {
        let kind = |result: &Result<Option<(RequestHead, Vec<u8>)>, Refusal>| match result {
            Ok(read) => Ok(read.clone()),
            Err(refusal) => Err(refusal.kind),
        };
        let whole = kind(&parse(&bytes, mode));
        for cut in 0..bytes.len() {
            match kind(&parse(&bytes[..cut], mode)) {
                Ok(None) => {}
                part => prop_assert_eq!(&part, &whole, "at {}", cut),
            }
        }
    }

    #[test]
    fn the_fast_way_and_the_thorough_way_agree(bytes in soup(), mode in mode()) {
        let limits = Limits::default();
        let mut fast_out = Vec::new();
        if let Some(fast) = parse_ordinary(&bytes, &limits, &FORWARDED, &mut fast_out) {
            let mut out = Vec::new();
            let thorough = lenient::parse_request(&bytes, &limits, mode, &FORWARDED, &mut out).unwrap().unwrap();
            prop_assert_eq!(fast, thorough);
            prop_assert_eq!(sorted_lines(&fast_out), sorted_lines(&out));
        }
    }

    /// The heart of it: whoever reads what is forwarded finds one complete head, framed as we framed it, and nothing
    /// that any other server would read otherwise.
    #[test]
    fn what_is_forwarded_has_one_reading(bytes in soup(), mode in mode()) {
        if let Ok(Some((head, out))) = parse(&bytes, mode) {
            let mut again = Vec::new();
            let ordinary = parse_request(&out, &Limits::default(), DesyncMode::Monitor, &FORWARDED, &mut again).unwrap().unwrap();
            prop_assert_eq!(ordinary.bytes, out.len());
            prop_assert_eq!(ordinary.framing, head.framing);
            prop_assert!(!ordinary.is_last);
            prop_assert!(head.bytes <= bytes.len());
            let lines = out.strip_suffix(b"\r\n\r\n").unwrap();
            for line in String::from_utf8_lossy(lines).split("\r\n").skip(1) {
                let (name, value) = line.split_once(": ").unwrap();
                prop_assert!(scan::is_token(name.as_bytes()));
                prop_assert!(value.bytes().all(scan::is_text));
            }
            let count = |name: &str| out.to_ascii_lowercase().windows(name.len()).filter(|w| *w == name.as_bytes()).count();
            prop_assert_eq!(count("\r\nhost:"), 1);
            prop_assert_eq!(count("\r\ncontent-length:"), usize::from(matches!(head.framing, Framing::Length(_))));
            prop_assert_eq!(count("\r\ntransfer-encoding:"), usize::from(head.framing == Framing::Chunked));
        }
    }

    #[test]
    fn an_answer_is_read_alike_however_it_is_cut_and_once_told_reads_the_same(pieces in proptest::collection::vec(piece(), 0..16)) {
        let request = forwarded("GET / HTTP/1.1\r\nHost: a\r\n\r\n").0;
        let bytes = [&b"HTTP/1.1 200 OK\r\n"[..], &pieces.concat(), b"\r\n\r\n"].concat();
        let whole = answer_to(&bytes, &request);
        for cut in 0..bytes.len() {
            match answer_to(&bytes[..cut], &request) {
                Ok(None) => {}
                part => prop_assert_eq!(&part, &whole, "at {}", cut),
            }
        }
        if let Ok(Some((head, out))) = whole {
            let (again, once_more) = answer_to(&out, &request).unwrap().unwrap();
            prop_assert_eq!(again.framing, head.framing);
            prop_assert_eq!((again.bytes, &once_more), (out.len(), &out));
        }
    }

    #[test]
    fn chunks_decode_to_what_was_coded_however_they_are_cut(
        chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..40), "(;[a-z]{1,5}(=[a-z]{1,3})?)?"), 0..6),
        trailers in proptest::collection::vec("[A-Z]{1,5}: [a-z]{0,5}\r\n", 0..3),
        cuts in proptest::collection::vec(1..30_usize, 1..20),
    ) {
        let mut coded = Vec::new();
        let mut data = Vec::new();
        for (chunk, extension) in &chunks {
            coded.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
            coded.extend_from_slice(chunk);
            coded.extend_from_slice(b"\r\n");
            data.extend_from_slice(chunk);
        }
        coded.extend_from_slice(format!("0\r\n{}\r\n", trailers.concat()).as_bytes());
        let length = coded.len();
        coded.extend_from_slice(b"GET /next");
        prop_assert_eq!(decode(&coded, &mut cuts.iter().copied().cycle()), Ok((data, Some(length))));
    }

    #[test]
    fn nonsense_in_chunks_is_decoded_or_refused_alike_however_it_is_cut(
        coded in proptest::collection::vec(proptest::sample::select(b"012aF;=:\r\n x\t\0A".to_vec()), 0..40),
        cuts in proptest::collection::vec(1..5_usize, 1..20),
    ) {
        let whole = decode(&coded, &mut std::iter::repeat(coded.len().max(1)));
        prop_assert_eq!(decode(&coded, &mut cuts.iter().copied().cycle()), whole);
    }
}

/// The data, and where the body ended if it did.
fn decode(coded: &[u8], cuts: &mut dyn Iterator<Item = usize>) -> Result<(Vec<u8>, Option<usize>), chunked::BadChunk> {
    let mut decoder = ChunkDecoder::default();
    let (mut data, mut used, mut here) = (Vec::new(), 0, 0);
    loop {
        let (count, event) = decoder.decode(&coded[used..here])?;
        match event {
            ChunkEvent::Data(range) => data.extend_from_slice(&coded[used + range.start..used + range.end]),
            ChunkEvent::End => return Ok((data, Some(used + count))),
            ChunkEvent::More if here == coded.len() => return Ok((data, None)),
            ChunkEvent::More => here = (here + cuts.next().unwrap()).min(coded.len()),
        }
        used += count;
    }
}

fn sorted_lines(out: &[u8]) -> Vec<String> {
    let mut lines: Vec<_> =
        String::from_utf8_lossy(out).to_ascii_lowercase().split("\r\n").map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn chunks_that_others_might_read_differently_are_refused() {
    let endless = format!("1;{}\r\n", "x".repeat(5000));
    let trailers = format!("0\r\n{}", "X: y\r\n".repeat(4000));
    for bad in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        "1\n",
        "1\r\r\n",
        "1 1\r\n",
        "1;a\nb\r\n",
        "1;a\r\rb\r\n",
        "1\0\r\n",
        "10000000000000000\r\n",
        "00000000000000001\r\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "1\r\na\rb",
        "0\r\nX\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: a\0\r\n\r\n",
        "0\n\r\n",
        ";a\r\n",
        &endless,
        &trailers,
    ] {
        assert!(decode(bad.as_bytes(), &mut std::iter::repeat(7)).is_err(), "{bad:?}");
    }
    let mut decoder = ChunkDecoder::default();
    let coded =
        b"0\r\nX-Sum:  1 \r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\nSet-Cookie: c\r\n\r\n";
    assert_eq!(decoder.decode(coded), Ok((coded.len(), ChunkEvent::End)));
    assert_eq!(decoder.trailers(), b"X-Sum: 1\r\n");
}
