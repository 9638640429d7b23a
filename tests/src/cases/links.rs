//! Whom a frame is for: other machines, other protocols, other addresses.

use vip_common::{
    Reason,
    tables::{vip_bit4, vip_bit6},
};

use super::{Case, to_mac};
use crate::{
    packet::{IP, Packet, Route, edit, layers::unreachable},
    world::{CLIENT_MAC, CLIENT4, CLOSED, ROUTER, VIP4, VIP6, WEB, WEB_MEMBER, special::SHUT},
};

const BROADCAST: [u8; 6] = [0xff; 6];
const ALL_HOSTS: [u8; 6] = [1, 0, 0x5e, 0, 0, 1];
const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const SOMEBODY: [u8; 6] = [2, 0, 0, 0, 0, 3];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = not_for_us();
    cases.extend(not_ip());
    cases.extend(no_vip());
    cases
}

/// Both MACs of the virtual router are the port's as well; answers are from its own one.
pub(super) fn of_virtual_routers() -> Vec<Case> {
    let macs = [("IPv4", [0, 0, 0x5e, 0, 1, ROUTER]), ("IPv6", [0, 0, 0x5e, 0, 2, ROUTER])];
    let mut cases = Vec::new();
    for (what, mac) in macs {
        let packet = |packet: Packet| packet.macs(CLIENT_MAC, mac);
        let forwarded = |kind: &str, frame| {
            Case::forwards(
                format!("{kind} to the {what} MAC of the virtual router is ours"),
                frame,
                WEB_MEMBER,
            )
        };
        cases.push(forwarded("TCP over IPv4", packet(Packet::to4(VIP4).tcp(WEB)).frame()));
        cases.push(forwarded("UDP over IPv6", packet(Packet::to6(VIP6).udp(WEB)).frame()));
        let closed = packet(Packet::to4(SHUT.v4).udp(CLOSED)).frame();
        cases.push(Case::answers(
            format!("an unreachable about a packet to the {what} MAC of the virtual router is from our own"),
            closed.clone(),
            Reason::ResetUnknownPort,
            unreachable(Route::V4(SHUT.v4, CLIENT4), &closed),
        ));
        let name = format!("a packet to the {what} MAC of the router with the next number is not for us");
        let frame = edit(packet(Packet::to4(VIP4).tcp(WEB)).frame(), 5, &[ROUTER + 1]);
        cases.push(Case::passes(name, frame, Reason::NotForUs));
    }
    cases
}

fn not_for_us() -> Vec<Case> {
    let tcp4 = Packet::to4(VIP4).tcp(WEB).frame();
    let tcp6 = Packet::to6(VIP6).tcp(WEB).frame();
    let macs = [("another machine", SOMEBODY), ("everybody", BROADCAST), ("a group", ALL_HOSTS)];
    let cases = macs.into_iter().flat_map(|(whom, mac)| {
        [("IPv4", &tcp4), ("IPv6", &tcp6)].map(|(family, frame)| {
            let name = format!("an {family} packet to a VIP but to the MAC of {whom} is left alone");
            Case::passes(name, to_mac(frame.clone(), mac), Reason::NotForUs)
        })
    });
    let near =
        [("one bit of the first byte", 0, 0x06), ("the last byte", 5, 0x02), ("the fourth byte", 3, 0x80)];
    let cases = cases.chain(near.map(|(what, at, byte)| {
        let name = format!("a MAC that differs in {what} is not ours");
        Case::passes(name, edit(tcp4.clone(), at, &[byte]), Reason::NotForUs)
    }));
    let mut cases: Vec<_> = cases.collect();
    cases.push(Case::passes(
        "an IPv6 multicast that asks for nothing is left alone",
        to_mac(Packet::to6([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).udp(5353).frame(), ALL_NODES),
        Reason::NotForUs,
    ));
    cases.push(Case::passes(
        "another protocol to everybody is not for us",
        to_mac(edit(tcp4, 12, &[0x88, 0xcc]), BROADCAST),
        Reason::NotForUs,
    ));
    cases
}

fn not_ip() -> Vec<Case> {
    let tcp4 = Packet::to4(VIP4).tcp(WEB).frame();
    let ethertypes = [
        ("LLDP", 0x88cc_u16),
        ("a tagged packet (802.1Q)", 0x8100),
        ("a service-tagged packet (802.1ad)", 0x88a8),
        ("MPLS", 0x8847),
        ("a length instead of an EtherType", 0x0040),
        ("the EtherType of IPv4 with its bytes swapped", 0x0008),
    ];
    ethertypes
        .map(|(what, ethertype)| {
            let frame = edit(tcp4.clone(), 12, &ethertype.to_be_bytes());
            Case::passes(format!("{what} to our MAC is not IP"), frame, Reason::NotIp)
        })
        .into()
}

fn no_vip() -> Vec<Case> {
    let twin4 = twin4(VIP4);
    let twin6 = twin6(VIP6);
    vec![
        Case::passes(
            "an IPv4 packet to no VIP is left alone",
            Packet::to4([10, 77, 0, 1]).tcp(WEB).frame(),
            Reason::NoVip,
        ),
        Case::passes(
            "an IPv6 packet to no VIP is left alone",
            Packet::to6([0x20; 16]).tcp(WEB).frame(),
            Reason::NoVip,
        ),
        Case::passes(
            "an IPv4 address that shares the bit of a VIP is no VIP",
            Packet::to4(twin4).tcp(WEB).frame(),
            Reason::NoVip,
        ),
        Case::passes(
            "… also to a port that no service has",
            Packet::to4(twin4).tcp(CLOSED).frame(),
            Reason::NoVip,
        ),
        Case::passes("… also with a TTL of 1", Packet::to4(twin4).tcp(WEB).ttl(1).frame(), Reason::NoVip),
        Case::passes(
            "… also with a header length that can't be",
            edit(Packet::to4(twin4).tcp(WEB).frame(), IP, &[0x41]),
            Reason::NoVip,
        ),
        Case::passes(
            "an IPv6 address that shares the bit of a VIP is no VIP",
            Packet::to6(twin6).tcp(WEB).frame(),
            Reason::NoVip,
        ),
        Case::passes(
            "… also with a length that does not fit",
            edit(Packet::to6(twin6).tcp(WEB).frame(), IP + 4, &[0xff, 0xff]),
            Reason::NoVip,
        ),
        Case::passes(
            "a VIP as the source does not matter",
            edit(Packet::to4([10, 77, 0, 1]).tcp(WEB).frame(), IP + 12, &VIP4),
            Reason::NoVip,
        ),
    ]
}

/// Another IPv4 address that the cheap test for VIPs can't tell from `vip`.
pub(super) fn twin4(vip: [u8; 4]) -> [u8; 4] {
    (1..)
        .map(u32::to_be_bytes)
        .find(|other| *other != vip && vip_bit4(*other) == vip_bit4(vip))
        .unwrap_or_default()
}

/// Another IPv6 address that the cheap test for VIPs can't tell from `vip`.
pub(super) fn twin6(vip: [u8; 16]) -> [u8; 16] {
    let start = u128::from_be_bytes(vip) + 1;
    (start..).map(u128::to_be_bytes).find(|other| vip_bit6(*other) == vip_bit6(vip)).unwrap_or_default()
}
