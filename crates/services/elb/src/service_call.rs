//! The calls that ELB makes itself: as its own principals, in a user's account and region.
//!
//! Invariant: a service gets nothing that the callee's own rules do not give to that principal.

use std::net::{IpAddr, Ipv4Addr};

use api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};

/// ELB asks EC2 as itself.
pub(crate) fn to_ec2(account: &str, region: &str) -> Option<Call> {
    let name = "elasticloadbalancing.amazonaws.com";
    call(Principal::Service { name: name.into() }, account, region, "elb-to-ec2", Protocol::Query)
}

/// ELB writes logs as this principal. `account` is the principal's own, or for a service the user's.
pub(crate) fn to_s3(principal: Principal, account: &str, region: &str) -> Option<Call> {
    call(principal, account, region, "elb-to-s3", Protocol::RestXml)
}

fn call(principal: Principal, account: &str, region: &str, id: &str, protocol: Protocol) -> Option<Call> {
    Some(Call {
        identity: Identity { principal, account: AccountId::parse(account)? },
        region: Region::parse(region)?,
        request_id: RequestId(id.to_owned()),
        endpoint: Endpoint { scheme: "https", authority: "localhost".into() },
        path: "/".into(),
        protocol,
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trace_header: None,
        user_agent: Some("elb.amazonaws.com".into()),
        referer: None,
    })
}
