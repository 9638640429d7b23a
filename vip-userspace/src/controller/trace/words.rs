//! A traced packet in the words that `vip explain` has, with the names of things. Pure.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, Ipv6Addr},
};

use vip_common::{
    MemberId, Reason,
    headers::{ICMP, ICMPV6, SCTP, TCP, UDP},
    host::HostFrame,
    trace::{ANSWERED, DROPPED, Ends, FORWARDED, PASSED, TracedPacket as Packet},
};

use crate::{
    control::protocol::TracedPacket,
    model::{Link, MemberKey, Ports, Protocol, Service, ServiceName, World},
};

/// What the packet that was told of is to people. `started` is when the machine started, in ns since 1970.
pub(super) fn of_packet(
    packet: &Packet,
    started: u64,
    members: &BTreeMap<MemberId, MemberKey>,
    world: &World,
) -> TracedPacket {
    let head = packet.head.get(..packet.head_len as usize).unwrap_or(&packet.head);
    let ends = Ends::of(&HostFrame::new(head, packet.ingress));
    let [source, destination] = [ends.source, ends.destination].map(address);
    let port = |port: [u8; 2]| Some(u16::from_be_bytes(port)).filter(|port| *port != 0);
    let [source_port, destination_port] = [ends.source_port, ends.destination_port].map(port);
    let member = members.get(&MemberId(packet.member));
    let service = member.map(|(service, _)| service.clone());
    let reason = Reason::numbered(packet.reason);
    TracedPacket {
        unix_ns: started.saturating_add(packet.time),
        interface: interface(packet.ingress, &world.links),
        source,
        source_port,
        destination,
        destination_port,
        protocol: destination.map(|_| protocol(ends.protocol)),
        length: packet.len,
        action: action(packet).to_owned(),
        reason: reason.name().to_owned(),
        meaning: reason.meaning().trim().to_owned(),
        service: service.or_else(|| service_of(world, destination?, ends.protocol, destination_port)),
        backend: member.map(|(_, backend)| backend.clone()),
        egress: (packet.egress != 0).then(|| interface(packet.egress, &world.links)),
        frame: head.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
    }
}

const fn action(packet: &Packet) -> &'static str {
    match packet.outcome {
        PASSED => "pass",
        DROPPED => "drop",
        FORWARDED | ANSWERED if packet.egress != 0 => "redirect",
        _ => "transmit",
    }
}

/// Zero stands for none; ARP's are told as IPv4 addresses.
fn address(bytes: [u8; 16]) -> Option<IpAddr> {
    let address = Ipv6Addr::from(bytes);
    (!address.is_unspecified()).then(|| address.to_canonical())
}

fn interface(ifindex: u32, links: &BTreeMap<u32, Link>) -> String {
    links.get(&ifindex).map_or_else(|| format!("interface {ifindex}"), |link| link.name.clone())
}

fn protocol(number: u8) -> String {
    match number {
        0 => "arp".to_owned(),
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        SCTP => "sctp".to_owned(),
        ICMP | ICMPV6 => "icmp".to_owned(),
        other => other.to_string(),
    }
}

/// The service that a packet is to which nobody got. Exact ports go before ranges, and those before all ports.
fn service_of(world: &World, vip: IpAddr, protocol: u8, port: Option<u16>) -> Option<ServiceName> {
    let takes = |service: &&Service| {
        let address = &service.address;
        let (first, last) = address.ports.bounds();
        let has_port = address.ports == Ports::Any || port.is_some_and(|port| (first..=last).contains(&port));
        let has_protocol = address.protocol == Protocol::Any || address.protocol.number() == protocol;
        address.vip == vip && has_protocol && has_port
    };
    let width = |service: &&Service| {
        let (first, last) = service.address.ports.bounds();
        (service.address.protocol == Protocol::Any, last - first)
    };
    world.intent.services().values().filter(takes).min_by_key(width).map(|service| service.name.clone())
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;
    use vip_common::trace::HEAD_LEN;

    use super::*;

    fn packet(head: &[u8]) -> Packet {
        let mut bytes = [0; HEAD_LEN];
        bytes[..head.len()].copy_from_slice(head);
        let head_len = u32::try_from(head.len()).expect("a short one");
        Packet { head: bytes, head_len, len: head_len, ingress: 3, ..Packet::zeroed() }
    }

    #[test]
    fn a_packet_that_can_not_be_read_is_told_nevertheless() {
        let packet =
            Packet { outcome: PASSED, reason: Reason::NotIp as u32, time: 5, ..packet(&[0xab, 0xcd]) };
        let told = of_packet(&packet, 1000, &BTreeMap::new(), &World::default());
        assert_eq!(
            (told.unix_ns, told.interface.as_str(), told.frame.as_str()),
            (1005, "interface 3", "abcd")
        );
        assert_eq!((told.action.as_str(), told.reason.as_str()), ("pass", "not-ip"));
        assert_eq!((told.source, told.protocol, told.service, told.backend), (None, None, None, None));
    }

    #[test]
    fn a_forwarded_packet_is_told_with_its_backend() {
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 7, 10, 200, 0, 1]);
        frame.extend([0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
        let key = ("dns".parse().expect("a name"), "b1".parse().expect("a name"));
        let members = BTreeMap::from([(MemberId(4), key)]);
        let packet = Packet { outcome: FORWARDED, member: 4, egress: 9, ..packet(&frame) };
        let told = of_packet(&packet, 0, &members, &World::default());
        assert_eq!((told.source, told.source_port), (Some([192, 0, 2, 7].into()), Some(40_000)));
        assert_eq!((told.destination, told.destination_port), (Some([10, 200, 0, 1].into()), Some(53)));
        assert_eq!((told.action.as_str(), told.reason.as_str()), ("redirect", "forwarded"));
        let backend = told.backend.as_ref().map(ToString::to_string);
        assert_eq!((backend.as_deref(), told.protocol.as_deref()), (Some("b1"), Some("udp")));
        assert_eq!(told.egress.as_deref(), Some("interface 9"));
    }
}
