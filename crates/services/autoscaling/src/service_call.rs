//! The calls that Auto Scaling makes itself: as its own principal, in a user's account and region.
//!
//! Invariant: a service gets nothing that the callee's own rules do not give to that principal.

use std::net::{IpAddr, Ipv4Addr};

use ::api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};

/// Who Auto Scaling is to others.
pub(crate) const PRINCIPAL: &str = "autoscaling.amazonaws.com";

/// A call to EC2 or ELB for a group of this account and region.
pub(crate) fn call(account: &str, region: &str) -> Option<Call> {
    let principal = Principal::Service { name: PRINCIPAL.into() };
    Some(Call {
        identity: Identity { principal, account: AccountId::parse(account)? },
        region: Region::parse(region)?,
        request_id: RequestId("autoscaling".to_owned()),
        endpoint: Endpoint { scheme: "https", authority: "localhost".into() },
        path: "/".into(),
        protocol: Protocol::Query,
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trace_header: None,
        user_agent: Some(PRINCIPAL.into()),
        referer: None,
    })
}
