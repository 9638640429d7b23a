//! Asks a link, on the wire, who says that he has some addresses: everybody who answers is heard, not only the first one, and
//! the kernel's neighbours stay as they are. What follows from it is not known here.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use bytemuck::{Zeroable as _, bytes_of, pod_read_unaligned};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};
use vip_common::headers::{Arp, ETHERTYPE_ARP, Ethernet, LinkLayerAddress, Neighbour};

use super::{
    Link,
    groups::solicited_node,
    packet::{link_address, listen},
};
use crate::model::Mac;

/// How often each question is asked: one may get lost.
const ROUNDS: u32 = 2;
/// Time that answers have after the last question of a round: on a link they take less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(400);
/// Questions that are asked at once …
const AT_ONCE: usize = 32;
/// … and the time until the next ones, in which answers are read.
const PACE: Duration = Duration::from_millis(4);
/// Bytes of the longest answer that is looked at.
const MAX_ANSWER: usize = 512;

/// Who answered, by address.
pub type Claims = BTreeMap<IpAddr, BTreeSet<Mac>>;

/// A question, and where it is sent; packets of whole frames need no address.
type Question = (Vec<u8>, Option<SocketAddr>);

/// Asks for IPv4 addresses by ARP. It asks as nobody (RFC 5227, section 2.1.1), so that no one learns anything from it.
///
/// # Errors
/// The link can't be asked.
pub async fn by_arp(link: &Link, addresses: &BTreeSet<Ipv4Addr>) -> io::Result<Claims> {
    let own = link.mac.ok_or_else(|| io::Error::other("it has no MAC"))?;
    let socket = listen(libc::ETH_P_ARP, &[], &link_address(link.ifindex)?)?;
    let questions: Vec<_> = addresses.iter().map(|address| (request(own, *address), None)).collect();
    let read = |frame: &[u8]| {
        let (address, mac) = arp_claim(frame)?;
        (addresses.contains(&address) && mac != own).then_some((address.into(), mac))
    };
    ask(&socket, &questions, &read).await
}

/// Asks for IPv6 addresses by neighbour solicitations (RFC 4861, section 7.2.2).
///
/// # Errors
/// The link can't be asked: the interface has no IPv6 address, for instance.
pub async fn by_solicitation(link: &Link, addresses: &BTreeSet<Ipv6Addr>) -> io::Result<Claims> {
    let own = link.mac.ok_or_else(|| io::Error::other("it has no MAC"))?;
    let kind = Type::RAW.nonblocking().cloexec();
    let socket = Socket::new(Domain::IPV6, kind, Some(Protocol::ICMPV6))?;
    socket.bind_device(Some(link.name.as_bytes()))?;
    // What has passed a router is ignored, and must be.
    socket.set_multicast_hops_v6(255)?;
    // The runtime knows sockets of other kinds by that name alone.
    let socket = UdpSocket::from_std(socket.into())?;
    let question = |address: &Ipv6Addr| {
        let to = SocketAddrV6::new(solicited_node(*address), 0, 0, link.ifindex);
        (solicitation(own, *address), Some(to.into()))
    };
    let questions: Vec<_> = addresses.iter().map(question).collect();
    let read = |message: &[u8]| {
        let (address, mac) = advertised(message)?;
        (addresses.contains(&address) && mac != own).then_some((address.into(), mac))
    };
    ask(&socket, &questions, &read).await
}

async fn ask(
    socket: &UdpSocket,
    questions: &[Question],
    read: &impl Fn(&[u8]) -> Option<(IpAddr, Mac)>,
) -> io::Result<Claims> {
    let mut claims = Claims::new();
    let rounds = if questions.is_empty() { 0 } else { ROUNDS };
    for _ in 0..rounds {
        for some in questions.chunks(AT_ONCE) {
            for (question, to) in some {
                match to {
                    Some(to) => socket.send_to(question, to).await?,
                    None => socket.send(question).await?,
                };
            }
            gather(socket, Instant::now() + PACE, read, &mut claims).await?;
        }
        gather(socket, Instant::now() + PATIENCE, read, &mut claims).await?;
    }
    Ok(claims)
}

/// Reads answers until then.
async fn gather(
    socket: &UdpSocket,
    until: Instant,
    read: &impl Fn(&[u8]) -> Option<(IpAddr, Mac)>,
    claims: &mut Claims,
) -> io::Result<()> {
    // However much comes in, it ends.
    while Instant::now() < until {
        let mut answer = [0; MAX_ANSWER];
        let Ok(length) = timeout_at(until, socket.recv(&mut answer)).await else { break };
        if let Some((address, mac)) = read(&answer[..length?]) {
            claims.entry(address).or_default().insert(mac);
        }
    }
    Ok(())
}

/// A frame that asks for an address.
fn request(own: Mac, address: Ipv4Addr) -> Vec<u8> {
    let ethernet = Ethernet { destination: [0xff; 6], source: own.0, ethertype: ETHERTYPE_ARP };
    let arp = Arp {
        kind: Arp::ETHERNET_IPV4,
        operation: Arp::REQUEST,
        sender_mac: own.0,
        sender: [0; 4],
        target_mac: [0; 6],
        target: address.octets(),
    };
    [bytes_of(&ethernet), bytes_of(&arp)].concat()
}

/// Who says in a frame that he has which address: requests say so as well.
fn arp_claim(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let arp = frame.get(size_of::<Ethernet>()..)?.get(..size_of::<Arp>())?;
    let arp: Arp = pod_read_unaligned(arp);
    (arp.kind == Arp::ETHERNET_IPV4).then_some((arp.sender.into(), Mac(arp.sender_mac)))
}

/// A message that asks for an address; its checksum is the kernel's to make.
fn solicitation(own: Mac, address: Ipv6Addr) -> Vec<u8> {
    let asked = Neighbour { kind: Neighbour::SOLICITATION, target: address.octets(), ..Neighbour::zeroed() };
    let option = LinkLayerAddress { kind: LinkLayerAddress::SOURCE, length: 1, mac: own.0 };
    [bytes_of(&asked), bytes_of(&option)].concat()
}

/// Who says in a message that he has which address: by the target's link-layer address, which the answer to a group has (RFC
/// 4861, section 7.2.4).
fn advertised(message: &[u8]) -> Option<(Ipv6Addr, Mac)> {
    let (told, mut options) = message.split_at_checked(size_of::<Neighbour>())?;
    let told: Neighbour = pod_read_unaligned(told);
    if told.kind != Neighbour::ADVERTISEMENT {
        return None;
    }
    while let [kind, length, ..] = options {
        if (*kind, *length) == (LinkLayerAddress::TARGET, 1) {
            let mac = options.get(2..8)?.try_into().ok()?;
            return Some((told.target.into(), Mac(mac)));
        }
        // In units of 8 bytes; none is shorter than one (section 4.6).
        options = options.get(8 * usize::from((*length).max(1))..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 9]);

    #[test]
    fn a_request_names_nobody_and_a_reply_names_its_sender() {
        let vip = Ipv4Addr::new(10, 200, 0, 1);
        let request = request(OWN, vip);
        assert_eq!(arp_claim(&request), Some((Ipv4Addr::UNSPECIFIED, OWN)));
        assert_eq!(request[..6], [0xff; 6]);
        let mut reply = request;
        reply[21] = 2;
        reply[22..28].copy_from_slice(&OTHER.0);
        reply[28..32].copy_from_slice(&vip.octets());
        assert_eq!(arp_claim(&reply), Some((vip, OTHER)));
        assert!((0..reply.len()).all(|length| arp_claim(&reply[..length]).is_none()));
        reply[14] = 1;
        assert_eq!(arp_claim(&reply), None, "not Ethernet");
    }

    #[test]
    fn an_advertisement_tells_by_its_option_and_a_solicitation_tells_nothing() {
        let vip: Ipv6Addr = "fd00:200::1".parse().expect("an address");
        let mut message = solicitation(OTHER, vip);
        assert_eq!(advertised(&message), None);
        message[0] = Neighbour::ADVERTISEMENT;
        assert_eq!(advertised(&message), None, "it has a source's address");
        message[24] = LinkLayerAddress::TARGET;
        assert_eq!(advertised(&message), Some((vip, OTHER)));
        // A nonce before it (RFC 7527), and an option whose length is none.
        for length in [1, 0] {
            let longer = [&message[..24], &[14, length, 1, 2, 3, 4, 5, 6], &message[24..]].concat();
            assert_eq!(advertised(&longer), Some((vip, OTHER)), "{length}");
        }
        assert!((0..message.len()).all(|length| advertised(&message[..length]).is_none()));
    }
}
