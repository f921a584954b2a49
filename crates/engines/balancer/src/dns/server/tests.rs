//! The name server over UDP and TCP, asked as resolvers ask.

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use host::SystemClock;
use host::sim::{Seed, SimIds};

use super::*;
use crate::config::Limits;
use crate::dns::table::tests::Balancer;

const WEB: &str = "web-1.example.com.";

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(Arc::new(SystemClock), Arc::new(SimIds::new(Seed(1))), Limits::default()))
}

fn options(listen: &[SocketAddr]) -> DnsOptions {
    DnsOptions { listen: listen.to_vec(), zone: "example.com".to_owned() }
}

fn serve() -> Server {
    let any = "127.0.0.1:0".parse().unwrap();
    start(&Handle::current(), &options(&[any]), shared(), false).unwrap()
}

fn query(name: &str) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

async fn ask(server: SocketAddr, request: &[u8]) -> Option<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(request, server).await.unwrap();
    let mut buffer = [0; 4096];
    let received = tokio::time::timeout(Duration::from_millis(300), socket.recv_from(&mut buffer)).await.ok()?;
    Some(Message::from_vec(&buffer[..received.unwrap().0]).unwrap())
}

async fn write_framed(tcp: &mut TcpStream, request: &[u8]) {
    let length = u16::try_from(request.len()).unwrap();
    tcp.write_all(&[&length.to_be_bytes(), request].concat()).await.unwrap();
}

async fn read_framed(tcp: &mut TcpStream) -> io::Result<Message> {
    let mut answer = vec![0; usize::from(tcp.read_u16().await?)];
    tcp.read_exact(&mut answer).await?;
    Ok(Message::from_vec(&answer).unwrap())
}

#[tokio::test]
async fn udp_and_tcp_of_one_port_answer_from_what_was_published_last() {
    let server = serve();
    let at = server.addresses()[0];
    server.publish(&Balancer::new(&[WEB]).node("127.0.1.1", 1).watched());
    assert_eq!(ask(at, &query(WEB)).await.unwrap().answers[0].data.to_string(), "127.0.1.1");
    let mut tcp = TcpStream::connect(at).await.unwrap();
    // Two at once, on one connection.
    write_framed(&mut tcp, &query(WEB)).await;
    write_framed(&mut tcp, &query("nobody.example.com.")).await;
    assert_eq!(read_framed(&mut tcp).await.unwrap().answers.len(), 1);
    assert_eq!(read_framed(&mut tcp).await.unwrap().metadata.response_code, ResponseCode::NXDomain);
    server.publish(&Balancer::new(&[WEB]).node("127.0.2.1", 1).watched());
    assert_eq!(ask(at, &query(WEB)).await.unwrap().answers[0].data.to_string(), "127.0.2.1");
    server.publish(&[]);
    assert_eq!(ask(at, &query(WEB)).await.unwrap().metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn nothing_is_said_not_to_exist_before_the_first_configuration() {
    let server = serve();
    let at = server.addresses()[0];
    let asker = tokio::spawn(async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&query(WEB), at).await.unwrap();
        let mut buffer = [0; 512];
        let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!asker.is_finished());
    server.publish(&Balancer::new(&[WEB]).node("127.0.1.1", 1).watched());
    assert_eq!(asker.await.unwrap().answers.len(), 1);
}

#[tokio::test]
async fn garbage_does_not_stop_the_server() {
    let server = serve();
    let at = server.addresses()[0];
    server.publish(&Balancer::new(&[WEB]).node("127.0.1.1", 1).watched());
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in [0, 1, 11, 12, 13, 600, 4000, 9000] {
        socket.send_to(&vec![0xaa; length], at).await.unwrap();
        socket.send_to(&vec![0x00; length], at).await.unwrap();
    }
    let mut tcp = TcpStream::connect(at).await.unwrap();
    tcp.write_all(&[0xff; 300]).await.unwrap();
    assert!(read_framed(&mut tcp).await.is_err());
    assert_eq!(ask(at, &query(WEB)).await.unwrap().answers.len(), 1);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_seat() {
    let server = serve();
    let at = server.addresses()[0];
    server.publish(&[]);
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        idle.push(TcpStream::connect(at).await.unwrap());
    }
    let mut late = TcpStream::connect(at).await.unwrap();
    write_framed(&mut late, &query(WEB)).await;
    let early = tokio::time::timeout(Duration::from_millis(200), late.readable()).await;
    assert!(early.is_err(), "all seats are taken");
    idle.clear();
    let answer = tokio::time::timeout(Duration::from_secs(5), read_framed(&mut late)).await;
    assert_eq!(answer.unwrap().unwrap().metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn a_port_that_somebody_has_is_an_error_unless_it_is_taken_over() {
    let before = serve();
    let at = before.addresses()[0];
    let refused = start(&Handle::current(), &options(&[at]), shared(), false).map(drop).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    assert!(refused.to_string().starts_with(&format!("cannot answer DNS at {at}: ")), "{refused}");
    let after = start(&Handle::current(), &options(&[at]), shared(), true).unwrap();
    after.publish(&Balancer::new(&[WEB]).node("127.0.1.1", 1).watched());
    drop(before);
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    for _ in 0..8 {
        assert_eq!(ask(at, &query(WEB)).await.unwrap().answers.len(), 1);
    }
}

#[tokio::test]
async fn a_zone_that_is_no_name_is_an_error() {
    let options = DnsOptions { listen: Vec::new(), zone: "a..b".to_owned() };
    let error = start(&Handle::current(), &options, shared(), false).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "the DNS zone \"a..b\" is no domain name");
}

#[test]
fn dice_are_fair_enough() {
    let dice = AtomicU64::new(0);
    let mut seen = [0_u32; 3];
    (0..3000).for_each(|_| seen[usize::try_from(roll(&dice) % 3).unwrap()] += 1);
    assert!(seen.iter().all(|count| (900..1100).contains(count)), "{seen:?}");
}
