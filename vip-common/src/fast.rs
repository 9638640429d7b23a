//! The fast path: the packets that traffic is made of. It decides as the full path would, or not at all.

use crate::{
    Frame, Tables,
    action::{Action, Reason},
    family::{Family, V4, V6},
    flow::Flow,
    headers::{
        ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, Ethernet,
        ICMPV6, Ipv4, Ipv6, Mac, TCP, UDP,
    },
    owner::owner_of,
    packet::{Part, transport},
    tables::{Egress, Member, MemberId, Service},
};

/// Where the network header starts: frames with VLAN tags take the full path.
const NETWORK: usize = size_of::<Ethernet>();

/// Decides about a frame whose case is a simple one; `None`, and nothing changed, for all others.
#[inline(always)]
pub fn fast<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Option<Action> {
    let Some(ethernet) = frame.read::<Ethernet>(0) else {
        return Some(Action::pass(Reason::NotForUs));
    };
    let Some(port) = tables.port(frame.ingress()) else {
        return Some(Action::pass(Reason::NotForUs));
    };
    if ethernet.destination != port.mac {
        // Questions are asked of everybody: bit 0 of the first byte marks broadcast and multicast.
        let simple = ethernet.destination[0] & 1 == 0 && port.router == 0;
        return simple.then_some(Action::pass(Reason::NotForUs));
    }
    match ethernet.ethertype {
        ETHERTYPE_IPV4 => fast4(frame, tables, ethernet.source),
        ETHERTYPE_IPV6 => fast6(frame, tables, ethernet.source),
        ETHERTYPE_ARP | ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN => None,
        _ => Some(Action::pass(Reason::NotIp)),
    }
}

#[inline(always)]
fn fast4<F: Frame, T: Tables>(frame: &mut F, tables: &T, source: Mac) -> Option<Action> {
    let ip = frame.read::<Ipv4>(NETWORK)?;
    if ip.version() != 4 {
        return None;
    }
    if !tables.may_be_vip(V4::vip_bit(ip.destination)) {
        return Some(Action::pass(Reason::NoVip));
    }
    let (header, packet) = (ip.header_len(), ip.packet_len());
    if ip.is_fragment() || header < size_of::<Ipv4>() || packet < header || NETWORK + packet > frame.len() {
        return None;
    }
    let payload = Payload { protocol: ip.protocol, at: NETWORK + header, len: packet - header };
    place::<V4, F, T>(frame, tables, source, &ip, payload)
}

#[inline(always)]
fn fast6<F: Frame, T: Tables>(frame: &mut F, tables: &T, source: Mac) -> Option<Action> {
    let ip = frame.read::<Ipv6>(NETWORK)?;
    // A solicitation may be about a VIP, whatever it is addressed to.
    if ip.version() != 6 || ip.next_header == ICMPV6 {
        return None;
    }
    if !tables.may_be_vip(V6::vip_bit(ip.destination)) {
        return Some(Action::pass(Reason::NoVip));
    }
    let at = NETWORK + size_of::<Ipv6>();
    if at + ip.payload_len() > frame.len() {
        return None;
    }
    let payload = Payload { protocol: ip.next_header, at, len: ip.payload_len() };
    place::<V6, F, T>(frame, tables, source, &ip, payload)
}

/// What is behind the IP header, in bytes from the frame's start.
#[derive(Clone, Copy)]
struct Payload {
    protocol: u8,
    at: usize,
    len: usize,
}

#[inline(always)]
fn place<I: Family, F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    source_mac: Mac,
    header: &I::Header,
    payload: Payload,
) -> Option<Action> {
    let Payload { protocol, at, len } = payload;
    if !matches!(protocol, TCP | UDP) {
        return None;
    }
    let transport = transport(frame, protocol, at, len, Part::Whole).ok()?;
    let (source, vip) = (I::source(header), I::destination(header));
    let flow = Flow {
        source,
        destination: vip,
        source_port: transport.source_port,
        destination_port: transport.destination_port,
        protocol,
    };
    let strange = source == vip || I::is_no_machine(source) || tables.may_be_vip(I::own_bit(source));
    if strange || flow.destination_port == [0; 2] {
        return None;
    }
    let service = I::service(tables, vip, flow.destination_port, protocol)?;
    let keeps_ttl = service.has(Service::KEEP_TTL);
    if service.has(Service::UNCOMMON) || (I::hops(header) <= 1 && !keeps_ttl) {
        return None;
    }
    // A flow that is to be placed is the full path's: it would be placed twice where this path gives up later.
    let owner = owner_of::<I, T, false>(tables, service, &flow, &transport.segment, true);
    if owner.member == MemberId::NOBODY {
        return None;
    }
    let member = tables.member(owner.member)?;
    if !matches!(member.state, Member::UP | Member::DRAINING) || member.mac == source_mac {
        return None;
    }
    let egress = tables.egress(member.egress)?;
    let untagged = egress.tags == 0 || egress.tags == Egress::AS_IT_CAME;
    if egress.ifindex == 0 || !untagged {
        return None;
    }
    if !keeps_ttl {
        I::hop(frame, NETWORK)?;
    }
    frame.write(0, [member.mac, egress.mac])?;
    Some(if egress.ifindex == frame.ingress() {
        Action::transmit(owner.member, owner.opens)
    } else {
        Action::redirect(owner.member, owner.opens, egress.ifindex)
    })
}
