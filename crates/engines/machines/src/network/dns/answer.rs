//! From a request's bytes to an answer's, or to "ask elsewhere".
//!
//! Invariants:
//! - Pure but for [`Names`], which answers from memory.
//! - An answer repeats the question as it was asked.

use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable as _, BinEncoder};

use super::{NameAnswer, Names};
use crate::network::config::{Vpc, VpcId};

/// How long an instance's own name may be kept, as on AWS.
const INSTANCE_TTL_S: u32 = 60;
const HEADER_BYTES: usize = 12;

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// These bytes are the answer.
    Answer(Vec<u8>),
    /// The host's resolvers know, or nobody.
    Elsewhere,
    /// No request; silence.
    Nothing,
}

pub(super) fn answer(
    vpc: &VpcId,
    network: &Vpc,
    names: Option<&Arc<dyn Names>>,
    request: &[u8],
    bytes_max: u16,
) -> Outcome {
    let Some(header) = request.first_chunk::<HEADER_BYTES>() else { return Outcome::Nothing };
    let is_response = header[2] & 0x80 != 0;
    // The library makes room for as many questions as the header says before it reads one.
    if is_response || header[4..6] != [0, 1] {
        return Outcome::Nothing;
    }
    let Ok(request) = Message::from_vec(request) else { return Outcome::Nothing };
    let Some(query) = request.queries.first().filter(|_| request.metadata.op_code == OpCode::Query) else {
        return reply(&request, ResponseCode::NotImp, Vec::new(), bytes_max);
    };
    match find(vpc, network, names, query) {
        Found::Records(records) => reply(&request, ResponseCode::NoError, records, bytes_max),
        Found::NoSuchName => reply(&request, ResponseCode::NXDomain, Vec::new(), bytes_max),
        Found::Elsewhere => Outcome::Elsewhere,
    }
}

/// That nobody could be asked.
pub(super) fn failure(request: &[u8], bytes_max: u16) -> Option<Vec<u8>> {
    let request = Message::from_vec(request).ok()?;
    match reply(&request, ResponseCode::ServFail, Vec::new(), bytes_max) {
        Outcome::Answer(bytes) => Some(bytes),
        _ => None,
    }
}

enum Found {
    Records(Vec<Record>),
    NoSuchName,
    Elsewhere,
}

fn find(vpc: &VpcId, network: &Vpc, names: Option<&Arc<dyn Names>>, query: &Query) -> Found {
    let asked = query.name().to_string().to_ascii_lowercase();
    let asked = asked.trim_end_matches('.');
    if let Some(address) = reverse(asked) {
        if !network.cidrs.iter().any(|cidr| cidr.contains(address)) {
            return Found::Elsewhere;
        }
        let name = network.interface_at(address).and_then(|interface| interface.names.first());
        let Some(name) = name.and_then(|name| Name::from_utf8(format!("{name}.")).ok()) else {
            return Found::NoSuchName;
        };
        let wanted = matches!(query.query_type(), RecordType::PTR | RecordType::ANY);
        let record = Record::from_rdata(query.name().clone(), INSTANCE_TTL_S, RData::PTR(PTR(name)));
        return Found::Records(wanted.then_some(record).into_iter().collect());
    }
    let own = network.interfaces.values().find(|interface| interface.names.iter().any(|name| **name == *asked));
    if let Some(interface) = own {
        return addresses(query, &[interface.address], INSTANCE_TTL_S);
    }
    match names.map_or(NameAnswer::Elsewhere, |names| names.resolve(vpc, asked)) {
        NameAnswer::Addresses { addresses: found, ttl_s } => addresses(query, &found, ttl_s),
        NameAnswer::NoSuchName => Found::NoSuchName,
        NameAnswer::Elsewhere => Found::Elsewhere,
    }
}

fn addresses(query: &Query, addresses: &[Ipv4Addr], ttl_s: u32) -> Found {
    let wanted = matches!(query.query_type(), RecordType::A | RecordType::ANY);
    let record = |address: &Ipv4Addr| Record::from_rdata(query.name().clone(), ttl_s, RData::A(A(*address)));
    Found::Records(addresses.iter().filter(|_| wanted).map(record).collect())
}

/// `5.0.0.10.in-addr.arpa` is 10.0.0.5.
fn reverse(name: &str) -> Option<Ipv4Addr> {
    let mut octets = name.strip_suffix(".in-addr.arpa")?.rsplit('.').map(str::parse::<u8>);
    let mut next = || octets.next()?.ok();
    let address = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    octets.next().is_none().then_some(address)
}

fn reply(request: &Message, code: ResponseCode, answers: Vec<Record>, bytes_max: u16) -> Outcome {
    let mut response = Message::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    response.add_queries(request.queries.iter().cloned());
    response.add_answers(answers);
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(bytes_max);
    match response.emit(&mut encoder) {
        Ok(()) => Outcome::Answer(bytes),
        Err(_) => Outcome::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::config::{Interface, InterfaceId, Ipv4Network, SubnetId};

    struct Aws;

    impl Names for Aws {
        fn resolve(&self, _: &VpcId, name: &str) -> NameAnswer {
            match name {
                "sqs.us-east-1.amazonaws.com" => {
                    NameAnswer::Addresses { addresses: vec![Ipv4Addr::new(169, 254, 169, 252)], ttl_s: 5 }
                }
                "gone.elb.amazonaws.com" => NameAnswer::NoSuchName,
                _ => NameAnswer::Elsewhere,
            }
        }
    }

    fn ask(name: &str, kind: RecordType) -> Option<(ResponseCode, Vec<String>)> {
        let interface = Interface {
            instance: None,
            address: Ipv4Addr::new(10, 0, 0, 5),
            mac: [2, 0, 0, 0, 0, 5],
            subnet: SubnetId("subnet-1".into()),
            groups: Vec::new(),
            names: vec!["ip-10-0-0-5.ec2.internal".into()],
        };
        let network = Vpc {
            cidrs: vec![Ipv4Network { address: Ipv4Addr::new(10, 0, 0, 0), prefix: 16 }],
            interfaces: [(InterfaceId("eni-1".into()), interface)].into(),
            ..Vpc::default()
        };
        let mut request = Message::new(7, MessageType::Query, OpCode::Query);
        request.add_query(Query::query(Name::from_utf8(name).unwrap(), kind));
        let names: Arc<dyn Names> = Arc::new(Aws);
        match answer(&VpcId("vpc-1".into()), &network, Some(&names), &request.to_vec().unwrap(), 512) {
            Outcome::Answer(bytes) => {
                let message = Message::from_vec(&bytes).unwrap();
                assert_eq!(message.metadata.id, 7);
                let answers = message.answers.iter().map(|record| record.data.to_string()).collect();
                Some((message.metadata.response_code, answers))
            }
            Outcome::Elsewhere => None,
            Outcome::Nothing => panic!("no answer"),
        }
    }

    #[test]
    fn an_instances_own_name_is_answered_both_ways() {
        let (code, answers) = ask("IP-10-0-0-5.ec2.internal.", RecordType::A).unwrap();
        assert_eq!((code, answers), (ResponseCode::NoError, vec!["10.0.0.5".to_owned()]));
        let (_, answers) = ask("5.0.0.10.in-addr.arpa.", RecordType::PTR).unwrap();
        assert_eq!(answers, ["ip-10-0-0-5.ec2.internal."]);
        assert_eq!(ask("6.0.0.10.in-addr.arpa.", RecordType::PTR).unwrap().0, ResponseCode::NXDomain);
        assert_eq!(ask("1.1.1.1.in-addr.arpa.", RecordType::PTR), None);
    }

    #[test]
    fn a_name_without_an_ipv6_address_exists_all_the_same() {
        assert_eq!(ask("ip-10-0-0-5.ec2.internal.", RecordType::AAAA).unwrap(), (ResponseCode::NoError, Vec::new()));
    }

    #[test]
    fn others_answer_for_their_names_and_the_rest_is_asked_elsewhere() {
        assert_eq!(ask("sqs.us-east-1.amazonaws.com.", RecordType::A).unwrap().1, ["169.254.169.252"]);
        assert_eq!(ask("gone.elb.amazonaws.com.", RecordType::A).unwrap().0, ResponseCode::NXDomain);
        assert_eq!(ask("example.org.", RecordType::A), None);
    }

    #[test]
    fn what_is_no_request_gets_silence() {
        let network = Vpc::default();
        let vpc = VpcId("vpc-1".into());
        for bytes in [&b""[..], &[0; 11], &[0; 12], &[0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0], &[0xff; 40]] {
            assert_eq!(answer(&vpc, &network, None, bytes, 512), Outcome::Nothing);
        }
    }
}
