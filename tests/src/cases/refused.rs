//! Packets to a VIP that no member gets: no service, no backend, not yet understood, or a table that points nowhere.

use vip_common::Reason;

use super::Case;
use crate::{
    packet::{IP, Packet, edit},
    world::{
        CLOSED, DOWN, LOCAL4, LOCAL6, LOST_RING, NO_RING, NOBODYS, PAST_THE_END, STRANDED, STRANGE, UNUSED,
        VIP4, VIP6, WEB,
    },
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = unknown_port();
    cases.extend(by_port());
    cases
}

fn unknown_port() -> Vec<Case> {
    let dropped = |name: &str, packet: Packet| Case::drops(name, packet.frame(), Reason::UnknownPort);
    let passed = |name: &str, packet: Packet| Case::passes(name, packet.frame(), Reason::LocalVip);
    let bare = |packet: Packet, protocol| packet.raw(protocol, &[0x9c, 0x40, 0, 80, 0, 0, 0, 0]);
    vec![
        dropped("TCP to a port that no service has, IPv4", Packet::to4(VIP4).tcp(CLOSED)),
        dropped("TCP to a port that no service has, IPv6", Packet::to6(VIP6).tcp(CLOSED)),
        dropped("UDP to a port that no service has, IPv4", Packet::to4(VIP4).udp(CLOSED)),
        dropped("a SYN to a port that no service has", Packet::to4(VIP4).syn(CLOSED)),
        dropped("port 0 is not the VIP's own entry, TCP", Packet::to4(VIP4).tcp(0)),
        dropped("port 0 is not the VIP's own entry, UDP", Packet::to6(VIP6).udp(0)),
        dropped("a service's port with its bytes swapped", Packet::to4(VIP4).tcp(WEB.swap_bytes())),
        dropped(
            "SCTP to a service's port",
            Packet::to4(VIP4).raw(132, &[0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        dropped("GRE over IPv4", bare(Packet::to4(VIP4), 47)),
        dropped("GRE over IPv6", bare(Packet::to6(VIP6), 47)),
        dropped("no next header over IPv6", bare(Packet::to6(VIP6), 59)),
        dropped("ICMPv6 over IPv4 is no ICMP", bare(Packet::to4(VIP4), 58)),
        dropped("ICMP over IPv6 is no ICMPv6", bare(Packet::to6(VIP6), 1)),
        dropped("an authentication header over IPv4 is no extension header", bare(Packet::to4(VIP4), 51)),
        dropped("protocol 0 over IPv4 is no extension header", bare(Packet::to4(VIP4), 0)),
        passed("TCP to a closed port of a local VIP, IPv4", Packet::to4(LOCAL4).tcp(CLOSED)),
        passed("TCP to a closed port of a local VIP, IPv6", Packet::to6(LOCAL6).tcp(CLOSED)),
        passed("UDP to a closed port of a local VIP", Packet::to4(LOCAL4).udp(CLOSED)),
        passed("another protocol to a local VIP", bare(Packet::to6(LOCAL6), 47)),
        Case::drops(
            "a malformed packet to a local VIP is dropped all the same",
            edit(Packet::to4(LOCAL4).tcp(CLOSED).frame(), IP + 2, &[0, 10]),
            Reason::Malformed,
        ),
    ]
}

/// The same for all protocols and families: what the service's slots say.
fn by_port() -> Vec<Case> {
    let services = [
        ("whose slots nobody owns", NOBODYS, Reason::NoBackend),
        ("whose member is down", DOWN, Reason::NoBackend),
        ("whose slots name an unused member", UNUSED, Reason::BrokenTable),
        ("whose slots name a member past the end", PAST_THE_END, Reason::BrokenTable),
        ("whose member names an unused way out", STRANDED, Reason::BrokenTable),
        ("whose member has an unknown state", STRANGE, Reason::BrokenTable),
        ("without slots", NO_RING, Reason::BrokenTable),
        ("whose ring lies past the end", LOST_RING, Reason::BrokenTable),
    ];
    let mut cases = Vec::new();
    for (what, port, reason) in services {
        let packets = [
            ("TCP over IPv4", Packet::to4(VIP4).tcp(port)),
            ("TCP over IPv6", Packet::to6(VIP6).tcp(port)),
            ("UDP over IPv4", Packet::to4(VIP4).udp(port)),
            ("UDP over IPv6", Packet::to6(VIP6).udp(port)),
            ("a SYN", Packet::to4(VIP4).syn(port)),
        ];
        cases.extend(packets.map(|(kind, packet)| {
            Case::drops(format!("{kind} to a service {what} is dropped"), packet.frame(), reason)
        }));
    }
    cases
}
