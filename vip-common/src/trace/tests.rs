use std::{vec, vec::Vec};

use bytemuck::Zeroable as _;

use super::*;
use crate::{Reason, headers::UDP, host::HostFrame};

const CLIENT: [u8; 4] = [192, 0, 2, 7];
const VIP: [u8; 4] = [10, 200, 0, 1];
const CLIENT6: [u8; 16] = [0x20; 16];
const VIP6: [u8; 16] = [0xfd; 16];
/// From port 40,000 to port 53, without payload.
const DATAGRAM: [u8; 8] = [0x9c, 0x40, 0, 53, 0, 8, 0, 0];

fn ethernet(tags: &[[u8; 4]], ethertype: [u8; 2], rest: &[u8]) -> HostFrame {
    let frame = [&[2; 12][..], &tags.concat(), &ethertype, rest].concat();
    HostFrame::new(&frame, 3)
}

/// An IPv4 packet with so many words of options and that fragment field.
fn ip4(option_words: u8, fragment: [u8; 2]) -> Vec<u8> {
    let len = 20 + 4 * option_words + 8;
    let mut packet = vec![0x45 + option_words, 0, 0, len, 0, 0, fragment[0], fragment[1], 64, UDP, 0, 0];
    packet.extend([CLIENT, VIP].concat());
    packet.extend(vec![1; 4 * usize::from(option_words)]);
    packet.extend(DATAGRAM);
    packet
}

/// An IPv6 packet with that header and what follows it.
fn ip6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).expect("a short one");
    [&[0x60, 0, 0, 0, 0, len, next_header, 64][..], &CLIENT6, &VIP6, payload].concat()
}

fn wanted() -> WantedPackets {
    WantedPackets { every: 1, allowance: 2, ..WantedPackets::zeroed() }
}

#[test]
fn ends_are_found_behind_tags_options_and_extension_headers() {
    let by_ports = Ends {
        source: mapped(CLIENT),
        destination: mapped(VIP),
        source_port: [0x9c, 0x40],
        destination_port: [0, 53],
        protocol: UDP,
    };
    let six = Ends { source: CLIENT6, destination: VIP6, ..by_ports };
    let without_ports = Ends { source_port: [0; 2], destination_port: [0; 2], ..by_ports };
    let tag = |ethertype: [u8; 2]| [ethertype[0], ethertype[1], 0, 5];
    let (inner, outer) = (tag(ETHERTYPE_VLAN), tag(ETHERTYPE_SERVICE_VLAN));
    let options = [&[UDP, 0, 1, 4, 0, 0, 0, 0][..], &DATAGRAM].concat();
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[2; 6], &CLIENT, &[0; 6], &VIP].concat();
    for (name, frame, ends) in [
        ("IPv4", ethernet(&[], ETHERTYPE_IPV4, &ip4(0, [0; 2])), by_ports),
        ("two tags", ethernet(&[outer, inner], ETHERTYPE_IPV4, &ip4(0, [0; 2])), by_ports),
        ("options", ethernet(&[inner], ETHERTYPE_IPV4, &ip4(10, [0; 2])), by_ports),
        ("a first fragment", ethernet(&[], ETHERTYPE_IPV4, &ip4(0, [0x20, 0])), by_ports),
        ("a later fragment", ethernet(&[], ETHERTYPE_IPV4, &ip4(0, [0, 5])), without_ports),
        ("IPv6", ethernet(&[], ETHERTYPE_IPV6, &ip6(UDP, &DATAGRAM)), six),
        ("destination options", ethernet(&[], ETHERTYPE_IPV6, &ip6(60, &options)), six),
        ("ARP", ethernet(&[], ETHERTYPE_ARP, &arp), Ends { protocol: 0, ..without_ports }),
        ("no IP", ethernet(&[], [0x88, 0xcc], &[0; 60]), Ends::NONE),
        ("IPv4 that says 6", ethernet(&[], ETHERTYPE_IPV4, &ip6(UDP, &DATAGRAM)), Ends::NONE),
        ("a cut header", ethernet(&[], ETHERTYPE_IPV4, &ip4(0, [0; 2])[..19]), Ends::NONE),
        ("nothing", HostFrame::new(&[], 3), Ends::NONE),
    ] {
        assert_eq!(Ends::of(&frame), ends, "{name}");
    }
}

#[test]
fn a_packet_is_wanted_if_all_that_is_asked_for_fits() {
    let frame = ethernet(&[], ETHERTYPE_IPV4, &ip4(0, [0; 2]));
    let fits = WantedPackets {
        destination: mapped(VIP),
        source: mapped(CLIENT),
        destination_port: [0, 53],
        source_port: [0x9c, 0x40],
        protocol: UDP.into(),
        ingress: 3,
        asks: OF_DESTINATION | OF_SOURCE | OF_DESTINATION_PORT | OF_SOURCE_PORT | OF_PROTOCOL,
        ..wanted()
    };
    assert!(wanted().is_about(&frame) && fits.is_about(&frame));
    for other in [
        WantedPackets { destination: mapped(CLIENT), ..fits },
        WantedPackets { source: VIP6, ..fits },
        WantedPackets { destination_port: [0, 54], ..fits },
        WantedPackets { source_port: [0, 53], ..fits },
        WantedPackets { protocol: 6, ..fits },
        WantedPackets { ingress: 4, ..fits },
    ] {
        assert!(!other.is_about(&frame), "{other:?}");
    }
    let of_icmp = WantedPackets { protocol: ICMP.into(), asks: OF_PROTOCOL, ..wanted() };
    assert!(of_icmp.is_about(&ethernet(&[], ETHERTYPE_IPV6, &ip6(ICMPV6, &[128, 0, 0, 0]))));
}

#[test]
fn reasons_and_outcomes_are_joined_by_or() {
    let forwarded = Action::transmit(MemberId(1), false);
    let dropped = Action::drop(Reason::Land);
    let takes = |wanted: &WantedPackets, action: &Action| wanted.takes(action.reason as u32, outcome(action));
    assert!(takes(&wanted(), &forwarded) && takes(&wanted(), &dropped));
    let by_reason = WantedPackets { reasons: 1 << Reason::Land as u32, ..wanted() };
    assert!(takes(&by_reason, &dropped) && !takes(&by_reason, &forwarded));
    let by_either = WantedPackets { outcomes: FORWARDED, ..by_reason };
    assert!(takes(&by_either, &dropped) && takes(&by_either, &forwarded));
    assert!(!takes(&by_either, &Action::answer(Reason::ArpAnswered)));
}

#[test]
fn one_in_so_many_is_told_and_no_more_than_allowed_in_a_tick() {
    let told = |wanted: &WantedPackets, ticks: &[u32]| {
        let mut count = TraceCount::zeroed();
        let tells = |tick: &u32| {
            let would = count.would_tell(wanted, *tick);
            let tells = count.tells(wanted, *tick);
            assert!(would || !tells, "its head is kept if it is told");
            tells
        };
        let told: Vec<_> = ticks.iter().map(tells).collect();
        (told, count.seen, count.limited)
    };
    let one_in_three = WantedPackets { every: 3, ..wanted() };
    let (tells, seen, limited) = told(&one_in_three, &[1; 6]);
    assert_eq!((tells, seen, limited), (vec![true, false, false, true, false, false], 6, 0));
    let (tells, seen, limited) = told(&wanted(), &[1, 1, 1, 1, 2]);
    assert_eq!((tells, seen, limited), (vec![true, true, false, false, true], 5, 2));
}
