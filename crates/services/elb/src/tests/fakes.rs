//! What stands around ELB in tests: EC2, IAM, S3 and the balancer, each as a value that a test sets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use ::api::ec2::*;
use ::api::{
    Call, CertificateUsers, ObjectStore, PortFuture, Principal, PutObject, ServerCertificate, ServerCertificates,
};
use async_trait::async_trait;
use balancer::{
    BindError, BindFailure, Config, HealthReason, HealthState, LoadBalancerId, Sealed, TargetHealth, TargetId,
};
use bytes::Bytes;
use host::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;
use wire::ApiError;

use crate::data_plane::{DataPlane, Reserved};
use crate::inventory::Inventory;

/// EC2: instances, groups and subnets, in pages of two.
#[derive(Default)]
pub(crate) struct FakeEc2 {
    pub(crate) instances: Mutex<BTreeMap<String, Instance>>,
    pub(crate) groups: Mutex<BTreeMap<String, SecurityGroup>>,
    pub(crate) subnets: Mutex<Vec<Subnet>>,
    pub(crate) down: Mutex<bool>,
    pub(crate) interfaces: Mutex<Vec<NetworkInterface>>,
    /// Given to ELB when it is opened.
    pub(crate) networks: Mutex<Option<Arc<dyn ::api::InstanceNetworks>>>,
}

impl FakeEc2 {
    pub(crate) fn add_instance(&self, id: &str, address: &str, zone: &str) {
        let instance = Instance {
            instance_id: Some(id.into()),
            private_ip_address: Some(address.into()),
            placement: Some(Placement { availability_zone: Some(zone.into()), ..Default::default() }),
            state: Some(::api::ec2::InstanceState { name: Some("running".into()), ..Default::default() }),
            vpc_id: Some("vpc-1".into()),
            ..Default::default()
        };
        self.instances.lock().insert(id.into(), instance);
    }

    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Instance)) {
        change(self.instances.lock().get_mut(id).unwrap());
    }

    pub(crate) fn set_state(&self, id: &str, state: &str) {
        let state = ::api::ec2::InstanceState { name: Some(state.into()), ..Default::default() };
        self.change(id, |instance| instance.state = Some(state));
    }

    pub(crate) fn add_group(&self, id: &str, name: &str, ingress: Vec<IpPermission>) {
        let group = SecurityGroup {
            group_id: Some(id.into()),
            group_name: Some(name.into()),
            ip_permissions: ingress,
            ..Default::default()
        };
        self.groups.lock().insert(id.into(), group);
    }

    pub(crate) fn add_subnet(&self, id: &str, vpc: &str, zone: &str, is_default: bool) {
        self.subnets.lock().push(Subnet {
            subnet_id: Some(id.into()),
            vpc_id: Some(vpc.into()),
            availability_zone: Some(zone.into()),
            default_for_az: Some(is_default),
            ..Default::default()
        });
    }

    fn answer(&self) -> Result<(), ApiError> {
        if *self.down.lock() { Err(ApiError::receiver("InternalError", "a secret of EC2's")) } else { Ok(()) }
    }
}

fn identifiers(groups: Vec<String>) -> Vec<GroupIdentifier> {
    groups.into_iter().map(|id| GroupIdentifier { group_id: Some(id), ..Default::default() }).collect()
}

/// Two rows a page; the token is the number of the next row.
fn page<T: Clone>(rows: &[T], token: Option<String>) -> (Vec<T>, Option<String>) {
    let start: usize = token.map_or(0, |token| token.parse().unwrap());
    let end = (start + 2).min(rows.len());
    (rows[start..end].to_vec(), (end < rows.len()).then(|| end.to_string()))
}

#[async_trait]
impl Inventory for FakeEc2 {
    async fn instances(&self, _: &Call, input: DescribeInstancesInput) -> Result<DescribeInstancesOutput, ApiError> {
        self.answer()?;
        let all: Vec<_> = self.instances.lock().values().cloned().collect();
        let (instances, next_token) = page(&all, input.next_token);
        let mut output = DescribeInstancesOutput { next_token, ..Default::default() };
        output.reservations.push(Default::default());
        output.reservations[0].instances = instances;
        Ok(output)
    }

    async fn groups(
        &self,
        _: &Call,
        input: DescribeSecurityGroupsInput,
    ) -> Result<DescribeSecurityGroupsOutput, ApiError> {
        self.answer()?;
        let all: Vec<_> = self.groups.lock().values().cloned().collect();
        let (security_groups, next_token) = page(&all, input.next_token);
        Ok(DescribeSecurityGroupsOutput { next_token, security_groups })
    }

    async fn subnets(&self, _: &Call, input: DescribeSubnetsInput) -> Result<DescribeSubnetsOutput, ApiError> {
        self.answer()?;
        let all = self.subnets.lock().clone();
        let (subnets, next_token) = page(&all, input.next_token);
        Ok(DescribeSubnetsOutput { next_token, subnets })
    }

    async fn interfaces(
        &self,
        _: &Call,
        input: DescribeNetworkInterfacesInput,
    ) -> Result<DescribeNetworkInterfacesOutput, ApiError> {
        self.answer()?;
        assert_eq!(input.filters[0].values, ["amazon-elb"]);
        let all = self.interfaces.lock().clone();
        let (network_interfaces, next_token) = page(&all, input.next_token);
        Ok(DescribeNetworkInterfacesOutput { next_token, network_interfaces })
    }

    async fn create_interface(&self, call: &Call, input: CreateNetworkInterfaceInput) -> Result<(), ApiError> {
        self.answer()?;
        assert!(matches!(&call.identity.principal, Principal::Service { .. }));
        let mut all = self.interfaces.lock();
        let number = all.len() + 1;
        let subnet = self.subnets.lock().iter().find(|one| one.subnet_id.as_ref() == Some(&input.subnet_id)).cloned();
        all.push(NetworkInterface {
            network_interface_id: Some(format!("eni-{number}")),
            private_ip_address: Some(format!("10.0.9.{number}")),
            vpc_id: subnet.unwrap().vpc_id,
            subnet_id: Some(input.subnet_id),
            description: input.description,
            groups: identifiers(input.groups),
            ..Default::default()
        });
        Ok(())
    }

    async fn modify_interface(&self, _: &Call, input: ModifyNetworkInterfaceAttributeInput) -> Result<(), ApiError> {
        self.answer()?;
        let mut all = self.interfaces.lock();
        let there = all.iter_mut().find(|one| one.network_interface_id.as_ref() == Some(&input.network_interface_id));
        there.unwrap().groups = identifiers(input.groups);
        Ok(())
    }

    async fn delete_interface(&self, _: &Call, input: DeleteNetworkInterfaceInput) -> Result<(), ApiError> {
        self.answer()?;
        self.interfaces.lock().retain(|one| one.network_interface_id.as_ref() != Some(&input.network_interface_id));
        Ok(())
    }
}

/// IAM's certificates.
pub(crate) struct FakeCertificates {
    certificates: Mutex<HashMap<String, Arc<ServerCertificate>>>,
    pub(crate) users: Mutex<Option<Weak<dyn CertificateUsers>>>,
    changes: watch::Sender<u64>,
}

impl FakeCertificates {
    pub(crate) fn new() -> Self {
        let (certificates, users) = (Mutex::default(), Mutex::default());
        Self { certificates, users, changes: watch::channel(0).0 }
    }

    /// Puts a certificate there; what it shows to clients.
    pub(crate) fn put(&self, arn: &str) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = rcgen::CertificateParams::new(vec!["example.com".to_owned()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        self.put_raw(arn, der.clone(), key.serialize_der());
        der
    }

    pub(crate) fn put_raw(&self, arn: &str, der: Vec<u8>, private_key_der: Vec<u8>) {
        let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
        let certificate = ServerCertificate { arn: arn.into(), name, chain_der: vec![der], private_key_der };
        self.certificates.lock().insert(arn.into(), Arc::new(certificate));
        self.changes.send_modify(|number| *number += 1);
    }

    pub(crate) fn remove(&self, arn: &str) {
        self.certificates.lock().remove(arn);
        self.changes.send_modify(|number| *number += 1);
    }
}

#[async_trait]
impl ServerCertificates for FakeCertificates {
    async fn find(&self, arn: &str) -> Result<Option<Arc<ServerCertificate>>, ApiError> {
        Ok(self.certificates.lock().get(arn).cloned())
    }

    fn ask_before_delete(&self, users: Weak<dyn CertificateUsers>) {
        *self.users.lock() = Some(users);
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// S3: buckets that let certain principals write, and what was written.
#[derive(Default)]
pub(crate) struct FakeS3 {
    /// By bucket: account ids or service names that may write.
    pub(crate) writers: Mutex<HashMap<String, Vec<String>>>,
    pub(crate) objects: Mutex<BTreeMap<(String, String), Bytes>>,
    /// How often something was put.
    pub(crate) puts: Mutex<usize>,
}

impl FakeS3 {
    pub(crate) fn let_write(&self, bucket: &str, writers: &[&str]) {
        self.writers.lock().insert(bucket.into(), writers.iter().map(|one| (*one).to_owned()).collect());
    }

    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        self.objects.lock().keys().filter(|(of, _)| of == bucket).map(|(_, key)| key.clone()).collect()
    }

    pub(crate) fn body(&self, bucket: &str, key: &str) -> String {
        let objects = self.objects.lock();
        String::from_utf8(objects[&(bucket.to_owned(), key.to_owned())].to_vec()).unwrap()
    }
}

impl ObjectStore for FakeS3 {
    fn put<'a>(&'a self, call: &'a Call, object: PutObject) -> PortFuture<'a, ()> {
        let who = match &call.identity.principal {
            Principal::Service { name } => name.to_string(),
            _ => call.account().as_str().to_owned(),
        };
        let writers = self.writers.lock();
        let answer = match writers.get(&object.bucket) {
            None => Err(ApiError::sender("NoSuchBucket", "The specified bucket does not exist")),
            Some(writers) if !writers.contains(&who) => Err(ApiError::sender("AccessDenied", "Access Denied")),
            Some(_) => {
                *self.puts.lock() += 1;
                self.objects.lock().insert((object.bucket, object.key), object.body);
                Ok(())
            }
        };
        Box::pin(std::future::ready(answer))
    }

    fn get<'a>(&'a self, _: &'a Call, _: &'a str, _: &'a str, _: usize) -> PortFuture<'a, Bytes> {
        Box::pin(std::future::ready(Err(ApiError::sender("NoSuchKey", "ELB never reads"))))
    }
}

/// The balancer: what it was told, and what it says.
#[derive(Default)]
pub(crate) struct FakePlane {
    pub(crate) published: Mutex<Vec<Config>>,
    pub(crate) health: Mutex<Vec<TargetHealth>>,
    /// Ports that cannot be bound.
    pub(crate) taken: Mutex<BTreeSet<u16>>,
    /// Whether publishing fails.
    pub(crate) refuses: Mutex<bool>,
    pub(crate) reserved: Arc<Mutex<Vec<SocketAddr>>>,
    /// Records not sealed yet, and files, as the spool on disk keeps them.
    pub(crate) open: Mutex<HashMap<LoadBalancerId, String>>,
    pub(crate) files: Mutex<BTreeMap<u64, (Sealed, String)>>,
    /// Whether files can be removed.
    pub(crate) keeps_files: Mutex<bool>,
    pub(crate) now: Mutex<Timestamp>,
    number: Mutex<u64>,
}

struct FakeReserved(Arc<Mutex<Vec<SocketAddr>>>, Vec<SocketAddr>);

impl Drop for FakeReserved {
    fn drop(&mut self) {
        self.0.lock().retain(|address| !self.1.contains(address));
    }
}

impl FakePlane {
    /// What is served now.
    pub(crate) fn served(&self) -> Config {
        self.published.lock().last().cloned().unwrap_or_default()
    }

    pub(crate) fn set_health(&self, id: &str, state: HealthState, reason: HealthReason, draining: bool) {
        let mut health = self.health.lock();
        health.retain(|target| &*target.id.0 != id);
        health.push(TargetHealth {
            id: TargetId(id.into()),
            zone: "us-east-1a".into(),
            state,
            reason,
            failure: None,
            since: Timestamp(0),
            draining,
        });
    }

    /// A request came: it is recorded.
    pub(crate) fn record(&self, id: u64, line: &str) {
        self.open.lock().entry(LoadBalancerId(id)).or_default().push_str(line);
    }

    fn sealed_of(&self, wanted: Option<LoadBalancerId>) -> Vec<Sealed> {
        let files = self.files.lock();
        let all = files.values().map(|(sealed, _)| sealed.clone());
        all.filter(|sealed| wanted.is_none_or(|id| id == sealed.load_balancer)).collect()
    }
}

#[async_trait]
impl DataPlane for FakePlane {
    fn reserve(&self, addresses: &[SocketAddr]) -> Result<Reserved, BindError> {
        let taken = self.taken.lock();
        if let Some(&address) = addresses.iter().find(|address| taken.contains(&address.port())) {
            return Err(BindError { address, failure: BindFailure::PermissionDenied });
        }
        self.reserved.lock().extend(addresses);
        Ok(Box::new(FakeReserved(Arc::clone(&self.reserved), addresses.to_vec())))
    }

    async fn publish(&self, config: Config) -> Result<(), Vec<BindError>> {
        if *self.refuses.lock() {
            let address = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 1);
            return Err(vec![BindError { address, failure: BindFailure::TooManyFiles }]);
        }
        self.published.lock().push(config);
        Ok(())
    }

    fn target_health(&self, _: LoadBalancerId) -> Vec<TargetHealth> {
        self.health.lock().clone()
    }

    async fn seal(&self, load_balancer: LoadBalancerId) -> io::Result<Vec<Sealed>> {
        if let Some(text) = self.open.lock().remove(&load_balancer) {
            let mut number = self.number.lock();
            *number += 1;
            let now = *self.now.lock();
            let sealed = Sealed {
                load_balancer,
                node: IpAddr::from([127, 16, 0, 1]),
                first: now,
                last: now,
                records: text.lines().count() as u64,
                bytes: text.len() as u64,
                number: *number,
            };
            self.files.lock().insert(*number, (sealed, text));
        }
        Ok(self.sealed_of(Some(load_balancer)))
    }

    async fn sealed(&self) -> io::Result<Vec<Sealed>> {
        Ok(self.sealed_of(None))
    }

    async fn read(&self, sealed: &Sealed) -> io::Result<Vec<u8>> {
        Ok(self.files.lock()[&sealed.number].1.clone().into_bytes())
    }

    async fn remove(&self, sealed: &Sealed) -> io::Result<()> {
        if *self.keeps_files.lock() {
            return Err(io::Error::other("the process died"));
        }
        self.files.lock().remove(&sealed.number);
        Ok(())
    }
}
