//! What several tests need: a call.

use std::net::{IpAddr, Ipv4Addr};

use api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};

/// A call of account 123456789012.
pub(crate) fn call(principal: Principal) -> Call {
    Call {
        identity: Identity { principal, account: AccountId::parse("123456789012").unwrap() },
        region: Region::parse("us-east-1").unwrap(),
        request_id: RequestId("r".into()),
        endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
        path: "/".into(),
        protocol: Protocol::Query,
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trace_header: None,
        user_agent: None,
        referer: None,
    }
}
