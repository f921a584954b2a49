//! Lines as ELB writes them, byte by byte, and that no client can end one.

use proptest::prelude::*;

use super::*;
use crate::access_record::TlsInfo;

const MAY_13_2015: u64 = 1_431_560_383_945_958;

fn record() -> Record<'static> {
    Record {
        received_us: MAY_13_2015,
        client: "192.168.131.39:2817".parse().unwrap(),
        target: Some("10.0.0.1:80".parse().unwrap()),
        request_processing: Some(Duration::from_micros(73)),
        backend_processing: Some(Duration::from_micros(1048)),
        response_processing: Some(Duration::from_micros(57)),
        elb_status: Some(200),
        backend_status: Some(200),
        received_bytes: 0,
        sent_bytes: 29,
        request: Some(RequestLine {
            method: b"GET",
            scheme: "http",
            host: b"www.example.com",
            port: 80,
            target: b"/",
            version: "HTTP/1.1",
        }),
        user_agent: Some(b"curl/7.38.0"),
        tls: None,
    }
}

fn text(record: &Record<'_>) -> String {
    let mut out = Vec::new();
    line(&mut out, &mut DateCache::default(), "my-loadbalancer", record);
    String::from_utf8(out).unwrap()
}

/// The fields as a reader who knows the format takes them apart, unescaped.
fn fields(line: &[u8]) -> Vec<Vec<u8>> {
    let line = line.strip_suffix(b"\n").expect("a line ends with a line feed");
    let (mut fields, mut field, mut quoted) = (Vec::new(), Vec::new(), false);
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' if !quoted => fields.push(std::mem::take(&mut field)),
            b'"' => quoted = !quoted,
            b'\\' if quoted => match bytes.next().unwrap() {
                b'x' => {
                    let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                    field.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                }
                byte => field.push(byte),
            },
            _ => field.push(byte),
        }
    }
    assert!(!quoted, "quotes are balanced");
    fields.push(field);
    fields
}

#[test]
fn an_http_request_is_written_as_in_the_documentation() {
    assert_eq!(
        text(&record()),
        "2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 \
         200 0 29 \"GET http://www.example.com:80/ HTTP/1.1\" \"curl/7.38.0\" - -\n"
    );
}

#[test]
fn an_https_request_names_cipher_and_protocol() {
    let request = RequestLine { scheme: "https", port: 443, ..record().request.unwrap() };
    let tls = TlsInfo { cipher: "DHE-RSA-AES128-SHA", protocol: "TLSv1.2" };
    assert_eq!(
        text(&Record { request: Some(request), tls: Some(tls), sent_bytes: 57, ..record() }),
        "2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 \
         200 0 57 \"GET https://www.example.com:443/ HTTP/1.1\" \"curl/7.38.0\" DHE-RSA-AES128-SHA TLSv1.2\n"
    );
}

#[test]
fn a_tcp_connection_has_no_status_and_no_request() {
    let tcp = Record {
        request_processing: Some(Duration::from_micros(1069)),
        backend_processing: Some(Duration::from_micros(28)),
        response_processing: Some(Duration::from_micros(41)),
        elb_status: None,
        backend_status: None,
        received_bytes: 82,
        sent_bytes: 305,
        request: None,
        user_agent: None,
        ..record()
    };
    assert_eq!(
        text(&tcp),
        "2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.001069 0.000028 0.000041 - - \
         82 305 \"- - - \" \"-\" - -\n"
    );
}

#[test]
fn a_request_that_reached_no_target_has_no_times_and_the_status_0() {
    let refused = Record {
        target: None,
        request_processing: None,
        backend_processing: None,
        response_processing: None,
        elb_status: Some(503),
        backend_status: None,
        sent_bytes: 0,
        ..record()
    };
    assert_eq!(
        text(&refused),
        "2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 - -1 -1 -1 503 0 0 0 \"GET \
         http://www.example.com:80/ HTTP/1.1\" \"curl/7.38.0\" - -\n"
    );
}

#[test]
fn quotes_line_feeds_and_other_alphabets_are_escaped() {
    let agent: &[u8] = b"\"nlpproject.info\\ research\"\n\xc3\xa9\x7f";
    let line = text(&Record { user_agent: Some(agent), ..record() });
    assert!(line.contains(r#" "\"nlpproject.info\\ research\"\x0a\xc3\xa9\x7f" - -"#), "{line}");
    assert_eq!(fields(line.as_bytes())[12], agent);
}

#[test]
fn a_user_agent_is_cut_at_8_kb() {
    let agent = vec![b'a'; 10_000];
    let line = text(&Record { user_agent: Some(&agent), ..record() });
    assert_eq!(fields(line.as_bytes())[12].len(), 8192);
}

#[test]
fn an_ipv6_client_stands_without_brackets() {
    let line = text(&Record { client: "[2001:db8::1]:2817".parse().unwrap(), ..record() });
    assert!(line.contains(" 2001:db8::1:2817 10.0.0.1:80 "), "{line}");
}

#[test]
fn times_beyond_a_second_keep_their_six_decimals() {
    let line = text(&Record { backend_processing: Some(Duration::from_micros(61_000_005)), ..record() });
    assert!(line.contains(" 0.000073 61.000005 0.000057 "), "{line}");
}

#[test]
fn one_cache_writes_seconds_that_come_in_any_order() {
    let mut dates = DateCache::default();
    let mut out = Vec::new();
    for second in [0, 951_826_554, 4_107_542_399, 951_826_554, 0] {
        line(&mut out, &mut dates, "lb", &Record { received_us: second * 1_000_000, ..record() });
    }
    let dates: Vec<&[u8]> = out.split(|byte| *byte == b'\n').map(|line| &line[..line.len().min(19)]).collect();
    let leap = b"2000-02-29T12:15:54".as_slice();
    assert_eq!(dates, [b"1970-01-01T00:00:00", leap, b"2100-02-28T23:59:59", leap, b"1970-01-01T00:00:00", b""]);
}

#[test]
fn what_is_no_record_has_no_time() {
    for line in ["", "2015-05-13T23:39:43.945958Z", "2015-13-13T23:39:43.945958Z lb", "x015-05-13T23:39:43.945958Z lb"]
    {
        assert_eq!(received_us(line.as_bytes()), None, "{line}");
    }
}

proptest! {
    #[test]
    fn any_bytes_give_one_line_of_15_fields_that_say_what_was_sent(
        us in 0..253_402_300_800_000_000_u64,
        method in "[A-Z]{1,20}",
        host in prop::collection::vec(any::<u8>(), 0..40),
        target in prop::collection::vec(any::<u8>(), 0..80),
        agent in prop::collection::vec(any::<u8>(), 1..80),
    ) {
        let request = RequestLine {
            method: method.as_bytes(), scheme: "http", host: &host, port: 8080, target: &target, version: "HTTP/1.0",
        };
        let mut out = Vec::new();
        let sent = Record { received_us: us, request: Some(request), user_agent: Some(&agent), ..record() };
        line(&mut out, &mut DateCache::default(), "lb", &sent);
        prop_assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert!(out[..out.len() - 1].iter().all(|byte| (b' '..=b'~').contains(byte)));
        let fields = fields(&out);
        prop_assert_eq!(fields.len(), 15);
        let line = [method.as_bytes(), b" http://", &host, b":8080", &target, b" HTTP/1.0"].concat();
        prop_assert_eq!(&fields[11], &line);
        prop_assert_eq!(&fields[12], &agent);
        prop_assert_eq!(received_us(&out), Some(us));
    }
}
