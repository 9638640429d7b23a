//! ICMP to a VIP: echo requests are answered, or left to the members; other messages are to no service. Errors are
//! elsewhere.

use vip_common::{
    Reason,
    headers::{ICMP, ICMPV6},
};

use super::Case;
use crate::{
    packet::{
        AFTER6, Packet, cut, icmp6,
        layers::{AD, Q, destination_options, echo_reply, extended, fragment4, hop_by_hop, icmp4},
    },
    world::{
        CLIENT_MAC, CLIENT4, CLIENT6, LOCAL4, OWN_MAC, VIP4, VIP6,
        special::{ECHO, SHUT},
        spread::{by_addresses4, by_addresses6},
    },
};

/// Identifier, sequence number, data.
const PING: &[u8] = b"\x12\x34\0\x01 twenty-one bytes";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = echo();
    cases.extend(no_echo());
    cases.extend(other_messages());
    cases
}

fn ping4(vip: [u8; 4]) -> Packet {
    icmp4((CLIENT4, vip), (8, 0), PING)
}

fn ping6(vip: [u8; 16]) -> Vec<u8> {
    icmp6((CLIENT_MAC, OWN_MAC), (CLIENT6, vip), (128, 0), 64, PING)
}

fn answered(name: &str, frame: Vec<u8>) -> Case {
    let after = echo_reply(&frame);
    Case::answers(name, frame, Reason::EchoAnswered, after)
}

fn echo() -> Vec<Case> {
    vec![
        answered("an echo request is answered, IPv4", ping4(VIP4).frame()),
        answered("an echo request is answered, IPv6", ping6(VIP6)),
        answered("… and keeps its padding", icmp4((CLIENT4, VIP4), (8, 0), &[0; 4]).frame()).padded(60),
        answered("an echo request to a local VIP is answered", ping4(LOCAL4).frame()),
        answered("an echo request with IPv4 options is answered", ping4(VIP4).option_words(3).frame()),
        answered(
            "an echo request behind extension headers is answered",
            extended(&ping6(VIP6), &[hop_by_hop(1), destination_options(2)]),
        ),
        answered("an echo request with 2 hops left is answered", ping4(VIP4).ttl(2).frame()),
        answered("an echo request with one VLAN tag is answered with it", ping4(VIP4).frame())
            .tagged(&[(Q, 0x6123)]),
        answered("an echo request with two VLAN tags is answered with them", ping6(VIP6))
            .tagged(&[(AD, 0xb123), (Q, 0x0007)]),
        answered(
            "a full frame's echo request is answered",
            icmp4((CLIENT4, VIP4), (8, 0), &[0x5a; 1476]).frame(),
        ),
    ]
    .into_iter()
    .chain((0..=16_u16).map(|n| {
        // Checksums all over, also where adding carries over.
        let rest = [(0x1000_u16 * (n & 15)).wrapping_sub(n / 16).to_be_bytes(), [0xff, 0xff]].concat();
        answered(
            &format!("an echo request with the checksum of identifier {n} is answered"),
            icmp4((CLIENT4, VIP4), (8, 0), &rest).frame(),
        )
    }))
    .collect()
}

fn no_echo() -> Vec<Case> {
    let drops = |name: &str, frame, reason| Case::drops(name, frame, reason);
    vec![
        drops("an echo request to a VIP without a backend, IPv4", ping4(SHUT.v4).frame(), Reason::NoBackend),
        drops("an echo request to a VIP without a backend, IPv6", ping6(SHUT.v6), Reason::NoBackend),
        Case::forwards(
            "an echo request goes to a member where the VIP leaves it to them, IPv4",
            ping4(ECHO.v4).frame(),
            by_addresses4(ECHO.v4, ICMP),
        ),
        Case::forwards(
            "an echo request goes to a member where the VIP leaves it to them, IPv6",
            ping6(ECHO.v6),
            by_addresses6(ECHO.v6, ICMPV6),
        ),
        drops("an echo request with 1 hop left", ping4(VIP4).ttl(1).frame(), Reason::TtlExpired),
    ]
}

/// To no service, or not understood.
fn other_messages() -> Vec<Case> {
    let drops = |name: &str, frame, reason| Case::drops(name, frame, reason);
    let first = fragment4(ping4(VIP4).frame(), 0, true, 1);
    vec![
        drops(
            "an echo request with a code is no echo request",
            icmp4((CLIENT4, VIP4), (8, 1), PING).frame(),
            Reason::UnknownPort,
        ),
        drops("the first fragment of an echo request is to no service", first, Reason::UnknownPort),
        drops(
            "an echo reply is to no service, IPv4",
            icmp4((CLIENT4, VIP4), (0, 0), PING).frame(),
            Reason::UnknownPort,
        ),
        drops(
            "an ICMP timestamp request is to no service",
            icmp4((CLIENT4, VIP4), (13, 0), &[0; 16]).frame(),
            Reason::UnknownPort,
        ),
        Case::passes(
            "an echo reply to a local VIP is left to the kernel",
            icmp4((CLIENT4, LOCAL4), (0, 0), PING).frame(),
            Reason::LocalVip,
        ),
        drops(
            "an ICMP message of 7 bytes is malformed",
            Packet::to4(VIP4).raw(ICMP, &[8, 0, 0, 0, 0, 0, 0]).frame(),
            Reason::Malformed,
        ),
        drops(
            "an echo request that is cut off is malformed",
            cut(ping6(VIP6), AFTER6 + 6),
            Reason::Malformed,
        ),
        drops(
            "a router advertisement to a VIP is to no service",
            icmp6((CLIENT_MAC, OWN_MAC), (CLIENT6, VIP6), (134, 0), 255, &[0; 12]),
            Reason::UnknownPort,
        ),
    ]
}
