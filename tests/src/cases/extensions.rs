//! What may stand between an IP header and ports, and protocols other than TCP and UDP: SCTP, services of many ports and of
//! any protocol.

use vip_common::{
    Reason,
    headers::{SCTP, TCP, UDP},
};

use super::Case;
use crate::{
    packet::{
        AFTER6, IP, Packet, cut, edit,
        layers::{
            Extension, Q, authentication, destination_options, extended, fragment6, hop_by_hop, routing, sctp,
        },
    },
    world::{
        CLOSED, SPREAD, VIP4, VIP6, WEB,
        special::{ANY, ASSOCIATIONS, NEW_MEMBER, OLD_MEMBER, OTHER_MEMBER, RANGE, SOURCES, WIDE, WITHIN},
        spread::{by_addresses4, by_addresses6, owner, owner6},
    },
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = looked_behind();
    cases.extend(too_many());
    cases.extend(broken());
    cases.extend(associations());
    cases.extend(ranges());
    cases.extend(beside_ranges());
    cases.extend(any());
    cases.extend(sources());
    cases
}

fn chains() -> Vec<(&'static str, Vec<Extension>)> {
    vec![
        ("hop-by-hop options", vec![hop_by_hop(1)]),
        ("long hop-by-hop options", vec![hop_by_hop(20)]),
        ("a routing header", vec![routing()]),
        ("destination options", vec![destination_options(2)]),
        ("an authentication header", vec![authentication()]),
        ("an atomic fragment header", vec![fragment6(0, false, 1)]),
        ("two headers", vec![hop_by_hop(1), routing()]),
        ("six headers", six()),
    ]
}

fn six() -> Vec<Extension> {
    let last = [authentication(), destination_options(1)];
    [hop_by_hop(1), destination_options(1), routing(), fragment6(0, false, 1)]
        .into_iter()
        .chain(last)
        .collect()
}

fn looked_behind() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, headers) in chains() {
        for from in 47_000..47_003 {
            let tcp = extended(&Packet::to6(VIP6).syn(SPREAD).from_port(from).frame(), &headers);
            let udp = extended(&Packet::to6(VIP6).udp(SPREAD).from_port(from).frame(), &headers);
            let name = format!("a SYN behind {what}, from port {from}");
            cases.push(Case::forwards(name, tcp, owner6(VIP6, from, TCP)).opening());
            cases.push(Case::forwards(
                format!("UDP behind {what}, from port {from}"),
                udp,
                owner6(VIP6, from, UDP),
            ));
        }
        let closed = extended(&Packet::to6(VIP6).tcp(CLOSED).frame(), &headers);
        cases.push(Case::drops(
            format!("TCP behind {what} to a port that no service has"),
            closed,
            Reason::UnknownPort,
        ));
        let expired = extended(&Packet::to6(VIP6).tcp(SPREAD).ttl(1).frame(), &headers);
        cases.push(Case::drops(format!("TCP behind {what} with 1 hop left"), expired, Reason::TtlExpired));
    }
    let tagged = extended(&Packet::to6(VIP6).udp(SPREAD).frame(), &six());
    let tagged = Case::forwards("UDP behind six headers with two tags", tagged, owner6(VIP6, 40_000, UDP));
    cases.push(tagged.tagged(&[(Q, 1), (Q, 2)]));
    cases
}

/// With more than six the flow is the addresses.
fn too_many() -> Vec<Case> {
    let mut headers = six();
    headers.push(destination_options(1));
    let member = by_addresses6(VIP6, 0);
    let behind = |packet: Packet| extended(&packet.frame(), &headers);
    vec![
        Case::forwards(
            "TCP behind seven headers goes by addresses",
            behind(Packet::to6(VIP6).tcp(SPREAD)),
            member,
        ),
        Case::forwards("… also to a port that no service has", behind(Packet::to6(VIP6).udp(CLOSED)), member),
        Case::forwards(
            "… also ICMPv6",
            behind(Packet::to6(VIP6).raw(58, &[128, 0, 0, 0, 0, 0, 0, 0])),
            member,
        ),
    ]
}

fn broken() -> Vec<Case> {
    let drops = |name: &str, frame| Case::drops(name, frame, Reason::Malformed);
    let whole = extended(&Packet::to6(VIP6).udp(SPREAD).frame(), &[hop_by_hop(2), destination_options(1)]);
    let mut cases: Vec<_> = (AFTER6..whole.len())
        .map(|len| {
            drops(&format!("behind extension headers, cut off after {len} bytes"), cut(whole.clone(), len))
        })
        .collect();
    let shortened = (0..24_u8 + 8).map(|len| {
        let frame = edit(whole.clone(), IP + 4, &[0, len]);
        drops(&format!("extension headers in a packet of {len} bytes"), frame)
    });
    cases.extend(shortened);
    cases.push(drops("an extension header that reaches past the end", edit(whole, AFTER6 + 1, &[255])));
    cases.push(drops(
        "an authentication header that reaches past the end",
        edit(extended(&Packet::to6(VIP6).udp(SPREAD).frame(), &[authentication()]), AFTER6 + 1, &[40]),
    ));
    cases
}

/// SCTP: an INIT opens an association, a COOKIE ECHO makes it firm.
fn associations() -> Vec<Case> {
    let chunk4 = |from, chunk| sctp(Packet::to4(VIP4), ASSOCIATIONS, from, chunk).frame();
    let chunk6 = |from, chunk| sctp(Packet::to6(VIP6), ASSOCIATIONS, from, chunk).frame();
    let (init, cookie_echo, data) = (1, 10, 0);
    let mut cases = vec![
        Case::forwards("SCTP data of an older association, IPv4", chunk4(1, data), OLD_MEMBER),
        Case::forwards("SCTP data of an older association, IPv6", chunk6(1, data), OLD_MEMBER),
        Case::forwards("an SCTP INIT opens an association, IPv4", chunk4(2, init), NEW_MEMBER).opening(),
        Case::forwards("an SCTP INIT opens an association, IPv6", chunk6(2, init), NEW_MEMBER).opening(),
        Case::forwards("an SCTP COOKIE ECHO follows its INIT", chunk4(3, cookie_echo), NEW_MEMBER)
            .following([chunk4(3, init)]),
        Case::forwards("SCTP data after both", chunk6(3, data), NEW_MEMBER)
            .following([chunk6(3, init), chunk6(3, cookie_echo)]),
        Case::forwards(
            "SCTP data after an INIT alone is an older association's",
            chunk4(4, data),
            OLD_MEMBER,
        )
        .following([chunk4(4, init)]),
        Case::drops(
            "SCTP to a port that only TCP has",
            sctp(Packet::to6(VIP6), WEB, 1, data).frame(),
            Reason::UnknownPort,
        ),
    ];
    for len in [0, 7, 12] {
        let payload = vec![0; len];
        let frame = Packet::to4(VIP4).raw(SCTP, &payload).frame();
        cases.push(Case::drops(format!("SCTP of {len} bytes is malformed"), frame, Reason::Malformed));
    }
    cases
}

/// Blocks of ports, all ports of a protocol.
fn ranges() -> Vec<Case> {
    let (first, last) = RANGE;
    let mut cases = Vec::new();
    for (port, inside) in
        [(first - 1, false), (first, true), (8063, true), (8064, true), (last, true), (last + 1, false)]
    {
        for (what, frame) in [
            ("IPv4", Packet::to4(WIDE.v4).udp(port).frame()),
            ("IPv6", Packet::to6(WIDE.v6).udp(port).frame()),
        ] {
            let name = format!("UDP to port {port} of a VIP with services of many ports, {what}");
            cases.push(if inside {
                Case::forwards(name, frame, NEW_MEMBER)
            } else {
                Case::drops(name, frame, Reason::UnknownPort)
            });
        }
    }
    cases
}

/// What comes before a block, and what is in none.
fn beside_ranges() -> Vec<Case> {
    let (first, _) = RANGE;
    vec![
        Case::forwards(
            "a port of its own comes before a block, IPv4",
            Packet::to4(WIDE.v4).udp(WITHIN).frame(),
            OTHER_MEMBER,
        ),
        Case::forwards(
            "a port of its own comes before a block, IPv6",
            Packet::to6(WIDE.v6).udp(WITHIN).frame(),
            OTHER_MEMBER,
        ),
        Case::drops("TCP to a block of UDP", Packet::to4(WIDE.v4).tcp(first).frame(), Reason::UnknownPort),
        Case::forwards("SCTP to any port, IPv4", sctp(Packet::to4(WIDE.v4), 1, 2, 0).frame(), NEW_MEMBER),
        Case::forwards(
            "SCTP to any port, IPv6",
            sctp(Packet::to6(WIDE.v6), 65_535, 2, 1).frame(),
            NEW_MEMBER,
        )
        .opening(),
        Case::forwards(
            "SCTP to port 0 of all ports",
            sctp(Packet::to4(WIDE.v4), 0, 2, 0).frame(),
            NEW_MEMBER,
        ),
        Case::drops(
            "the same port of a VIP without such services",
            Packet::to4(VIP4).udp(first).frame(),
            Reason::UnknownPort,
        ),
        Case::drops(
            "a protocol that it has none of",
            Packet::to4(WIDE.v4).raw(47, &[0; 8]).frame(),
            Reason::UnknownPort,
        ),
    ]
}

/// A service of all protocols, ports or not.
fn any() -> Vec<Case> {
    let flow4 = |port: u16, protocol| {
        owner(&[&crate::world::CLIENT4, &ANY.v4, &40_000_u16.to_be_bytes(), &port.to_be_bytes()], protocol)
    };
    let flow6 = |port: u16, protocol| {
        owner(&[&crate::world::CLIENT6, &ANY.v6, &40_000_u16.to_be_bytes(), &port.to_be_bytes()], protocol)
    };
    let mut cases = Vec::new();
    for port in [0, 1, 80, 65_535] {
        cases.push(Case::forwards(
            format!("TCP to port {port} of all"),
            Packet::to4(ANY.v4).tcp(port).frame(),
            flow4(port, TCP),
        ));
        cases.push(Case::forwards(
            format!("UDP to port {port} of all"),
            Packet::to6(ANY.v6).udp(port).frame(),
            flow6(port, UDP),
        ));
    }
    for protocol in [2, 4, 41, 47, 50, 89, 103, 112, 253] {
        let packets = [
            ("IPv4", Packet::to4(ANY.v4).raw(protocol, &[7; 3]).frame(), by_addresses4(ANY.v4, protocol)),
            ("IPv6", Packet::to6(ANY.v6).raw(protocol, &[]).frame(), by_addresses6(ANY.v6, protocol)),
        ];
        cases.extend(packets.map(|(what, frame, member)| {
            Case::forwards(
                format!("protocol {protocol} to a service of all protocols, {what}"),
                frame,
                member,
            )
        }));
    }
    cases
}

/// With source affinity the flow is the source.
fn sources() -> Vec<Case> {
    let net4 = owner(&[&[10, 77, 0, 0], &VIP4, &[0; 4]], 0);
    let net6 = owner(&[&[0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &VIP6, &[0; 4]], 0);
    let mut cases = Vec::new();
    for from in 48_000..48_004 {
        let tcp = Packet::to4(VIP4).tcp(SOURCES).from_port(from).frame();
        let udp = Packet::to6(VIP6).udp(SOURCES).from_port(from).frame();
        cases.push(Case::forwards(format!("source affinity: TCP from port {from}"), tcp, net4));
        cases.push(Case::forwards(format!("source affinity: UDP from port {from}"), udp, net6));
    }
    let other = crate::packet::checksummed(edit(Packet::to4(VIP4).udp(SOURCES).frame(), IP + 15, &[200]));
    cases.push(Case::forwards("source affinity: another source of the network", other, net4));
    let other = edit(Packet::to6(VIP6).tcp(SOURCES).frame(), IP + 8 + 15, &[200]);
    cases.push(Case::forwards("source affinity: another source of the IPv6 network", other, net6));
    cases
}
