//! The service on a store in memory, with a clock that stands and ids that repeat.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use api::ec2::{Filter, Tag};
use api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use ec2::{Ec2, Ec2Options, Images, InstanceOptions, Machines, NewMachine, UnknownImages};
use host::Timestamp;
use host::sim::{Seed, SimClock, SimIds};
use store::Store;
use wire::ApiError;

use crate::fake_engine::FakeEngine;

/// 2026-01-01.
pub(crate) const NOW: Timestamp = Timestamp(1_767_225_600_000);

pub(crate) struct Platform {
    pub(crate) ec2: Ec2,
    pub(crate) machines: Machines,
    pub(crate) images: Images,
    pub(crate) call: Call,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) store: Store,
}

/// Without an engine.
pub(crate) fn platform() -> Platform {
    open(Store::in_memory().unwrap(), None, UnknownImages::Refused)
}

/// With an engine that runs nothing.
pub(crate) fn platform_with_engine() -> (Platform, Arc<FakeEngine>) {
    let engine = FakeEngine::new();
    (open(Store::in_memory().unwrap(), Some(engine.clone()), UnknownImages::Refused), engine)
}

pub(crate) fn open(store: Store, engine: Option<Arc<FakeEngine>>, unknown_images: UnknownImages) -> Platform {
    let zones = || ["us-east-1a", "us-east-1b", "eu-west-1a"].map(str::to_owned).to_vec();
    let region = || Region::parse("us-east-1").unwrap();
    let ids = Arc::new(SimIds::new(Seed(7)));
    let clock = Arc::new(SimClock::frozen(NOW));
    let instances = engine.map(|engine| InstanceOptions {
        engine,
        layers: vec!["/opt/tools".into()],
        environment: vec![("LANG".to_owned(), "C.UTF-8".to_owned())],
        shutdown_grace: std::time::Duration::from_secs(5),
    });
    let options = Ec2Options {
        store: store.clone(),
        clock: clock.clone(),
        ids: ids.clone(),
        zones: zones(),
        region: region(),
        instances,
        unknown_images,
        instance_roles: None,
    };
    Platform {
        ec2: Ec2::open(options).unwrap(),
        machines: Machines::open(store.clone(), clock.clone(), ids.clone(), zones(), region()).unwrap(),
        images: Images::open(store.clone(), clock.clone(), ids),
        call: call("123456789012", "us-east-1"),
        clock,
        store,
    }
}

/// The call of one of Millpond's own services.
pub(crate) fn service_call(name: &str) -> Call {
    let mut call = call("123456789012", "us-east-1");
    call.identity.principal = Principal::Service { name: name.into() };
    call
}

pub(crate) fn call(account: &str, region: &str) -> Call {
    Call {
        identity: Identity {
            principal: Principal::Account { access_key_id: "AKIA".into() },
            account: AccountId::parse(account).unwrap(),
        },
        region: Region::parse(region).unwrap(),
        request_id: RequestId("the-id".into()),
        endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
        path: "/".into(),
        protocol: Protocol::Query,
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trace_header: None,
        user_agent: None,
        referer: None,
    }
}

impl Platform {
    pub(crate) fn add(&self, address: &str, zone: &str, name: Option<&str>) -> String {
        let machine = new_machine(address, zone, name);
        self.machines.add(&self.call.identity.account, &machine).unwrap()
    }

    pub(crate) fn account(&self) -> &AccountId {
        &self.call.identity.account
    }
}

pub(crate) fn new_machine(address: &str, zone: &str, name: Option<&str>) -> NewMachine {
    NewMachine { address: address.parse().unwrap(), zone: zone.into(), name: name.map(str::to_owned) }
}

pub(crate) fn filter(name: &str, values: &[&str]) -> Filter {
    Filter { name: Some(name.into()), values: texts(values) }
}

pub(crate) fn tag(key: &str, value: &str) -> Tag {
    Tag { key: Some(key.into()), value: Some(value.into()) }
}

pub(crate) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// `Code: sentence`.
pub(crate) fn refused<T: Debug>(answer: Result<T, ApiError>) -> String {
    let error = answer.unwrap_err();
    assert!((400..500).contains(&error.status), "{error}");
    error.to_string()
}

/// The code alone.
pub(crate) fn code<T: Debug>(answer: Result<T, ApiError>) -> String {
    answer.unwrap_err().code.into_owned()
}
