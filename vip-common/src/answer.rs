//! Answers by the director itself: a VIP is on no interface, so nobody else says where it is.

use bytemuck::Zeroable;

use crate::{
    action::{Action, Reason},
    direct::NETWORK,
    frame::Frame,
    headers::{Arp, ETHERTYPE_ARP, ETHERTYPE_IPV6, Ethernet, ICMPV6, Ipv6, LinkLayerAddress, Mac, Neighbour},
    tables::{Port, ServiceKey4, ServiceKey6, Tables, vip_bit4, vip_bit6},
};

const ICMP_AT: usize = NETWORK + size_of::<Ipv6>();
/// Length of an advertisement with its one option.
const ADVERTISEMENT_LEN: u16 = 32;
const _: () = assert!(ADVERTISEMENT_LEN as usize == size_of::<Neighbour>() + size_of::<LinkLayerAddress>());
/// Neighbour discovery messages are multiples of 8 bytes; ones with more than 8 such units of options are
/// not looked into.
const MAX_UNITS: usize = size_of::<Neighbour>() / 8 + 8;
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
const SOLICITED_NODE: [u8; 13] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];

/// Answers an ARP request for a VIP with the port's own MAC (RFC 826).
#[inline(always)]
pub(crate) fn arp<F: Frame, T: Tables>(frame: &mut F, tables: &T, port: &Port) -> Action {
    let (Some(ethernet), Some(arp)) = (frame.read::<Ethernet>(0), frame.read::<Arp>(NETWORK)) else {
        return Action::pass(Reason::NoVip);
    };
    let asks = arp.kind == Arp::ETHERNET_IPV4 && arp.operation == Arp::REQUEST;
    if !asks
        || !tables.may_be_vip(vip_bit4(arp.target))
        || tables.service4(&ServiceKey4::vip(arp.target)).is_none()
    {
        return Action::pass(Reason::NoVip);
    }
    if arp.sender == arp.target {
        return Action::pass(Reason::DuplicateVip);
    }
    let reply = Arp {
        kind: Arp::ETHERNET_IPV4,
        operation: Arp::REPLY,
        sender_mac: port.mac,
        sender: arp.target,
        target_mac: arp.sender_mac,
        target: arp.sender,
    };
    let header = Ethernet { destination: ethernet.source, source: port.mac, ethertype: ETHERTYPE_ARP };
    match frame.write(0, header).and_then(|()| frame.write(NETWORK, reply)) {
        Some(()) => Action::answer(Reason::ArpAnswered),
        None => Action::drop(Reason::NoRoom),
    }
}

/// True if the ICMPv6 message is a neighbour solicitation, well-formed or not.
#[inline(always)]
pub(crate) fn is_solicitation<F: Frame>(frame: &F) -> bool {
    matches!(frame.read::<[u8; 1]>(ICMP_AT), Some([Neighbour::SOLICITATION]))
}

/// Answers a neighbour solicitation for a VIP with an advertisement of the port's own MAC (RFC 4861, 7.2.4).
#[inline(always)]
pub(crate) fn solicitation<F: Frame, T: Tables>(frame: &mut F, tables: &T, port: &Port, ip: &Ipv6) -> Action {
    let (Some(ethernet), Some(asked)) = (frame.read::<Ethernet>(0), frame.read::<Neighbour>(ICMP_AT)) else {
        return Action::pass(Reason::NoVip);
    };
    if !tables.may_be_vip(vip_bit6(asked.target))
        || tables.service6(&ServiceKey6::vip(asked.target)).is_none()
    {
        return Action::pass(Reason::NoVip);
    }
    if !is_valid(frame, ip, &asked) {
        return Action::drop(Reason::Malformed);
    }
    // Who asks from nowhere is checking that the address is free: everybody on the link gets the answer.
    let from_nowhere = ip.source == [0; 16];
    let header = Ethernet {
        destination: if from_nowhere { ALL_NODES_MAC } else { ethernet.source },
        source: port.mac,
        ethertype: ETHERTYPE_IPV6,
    };
    let answer_ip = Ipv6 {
        version_class_label: [0x60, 0, 0, 0],
        payload_length: ADVERTISEMENT_LEN.to_be_bytes(),
        next_header: ICMPV6,
        hop_limit: 255,
        source: asked.target,
        destination: if from_nowhere { ALL_NODES } else { ip.source },
    };
    let option = LinkLayerAddress { kind: LinkLayerAddress::TARGET, length: 1, mac: port.mac };
    let mut advertisement = Neighbour {
        kind: Neighbour::ADVERTISEMENT,
        flags: [Neighbour::OVERRIDE | if from_nowhere { 0 } else { Neighbour::SOLICITED }, 0, 0, 0],
        target: asked.target,
        ..Neighbour::zeroed()
    };
    let sum = pseudo_header(&answer_ip, ADVERTISEMENT_LEN)
        + add_units(bytemuck::cast::<_, [[u8; 8]; 3]>(advertisement))
        + add_units(bytemuck::cast::<_, [[u8; 8]; 1]>(option));
    advertisement.checksum = (!fold(sum)).to_be_bytes();
    let written = frame
        .resize(ICMP_AT + usize::from(ADVERTISEMENT_LEN))
        .and_then(|()| frame.write(0, header))
        .and_then(|()| frame.write(NETWORK, answer_ip))
        .and_then(|()| frame.write(ICMP_AT, advertisement))
        .and_then(|()| frame.write(ICMP_AT + size_of::<Neighbour>(), option));
    match written {
        Some(()) => Action::answer(Reason::NeighbourAnswered),
        None => Action::drop(Reason::NoRoom),
    }
}

/// The checks of RFC 4861, section 7.1.1; and no group asks (RFC 4291, section 2.7: it is never a source).
#[inline(always)]
fn is_valid<F: Frame>(frame: &F, ip: &Ipv6, asked: &Neighbour) -> bool {
    let len = ip.payload_len();
    let from_nowhere = ip.source == [0; 16];
    if ip.hop_limit != 255
        || asked.code != 0
        || !len.is_multiple_of(8)
        || len < size_of::<Neighbour>()
        || len > MAX_UNITS * 8
        || ICMP_AT + len > frame.len()
        || asked.target[0] == 0xff
        || ip.source[0] == 0xff
        || (from_nowhere && ip.destination[..13] != SOLICITED_NODE)
    {
        return false;
    }
    let mut sum = pseudo_header(ip, u16::from_be_bytes(ip.payload_length));
    let mut next_option = size_of::<Neighbour>() / 8;
    for unit in 0..MAX_UNITS {
        if unit * 8 >= len {
            break;
        }
        let Some(bytes) = frame.read::<[u8; 8]>(ICMP_AT + unit * 8) else {
            return false;
        };
        sum += add_units([bytes]);
        if unit == next_option {
            let [kind, units, ..] = bytes;
            if units == 0 || (from_nowhere && kind == LinkLayerAddress::SOURCE) {
                return false;
            }
            next_option += units as usize;
        }
    }
    next_option * 8 == len && fold(sum) == 0xffff
}

/// Sum of the 16-bit words of an ICMPv6 pseudo header (RFC 8200, section 8.1).
#[inline(always)]
fn pseudo_header(ip: &Ipv6, len: u16) -> u32 {
    add_units(bytemuck::cast::<_, [[u8; 8]; 2]>(ip.source))
        + add_units(bytemuck::cast::<_, [[u8; 8]; 2]>(ip.destination))
        + u32::from(len)
        + u32::from(ICMPV6)
}

#[inline(always)]
fn add_units<const N: usize>(units: [[u8; 8]; N]) -> u32 {
    let mut sum = 0;
    for unit in units {
        for pair in bytemuck::cast::<_, [[u8; 2]; 4]>(unit) {
            sum += u32::from(u16::from_be_bytes(pair));
        }
    }
    sum
}

/// Folds the carries of a one's-complement sum of fewer than 65,536 words into its 16 bits (RFC 1071).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the carries out of 16 bits have been added")]
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
