//! The names of a captive's world: AWS's lead to Millpond, those that it may reach to their places, no other exists.
//!
//! Invariants:
//! - Answering is pure, and no datagram makes it panic.
//! - What is no question gets no answer.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

use super::reach::Reach;

/// Whatever ends with these is AWS's.
const AWS_DOMAINS: &[&str] = &["amazonaws.com", "amazonaws.com.cn", "api.aws"];
/// The longest datagram that is read; questions are far shorter.
const DATAGRAM_BYTES_MAX: usize = 4096;
const TTL_S: u32 = 60;

/// Which names there are.
pub(super) struct Names {
    aws: Ipv4Addr,
    domains: Vec<String>,
    others: HashMap<String, Ipv4Addr>,
}

impl Names {
    /// AWS's names, those below Millpond's base domains, and those to reach.
    pub(super) fn new(aws: Ipv4Addr, base_domains: &[String], reaches: &[Reach]) -> Self {
        let domains = AWS_DOMAINS.iter().map(|domain| (*domain).to_owned()).chain(base_domains.iter().cloned());
        let named = reaches.iter().filter_map(|reach| Some((reach.name.clone()?, *reach.inside.ip())));
        Self { aws, domains: domains.collect(), others: named.collect() }
    }

    fn find(&self, name: &str) -> Option<Ipv4Addr> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        // More precise than a domain: who names it, wants it.
        if let Some(address) = self.others.get(&name) {
            return Some(*address);
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return Some(Ipv4Addr::LOCALHOST);
        }
        let is_below = |domain: &String| {
            name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.domains.iter().any(is_below).then_some(self.aws)
    }

    /// The answer to a datagram, if there is to be one.
    fn answer(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        // The library makes room for as many questions as the header says before it reads one.
        if u16::from_be_bytes([*datagram.get(4)?, *datagram.get(5)?]) != 1 {
            return None;
        }
        let question = Message::from_vec(datagram).ok()?;
        if question.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut answer = Message::new(question.metadata.id, MessageType::Response, question.metadata.op_code);
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_queries(question.queries.iter().cloned());
        let query = question.queries.first()?;
        answer.metadata.response_code = match self.find(&query.name().to_ascii()) {
            _ if question.metadata.op_code != OpCode::Query || query.query_class() != DNSClass::IN => {
                ResponseCode::NotImp
            }
            None => ResponseCode::NXDomain,
            Some(address) => {
                if query.query_type() == RecordType::A {
                    answer.add_answer(Record::from_rdata(query.name().clone(), TTL_S, RData::A(A(address))));
                }
                ResponseCode::NoError
            }
        };
        answer.to_vec().ok()
    }
}

/// Answers on the captive's socket for as long as it is polled.
pub(super) fn serve(socket: OwnedFd, names: Names) -> std::io::Result<impl Future<Output = ()> + Send> {
    let socket = UdpSocket::from(socket);
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    Ok(async move {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            // An error is of a client that has gone.
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
            if let Some(answer) = names.answer(&buffer[..length]) {
                let _ = socket.send_to(&answer, client).await;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::Name;
    use proptest::prelude::*;

    use super::*;

    const AWS: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 1);

    fn names() -> Names {
        let reaches = super::super::reach::read(&["db.example.org:5432".to_owned()]).unwrap();
        Names::new(AWS, &["cloud.example".to_owned()], &reaches)
    }

    fn ask(name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
        let mut question = Message::new(7, MessageType::Query, OpCode::Query);
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = names().answer(&question.to_vec().unwrap()).unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!((answer.metadata.id, answer.queries.len()), (7, 1));
        (answer.metadata.response_code, answer.answers.iter().map(|record| record.data.to_string()).collect())
    }

    #[test]
    fn aws_is_millpond_and_the_rest_of_the_world_is_not_there() {
        let at = |address: &str| (ResponseCode::NoError, vec![address.to_owned()]);
        for name in
            ["sqs.us-east-1.amazonaws.com.", "a.b.S3.amazonaws.COM.", "x.cloud.example.", "ec2.eu-west-1.api.aws."]
        {
            assert_eq!(ask(name, RecordType::A), at("127.66.0.1"), "{name}");
            assert_eq!(ask(name, RecordType::AAAA), (ResponseCode::NoError, vec![]), "{name}");
        }
        assert_eq!(ask("db.example.org.", RecordType::A), at("127.66.1.1"));
        assert_eq!(ask("web.localhost.", RecordType::A), at("127.0.0.1"));
        for name in ["example.org.", "amazonaws.com.evil.example.", "xamazonaws.com."] {
            assert_eq!(ask(name, RecordType::A), (ResponseCode::NXDomain, vec![]), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_datagram_is_answered_or_dropped_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = names().answer(&bytes);
        }
    }
}
