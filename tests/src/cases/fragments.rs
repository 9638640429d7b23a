//! Fragments: the first one goes by its ports, later ones after it; where none was seen, by addresses.

use vip_common::{
    MemberId, Reason,
    headers::{ICMP, TCP, UDP},
};

use super::Case;
use crate::{
    packet::{
        AFTER4, IP, Packet, cut, edit,
        layers::{Q, destination_options, extended, fragment4, fragment6, hop_by_hop},
    },
    world::{
        CLOSED, SPREAD, VIP4, VIP6,
        special::{HERE, HERE_MEMBER, NEW_MEMBER, PEER_MEMBER, SHUT, WHOLE, WIDE, WITHIN},
        spread::{by_addresses4, by_addresses6, owner4, owner6},
    },
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for from in ports4() {
        cases.extend(of4(from));
    }
    for from in ports6() {
        cases.extend(of6(from));
    }
    cases.extend(elsewhere());
    cases.extend(whole());
    cases.extend(of_other_services());
    cases.extend(tiny());
    cases.extend(atomic());
    cases
}

/// Ports of the client whose flows are elsewhere than what says of no port.
fn ports4() -> impl Iterator<Item = u16> {
    (45_000..).filter(|port| owner4(VIP4, *port, UDP) != by_addresses4(VIP4, UDP)).take(3)
}

fn ports6() -> impl Iterator<Item = u16> {
    (45_000..).filter(|port| owner6(VIP6, *port, UDP) != by_addresses6(VIP6, UDP)).take(3)
}

fn first4(vip: [u8; 4], from: u16, id: u16) -> Vec<u8> {
    fragment4(Packet::to4(vip).udp(SPREAD).from_port(from).frame(), 0, true, id)
}

/// What a later fragment carries says nothing: here it would be another flow.
fn later4(vip: [u8; 4], (offset, more, id): (u16, bool, u16)) -> Vec<u8> {
    fragment4(Packet::to4(vip).raw(UDP, &[0x9c, 0x40, 0, 80, 0, 8, 0, 0]).frame(), offset, more, id)
}

fn of4(from: u16) -> Vec<Case> {
    let owner = owner4(VIP4, from, UDP);
    let first = first4(VIP4, from, from);
    let after = |name: &str, frame| {
        Case::forwards(format!("{name}, IPv4 {from}"), frame, owner).following([first.clone()])
    };
    let alone = |name: &str, frame| {
        let case = Case::forwards(format!("{name}, IPv4 {from}"), frame, by_addresses4(VIP4, UDP));
        case.because(Reason::FragmentBeforeFirst)
    };
    vec![
        alone("a last fragment before its first one", later4(VIP4, (3, false, from))),
        after("a first fragment goes by its ports", first.clone()),
        after("a middle fragment after its first one", later4(VIP4, (3, true, from))),
        after("a last fragment after its first one", later4(VIP4, (4, false, from))),
        after("a last fragment far behind", later4(VIP4, (0x1fff, false, from))),
        after("a later fragment with a VLAN tag", later4(VIP4, (3, false, from))).tagged(&[(Q, 7)]),
        alone("a fragment of another datagram", later4(VIP4, (3, false, from + 1000))),
        alone("a fragment of the same datagram to another VIP", later4(VIP4, (3, false, from)))
            .with_vip(WIDE.v4),
    ]
}

impl Case {
    /// The same to another IPv4 VIP, by addresses.
    fn with_vip(self, vip: [u8; 4]) -> Self {
        let frame = crate::packet::checksummed(edit(self.frame, IP + 16, &vip));
        let case = Self::forwards(self.name, frame, by_addresses4(vip, UDP));
        case.because(Reason::FragmentBeforeFirst).following(self.before)
    }
}

fn of6(from: u16) -> Vec<Case> {
    let owner = owner6(VIP6, from, UDP);
    let id = 0x0abc_0000 | u32::from(from);
    let whole = Packet::to6(VIP6).udp(SPREAD).from_port(from).frame();
    let first = extended(&whole, &[fragment6(0, true, id)]);
    let rest = Packet::to6(VIP6).raw(UDP, &[0x9c, 0x40, 0, 80, 0, 8, 0, 0]).frame();
    let later = |headers: &[_]| extended(&rest, headers);
    let after = |name: &str, frame| {
        Case::forwards(format!("{name}, IPv6 {from}"), frame, owner).following([first.clone()])
    };
    let alone = |name: &str, frame| {
        let case = Case::forwards(format!("{name}, IPv6 {from}"), frame, by_addresses6(VIP6, UDP));
        case.because(Reason::FragmentBeforeFirst)
    };
    vec![
        alone("a last fragment before its first one", later(&[fragment6(3, false, id)])),
        after("a first fragment goes by its ports", first.clone()),
        after("a middle fragment after its first one", later(&[fragment6(3, true, id)])),
        after("a last fragment after its first one", later(&[fragment6(4, false, id)])),
        after("a last fragment behind hop-by-hop options", later(&[hop_by_hop(1), fragment6(4, false, id)])),
        alone("a fragment of another datagram", later(&[fragment6(3, false, id + 1000)])),
        Case::forwards(
            format!("a first fragment's ports are found behind options within it, IPv6 {from}"),
            extended(&whole, &[fragment6(0, true, id + 2000), destination_options(1)]),
            owner,
        ),
        Case::forwards(
            // Of later fragments the header says what the fragmented part begins with (RFC 8200, section 4.5).
            format!("… and later ones name the options, IPv6 {from}"),
            edit(later(&[fragment6(4, false, id + 2000)]), crate::packet::AFTER6, &[60]),
            owner,
        )
        .following([extended(&whole, &[fragment6(0, true, id + 2000), destination_options(1)])]),
    ]
}

fn elsewhere() -> Vec<Case> {
    let here = |packet: Packet| packet.udp(HERE);
    let first = fragment4(here(Packet::to4(VIP4)).frame(), 0, true, 0x7001);
    let local = |name: &str, frame: Vec<u8>| Case {
        expect: vip_common::Action::local(HERE_MEMBER),
        ..Case::passes(name, frame, Reason::LocalMember)
    };
    let ranged = fragment4(Packet::to4(WIDE.v4).udp(8001).frame(), 0, true, 0x7002);
    let ping = |offset, more| fragment4(Packet::to4(VIP4).raw(ICMP, &[8; 64]).frame(), offset, more, 0x7003);
    let closed = |offset, more, id| fragment4(Packet::to4(VIP4).udp(CLOSED).frame(), offset, more, id);
    let shut = |offset, more| fragment4(Packet::to4(SHUT.v4).udp(CLOSED).frame(), offset, more, 0x7005);
    vec![
        local("a first fragment to a member that is this box", first.clone()),
        local("… and a later one after it", later4(VIP4, (5, false, 0x7001))).following([first]),
        Case::forwards("a first fragment to a service of many ports", ranged.clone(), NEW_MEMBER),
        Case::forwards("… and a later one after it", later4(WIDE.v4, (5, false, 0x7002)), NEW_MEMBER)
            .following([ranged]),
        Case::drops("a fragment of an echo request is not answered", ping(0, true), Reason::UnknownPort),
        Case::forwards(
            "a later fragment of ICMP goes by addresses",
            ping(4, false),
            by_addresses4(VIP4, ICMP),
        )
        .because(Reason::FragmentBeforeFirst),
        Case::drops(
            "a first fragment to a port that no service has",
            closed(0, true, 0x7004),
            Reason::UnknownPort,
        ),
        Case::drops("… is not answered either", shut(0, true), Reason::UnknownPort),
        Case::drops("a later fragment where nobody is", shut(4, false), Reason::NoBackend),
        Case::drops(
            "a later fragment with 1 hop left",
            fragment4(Packet::to4(VIP4).raw(UDP, &[0; 16]).ttl(1).frame(), 4, false, 0x7006),
            Reason::TtlExpired,
        ),
    ]
}

/// A service that places all packets by addresses: fragments meet in any order, and nothing is counted.
fn whole() -> Vec<Case> {
    // Over IPv6 a later fragment may not know its protocol, so that makes no difference.
    let (owner4, owner6) = (by_addresses4(WHOLE.v4, UDP), by_addresses6(WHOLE.v6, 0));
    let mut cases = vec![
        Case::forwards("by addresses: a later fragment, IPv4", later4(WHOLE.v4, (4, false, 1)), owner4),
        Case::forwards("by addresses: a first fragment after it, IPv4", first4(WHOLE.v4, 46_000, 1), owner4),
        Case::forwards(
            "by addresses: a later fragment, IPv6",
            extended(&Packet::to6(WHOLE.v6).raw(UDP, &[0; 32]).frame(), &[fragment6(4, false, 1)]),
            owner6,
        ),
        Case::forwards(
            "by addresses: a whole packet, IPv6",
            Packet::to6(WHOLE.v6).udp(SPREAD).frame(),
            owner6,
        ),
    ];
    let rest = extended(&Packet::to6(WHOLE.v6).raw(UDP, &[0; 32]).frame(), &[fragment6(4, false, 2)]);
    let options = edit(rest, crate::packet::AFTER6, &[60]);
    let packet6 = Packet::to6(WHOLE.v6).udp(SPREAD).frame();
    let first6 = extended(&packet6, &[fragment6(0, true, 2), destination_options(1)]);
    cases.push(Case::forwards("by addresses: a later fragment that names options", options.clone(), owner6));
    cases.push(Case::forwards("… and one after its first one", options, owner6).following([first6.clone()]));
    cases.push(Case::forwards("by addresses: a first fragment with options within it", first6, owner6));
    for port in 46_000..46_008 {
        let frame = Packet::to4(WHOLE.v4).udp(SPREAD).from_port(port).frame();
        cases.push(Case::forwards(format!("by addresses: a whole packet from port {port}"), frame, owner4));
    }
    cases
}

/// Where one service of a VIP places by addresses, the later fragments of the others still go after their first ones.
fn of_other_services() -> Vec<Case> {
    let first4 = fragment4(Packet::to4(WHOLE.v4).udp(WITHIN).frame(), 0, true, 0x7010);
    let first6 = extended(&Packet::to6(WHOLE.v6).udp(WITHIN).frame(), &[fragment6(0, true, 0x7011)]);
    let later6 = extended(&Packet::to6(WHOLE.v6).raw(UDP, &[0; 32]).frame(), &[fragment6(4, false, 0x7011)]);
    vec![
        Case::forwards("beside one by addresses: a first fragment, IPv4", first4.clone(), PEER_MEMBER),
        Case::forwards("… and a later one after it", later4(WHOLE.v4, (4, false, 0x7010)), PEER_MEMBER)
            .following([first4]),
        Case::forwards("beside one by addresses: a first fragment, IPv6", first6.clone(), PEER_MEMBER),
        Case::forwards("… and a later one after it", later6, PEER_MEMBER).following([first6]),
    ]
}

fn tiny() -> Vec<Case> {
    let mut cases = Vec::new();
    let tiny = |what: String, frame| {
        Case::drops(format!("a first fragment with {what}"), frame, Reason::TinyFragment)
    };
    for (protocol, header, name) in [(TCP, 20_u8, "TCP"), (UDP, 8, "UDP")] {
        for len in 0..header {
            let payload = vec![0; usize::from(len)];
            let frame4 = fragment4(Packet::to4(VIP4).raw(protocol, &payload).frame(), 0, true, 0x7100);
            cases.push(tiny(format!("{len} bytes of {name}, IPv4"), frame4.clone()));
            cases.push(tiny(
                format!("{len} bytes of {name}, IPv4, and padding"),
                crate::packet::pad(frame4, 100),
            ));
            let frame6 =
                extended(&Packet::to6(VIP6).raw(protocol, &payload).frame(), &[fragment6(0, true, 5)]);
            cases.push(tiny(format!("{len} bytes of {name}, IPv6"), frame6));
        }
    }
    let options =
        extended(&Packet::to6(VIP6).raw(UDP, &[]).frame(), &[fragment6(0, true, 6), destination_options(4)]);
    let len = options.len() - 8;
    cases.push(tiny("options that are cut off".into(), edit(cut(options, len), IP + 4, &[0, 32])));
    let expired = fragment4(Packet::to4(VIP4).raw(TCP, &[0; 8]).ttl(1).frame(), 0, true, 0x7101);
    cases.push(Case::drops("a tiny first fragment with 1 hop left", expired, Reason::TtlExpired));
    // TCP options may be in the next one.
    let frame = fragment4(Packet::to4(VIP4).tcp(SPREAD).frame(), 0, true, 0x7102);
    let frame = edit(frame, AFTER4 + 12, &[0xf0]);
    cases.push(Case::forwards("a first fragment whose TCP options go on in the next", frame, member4(TCP)));
    cases
}

/// The owner of the builder's usual flow to [`SPREAD`].
fn member4(protocol: u8) -> MemberId {
    owner4(VIP4, 40_000, protocol)
}

/// A fragment header with offset 0 and no more to come: a whole packet (RFC 6946).
fn atomic() -> Vec<Case> {
    let frame = extended(&Packet::to6(VIP6).syn(SPREAD).frame(), &[fragment6(0, false, 77)]);
    let reserved = edit(frame.clone(), crate::packet::AFTER6 + 3, &[6]);
    let later = extended(&Packet::to6(VIP6).raw(TCP, &[0; 16]).frame(), &[fragment6(4, false, 77)]);
    let owner = owner6(VIP6, 40_000, TCP);
    let short = extended(&Packet::to6(VIP6).raw(UDP, &[0; 7]).frame(), &[fragment6(0, false, 78)]);
    vec![
        Case::forwards("an atomic fragment is a whole packet", frame.clone(), owner).opening(),
        Case::forwards("… whatever its reserved bits are", reserved, owner).opening(),
        Case::forwards("… and none is remembered", later, by_addresses6(VIP6, TCP))
            .because(Reason::FragmentBeforeFirst)
            .following([frame]),
        Case::drops("an atomic fragment that is too short is malformed", short, Reason::Malformed),
    ]
}
