//! Hears that something in the kernel's view of the network has changed. What it is now is asked elsewhere: an
//! event only says where to look, so one that is late, doubled or lost can't leave a wrong picture behind.

use std::{io, net::IpAddr};

use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use rtnetlink::MulticastGroup;

use super::{NetError, classify::subject};

/// IPv4 tells nothing of the routes that go with a link or an address, hence those groups.
const GROUPS: [MulticastGroup; 9] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv6Rule,
    MulticastGroup::Nexthop,
];
/// Bytes of events that may wait; the kernel takes no more than `net.core.rmem_max`.
const BUFFER: usize = 1 << 20;

/// Where to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hint {
    /// At one neighbour.
    Neighbour(IpAddr),
    /// At everything: links or routes have changed, or the kernel had more to tell than the buffer held.
    Everything,
}

/// The kernel's events.
pub(super) struct Events(TokioSocket);

impl Events {
    /// Subscribes, in the network namespace of this thread.
    pub(super) fn subscribe() -> Result<Self, NetError> {
        let subscribed = || -> io::Result<TokioSocket> {
            let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
            socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
            for group in GROUPS {
                socket.socket_mut().add_membership(group as u32)?;
            }
            socket.socket_ref().set_rx_buf_sz(libc::c_int::try_from(BUFFER).unwrap_or(libc::c_int::MAX))?;
            Ok(socket)
        };
        subscribed().map(Self).map_err(NetError::Socket)
    }

    /// Waits for the next events. Nothing is lost if it is dropped before it ends.
    pub(super) async fn next(&self) -> Result<Vec<Hint>, NetError> {
        match self.0.recv_from_full().await {
            Ok((bytes, _)) => Ok(hints(&bytes)),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(vec![Hint::Everything]),
            Err(error) => Err(NetError::Socket(error)),
        }
    }
}

/// Reads the messages of one datagram. One that can't be read may mean anything.
fn hints(mut bytes: &[u8]) -> Vec<Hint> {
    let mut hints = Vec::new();
    while !bytes.is_empty() {
        let Ok(message) = NetlinkBuffer::new_checked(bytes) else {
            hints.push(Hint::Everything);
            break;
        };
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        hints.extend(match message.message_type() {
            libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH => neighbour(bytes),
            _ => Some(Hint::Everything),
        });
        // Messages are aligned to 4 bytes.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hints
}

/// Bridges tell of their forwarding tables in the same group, without an address: those are none of ours.
fn neighbour(message: &[u8]) -> Option<Hint> {
    match NetlinkMessage::deserialize(message).map(|message| message.payload) {
        Ok(NetlinkPayload::InnerMessage(Message::NewNeighbour(entry) | Message::DelNeighbour(entry))) => {
            subject(&entry).map(|(_, address)| Hint::Neighbour(address))
        }
        _ => Some(Hint::Everything),
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::{
        AddressFamily,
        link::LinkMessage,
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
    };

    use super::*;

    fn bytes(message: Message) -> Vec<u8> {
        let mut message = NetlinkMessage::from(message);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn entry(address: Option<IpAddr>) -> NeighbourMessage {
        let mut entry = NeighbourMessage::default();
        entry.header.family = match address {
            Some(IpAddr::V4(_)) => AddressFamily::Inet,
            Some(IpAddr::V6(_)) => AddressFamily::Inet6,
            None => AddressFamily::Bridge,
        };
        entry.attributes = vec![match address {
            Some(IpAddr::V4(v4)) => NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)),
            Some(IpAddr::V6(v6)) => NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)),
            None => NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1]),
        }];
        entry
    }

    #[test]
    fn each_message_of_a_datagram_gives_a_hint() {
        let addresses: [IpAddr; 2] = ["10.0.0.1".parse().expect("v4"), "fd00::1".parse().expect("v6")];
        let datagram = [
            bytes(Message::NewNeighbour(entry(Some(addresses[0])))),
            bytes(Message::DelNeighbour(entry(Some(addresses[1])))),
            bytes(Message::NewLink(LinkMessage::default())),
        ]
        .concat();
        let expected = [Hint::Neighbour(addresses[0]), Hint::Neighbour(addresses[1]), Hint::Everything];
        assert_eq!(hints(&datagram), expected);
    }

    #[test]
    fn an_entry_of_a_bridge_is_no_hint() {
        assert_eq!(hints(&bytes(Message::NewNeighbour(entry(None)))), []);
    }

    #[test]
    fn what_cannot_be_read_may_mean_anything() {
        let whole = bytes(Message::NewNeighbour(entry(Some("10.0.0.1".parse().expect("an address")))));
        for length in 1..whole.len() {
            assert_eq!(hints(&whole[..length]), [Hint::Everything], "cut to {length} bytes");
        }
        let mut endless = whole;
        endless[..4].fill(0);
        assert_eq!(hints(&endless), [Hint::Everything]);
    }
}
