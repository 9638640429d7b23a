//! ICMP errors to a VIP: they go to the owner of the flow that they quote, and change nothing of what is remembered.

use vip_common::{
    MemberId, Reason,
    headers::{ICMP, TCP, UDP},
};

use super::Case;
use crate::{
    packet::{
        IP, Packet, Route, edit, icmp6,
        layers::{Q, destination_options, extended, fragment4, fragment6, hop_by_hop, icmp4, sctp, segment},
    },
    world::{
        CLIENT_MAC, CLIENT4, CLIENT6, CLOSED, OWN_MAC, SPREAD, VIP4, VIP6,
        special::{ASSOCIATIONS, MOVED, NEW_MEMBER, OLD_MEMBER, SHUT, WIDE},
        spread::{by_addresses4, by_addresses6, owner4, owner6},
    },
};

/// Who reports: a router on the way.
const ROUTER4: [u8; 4] = [10, 77, 0, 254];
const ROUTER6: [u8; 16] = [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe];
pub(super) fn cases() -> Vec<Case> {
    let mut cases = errors4();
    cases.extend(errors6());
    cases.extend(quotes4());
    cases.extend(remembered());
    cases.extend(quotes6());
    cases.extend(portless());
    cases.extend(cut_within_headers());
    cases.extend(no_flow());
    cases.extend(no_quote());
    cases
}

/// What a member of the service sent to the client's `port`.
fn from_vip4(protocol: u8, port: u16) -> Packet {
    let packet = Packet::on(Route::V4(VIP4, CLIENT4)).from_port(SPREAD).ttl(3);
    if protocol == TCP { packet.tcp(port) } else { packet.udp(port) }
}

fn from_vip6(protocol: u8, port: u16) -> Packet {
    let packet = Packet::on(Route::V6(VIP6, CLIENT6)).from_port(SPREAD).ttl(3);
    if protocol == TCP { packet.tcp(port) } else { packet.udp(port) }
}

/// What follows an error's checksum.
fn quote4(packet: &Packet) -> Vec<u8> {
    quote(&packet.frame())
}

fn quote(frame: &[u8]) -> Vec<u8> {
    [&[0; 4], &frame[IP..]].concat()
}

fn error4(quote: &[u8]) -> Vec<u8> {
    icmp4((ROUTER4, VIP4), (3, 4), quote).frame()
}

fn error6(quote: &[u8]) -> Vec<u8> {
    icmp6((CLIENT_MAC, OWN_MAC), (ROUTER6, VIP6), (2, 0), 64, quote)
}

fn errors4() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, what) in [(3_u8, "destination unreachable"), (11, "time exceeded"), (12, "parameter problem")]
    {
        for (code, port) in [(0_u8, 40_000_u16), (1, 40_001), (4, 40_002), (15, 40_003)] {
            for (protocol, name) in [(TCP, "TCP"), (UDP, "UDP")] {
                let frame = icmp4((ROUTER4, VIP4), (kind, code), &quote4(&from_vip4(protocol, port))).frame();
                cases.push(Case::forwards(
                    format!("{what} with code {code} goes to the owner of the {name} flow, IPv4"),
                    frame,
                    owner4(VIP4, port, protocol),
                ));
            }
        }
    }
    cases
}

fn errors6() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in 1..=4_u8 {
        for (port, protocol) in [(40_000_u16, TCP), (40_001, UDP), (40_002, TCP), (40_003, UDP)] {
            let rest = quote(&from_vip6(protocol, port).frame());
            let frame = icmp6((CLIENT_MAC, OWN_MAC), (ROUTER6, VIP6), (kind, 0), 64, &rest);
            cases.push(Case::forwards(
                format!("an ICMPv6 error of type {kind} goes to the owner of the flow of port {port}"),
                frame,
                owner6(VIP6, port, protocol),
            ));
        }
    }
    cases
}

fn quotes4() -> Vec<Case> {
    let mut cases = Vec::new();
    for port in 41_000..41_004_u16 {
        let owner = owner4(VIP4, port, TCP);
        let whole = from_vip4(TCP, port);
        let forwards =
            |name: &str, rest: &[u8]| Case::forwards(format!("{name}, to port {port}"), error4(rest), owner);
        cases.extend([
            forwards("a quote that stops after 8 bytes is enough", &quote4(&whole)[..4 + 28]),
            forwards("a quote that stops after the ports is enough", &quote4(&whole)[..4 + 24]),
            forwards("a quote with options is looked into", &quote4(&whole.clone().option_words(10))),
            forwards(
                "a quote with options may stop after 8 bytes",
                &quote4(&whole.clone().option_words(5))[..4 + 48],
            ),
            forwards("a quoted first fragment has ports", &quote(&fragment4(whole.frame(), 0, true, 9))),
            forwards(
                "a quote whose own length is that of the packet before it was cut",
                &quote(&edit(whole.frame(), IP + 2, &[5, 220])),
            ),
            forwards(
                "a quote whose header checksum a router has broken",
                &quote(&edit(whole.frame(), IP + 10, &[1, 2])),
            ),
        ]);
        let tagged = Case::forwards(
            format!("an error with a VLAN tag, to port {port}"),
            error4(&quote4(&whole)),
            owner,
        );
        cases.push(tagged.tagged(&[(Q, 0x2005)]));
        let options = icmp4((ROUTER4, VIP4), (3, 4), &quote4(&whole)).option_words(4).frame();
        cases.push(Case::forwards(format!("an error with IPv4 options, to port {port}"), options, owner));
    }
    cases
}

/// Where the slot remembers, the error goes where the flow is, and nothing is written.
fn remembered() -> Vec<Case> {
    let mut cases = Vec::new();
    let moved = Packet::on(Route::V4(VIP4, CLIENT4)).from_port(MOVED).tcp(41_100);
    cases.push(Case::forwards(
        "an error about an older flow of a slot that remembers",
        error4(&quote4(&moved)),
        OLD_MEMBER,
    ));
    let syn = Packet::to4(VIP4).syn(MOVED).from_port(41_100).frame();
    cases.push(
        Case::forwards("… leaves nothing behind: a SYN is new after it", syn, NEW_MEMBER)
            .opening()
            .following([error4(&quote4(&moved))]),
    );
    let after = Packet::to4(VIP4).tcp(MOVED).from_port(41_101);
    let moved = Packet::on(Route::V4(VIP4, CLIENT4)).from_port(MOVED).tcp(41_101);
    cases.push(
        Case::forwards(
            "an error about a newer flow of a slot that remembers",
            error4(&quote4(&moved)),
            NEW_MEMBER,
        )
        .following([
            Packet::to4(VIP4).syn(MOVED).from_port(41_101).frame(),
            segment(after.frame(), 0x10, 0x0102_0305, 1),
        ]),
    );
    let association = sctp(Packet::on(Route::V4(VIP4, CLIENT4)), 41_102, ASSOCIATIONS, 0);
    cases.push(Case::forwards(
        "an error about an SCTP association",
        error4(&quote4(&association)),
        OLD_MEMBER,
    ));
    cases
}

fn quotes6() -> Vec<Case> {
    let mut cases = Vec::new();
    for port in 42_000..42_004_u16 {
        let owner = owner6(VIP6, port, UDP);
        let whole = from_vip6(UDP, port).frame();
        let forwards =
            |name: &str, rest: &[u8]| Case::forwards(format!("{name}, to port {port}"), error6(rest), owner);
        cases.extend([
            forwards("an IPv6 quote that stops after 8 bytes is enough", &quote(&whole)[..4 + 48]),
            forwards(
                "an IPv6 quote with extension headers is looked into",
                &quote(&extended(&whole, &[hop_by_hop(1), destination_options(3)])),
            ),
            forwards(
                "an IPv6 quote of a first fragment has ports",
                &quote(&extended(&whole, &[fragment6(0, true, 9)])),
            ),
            forwards("an IPv6 error behind extension headers", &quote(&whole)),
        ]);
        let last = cases.last_mut().expect("just pushed");
        *last = Case::forwards(last.name.clone(), extended(&last.frame, &[hop_by_hop(1)]), owner);
    }
    cases
}

fn counted(name: &str, frame: Vec<u8>, member: MemberId) -> Case {
    Case::forwards(name, frame, member).because(Reason::QuoteWithoutPorts)
}

/// Quotes that say of no port: by addresses, counted.
fn portless() -> Vec<Case> {
    let whole = from_vip4(UDP, 43_000);
    let later = fragment4(whole.frame(), 100, false, 9);
    let gre = Packet::on(Route::V4(VIP4, CLIENT4)).raw(47, &[0; 12]);
    let whole6 = from_vip6(TCP, 43_000).frame();
    let later6 = extended(&whole6, &[fragment6(100, true, 9)]);
    vec![
        counted(
            "a quoted later fragment says of no port, IPv4",
            error4(&quote(&later)),
            by_addresses4(VIP4, UDP),
        ),
        counted(
            "a quoted later fragment says of no port, IPv6",
            error6(&quote(&later6)),
            by_addresses6(VIP6, TCP),
        ),
        counted(
            "a quote that stops within the ports",
            error4(&quote4(&whole)[..4 + 23]),
            by_addresses4(VIP4, UDP),
        ),
        counted(
            "a quote that stops after the IPv4 header",
            error4(&quote4(&whole)[..4 + 20]),
            by_addresses4(VIP4, UDP),
        ),
        counted(
            "a quote that stops after the IPv6 header",
            error6(&quote(&whole6)[..4 + 40]),
            by_addresses6(VIP6, TCP),
        ),
        counted("a quoted packet of GRE", error4(&quote4(&gre)), by_addresses4(VIP4, 47)),
        counted(
            "a quoted echo reply",
            error4(&quote4(&icmp4((VIP4, CLIENT4), (0, 0), &[0; 8]))),
            by_addresses4(VIP4, ICMP),
        ),
    ]
}

/// Quotes that stop before the ports are reached; what follows in the frame is Ethernet padding, and no part of them.
fn cut_within_headers() -> Vec<Case> {
    let options = quote4(&from_vip4(UDP, 43_100).option_words(10));
    let whole6 = from_vip6(UDP, 43_100).frame();
    let headers = quote(&extended(&whole6, &[hop_by_hop(1), destination_options(3)]));
    let fragment = quote(&extended(&whole6, &[fragment6(0, true, 9)]));
    let by4 = |name: &str, len: usize| counted(name, error4(&options[..4 + len]), by_addresses4(VIP4, UDP));
    // What the extension header stands before is not known.
    let by6 = |name: &str, rest: &[u8]| counted(name, error6(rest), by_addresses6(VIP6, 0));
    let cases = [
        by4("a quote that stops within IPv4 options", 40),
        by4("a quote that stops before its IPv4 options", 20),
        by4("a quote that stops after its IPv4 options", 60),
        by6("a quote that stops before its first extension header", &headers[..4 + 40]),
        by6("a quote that stops within its first extension header", &headers[..4 + 47]),
        by6("a quote that stops before its second extension header", &headers[..4 + 48]),
        by6("a quote that stops within its second extension header", &headers[..4 + 60]),
        by6("a quote that stops within a fragment header", &fragment[..4 + 44]),
        counted(
            "a quote that stops after its extension headers",
            error6(&headers[..4 + 40 + 8 + 24]),
            by_addresses6(VIP6, UDP),
        ),
    ];
    let padded = |case: &Case| Case { name: format!("{}, padded", case.name), ..case.clone().padded(200) };
    cases.iter().map(padded).collect::<Vec<_>>().into_iter().chain(cases.clone()).collect()
}

/// Errors that are about no flow of the VIP.
fn no_flow() -> Vec<Case> {
    let foreign4 = Packet::on(Route::V4([10, 200, 0, 99], CLIENT4)).from_port(SPREAD).tcp(44_000);
    let foreign6 = Packet::on(Route::V6(CLIENT6, VIP6)).from_port(SPREAD).tcp(44_000).frame();
    let closed = Packet::on(Route::V4(VIP4, CLIENT4)).from_port(CLOSED).tcp(44_000);
    let shut = Packet::on(Route::V4(SHUT.v4, CLIENT4)).from_port(CLOSED).udp(44_000);
    let wide = Packet::on(Route::V4(WIDE.v4, CLIENT4)).from_port(8001).udp(44_000);
    vec![
        Case::drops(
            "an error that quotes a packet of another address, IPv4",
            error4(&quote4(&foreign4)),
            Reason::UnknownPort,
        ),
        Case::drops(
            "an error that quotes a packet to the VIP, IPv6",
            error6(&quote(&foreign6)),
            Reason::UnknownPort,
        ),
        Case::drops(
            "an ICMP redirect is no error that goes to a member",
            icmp4((ROUTER4, VIP4), (5, 0), &quote4(&from_vip4(UDP, 1))).frame(),
            Reason::UnknownPort,
        ),
        Case::drops(
            "a source quench is no error that goes to a member",
            icmp4((ROUTER4, VIP4), (4, 0), &quote4(&from_vip4(UDP, 1))).frame(),
            Reason::UnknownPort,
        ),
        Case::drops(
            "an error about a port that no service has",
            error4(&quote4(&closed)),
            Reason::UnknownPort,
        ),
        Case::drops(
            "… is not answered, where such a packet would be",
            icmp4((ROUTER4, SHUT.v4), (3, 4), &quote4(&shut)).frame(),
            Reason::UnknownPort,
        ),
        Case::forwards(
            "an error about a flow of a service of many ports",
            icmp4((ROUTER4, WIDE.v4), (3, 4), &quote4(&wide)).frame(),
            NEW_MEMBER,
        ),
        Case::drops(
            "an error with 1 hop left",
            icmp4((ROUTER4, VIP4), (3, 4), &quote4(&from_vip4(TCP, 1))).ttl(1).frame(),
            Reason::TtlExpired,
        ),
    ]
}

/// Errors that quote no packet that could be read.
fn no_quote() -> Vec<Case> {
    let sent4 = from_vip4(TCP, 1).frame();
    let sent6 = from_vip6(TCP, 1).frame();
    vec![
        Case::drops(
            "an error that quotes another version",
            error4(&quote(&edit(sent4.clone(), IP, &[0x65]))),
            Reason::UnknownPort,
        ),
        Case::drops(
            "an error that quotes a header of 4 words",
            error4(&quote(&edit(sent4.clone(), IP, &[0x44]))),
            Reason::UnknownPort,
        ),
        Case::drops("an error that quotes nothing", error4(&[0; 4]), Reason::UnknownPort),
        Case::drops(
            "an error that quotes 19 bytes of an IPv4 header",
            error4(&quote(&sent4)[..4 + 19]),
            Reason::UnknownPort,
        ),
        Case::drops(
            "an error that quotes 39 bytes of an IPv6 header",
            error6(&quote(&sent6)[..4 + 39]),
            Reason::UnknownPort,
        ),
    ]
}
