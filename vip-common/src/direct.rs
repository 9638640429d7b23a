//! The decision: what a packet gets, row by row.

use crate::{
    action::{Action, Reason},
    answer,
    flow::{Flow4, Flow6},
    frame::Frame,
    hash::slot_of,
    headers::{
        ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EXTENSION_HEADERS, Ethernet, ICMP, ICMPV6, Ipv4, Ipv6,
        TCP, Tcp, UDP, Udp,
    },
    tables::{Member, Port, Service, ServiceKey4, ServiceKey6, Tables, vip_bit4, vip_bit6},
};

/// Where the network header starts.
pub(crate) const NETWORK: usize = size_of::<Ethernet>();

/// Decides what `frame` gets and, where it is forwarded or answered, rewrites it.
///
/// A frame to a VIP is changed in nothing but its MACs and its TTL; a passed frame in nothing at all.
#[inline(always)]
pub fn direct<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    let Some(ethernet) = frame.read::<Ethernet>(0) else {
        return Action::pass(Reason::NotForUs);
    };
    let Some(port) = tables.port(frame.ingress()) else {
        return Action::pass(Reason::NotForUs);
    };
    let ours = ethernet.destination == port.mac;
    // Questions are asked of everybody: bit 0 of the first byte marks broadcast and multicast.
    let asked = ours || ethernet.destination[0] & 1 != 0;
    match ethernet.ethertype {
        ETHERTYPE_IPV4 if ours => direct4(frame, tables),
        ETHERTYPE_IPV6 if asked => direct6(frame, tables, &port, ours),
        ETHERTYPE_ARP if asked => answer::arp(frame, tables, &port),
        _ if ours => Action::pass(Reason::NotIp),
        _ => Action::pass(Reason::NotForUs),
    }
}

/// What a transport header says.
struct Transport {
    source_port: [u8; 2],
    destination_port: [u8; 2],
    opens: bool,
}

/// What is done with a packet to a VIP that is not forwarded.
enum Refusal {
    Pass(Reason),
    Drop(Reason),
}

#[inline(always)]
fn direct4<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    let Some(ip) = frame.read::<Ipv4>(NETWORK) else {
        return Action::pass(Reason::Malformed);
    };
    if ip.version() != 4 {
        return Action::pass(Reason::Malformed);
    }
    if !tables.may_be_vip(vip_bit4(ip.destination)) {
        return Action::pass(Reason::NoVip);
    }
    let transport = match transport4(frame, &ip) {
        Ok(transport) => transport,
        Err(refusal) => {
            return refuse(tables.service4(&ServiceKey4::vip(ip.destination)), ip.ttl, &refusal);
        }
    };
    let key =
        ServiceKey4 { vip: ip.destination, port: transport.destination_port, protocol: ip.protocol, zero: 0 };
    let Some(service) = tables.service4(&key) else {
        let vip = tables.service4(&ServiceKey4::vip(ip.destination));
        return refuse(vip, ip.ttl, &Refusal::Drop(Reason::UnknownPort));
    };
    if !service.keeps_ttl() && ip.ttl <= 1 {
        return Action::drop(Reason::TtlExpired);
    }
    let Some(flow_key) = tables.flow_key() else {
        return Action::drop(Reason::BrokenTable);
    };
    let hash = flow_key.hash4(&Flow4 {
        source: ip.source,
        destination: ip.destination,
        source_port: transport.source_port,
        destination_port: transport.destination_port,
        protocol: ip.protocol,
    });
    let ttl = (!service.keeps_ttl()).then(|| decrease_ttl4(&ip));
    forward(frame, tables, service, hash, transport.opens, |frame| match ttl {
        Some((ttl, checksum)) => {
            frame.write(NETWORK + 8, [ttl])?;
            frame.write(NETWORK + 10, checksum)
        }
        None => Some(()),
    })
}

#[inline(always)]
fn direct6<F: Frame, T: Tables>(frame: &mut F, tables: &T, port: &Port, ours: bool) -> Action {
    let Some(ip) = frame.read::<Ipv6>(NETWORK) else {
        return Action::pass(if ours { Reason::Malformed } else { Reason::NotForUs });
    };
    if ip.version() == 6 && ip.next_header == ICMPV6 && answer::is_solicitation(frame) {
        return answer::solicitation(frame, tables, port, &ip);
    }
    if !ours {
        return Action::pass(Reason::NotForUs);
    }
    if ip.version() != 6 {
        return Action::pass(Reason::Malformed);
    }
    if !tables.may_be_vip(vip_bit6(ip.destination)) {
        return Action::pass(Reason::NoVip);
    }
    let transport = match transport6(frame, &ip) {
        Ok(transport) => transport,
        Err(refusal) => {
            return refuse(tables.service6(&ServiceKey6::vip(ip.destination)), ip.hop_limit, &refusal);
        }
    };
    let key = ServiceKey6 {
        vip: ip.destination,
        port: transport.destination_port,
        protocol: ip.next_header,
        zero: 0,
    };
    let Some(service) = tables.service6(&key) else {
        let vip = tables.service6(&ServiceKey6::vip(ip.destination));
        return refuse(vip, ip.hop_limit, &Refusal::Drop(Reason::UnknownPort));
    };
    if !service.keeps_ttl() && ip.hop_limit <= 1 {
        return Action::drop(Reason::TtlExpired);
    }
    let Some(flow_key) = tables.flow_key() else {
        return Action::drop(Reason::BrokenTable);
    };
    let hash = flow_key.hash6(&Flow6 {
        source: ip.source,
        destination: ip.destination,
        source_port: transport.source_port,
        destination_port: transport.destination_port,
        protocol: ip.next_header,
    });
    forward(frame, tables, service, hash, transport.opens, |frame| {
        if service.keeps_ttl() { Some(()) } else { frame.write(NETWORK + 7, [ip.hop_limit - 1]) }
    })
}

#[inline(always)]
fn transport4<F: Frame>(frame: &F, ip: &Ipv4) -> Result<Transport, Refusal> {
    let header = ip.header_len();
    let packet = ip.packet_len();
    if header < size_of::<Ipv4>() || packet < header || NETWORK + packet > frame.len() {
        return Err(Refusal::Drop(Reason::Malformed));
    }
    if ip.is_fragment() {
        return Err(Refusal::Pass(Reason::Fragment));
    }
    transport(frame, ip.protocol, NETWORK + header, packet - header, |protocol| match protocol {
        ICMP => Refusal::Pass(Reason::Icmp),
        _ => Refusal::Drop(Reason::UnknownPort),
    })
}

#[inline(always)]
fn transport6<F: Frame>(frame: &F, ip: &Ipv6) -> Result<Transport, Refusal> {
    let header = size_of::<Ipv6>();
    if NETWORK + header + ip.payload_len() > frame.len() {
        return Err(Refusal::Drop(Reason::Malformed));
    }
    transport(frame, ip.next_header, NETWORK + header, ip.payload_len(), |protocol| match protocol {
        ICMPV6 => Refusal::Pass(Reason::Icmp),
        _ if EXTENSION_HEADERS.contains(&protocol) => Refusal::Pass(Reason::ExtensionHeader),
        _ => Refusal::Drop(Reason::UnknownPort),
    })
}

/// Reads the transport header at `at`, of which the IP header promises `len` bytes; `other` says what any other
/// protocol gets.
#[inline(always)]
fn transport<F: Frame>(
    frame: &F,
    protocol: u8,
    at: usize,
    len: usize,
    other: impl FnOnce(u8) -> Refusal,
) -> Result<Transport, Refusal> {
    match protocol {
        TCP => {
            let tcp = frame.read::<Tcp>(at).ok_or(Refusal::Drop(Reason::Malformed))?;
            if tcp.header_len() < size_of::<Tcp>() || tcp.header_len() > len {
                return Err(Refusal::Drop(Reason::Malformed));
            }
            Ok(Transport { source_port: tcp.source, destination_port: tcp.destination, opens: tcp.opens() })
        }
        UDP => {
            let udp = frame.read::<Udp>(at).ok_or(Refusal::Drop(Reason::Malformed))?;
            let claimed = usize::from(u16::from_be_bytes(udp.length));
            if claimed < size_of::<Udp>() || claimed > len {
                return Err(Refusal::Drop(Reason::Malformed));
            }
            Ok(Transport { source_port: udp.source, destination_port: udp.destination, opens: false })
        }
        _ => Err(other(protocol)),
    }
}

/// What a packet gets that is to no service: nothing is dropped before its address is known to be a VIP.
#[inline(always)]
fn refuse(vip: Option<&Service>, ttl: u8, refusal: &Refusal) -> Action {
    let Some(vip) = vip else {
        return Action::pass(Reason::NoVip);
    };
    match *refusal {
        Refusal::Drop(Reason::Malformed) => Action::drop(Reason::Malformed),
        _ if ttl <= 1 => Action::drop(Reason::TtlExpired),
        Refusal::Drop(Reason::UnknownPort) if vip.is_local() => Action::pass(Reason::LocalVip),
        Refusal::Drop(reason) => Action::drop(reason),
        Refusal::Pass(reason) => Action::pass(reason),
    }
}

/// Hands the frame to the member that owns `hash`; `decrease_ttl` is called once that is certain.
#[inline(always)]
fn forward<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    service: &Service,
    hash: u32,
    opens: bool,
    decrease_ttl: impl FnOnce(&mut F) -> Option<()>,
) -> Action {
    let index = service.ring_first.wrapping_add(slot_of(hash, service.ring_size));
    let owner = match tables.slot(index) {
        Some(slot) if service.ring_size != 0 => slot.current,
        _ => return Action::drop(Reason::BrokenTable),
    };
    if owner == crate::MemberId::NOBODY {
        return Action::drop(Reason::NoBackend);
    }
    let Some(member) = tables.member(owner) else {
        return Action::drop(Reason::BrokenTable);
    };
    match member.state {
        Member::UP => {}
        Member::DOWN => return Action::drop(Reason::NoBackend),
        _ => return Action::drop(Reason::BrokenTable),
    }
    let egress = match tables.egress(member.egress) {
        Some(egress) if egress.ifindex != 0 => egress,
        _ => return Action::drop(Reason::BrokenTable),
    };
    if frame.write(0, [member.mac, egress.mac]).is_none() || decrease_ttl(frame).is_none() {
        return Action::drop(Reason::Malformed);
    }
    if egress.ifindex == frame.ingress() {
        Action::transmit(owner, opens)
    } else {
        Action::redirect(owner, opens, egress.ifindex)
    }
}

/// The TTL one less, and the header checksum that goes with it (RFC 1624, equation 3).
#[inline(always)]
fn decrease_ttl4(ip: &Ipv4) -> (u8, [u8; 2]) {
    // TTL is the upper byte of its 16-bit word: subtracting 0x0100 there adds 0x0100 to the complement.
    let sum = u32::from(u16::from_be_bytes(ip.checksum)) + 0x0100;
    #[expect(clippy::cast_possible_truncation, reason = "the carry out of 16 bits has been added")]
    let checksum = (sum + u32::from(sum >= 0xffff)) as u16;
    (ip.ttl - 1, checksum.to_be_bytes())
}
