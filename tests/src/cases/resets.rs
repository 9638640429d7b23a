//! Packets that nobody takes, and whose senders are told: a reset, or a port unreachable.

use vip_common::{Reason, headers::UDP};

use super::Case;
use crate::{
    packet::{
        Packet, Route, edit,
        layers::{
            AD, Q, Reset, extended, fragment4, fragment6, hop_by_hop, icmp4, reset, routing, sctp, segment,
            unreachable,
        },
    },
    world::{
        CLIENT_MAC, CLIENT4, CLIENT6, CLOSED, LOCAL4, VIP4, VIP6,
        special::{DEAD_RESET, NEW_MEMBER, RESETS, SHUT},
    },
};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// Length of the usual payload, in bytes.
const DATA: u32 = 16;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for who in whom() {
        cases.extend(segments(&who));
        cases.extend(datagrams(&who));
        cases.extend(unanswered(&who));
    }
    cases.extend(exceptions());
    cases.extend(to_many());
    cases.extend(begun_anew());
    cases
}

/// Somewhere where nobody takes packets.
struct Nowhere {
    what: &'static str,
    vips: ([u8; 4], [u8; 16]),
    port: u16,
    /// SYNs are as unwelcome as other segments.
    syns: bool,
    reason: Reason,
    unanswered: Reason,
}

fn whom() -> [Nowhere; 3] {
    [
        Nowhere {
            what: "to a port that no service has",
            vips: (SHUT.v4, SHUT.v6),
            port: CLOSED,
            syns: true,
            reason: Reason::ResetUnknownPort,
            unanswered: Reason::UnknownPort,
        },
        Nowhere {
            what: "to a service without a backend",
            vips: (VIP4, VIP6),
            port: RESETS,
            syns: true,
            reason: Reason::ResetNoBackend,
            unanswered: Reason::NoBackend,
        },
        Nowhere {
            what: "of a dead member's flow",
            vips: (VIP4, VIP6),
            port: DEAD_RESET,
            syns: false,
            reason: Reason::ResetDeadMember,
            unanswered: Reason::DeadMember,
        },
    ]
}

impl Nowhere {
    fn tcp(&self) -> [(&'static str, Vec<u8>, Route); 2] {
        let (v4, v6) = self.vips;
        [
            ("IPv4", Packet::to4(v4).tcp(self.port).frame(), Route::V4(v4, CLIENT4)),
            ("IPv6", Packet::to6(v6).tcp(self.port).frame(), Route::V6(v6, CLIENT6)),
        ]
    }

    fn bare(&self) -> [(&'static str, Vec<u8>, Route); 2] {
        let (v4, v6) = self.vips;
        [
            ("IPv4", Packet::to4(v4).syn(self.port).frame(), Route::V4(v4, CLIENT4)),
            ("IPv6", Packet::to6(v6).syn(self.port).frame(), Route::V6(v6, CLIENT6)),
        ]
    }

    fn udp(&self) -> [(&'static str, Packet, Route); 2] {
        let (v4, v6) = self.vips;
        [
            ("IPv4", Packet::to4(v4).udp(self.port), Route::V4(v4, CLIENT4)),
            ("IPv6", Packet::to6(v6).udp(self.port), Route::V6(v6, CLIENT6)),
        ]
    }
}

fn segments(who: &Nowhere) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut answer =
        |what: &str, frames: [(&str, Vec<u8>, Route); 2], (flags, sequence, number), says: Reset| {
            for (family, frame, route) in frames {
                let frame = segment(frame, flags, sequence, number);
                let name = format!("{what} {} is reset, {family}", who.what);
                let after = reset(route, (who.port, 40_000), says);
                cases.push(Case::answers(name, frame, who.reason, after));
            }
        };
    let at = |sequence, acknowledgment| Reset { sequence, acknowledgment };
    answer("a segment with ACK and data", who.tcp(), (ACK, 100, 0xdead_beef), at(0xdead_beef, None));
    answer("a segment with ACK and FIN", who.tcp(), (ACK | FIN, 100, 7), at(7, None));
    answer("a segment without ACK", who.tcp(), (0, 100, 0xdead_beef), at(0, Some(100 + DATA)));
    answer("a FIN without ACK", who.tcp(), (FIN, u32::MAX - 5, 1), at(0, Some(DATA - 5)));
    answer("a bare segment without ACK", who.bare(), (0, 9, 9), at(0, Some(9)));
    if who.syns {
        answer("a SYN", who.bare(), (SYN, 0x0102_0304, 9), at(0, Some(0x0102_0305)));
        answer("a SYN with the last number", who.bare(), (SYN, u32::MAX, 9), at(0, Some(0)));
        answer("a SYN with data", who.tcp(), (SYN, 5, 9), at(0, Some(5 + DATA + 1)));
        answer("a SYN with FIN and data", who.tcp(), (SYN | FIN, 5, 9), at(0, Some(5 + DATA + 2)));
    }
    answer("a SYN with ACK", who.bare(), (SYN | ACK, 5, 0x1234_5678), at(0x1234_5678, None));
    let [(_, frame4, route4), (_, frame6, route6)] = who.tcp();
    let after = |route| reset(route, (who.port, 40_000), at(77, None));
    let case = |what: &str, frame, route| {
        Case::answers(format!("{what} {}", who.what), frame, who.reason, after(route))
    };
    let (frame4, frame6) = (segment(frame4, ACK, 1, 77), segment(frame6, ACK, 1, 77));
    cases.extend([
        case("a segment with a tag is reset with it", frame4.clone(), route4).tagged(&[(Q, 0xe123)]),
        case("a segment with two tags is reset with them", frame6.clone(), route6)
            .tagged(&[(AD, 0x1123), (Q, 7)]),
        case(
            "a segment behind extension headers is reset",
            extended(&frame6, &[hop_by_hop(1), routing()]),
            route6,
        ),
        case("padding is no data: a segment is reset", crate::packet::pad(frame4, 128), route4),
    ]);
    let (vip, client) = (who.vips.0, CLIENT4);
    let options = segment_behind_options(vip, who.port);
    let options_reset = reset(Route::V4(vip, client), (who.port, 40_000), at(0, Some(0x0102_0304 + DATA)));
    let name = format!("IPv4 options are no data: a segment {}", who.what);
    cases.push(Case::answers(name, options, who.reason, options_reset));
    cases
}

/// Without ACK, behind 12 bytes of IPv4 options.
fn segment_behind_options(vip: [u8; 4], port: u16) -> Vec<u8> {
    let frame = Packet::to4(vip).tcp(port).option_words(3).frame();
    edit(frame, crate::packet::AFTER4 + 12 + 13, &[0])
}

fn datagrams(who: &Nowhere) -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, packet, route) in who.udp() {
        let mut answer = |what: &str, frame: Vec<u8>, tags: &[(u16, u16)]| {
            let after = unreachable(route, &frame);
            let name = format!("a datagram {} is unreachable: {what}, {family}", who.what);
            cases.push(Case::answers(name, frame, who.reason, after).tagged(tags));
        };
        answer("a short one", packet.frame(), &[]);
        answer("with a tag", packet.frame(), &[(Q, 0x4321)]);
        answer("with two tags", packet.frame(), &[(AD, 0x4321), (Q, 0x8001)]);
        for len in [1_u16, 2, 3, 4, 60, 80, 81, 99, 100, 101, 1000] {
            let with = |bytes: u16| {
                let udp = [40_000, who.port, bytes + 8, 0x5a5a].map(u16::to_be_bytes).concat();
                [udp, (0..bytes).map(|n| n.to_le_bytes()[0]).collect()].concat()
            };
            answer(&format!("{len} bytes long"), packet.clone().raw(UDP, &with(len)).frame(), &[]);
        }
        if family == "IPv4" {
            answer("behind options", packet.clone().option_words(10).frame(), &[]);
        } else {
            answer("behind extension headers", extended(&packet.frame(), &[hop_by_hop(4)]), &[]);
        }
    }
    cases
}

/// Never a reset, a fragment, or anything but TCP and UDP.
fn unanswered(who: &Nowhere) -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, frame, _) in who.tcp() {
        for (what, flags) in [("a reset", RST), ("a reset with ACK", RST | ACK)] {
            let frame = segment(frame.clone(), flags, 1, 2);
            let name = format!("{what} {} is dropped, {family}", who.what);
            cases.push(Case::drops(name, frame, who.unanswered));
        }
        let first = if family == "IPv4" {
            fragment4(frame, 0, true, 0x7500)
        } else {
            extended(&frame, &[fragment6(0, true, 0x7500)])
        };
        let name = format!("a first fragment {} is dropped, {family}", who.what);
        cases.push(Case::drops(name, first, who.unanswered));
    }
    cases
}

fn exceptions() -> Vec<Case> {
    let closed = |packet: Packet| packet.udp(CLOSED).frame();
    let quote = [&[0; 4], &Packet::on(Route::V4(SHUT.v4, CLIENT4)).udp(1).frame()[14..]].concat();
    let local =
        Case::passes("a local VIP's stack answers for itself", closed(Packet::to4(LOCAL4)), Reason::LocalVip);
    vec![
        local,
        Case::drops(
            "without being told to, nothing is answered",
            closed(Packet::to6(VIP6)),
            Reason::UnknownPort,
        ),
        Case::drops("SCTP is not answered", sctp(Packet::to4(SHUT.v4), 9, 1, 1).frame(), Reason::UnknownPort),
        Case::drops(
            "an SCTP abort is not answered",
            sctp(Packet::to6(SHUT.v6), 9, 1, 6).frame(),
            Reason::UnknownPort,
        ),
        Case::drops(
            "GRE is not answered",
            Packet::to4(SHUT.v4).raw(47, &[0; 8]).frame(),
            Reason::UnknownPort,
        ),
        Case::drops(
            "an ICMP error is not answered",
            icmp4((CLIENT4, SHUT.v4), (3, 1), &quote).frame(),
            Reason::UnknownPort,
        ),
        Case::drops(
            "an echo reply is not answered",
            icmp4((CLIENT4, SHUT.v4), (0, 0), &[0; 8]).frame(),
            Reason::UnknownPort,
        ),
        Case::drops(
            "a later fragment of TCP is not answered",
            fragment4(Packet::to4(SHUT.v4).raw(6, &[0; 32]).frame(), 9, false, 0x7501),
            Reason::NoBackend,
        ),
        Case::drops(
            "TTL comes before a reset",
            Packet::to4(SHUT.v4).tcp(CLOSED).ttl(1).frame(),
            Reason::TtlExpired,
        ),
    ]
}

/// What the link layer sent to many is answered by nobody: it is left to the kernel, as what is for others.
fn to_many() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, mac) in [
        ("broadcast", [0xff; 6]),
        ("sent to an IPv4 group's MAC", [1, 0, 0x5e, 0, 0, 1]),
        ("sent to an IPv6 group's MAC", [0x33, 0x33, 0, 0, 0, 1]),
    ] {
        let (v4, v6) = (|| Packet::to4(SHUT.v4), || Packet::to6(SHUT.v6));
        let packets = [
            ("a segment over IPv4", v4().tcp(CLOSED)),
            ("a segment over IPv6", v6().tcp(CLOSED)),
            ("a datagram over IPv4", v4().udp(CLOSED)),
            ("a datagram over IPv6", v6().udp(CLOSED)),
        ];
        cases.extend(packets.map(|(kind, packet)| {
            let name = format!("{kind} that was {what} is not answered");
            Case::passes(name, packet.macs(CLIENT_MAC, mac).frame(), Reason::NotForUs)
        }));
    }
    cases
}

/// The dead member's service has others for what is new.
fn begun_anew() -> Vec<Case> {
    let syn = Packet::to4(VIP4).syn(DEAD_RESET).from_port(49_000);
    let ack = segment(Packet::to4(VIP4).tcp(DEAD_RESET).from_port(49_000).frame(), ACK, 0x0102_0305, 1);
    vec![
        Case::forwards(
            "a SYN to a service with a dead member's flows opens one elsewhere",
            syn.frame(),
            NEW_MEMBER,
        )
        .opening(),
        Case::forwards("… and lives there", ack, NEW_MEMBER).following([syn.frame()]),
    ]
}
