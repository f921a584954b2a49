//! From a request's bytes to an answer's.
//!
//! Invariants:
//! - Pure but for the targets' health and the dice.
//! - An answer repeats the question as it was asked, letters' case included (0x20), and so do its records' names.
//! - An answer to a datagram is no longer than its asker takes, nor than [`DATAGRAM_BYTES_MAX`].

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::table::{Entry, Node, Table};

/// How long an address may be believed: as at AWS, and short enough that a node without targets is soon left alone.
const ADDRESS_TTL_S: u32 = 60;
/// How long it may be believed that there is no such name. Short: names are asked for right after they were made.
const NEGATIVE_TTL_S: u32 = 10;
const ZONE_TTL_S: u32 = 3600;
/// A name server's refresh, retry and expiry, which nobody uses: there are no secondaries.
const SOA_TIMES_S: [i32; 3] = [7200, 900, 1_209_600];
/// Without fragments on any path (DNS flag day 2020).
pub(super) const DATAGRAM_BYTES_MAX: u16 = 1232;
const HEADER_BYTES: usize = 12;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// The answer, if there is to be one: what is no request is not answered, or two servers could talk forever.
pub(super) fn answer(
    table: &Table,
    request: &[u8],
    transport: Transport,
    dice: &mut impl FnMut() -> u64,
) -> Option<Vec<u8>> {
    let header: &[u8; HEADER_BYTES] = request.first_chunk()?;
    let is_response = header[2] & 0x80 != 0;
    if is_response {
        return None;
    }
    // The library makes room for as many questions as the header says before it reads one.
    let questions = u16::from_be_bytes([header[4], header[5]]);
    let Some(request) = (questions == 1).then(|| Message::from_vec(request).ok()).flatten() else {
        return Some(malformed(header));
    };
    let mut response = Message::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.add_queries(request.queries.iter().cloned());
    let mut bytes_max = u16::MAX;
    if transport == Transport::Udp {
        bytes_max = request.edns.as_ref().map_or(512, |edns| edns.max_payload().clamp(512, DATAGRAM_BYTES_MAX));
    }
    if let Some(edns) = &request.edns {
        let mut own = Edns::new();
        own.set_max_payload(DATAGRAM_BYTES_MAX);
        own.set_dnssec_ok(edns.flags().dnssec_ok);
        response.set_edns(own);
    }
    response.metadata.response_code = match request.queries.first() {
        _ if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) => ResponseCode::BADVERS,
        _ if request.metadata.op_code != OpCode::Query => ResponseCode::NotImp,
        Some(query) => fill(&mut response, table, query, dice),
        None => ResponseCode::FormErr,
    };
    encode(&response, bytes_max)
}

fn encode(response: &Message, bytes_max: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(bytes_max);
    // What does not fit is left out, and marked as truncated.
    response.emit(&mut encoder).ok()?;
    Some(bytes)
}

/// The header alone, with FORMERR.
fn malformed(header: &[u8; HEADER_BYTES]) -> Vec<u8> {
    let mut answer = [0; HEADER_BYTES];
    answer[..2].copy_from_slice(&header[..2]);
    // A response, with the request's opcode and its wish for recursion.
    answer[2] = 0x80 | (header[2] & 0x79);
    answer[3] = 1;
    answer.to_vec()
}

/// Adds the records that answer.
fn fill(response: &mut Message, table: &Table, query: &Query, dice: &mut impl FnMut() -> u64) -> ResponseCode {
    let (name, kind) = (query.name(), query.query_type());
    let is_internet = matches!(query.query_class(), DNSClass::IN | DNSClass::ANY);
    let is_transfer = matches!(kind, RecordType::AXFR | RecordType::IXFR);
    if !is_internet || is_transfer || !table.zone.zone_of(name) {
        return ResponseCode::Refused;
    }
    response.metadata.authoritative = true;
    let Some(entry) = table.find(name) else {
        response.add_authority(soa(table, NEGATIVE_TTL_S, table.zone.clone()));
        return ResponseCode::NXDomain;
    };
    if *name == table.zone && matches!(kind, RecordType::SOA | RecordType::ANY) {
        response.add_answer(soa(table, ZONE_TTL_S, name.clone()));
    }
    if *name == table.zone && matches!(kind, RecordType::NS | RecordType::ANY) {
        let server = RData::NS(NS(table.name_server.clone()));
        response.add_answer(Record::from_rdata(name.clone(), ZONE_TTL_S, server));
        response
            .add_additionals(table.name_server_addresses.iter().map(|ip| address(&table.name_server, *ip, ZONE_TTL_S)));
    }
    let wants = |ip: &IpAddr| match kind {
        RecordType::A => ip.is_ipv4(),
        RecordType::AAAA => ip.is_ipv6(),
        RecordType::ANY => true,
        _ => false,
    };
    match entry {
        Entry::Nodes { nodes, ipv6_only } => {
            let wanted = |ip: &IpAddr| wants(ip) && (ip.is_ipv6() || !ipv6_only);
            let addresses = serving(nodes, wanted, dice);
            response.add_answers(addresses.into_iter().map(|ip| address(name, ip, ADDRESS_TTL_S)));
        }
        Entry::NameServer => {
            let addresses = table.name_server_addresses.iter().filter(|ip| wants(ip));
            response.add_answers(addresses.map(|ip| address(name, *ip, ZONE_TTL_S)));
        }
        Entry::Empty => {}
    }
    if response.answers.is_empty() {
        response.add_authority(soa(table, NEGATIVE_TTL_S, table.zone.clone()));
    }
    ResponseCode::NoError
}

/// The addresses of the nodes that can serve, of all if none can, in an order that the dice decide.
fn serving(nodes: &[Node], wanted: impl Fn(&IpAddr) -> bool, dice: &mut impl FnMut() -> u64) -> Vec<IpAddr> {
    let of_family = || nodes.iter().filter(|node| wanted(&node.address));
    let mut addresses: Vec<IpAddr> = of_family().filter(|node| node.can_serve()).map(|node| node.address).collect();
    if addresses.is_empty() {
        addresses = of_family().map(|node| node.address).collect();
    }
    for last in (1..addresses.len()).rev() {
        let other = dice() % (last as u64 + 1);
        addresses.swap(last, usize::try_from(other).unwrap_or(0));
    }
    addresses
}

fn address(name: &Name, ip: IpAddr, ttl_s: u32) -> Record {
    let data = match ip {
        IpAddr::V4(ip) => RData::A(ip.into()),
        IpAddr::V6(ip) => RData::AAAA(ip.into()),
    };
    Record::from_rdata(name.clone(), ttl_s, data)
}

fn soa(table: &Table, ttl_s: u32, owner: Name) -> Record {
    let [refresh, retry, expire] = SOA_TIMES_S;
    let responsible = table.zone.prepend_label("hostmaster").unwrap_or_else(|_| table.zone.clone());
    let server = table.name_server.clone();
    let soa = SOA::new(server, responsible, table.serial, refresh, retry, expire, NEGATIVE_TTL_S);
    Record::from_rdata(owner, ttl_s, RData::SOA(soa))
}

#[cfg(test)]
mod tests;
