//! TTL and hop limit: one less, with a checksum that is right again; the last one is not spent.

use vip_common::{Action, Reason};

use super::Case;
use crate::{
    packet::{IP, Packet, edit, readdressed, routed},
    world::{CLOSED, KEEPS_TTL, LOCAL4, NOBODYS, OWN_MAC, TTL_MEMBER, VIP4, VIP6, WEB, WEB_MEMBER, mac_of},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = spent();
    cases.extend(decreased());
    cases.extend(checksums());
    cases.extend(kept());
    cases
}

fn spent() -> Vec<Case> {
    let mut cases = Vec::new();
    for ttl in [0, 1] {
        let packets = [
            ("to a service, IPv4", Packet::to4(VIP4).tcp(WEB)),
            ("to a service, UDP", Packet::to4(VIP4).udp(WEB)),
            ("to a service, IPv6", Packet::to6(VIP6).tcp(WEB)),
            ("to a service without a backend", Packet::to4(VIP4).tcp(NOBODYS)),
            ("to a port that no service has, IPv4", Packet::to4(VIP4).tcp(CLOSED)),
            ("to a port that no service has, IPv6", Packet::to6(VIP6).udp(CLOSED)),
            ("to a closed port of a local VIP", Packet::to4(LOCAL4).tcp(CLOSED)),
            ("of ICMP", Packet::to4(VIP4).raw(1, &[8, 0, 0, 0, 0, 0, 0, 0])),
        ];
        cases.extend(packets.map(|(what, packet)| {
            let name = format!("a packet with {ttl} hops left {what} is dropped");
            Case::drops(name, packet.ttl(ttl).frame(), Reason::TtlExpired)
        }));
    }
    cases
}

fn decreased() -> Vec<Case> {
    let mut cases = Vec::new();
    for ttl in [2, 3, 63, 64, 65, 128, 254, 255] {
        let packets = [("IPv4", Packet::to4(VIP4)), ("IPv6", Packet::to6(VIP6))];
        cases.extend(packets.map(|(family, packet)| {
            let frame = packet.tcp(WEB).ttl(ttl).frame();
            Case::forwards(
                format!("{family} with {ttl} hops left is forwarded with one less"),
                frame,
                WEB_MEMBER,
            )
        }));
    }
    cases
}

/// The identification moves the checksum to where adding carries over.
fn checksums() -> Vec<Case> {
    let wanted =
        [0x0000_u16, 0x0001, 0x00ff, 0x0100, 0xfe00, 0xfeee, 0xfeef, 0xfef0, 0xfeff, 0xff00, 0xff01, 0xfffe];
    let mut cases: Vec<_> = wanted
        .into_iter()
        .map(|checksum| {
            let frame = with_checksum(checksum);
            Case::forwards(
                format!("an IPv4 header checksum of {checksum:04x} stays right"),
                frame,
                WEB_MEMBER,
            )
        })
        .collect();
    // Not ours to repair: the backend is to see that it is broken.
    let right = with_checksum(0x1234);
    let after = edit(routed(&right, OWN_MAC, mac_of(WEB_MEMBER)), IP + 10, &[0x12 + 0x10 + 1, 0x34]);
    cases.push(Case {
        before: Vec::new(),
        name: "a wrong IPv4 header checksum stays wrong by as much".into(),
        frame: edit(right, IP + 10, &[0x12 + 0x10, 0x34]),
        expect: Action::transmit(WEB_MEMBER, false),
        after,
    });
    cases
}

/// A packet with the identification that makes its header checksum `wanted`.
fn with_checksum(wanted: u16) -> Vec<u8> {
    let packet = Packet::to4(VIP4).tcp(WEB);
    let frame = packet.clone().id(0).frame();
    let without = u16::from_be_bytes([frame[IP + 10], frame[IP + 11]]);
    // The checksum is a complement: it is less by what the identification is more, carries added.
    let (id, carry) = without.overflowing_add(!wanted);
    let frame = packet.id(id + u16::from(carry)).frame();
    assert_eq!(frame[IP + 10..IP + 12], wanted.to_be_bytes(), "the identification sets the checksum");
    frame
}

fn kept() -> Vec<Case> {
    let mut cases = Vec::new();
    for ttl in [0, 1, 2, 64] {
        let packets = [("IPv4", Packet::to4(VIP4)), ("IPv6", Packet::to6(VIP6))];
        cases.extend(packets.map(|(family, packet)| {
            let frame = packet.tcp(KEEPS_TTL).ttl(ttl).frame();
            Case {
                before: Vec::new(),
                name: format!("a service that keeps the TTL forwards {family} with {ttl} hops left as it is"),
                after: readdressed(&frame, OWN_MAC, mac_of(TTL_MEMBER)),
                frame,
                expect: Action::transmit(TTL_MEMBER, false),
            }
        }));
    }
    cases
}
