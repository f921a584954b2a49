//! UDP that leaves a VPC: flows between an instance's port and a destination.
//!
//! Invariants:
//! - A flow ends when nothing came back for [`SILENT_MAX`]; flows have a bound, beyond which new ones are dropped.
//! - Answers come from the address that the instance sent to.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::Denied;
use crate::network::namespace::Namespace;
use crate::network::{EGRESS_ADDRESS, EGRESS_UDP_PORT};

/// Flows of one VPC at a time.
const FLOWS_MAX: usize = 4096;
const SILENT_MAX: Duration = Duration::from_secs(60);
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// From whom to whom.
type Flow = (SocketAddrV4, SocketAddrV4);
type Flows = Arc<Mutex<HashMap<Flow, Arc<UdpSocket>>>>;

/// The socket that the router hands datagrams to; made inside its namespace.
pub(crate) fn socket() -> io::Result<std::net::UdpSocket> {
    let socket = transparent()?;
    setsockopt(&socket, sockopt::Ipv4OrigDstAddr, &true)?;
    socket.bind(&SocketAddrV4::new(EGRESS_ADDRESS, EGRESS_UDP_PORT).into())?;
    Ok(socket.into())
}

/// A socket that may bear addresses that are not its host's.
fn transparent() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_ip_transparent_v4(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Carries datagrams for as long as it is polled.
pub(crate) async fn serve(socket: UdpSocket, namespace: Namespace, denied: Arc<Denied>) {
    let flows = Flows::default();
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = socket.async_io(Interest::READABLE, || receive(&socket, &mut datagram)).await;
        let Ok((length, from, Some(to))) = received else { continue };
        let known = flows.lock().get(&(from, to)).cloned();
        let outside = match known {
            Some(outside) => outside,
            None => match open(&flows, &namespace, &denied, (from, to)).await {
                Ok(outside) => outside,
                Err(_) => continue,
            },
        };
        let _ = outside.send(&datagram[..length]).await;
    }
}

fn receive(socket: &UdpSocket, into: &mut [u8]) -> io::Result<(usize, SocketAddrV4, Option<SocketAddrV4>)> {
    let mut control = nix::cmsg_space!(nix::libc::sockaddr_in);
    let mut slices = [IoSliceMut::new(into)];
    let received = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let from = received.address.ok_or(io::ErrorKind::InvalidData)?;
    let to = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4OrigDstAddr(address) => Some(SocketAddrV4::from(SockaddrIn::from(address))),
        _ => None,
    });
    Ok((received.bytes, SocketAddrV4::from(from), to))
}

async fn open(flows: &Flows, namespace: &Namespace, denied: &Denied, flow: Flow) -> io::Result<Arc<UdpSocket>> {
    let (from, to) = flow;
    if denied.covers(*to.ip()) || flows.lock().len() >= FLOWS_MAX {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let inside = namespace.enter(|| {
        let socket = transparent()?;
        socket.bind(&to.into())?;
        socket.connect(&from.into())?;
        Ok(std::net::UdpSocket::from(socket))
    })?;
    let inside = UdpSocket::from_std(inside)?;
    let outside = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    outside.connect(SocketAddr::V4(to)).await?;
    let outside = Arc::new(outside);
    flows.lock().insert(flow, outside.clone());
    let (flows, answers) = (flows.clone(), outside.clone());
    tokio::spawn(async move {
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        while let Ok(Ok(length)) = timeout(SILENT_MAX, answers.recv(&mut datagram)).await {
            let _ = inside.send(&datagram[..length]).await;
        }
        flows.lock().remove(&flow);
    });
    Ok(outside)
}
