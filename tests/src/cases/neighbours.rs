//! IPv6 neighbour discovery: solicitations for a VIP are answered, all else is left to the kernel.

use vip_common::{Reason, headers::Mac};

use super::{Case, links::twin6};
use crate::{
    packet::{AFTER6, IP, cut, edit, icmp6, pad},
    world::{CLIENT_MAC, CLIENT6, LOCAL6, OWN_MAC, VIP6, special::STANDBY},
};

const NOWHERE: [u8; 16] = [0; 16];
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const SOMEBODY: Mac = [2, 0, 0, 0, 0, 3];
/// Source link-layer address of the client.
const FROM_CLIENT: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 99];
/// A nonce (RFC 3971): what Linux sends while it checks that an address is free.
const NONCE: [u8; 8] = [14, 1, 0xde, 0xad, 0xbe, 0xef, 0, 1];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = answered();
    cases.extend(left_alone());
    cases.extend(advertised());
    cases.extend(to_a_vip());
    cases.extend(of_standby());
    cases.extend(invalid());
    cases.extend(cut_short());
    cases
}

fn answered() -> Vec<Case> {
    let answers = |name: &str, frame, after| Case::answers(name, frame, Reason::NeighbourAnswered, after);
    let usual = solicitation(VIP6, &FROM_CLIENT);
    let unicast = icmp6((CLIENT_MAC, OWN_MAC), (CLIENT6, VIP6), (135, 0), 255, &body(VIP6, &FROM_CLIENT));
    let to_client = advertisement((CLIENT_MAC, CLIENT6), VIP6, 0x60);
    let units = |count: usize| [FROM_CLIENT.to_vec(), [254, 1, 0, 0, 0, 0, 0, 0].repeat(count - 1)].concat();
    vec![
        answers("a neighbour solicitation for a VIP is answered", usual.clone(), to_client.clone()),
        answers("… also if it is asked of us alone", unicast, to_client.clone()),
        answers(
            "… also for a VIP that is a local address as well",
            solicitation(LOCAL6, &FROM_CLIENT),
            advertisement((CLIENT_MAC, CLIENT6), LOCAL6, 0x60),
        ),
        answers(
            "without a link-layer address the frame grows to hold ours",
            solicitation(VIP6, &[]),
            to_client.clone(),
        ),
        answers(
            "with more options than are answered the frame shrinks",
            solicitation(VIP6, &[FROM_CLIENT, NONCE].concat()),
            to_client.clone(),
        ),
        answers("Ethernet padding is no part of the answer", pad(usual, 100), to_client.clone()),
        answers("four units of options are looked into", solicitation(VIP6, &units(4)), to_client.clone()),
        answers(
            "an option of two units is stepped over",
            solicitation(VIP6, &[[200, 2, 0, 0, 0, 0, 0, 0], [0; 8], FROM_CLIENT].concat()),
            to_client,
        ),
        answers(
            "who checks from nowhere that a VIP is free gets an answer for everybody",
            solicitation_from(NOWHERE, VIP6, &[]),
            advertisement(([0x33, 0x33, 0, 0, 0, 1], ALL_NODES), VIP6, 0x20),
        ),
        answers(
            "… also with a nonce",
            solicitation_from(NOWHERE, VIP6, &NONCE),
            advertisement(([0x33, 0x33, 0, 0, 0, 1], ALL_NODES), VIP6, 0x20),
        ),
    ]
}

fn left_alone() -> Vec<Case> {
    let multicast = multicast_mac(VIP6);
    let router_solicitation = icmp6((CLIENT_MAC, multicast), (CLIENT6, group(VIP6)), (133, 0), 255, &[0; 20]);
    vec![
        Case::passes(
            "a neighbour solicitation for no VIP is left alone",
            solicitation(CLIENT6, &FROM_CLIENT),
            Reason::NoVip,
        ),
        Case::passes(
            "… also for an address that shares the bit of a VIP",
            solicitation(twin6(VIP6), &FROM_CLIENT),
            Reason::NoVip,
        ),
        Case::passes(
            "… also if it is not valid",
            edit(solicitation(CLIENT6, &FROM_CLIENT), IP + 7, &[64]),
            Reason::NoVip,
        ),
        Case::passes(
            "a neighbour solicitation to somebody else's MAC is not for us",
            edit(solicitation(VIP6, &FROM_CLIENT), 0, &SOMEBODY),
            Reason::NotForUs,
        ),
        Case::passes("a router solicitation is left alone", router_solicitation, Reason::NotForUs),
        Case::passes(
            "an IPv4 version in a solicitation's IPv6 header is nothing of ours",
            edit(solicitation(VIP6, &FROM_CLIENT), IP, &[0x40]),
            Reason::NotForUs,
        ),
    ]
}

/// Who else says that a VIP is his.
fn advertised() -> Vec<Case> {
    let multicast = multicast_mac(VIP6);
    let told = |target| {
        icmp6((CLIENT_MAC, multicast), (CLIENT6, ALL_NODES), (136, 0), 255, &body(target, &FROM_CLIENT))
    };
    vec![
        Case::passes("an advertisement of a VIP by somebody else is told", told(VIP6), Reason::DuplicateVip),
        Case::passes(
            "… also if it is to us alone",
            icmp6((CLIENT_MAC, OWN_MAC), (CLIENT6, VIP6), (136, 0), 255, &body(VIP6, &FROM_CLIENT)),
            Reason::DuplicateVip,
        ),
        Case::passes(
            "an advertisement of a VIP that has been routed is no news",
            icmp6((CLIENT_MAC, multicast), (CLIENT6, VIP6), (136, 0), 254, &body(VIP6, &FROM_CLIENT)),
            Reason::NoVip,
        ),
        Case::passes(
            "an advertisement of a VIP that came from ourselves is no news",
            icmp6((OWN_MAC, multicast), (VIP6, ALL_NODES), (136, 0), 255, &body(VIP6, &FROM_CLIENT)),
            Reason::NoVip,
        ),
        Case::passes(
            "an advertisement of a VIP that another director answers for is no news",
            told(STANDBY.v6),
            Reason::NoVip,
        ),
        Case::passes("an advertisement of no VIP is left alone", told(CLIENT6), Reason::NoVip),
    ]
}

/// What is addressed to a VIP, but tells nothing of one, is a packet to it as others are.
fn to_a_vip() -> Vec<Case> {
    let told = |kind, vip, hops, target| {
        icmp6((CLIENT_MAC, OWN_MAC), (CLIENT6, vip), (kind, 0), hops, &body(target, &FROM_CLIENT))
    };
    let drops = |name: &str, frame| Case::drops(name, frame, Reason::UnknownPort);
    let passes = |name: &str, frame| Case::passes(name, frame, Reason::LocalVip);
    vec![
        drops("a solicitation to a VIP for another address", told(135, VIP6, 255, CLIENT6)),
        drops("an advertisement to a VIP of another address", told(136, VIP6, 255, CLIENT6)),
        drops("an advertisement to a VIP that has been routed", told(136, VIP6, 254, VIP6)),
        passes("a solicitation to a local VIP for another address", told(135, LOCAL6, 255, CLIENT6)),
        passes("an advertisement to a local VIP of another address", told(136, LOCAL6, 255, CLIENT6)),
        Case::drops(
            "a solicitation to a VIP for another address with 1 hop left",
            told(135, VIP6, 1, CLIENT6),
            Reason::TtlExpired,
        ),
        Case::passes("a solicitation to us for no VIP", told(135, CLIENT6, 255, CLIENT6), Reason::NoVip),
    ]
}

fn of_standby() -> Vec<Case> {
    vec![
        Case::drops(
            "a solicitation for a VIP that another director answers for is dropped",
            solicitation(STANDBY.v6, &FROM_CLIENT),
            Reason::Standby,
        ),
        Case::drops(
            "… also if it asks whether the VIP is free",
            solicitation_from(NOWHERE, STANDBY.v6, &[]),
            Reason::Standby,
        ),
    ]
}

fn invalid() -> Vec<Case> {
    let drops = |name: &str, frame| Case::drops(name, frame, Reason::Malformed);
    let usual = || solicitation(VIP6, &FROM_CLIENT);
    let macs = (CLIENT_MAC, multicast_mac(VIP6));
    let with = |options: &[u8]| solicitation(VIP6, options);
    let route = (CLIENT6, group(VIP6));
    vec![
        drops("a hop limit of 254: it has been routed", icmp6(macs, route, (135, 0), 254, &body(VIP6, &[]))),
        drops("a code other than 0", icmp6(macs, route, (135, 1), 255, &body(VIP6, &[]))),
        drops("a wrong checksum", edit(usual(), AFTER6 + 2, &[0x12, 0x34])),
        drops("a checksum of 0", edit(usual(), AFTER6 + 2, &[0, 0])),
        drops("a checksum that another source would have", edit(usual(), IP + 23, &[0x12])),
        drops("an option of length 0", with(&[1, 0, 2, 0, 0, 0, 0, 99])),
        drops("an option that reaches past the end", with(&[1, 2, 2, 0, 0, 0, 0, 99])),
        drops("a second option of length 0", with(&[FROM_CLIENT, [14, 0, 0, 0, 0, 0, 0, 0]].concat())),
        drops("options that are no multiple of 8 bytes", with(&[1, 1, 2, 0, 0, 0, 0, 99, 0, 0, 0, 0])),
        drops("five units of options", with(&[254, 1, 0, 0, 0, 0, 0, 0].repeat(5))),
        drops("a length past the end of the frame", edit(usual(), IP + 4, &[0, 40])),
        drops("a length that cuts the target off", edit(usual(), IP + 4, &[0, 16])),
        drops("a length of 0", edit(usual(), IP + 4, &[0, 0])),
        drops("from nowhere with a link-layer address", solicitation_from(NOWHERE, VIP6, &FROM_CLIENT)),
        drops(
            "from nowhere to something else than the target's group",
            icmp6(macs, (NOWHERE, VIP6), (135, 0), 255, &body(VIP6, &[])),
        ),
        drops(
            "from a group: the answer would go to all of it",
            solicitation_from(ALL_NODES, VIP6, &FROM_CLIENT),
        ),
    ]
    .into_iter()
    .map(|case| Case { name: format!("a solicitation for a VIP is dropped: {}", case.name), ..case })
    .collect()
}

fn cut_short() -> Vec<Case> {
    let whole = solicitation(VIP6, &FROM_CLIENT);
    let target_end = AFTER6 + 24;
    (IP..whole.len())
        .map(|len| {
            let frame = cut(whole.clone(), len);
            let name = format!("a solicitation for a VIP that is cut off after {len} bytes");
            match len {
                // The type is not there: nothing says that it asks.
                ..=AFTER6 => Case::passes(name + " is not for us", frame, Reason::NotForUs),
                _ if len < target_end => Case::passes(name + " names no VIP", frame, Reason::NoVip),
                _ => Case::drops(name + " is dropped", frame, Reason::Malformed),
            }
        })
        .collect()
}

/// The usual solicitation with its answer.
pub(super) fn usual() -> Case {
    let after = advertisement((CLIENT_MAC, CLIENT6), VIP6, 0x60);
    Case::answers("", solicitation(VIP6, &FROM_CLIENT), Reason::NeighbourAnswered, after)
}

fn solicitation(target: [u8; 16], options: &[u8]) -> Vec<u8> {
    solicitation_from(CLIENT6, target, options)
}

fn solicitation_from(source: [u8; 16], target: [u8; 16], options: &[u8]) -> Vec<u8> {
    let macs = (CLIENT_MAC, multicast_mac(target));
    icmp6(macs, (source, group(target)), (135, 0), 255, &body(target, options))
}

/// What the director says, and to whom. `flags`: solicited 0x40, override 0x20.
fn advertisement((mac, address): (Mac, [u8; 16]), vip: [u8; 16], flags: u8) -> Vec<u8> {
    let mut rest = body(vip, &[[2, 1].as_slice(), &OWN_MAC].concat());
    rest[0] = flags;
    icmp6((OWN_MAC, mac), (vip, address), (136, 0), 255, &rest)
}

/// What follows the checksum: flags, target, options.
fn body(target: [u8; 16], options: &[u8]) -> Vec<u8> {
    [[0; 4].as_slice(), &target, options].concat()
}

/// The solicited-node group of an address (RFC 4291, section 2.7.1).
fn group(address: [u8; 16]) -> [u8; 16] {
    let [.., a, b, c] = address;
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]
}

fn multicast_mac(address: [u8; 16]) -> Mac {
    let [.., a, b, c] = address;
    [0x33, 0x33, 0xff, a, b, c]
}
