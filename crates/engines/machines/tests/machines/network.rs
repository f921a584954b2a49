//! Who reaches whom, and what instances learn from their router.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use machines::{
    AclAction, AclEntry, AclId, BalancerNode, InstanceId, Ipv4Network, Metadata, MetadataDocument, MetadataOptions,
    NameAnswer, Names, NetworkAcl, Peer, Protocol, SecurityGroup, VpcId,
};

use crate::lab::{Lab, anyone, everything, group, may_be_privileged, subnet_id, tcp, vpc_id};

/// A web server in three lines; says "served" for anything.
const SERVER: &str = "#!/usr/bin/python3
import http.server, socketserver
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'served')
socketserver.TCPServer.allow_reuse_address = True
s = socketserver.TCPServer(('', 80), H); print('listening', flush=True); s.serve_forever()
";

/// Tries to connect once a second, for as long as the instance lives, and says what came of it.
fn prober(address: Ipv4Addr) -> String {
    format!(
        "#!/bin/bash\nwhile :; do if timeout 1 bash -c '</dev/tcp/{address}/80' 2>/dev/null; then echo reached; else echo kept-out; fi; sleep 0.2; done\n"
    )
}

/// Asks from an address of the router, as a balancer node does.
fn ask_from(lab: &Lab, from: Ipv4Addr, to: SocketAddrV4) -> std::io::Result<String> {
    let namespace = lab.engine.namespace(&vpc_id()).unwrap().unwrap();
    let mut stream: TcpStream = namespace.enter(|| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddrV4::new(from, 0).into())?;
        socket.connect_timeout(&SocketAddr::V4(to).into(), Duration::from_secs(1))?;
        Ok(socket.into())
    })?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn web_servers_answer_their_load_balancer_and_no_one_else() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let (node, stranger) = (lab.address(200), lab.address(201));
    let balancer = SecurityGroup { ingress: Vec::new(), egress: vec![everything(anyone())] };
    let web = SecurityGroup { ingress: vec![tcp(80, Peer::Group(group("elb")))], egress: vec![everything(anyone())] };
    lab.vpc().groups.extend([(group("elb"), balancer), (group("web"), web)]);
    for (address, group) in [(node, group("elb")), (stranger, group("open"))] {
        lab.vpc().balancer_nodes.push(BalancerNode { address, subnet: subnet_id(), groups: vec![group] });
    }
    let spec = lab.spec(5, SERVER);
    let server = lab.launch_spec(5, spec, &[group("web")]).await;
    lab.wait_for_console(&server, "listening").await;
    let to = SocketAddrV4::new(lab.address(5), 80);
    assert!(ask_from(&lab, node, to).unwrap().ends_with("served"));
    assert!(ask_from(&lab, stranger, to).is_err());
    let user_data = prober(lab.address(5));
    let other = lab.launch(6, &user_data).await;
    let console = lab.wait_for_console(&other, "kept-out").await;
    assert!(!console.contains("reached"));
    // A rule for the other's group takes effect under both while they run.
    lab.vpc().groups.get_mut(&group("web")).unwrap().ingress.push(tcp(80, Peer::Group(group("open"))));
    lab.publish().await;
    lab.wait_for_console(&other, "reached").await;
    assert!(ask_from(&lab, stranger, to).unwrap().ends_with("served"));
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn egress_rules_and_network_acls_keep_instances_in() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let server = lab.launch(5, SERVER).await;
    lab.wait_for_console(&server, "listening").await;
    lab.vpc().groups.insert(group("mute"), SecurityGroup { ingress: vec![everything(anyone())], egress: Vec::new() });
    let spec = lab.spec(6, &prober(lab.address(5)));
    let mute = lab.launch_spec(6, spec, &[group("mute")]).await;
    assert!(!lab.wait_for_console(&mute, "kept-out").await.contains("reached"));
    lab.vpc().groups.get_mut(&group("mute")).unwrap().egress.push(tcp(80, anyone()));
    lab.publish().await;
    lab.wait_for_console(&mute, "reached").await;
    // A second subnet, whose ACL lets nothing in from the first: not stateful, so the answers stay out as well.
    let from_first = lab.vpc().subnets[&subnet_id()].cidr;
    let deny = AclEntry { protocol: Protocol::Any, network: from_first, action: AclAction::Deny };
    let allow = AclEntry { protocol: Protocol::Any, network: Ipv4Network::ANY, action: AclAction::Allow };
    let acl = NetworkAcl { ingress: vec![deny, allow.clone()], egress: vec![allow] };
    let mut second = lab.vpc().subnets[&subnet_id()].clone();
    second.cidr = Ipv4Network { address: from_first.nth(128), prefix: 25 };
    second.acl = Some(AclId("acl-1".into()));
    lab.vpc().subnets.get_mut(&subnet_id()).unwrap().cidr.prefix = 25;
    lab.vpc().subnets.insert(machines::SubnetId("subnet-2".into()), second);
    lab.vpc().acls.insert(AclId("acl-1".into()), acl);
    lab.interface_in(machines::SubnetId("subnet-2".into()), 130, &[group("open")]).await;
    let user_data = prober(lab.address(5));
    lab.engine.launch(lab.spec(130, &user_data)).await.unwrap();
    let id = lab.id(130);
    lab.wait_for(&id, machines::InstanceState::Running).await;
    // The ACL names the first subnet's whole range of before, so the second's neighbours are its only ones left.
    assert!(!lab.wait_for_console(&id, "kept-out").await.contains("reached"));
    lab.vpc().acls.get_mut(&AclId("acl-1".into())).unwrap().ingress.remove(0);
    lab.publish().await;
    lab.wait_for_console(&id, "reached").await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_cannot_bear_anothers_address() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let receiver = "#!/usr/bin/python3
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9999)); print('listening', flush=True)
while True: print(s.recvfrom(99), flush=True)
";
    let receiver = lab.launch(5, receiver).await;
    lab.wait_for_console(&receiver, "listening").await;
    let liar = format!(
        "#!/usr/bin/python3
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def send(source, text):
    udp = struct.pack('!HHHH', 1111, 9999, 8 + len(text), 0) + text
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton('{to}'))
    raw.sendto(ip + udp, ('{to}', 0))
send('{other}', b'a lie'); send('{own}', b'the truth'); print('sent', flush=True)
",
        to = lab.address(5),
        other = lab.address(7),
        own = lab.address(6)
    );
    let liar = lab.launch(6, &liar).await;
    lab.wait_for_console(&liar, "sent").await;
    let console = lab.wait_for_console(&receiver, "the truth").await;
    assert!(!console.contains("a lie"), "{console}");
    lab.close().await;
}

/// Tells each instance its own id.
struct Mirror;

impl Metadata for Mirror {
    fn document(&self, instance: &InstanceId) -> Option<Arc<MetadataDocument>> {
        let options = MetadataOptions { tokens_required: instance.0.ends_with("-6"), ..MetadataOptions::default() };
        let instance_id = instance.to_string();
        Some(Arc::new(MetadataDocument { options, instance_id, ..MetadataDocument::default() }))
    }
}

struct Aws;

impl Names for Aws {
    fn resolve(&self, _: &VpcId, name: &str) -> NameAnswer {
        match name {
            "sqs.us-east-1.amazonaws.com" => {
                NameAnswer::Addresses { addresses: vec![Ipv4Addr::new(169, 254, 169, 252)], ttl_s: 5 }
            }
            _ => NameAnswer::NoSuchName,
        }
    }
}

/// Asks for its id with and without a token, then for names.
const ASKER: &str = "#!/usr/bin/python3
import urllib.request as u, urllib.error, socket
base = 'http://169.254.169.254/latest/'
def get(path, **headers):
    try: return u.urlopen(u.Request(base + path, headers=headers), timeout=3).read().decode()
    except urllib.error.HTTPError as e: return str(e.code)
token = u.urlopen(u.Request(base + 'api/token', method='PUT', headers={'X-aws-ec2-metadata-token-ttl-seconds': '60'})).read().decode()
print('v1', get('meta-data/instance-id'), 'v2', get('meta-data/instance-id', **{'X-aws-ec2-metadata-token': token}))
def name(n):
    try: return socket.gethostbyname(n)
    except OSError: return 'none'
print('names', name('sqs.us-east-1.amazonaws.com'), name('ip-5.ec2.internal'), name('ip-5'), name('gone.elb.amazonaws.com'))
s = socket.create_connection(('169.254.169.252', 8080), 3); print('endpoint', s.recv(9).decode())
print('asked', flush=True)
";

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_names_are_each_instances_own() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    lab.engine.set_metadata(Arc::new(Mirror));
    lab.engine.set_names(Arc::new(Aws));
    let endpoint = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 252), 8080);
    let listener = lab.engine.bind_tcp(&vpc_id(), endpoint).await.unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.into_std().unwrap().write_all(b"hello");
        }
    });
    let (first, second) = (lab.launch(5, ASKER).await, lab.launch(6, ASKER).await);
    for (id, without_token) in [(&first, first.to_string()), (&second, "401".to_owned())] {
        let console = lab.wait_for_console(id, "asked").await;
        assert!(console.contains(&format!("v1 {without_token} v2 {id}\n")), "{console}");
        let names = format!("names 169.254.169.252 {0} {0} none\n", lab.address(5));
        assert!(console.contains(&names), "{console}");
        assert!(console.contains("endpoint hello\n"), "{console}");
    }
    lab.close().await;
}
