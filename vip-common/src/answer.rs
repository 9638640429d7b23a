//! Answers by the director itself: a VIP is on no interface, so nobody else says where it is.

use bytemuck::Zeroable;

use crate::{
    action::{Action, Reason},
    arrival::Arrival,
    checksum::{field, fold, pseudo6, sum},
    family::{halves, is_group6},
    frame::Frame,
    headers::{Arp, ICMPV6, Ipv6, LinkLayerAddress, Mac, Neighbour},
    tables::{Service, ServiceKey4, ServiceKey6, Tables, vip_bit4, vip_bit6},
};

/// Length of an advertisement with its one option.
const ADVERTISEMENT_LEN: u16 = 32;
const _: () = assert!(ADVERTISEMENT_LEN as usize == size_of::<Neighbour>() + size_of::<LinkLayerAddress>());
/// Neighbour discovery messages are multiples of 8 bytes; ones with more than 4 such units of options are not looked into:
/// there are a link-layer address and a nonce (RFC 7527) to be told.
const MAX_UNITS: usize = size_of::<Neighbour>() / 8 + 4;
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];

/// Answers an ARP request for a VIP with the port's own MAC (RFC 826).
#[inline(always)]
pub(crate) fn arp<F: Frame, T: Tables>(frame: &mut F, tables: &T, arrival: &Arrival) -> Action {
    let Some(arp) = frame.read::<Arp>(arrival.network) else {
        return Action::pass(Reason::NoVip);
    };
    if arp.kind != Arp::ETHERNET_IPV4 {
        return Action::pass(Reason::NoVip);
    }
    if is_claim(arrival, arp.sender_mac, vip4(tables, arp.sender)) {
        return Action::pass(Reason::DuplicateVip);
    }
    let Some(vip) = vip4(tables, arp.target).filter(|_| arp.operation == Arp::REQUEST) else {
        return Action::pass(Reason::NoVip);
    };
    if arp.sender == arp.target {
        // Our own announcement, come round.
        return Action::pass(Reason::NoVip);
    }
    if vip.has(Service::STANDBY) {
        return Action::drop(Reason::Standby);
    }
    let reply = Arp {
        kind: Arp::ETHERNET_IPV4,
        operation: Arp::REPLY,
        sender_mac: arrival.port.mac,
        sender: arp.target,
        target_mac: arp.sender_mac,
        target: arp.sender,
    };
    match arrival.send_back(frame).and_then(|()| frame.write(arrival.network, reply)) {
        Some(()) => Action::answer(Reason::ArpAnswered),
        None => Action::drop(Reason::NoRoom),
    }
}

/// True where somebody else says that a VIP is his. Who stands by knows that somebody answers for it.
#[inline(always)]
fn is_claim(arrival: &Arrival, sender: Mac, vip: Option<&Service>) -> bool {
    vip.is_some_and(|vip| !vip.has(Service::STANDBY)) && !arrival.port.owns(sender)
}

#[inline(always)]
fn vip4<T: Tables>(tables: &T, address: [u8; 4]) -> Option<&Service> {
    if tables.may_be_vip(vip_bit4(address)) { tables.service4(&ServiceKey4::vip(address)) } else { None }
}

#[inline(always)]
fn vip6<T: Tables>(tables: &T, address: [u8; 16]) -> Option<&Service> {
    if tables.may_be_vip(vip_bit6(address)) { tables.service6(&ServiceKey6::vip(address)) } else { None }
}

/// True for a neighbour solicitation or advertisement, well-formed or not.
#[inline(always)]
pub(crate) fn is_about_neighbours<F: Frame>(frame: &F, arrival: &Arrival) -> bool {
    let at = arrival.network;
    let kind = frame.read::<[u8; 1]>(at + size_of::<Ipv6>());
    let header = frame.read::<[u8; 7]>(at);
    matches!(header, Some([version, .., ICMPV6]) if version >> 4 == 6)
        && matches!(kind, Some([Neighbour::SOLICITATION | Neighbour::ADVERTISEMENT]))
}

/// Answers a solicitation for a VIP (RFC 4861, section 7.2.4), and notes advertisements of one by others. `None` for what is
/// about no VIP, or says nothing: it is a packet like others.
#[inline(always)]
pub(crate) fn neighbour<F: Frame, T: Tables>(frame: &mut F, tables: &T, arrival: &Arrival) -> Option<Action> {
    let at = arrival.network + size_of::<Ipv6>();
    let ip = frame.read::<Ipv6>(arrival.network)?;
    let told = frame.read::<Neighbour>(at)?;
    let vip = vip6(tables, told.target)?;
    if told.kind == Neighbour::ADVERTISEMENT {
        // One that has been routed says nothing of this link (RFC 4861, section 7.1.2).
        let claims = ip.hop_limit == 255 && is_claim(arrival, arrival.source, Some(vip));
        return claims.then_some(Action::pass(Reason::DuplicateVip));
    }
    if !is_valid(frame, at, &ip, &told) {
        return Some(Action::drop(Reason::Malformed));
    }
    if vip.has(Service::STANDBY) {
        return Some(Action::drop(Reason::Standby));
    }
    Some(match advertise(frame, arrival, &ip, &told) {
        Some(()) => Action::answer(Reason::NeighbourAnswered),
        None => Action::drop(Reason::NoRoom),
    })
}

/// Writes an advertisement of the port's own MAC over a solicitation (RFC 4861, section 7.2.4).
#[inline(always)]
fn advertise<F: Frame>(frame: &mut F, arrival: &Arrival, ip: &Ipv6, asked: &Neighbour) -> Option<()> {
    // Who asks from nowhere is checking that the address is free: everybody on the link gets the answer.
    let from_nowhere = halves(ip.source) == [0; 2];
    let answer_ip = Ipv6 {
        version_class_label: [0x60, 0, 0, 0],
        payload_length: ADVERTISEMENT_LEN.to_be_bytes(),
        next_header: ICMPV6,
        hop_limit: 255,
        source: asked.target,
        destination: if from_nowhere { ALL_NODES } else { ip.source },
    };
    let option = LinkLayerAddress { kind: LinkLayerAddress::TARGET, length: 1, mac: arrival.port.mac };
    let mut advertisement = Neighbour {
        kind: Neighbour::ADVERTISEMENT,
        flags: [Neighbour::OVERRIDE | if from_nowhere { 0 } else { Neighbour::SOLICITED }, 0, 0, 0],
        target: asked.target,
        ..Neighbour::zeroed()
    };
    advertisement.checksum = field(
        pseudo6(&answer_ip, ADVERTISEMENT_LEN, ICMPV6)
            + sum(bytemuck::cast::<_, [[u8; 4]; 6]>(advertisement))
            + sum(bytemuck::cast::<_, [[u8; 4]; 2]>(option)),
    );
    let at = arrival.network + size_of::<Ipv6>();
    frame.resize(at + usize::from(ADVERTISEMENT_LEN))?;
    let destination = if from_nowhere { ALL_NODES_MAC } else { arrival.source };
    frame.write(0, [destination, arrival.port.mac])?;
    frame.write(arrival.network, answer_ip)?;
    frame.write(at, advertisement)?;
    frame.write(at + size_of::<Neighbour>(), option)
}

/// True for an address of ff02::1:ff00:0/104 (RFC 4291, section 2.7.1).
#[inline(always)]
fn is_solicited_node(address: [u8; 16]) -> bool {
    let [high, low] = halves(address);
    high == u64::from_le_bytes([0xff, 2, 0, 0, 0, 0, 0, 0])
        && low & 0x00ff_ffff_ffff == u64::from_le_bytes([0, 0, 0, 1, 0xff, 0, 0, 0])
}

/// The checks of RFC 4861, section 7.1.1; and no group asks (RFC 4291, section 2.7: it is never a source).
#[inline(always)]
fn is_valid<F: Frame>(frame: &F, at: usize, ip: &Ipv6, asked: &Neighbour) -> bool {
    let len = ip.payload_len();
    let from_nowhere = halves(ip.source) == [0; 2];
    if ip.hop_limit != 255
        || asked.code != 0
        || !len.is_multiple_of(8)
        || len < size_of::<Neighbour>()
        || len > MAX_UNITS * 8
        || at + len > frame.len()
        || is_group6(asked.target)
        || is_group6(ip.source)
        || (from_nowhere && !is_solicited_node(ip.destination))
    {
        return false;
    }
    let mut total = pseudo6(ip, u16::from_be_bytes(ip.payload_length), ICMPV6);
    let mut next_option = size_of::<Neighbour>() / 8;
    for unit in 0..MAX_UNITS {
        if unit * 8 >= len {
            break;
        }
        let Some(bytes) = frame.read::<[u8; 8]>(at + unit * 8) else {
            return false;
        };
        total += sum(bytemuck::cast::<_, [[u8; 4]; 2]>(bytes));
        if unit == next_option {
            let [kind, units, ..] = bytes;
            if units == 0 || (from_nowhere && kind == LinkLayerAddress::SOURCE) {
                return false;
            }
            next_option += units as usize;
        }
    }
    next_option * 8 == len && fold(total) == 0xffff
}
