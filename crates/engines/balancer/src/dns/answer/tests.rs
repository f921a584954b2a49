//! Answers to questions, from the tables alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hickory_proto::rr::rdata::SOA;

use super::*;
use crate::dns::table::tests::{Balancer, table};
use crate::state::TargetState;

const WEB: &str = "web-1234567890.us-east-1.elb.example.com.";

/// Two nodes with a target each, and a node without.
fn web() -> (Table, Vec<Arc<TargetState>>) {
    let balancer =
        Balancer::new(&[WEB]).node("127.0.1.1", 1).node("127.0.2.1", 1).node("2001:db8::1", 1).node("2001:db8::2", 1);
    (table(&[&balancer]), balancer.targets())
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn ask_over(table: &Table, message: &Message, transport: Transport) -> Message {
    let mut rolls = 0;
    let mut dice = || {
        rolls += 1;
        rolls
    };
    let bytes = answer(table, &message.to_vec().unwrap(), transport, &mut dice).expect("there is an answer");
    Message::from_vec(&bytes).unwrap()
}

fn ask(table: &Table, name: &str, kind: RecordType) -> Message {
    ask_over(table, &query(name, kind), Transport::Udp)
}

fn addresses(answer: &Message) -> Vec<String> {
    let mut addresses: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    addresses.sort_unstable();
    addresses
}

fn authority(answer: &Message) -> Option<&SOA> {
    answer.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa),
        _ => None,
    })
}

#[test]
fn a_name_has_the_addresses_of_its_nodes_for_60_seconds() {
    let (table, targets) = web();
    targets.iter().for_each(|target| target.in_service.store(true, Ordering::Relaxed));
    let answer = ask(&table, WEB, RecordType::A);
    assert_eq!(addresses(&answer), ["127.0.1.1", "127.0.2.1"]);
    assert!(answer.answers.iter().all(|record| record.ttl == 60 && record.name.to_ascii() == WEB));
    assert_eq!((answer.metadata.id, answer.metadata.message_type), (4711, MessageType::Response));
    assert!(answer.metadata.authoritative && answer.metadata.recursion_desired && !answer.metadata.recursion_available);
    assert_eq!(addresses(&ask(&table, WEB, RecordType::AAAA)), ["2001:db8::1", "2001:db8::2"]);
    assert_eq!(addresses(&ask(&table, WEB, RecordType::ANY)).len(), 4);
}

#[test]
fn a_node_without_a_target_in_service_is_left_out_unless_all_are() {
    let (table, targets) = web();
    assert_eq!(addresses(&ask(&table, WEB, RecordType::A)), ["127.0.1.1", "127.0.2.1"]);
    targets[1].in_service.store(true, Ordering::Relaxed);
    assert_eq!(addresses(&ask(&table, WEB, RecordType::A)), ["127.0.2.1"]);
    // The other family's nodes are judged among themselves.
    assert_eq!(addresses(&ask(&table, WEB, RecordType::AAAA)), ["2001:db8::1", "2001:db8::2"]);
    targets[1].in_service.store(false, Ordering::Relaxed);
    assert_eq!(addresses(&ask(&table, WEB, RecordType::A)), ["127.0.1.1", "127.0.2.1"]);
}

#[test]
fn addresses_come_in_every_order() {
    let balancer = Balancer::new(&[WEB]).node("127.0.1.1", 1).node("127.0.2.1", 1).node("127.0.3.1", 1);
    let table = table(&[&balancer]);
    let mut rng = host::sim::Rng::new(host::sim::Seed(1));
    let mut seen = std::collections::HashMap::<Vec<String>, u32>::new();
    for _ in 0..600 {
        let request = query(WEB, RecordType::A).to_vec().unwrap();
        let bytes = answer(&table, &request, Transport::Udp, &mut || rng.next_u64()).unwrap();
        let order = Message::from_vec(&bytes).unwrap().answers.iter().map(|record| record.data.to_string()).collect();
        *seen.entry(order).or_default() += 1;
    }
    assert!(seen.len() == 6 && seen.values().all(|count| *count > 50), "{seen:?}");
}

#[test]
fn a_question_is_answered_whatever_its_letters_and_comes_back_as_it_was_asked() {
    let (table, _) = web();
    let odd = "wEb-1234567890.US-east-1.eLB.EXAMPLE.com.";
    let answer = ask(&table, odd, RecordType::A);
    assert_eq!(answer.answers.len(), 2);
    assert_eq!(answer.queries[0].name().to_ascii(), odd);
    assert!(answer.answers.iter().all(|record| record.name.to_ascii() == odd));
}

#[test]
fn the_ipv6_variant_has_ipv6_addresses_only() {
    let (v6, dual) = (format!("ipv6.{WEB}"), format!("dualstack.{WEB}"));
    let balancer = Balancer::new(&[WEB, &v6, &dual]).node("127.0.1.1", 1).node("2001:db8::1", 1);
    let table = table(&[&balancer]);
    let none = ask(&table, &v6, RecordType::A);
    assert!(none.metadata.response_code == ResponseCode::NoError && none.answers.is_empty());
    assert_eq!(addresses(&ask(&table, &v6, RecordType::AAAA)), ["2001:db8::1"]);
    assert_eq!(addresses(&ask(&table, &v6, RecordType::ANY)), ["2001:db8::1"]);
    assert_eq!(addresses(&ask(&table, &dual, RecordType::A)), ["127.0.1.1"]);
    assert_eq!(addresses(&ask(&table, &dual, RecordType::AAAA)), ["2001:db8::1"]);
}

#[test]
fn what_does_not_exist_and_what_has_no_such_record_are_told_apart() {
    let (table, _) = web();
    let missing = ask(&table, "other-1.us-east-1.elb.example.com.", RecordType::A);
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    let below = ask(&table, &format!("www.{WEB}"), RecordType::A);
    assert_eq!(below.metadata.response_code, ResponseCode::NXDomain);
    let other_type = ask(&table, WEB, RecordType::TXT);
    let in_between = ask(&table, "us-east-1.elb.example.com.", RecordType::A);
    let apex = ask(&table, "example.com.", RecordType::A);
    for no_data in [&other_type, &in_between, &apex] {
        assert_eq!(no_data.metadata.response_code, ResponseCode::NoError);
        assert!(no_data.answers.is_empty());
    }
    for answer in [missing, below, other_type, in_between, apex] {
        let soa = authority(&answer).expect("how long that may be believed");
        assert_eq!((soa.minimum, answer.authorities[0].ttl), (10, 10));
        assert_eq!(answer.authorities[0].name.to_ascii(), "example.com.");
        assert!(answer.metadata.authoritative);
    }
}

#[test]
fn the_zone_has_a_start_of_authority_and_a_name_server() {
    let (table, _) = web();
    let soa = ask(&table, "example.COM.", RecordType::SOA);
    let RData::SOA(data) = &soa.answers[0].data else { panic!("{soa}") };
    assert_eq!(
        (data.mname.to_ascii(), data.rname.to_ascii()),
        ("ns.example.com.".into(), "hostmaster.example.com.".into())
    );
    let ns = ask(&table, "example.com.", RecordType::NS);
    assert_eq!(addresses(&ns), ["ns.example.com."]);
    assert_eq!(ns.additionals[0].data.to_string(), "127.0.0.53");
    assert_eq!(addresses(&ask(&table, "ns.example.com.", RecordType::A)), ["127.0.0.53"]);
    assert!(ask(&table, "ns.example.com.", RecordType::AAAA).answers.is_empty());
}

#[test]
fn what_is_not_ours_to_answer_is_refused() {
    let (table, _) = web();
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    let others = [
        query("www.example.org.", RecordType::A),
        query("com.", RecordType::NS),
        query(".", RecordType::NS),
        query("example.com.", RecordType::AXFR),
        query("notexample.com.", RecordType::A),
        chaos,
    ];
    for other in others {
        let answer = ask_over(&table, &other, Transport::Tcp);
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused, "{other}");
        assert!(!answer.metadata.authoritative && answer.answers.is_empty() && answer.authorities.is_empty());
    }
}

#[test]
fn operations_and_versions_that_we_do_not_speak_are_named_as_such() {
    let (table, _) = web();
    let mut notify = query(WEB, RecordType::A);
    notify.metadata.op_code = OpCode::Notify;
    assert_eq!(ask_over(&table, &notify, Transport::Udp).metadata.response_code, ResponseCode::NotImp);
    let mut new = query(WEB, RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    new.set_edns(edns);
    let answer = ask_over(&table, &new, Transport::Udp);
    assert_eq!(answer.edns.as_ref().map(Edns::rcode_high), Some(1));
    assert!(answer.answers.is_empty());
}

#[test]
fn an_answer_that_does_not_fit_says_so_and_fits_over_tcp() {
    let many = (0..120).fold(Balancer::new(&[WEB]), |balancer, n| balancer.node(&format!("127.0.1.{n}"), 1));
    let table = table(&[&many]);
    let small = query(WEB, RecordType::A);
    let mut large = small.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    large.set_edns(edns);
    for (message, bytes_max) in [(&small, 512), (&large, 1232)] {
        let bytes = answer(&table, &message.to_vec().unwrap(), Transport::Udp, &mut || 0).unwrap();
        assert!(bytes.len() <= bytes_max && bytes.len() > bytes_max / 2, "{}", bytes.len());
        assert!(Message::from_vec(&bytes).unwrap().metadata.truncation);
    }
    let whole = ask_over(&table, &small, Transport::Tcp);
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 120);
}

#[test]
fn edns_is_answered_with_edns_and_only_then() {
    let (table, _) = web();
    let plain = query(WEB, RecordType::A);
    assert!(ask_over(&table, &plain, Transport::Udp).edns.is_none());
    let mut extended = plain.clone();
    extended.set_edns(Edns::new());
    let answer = ask_over(&table, &extended, Transport::Udp);
    assert_eq!(answer.edns.map(|edns| edns.max_payload()), Some(DATAGRAM_BYTES_MAX));
}

#[test]
fn what_is_no_request_is_not_answered_and_what_is_malformed_is_called_so() {
    let (table, _) = web();
    let ask = |bytes: &[u8]| answer(&table, bytes, Transport::Udp, &mut || 0);
    assert_eq!(ask(b""), None);
    assert_eq!(ask(&[0; 11]), None);
    let mut response = query(WEB, RecordType::A);
    response.metadata.message_type = MessageType::Response;
    assert_eq!(ask(&response.to_vec().unwrap()), None);
    let good = query(WEB, RecordType::A).to_vec().unwrap();
    let malformed = [good[0], good[1], 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    // Cut short; more questions than there are; two of them; none.
    assert_eq!(ask(&good[..20]).as_deref(), Some(malformed.as_slice()));
    for questions in [0xffff_u16, 2, 0] {
        let mut bytes = good.clone();
        bytes[4..6].copy_from_slice(&questions.to_be_bytes());
        assert_eq!(ask(&bytes).as_deref(), Some(malformed.as_slice()));
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let (table, _) = web();
    let mut seed = query(WEB, RecordType::A);
    seed.set_edns(Edns::new());
    let good = seed.to_vec().unwrap();
    let mut rng = host::sim::Rng::new(host::sim::Seed(2));
    for round in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + rng.index(6) {
            let at = rng.index(bytes.len());
            bytes[at] = rng.next_u64() as u8;
        }
        if round % 3 == 0 {
            bytes.truncate(rng.index(bytes.len() + 1));
        }
        if let Some(answer) = answer(&table, &bytes, Transport::Udp, &mut || rng.next_u64()) {
            assert!(answer.len() <= usize::from(DATAGRAM_BYTES_MAX));
        }
    }
}
