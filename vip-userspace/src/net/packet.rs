//! Sockets for whole frames of one kind on one link (packet(7)). What is in the frames is not known here.

use std::{io, os::fd::AsRawFd as _};

use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{LinkAddr, bind},
};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};
use socket2::{SockFilter, SockRef};
use tokio::net::UdpSocket;

/// How packet sockets name an interface. The C library tells it, of all interfaces.
pub(super) fn link_address(ifindex: u32) -> io::Result<LinkAddr> {
    let mut all = getifaddrs()?.filter_map(|interface| interface.address?.as_link_addr().copied());
    let found =
        all.find(|address| usize::try_from(ifindex).is_ok_and(|ifindex| address.ifindex() == ifindex));
    found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}

/// Hears frames of one kind (`ETH_P_ARP`) that an interface receives, if the filter lets them pass; one without a step lets all
/// pass. What is sent leaves by that interface.
pub(super) fn listen(kind: i32, filter: &[SockFilter], address: &LinkAddr) -> io::Result<UdpSocket> {
    let kind = u16::try_from(kind).unwrap_or_default().to_be();
    let protocol = std::num::NonZero::new(u32::from(kind)).map(Protocol::from_raw);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, protocol)?;
    if !filter.is_empty() {
        SockRef::from(&socket).attach_filter(filter)?;
    }
    bind(socket.as_raw_fd(), address)?;
    // To send and to receive is the same for sockets of all kinds.
    UdpSocket::from_std(socket.into())
}
