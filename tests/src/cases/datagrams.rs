//! Later fragments get what the first one of their datagram got: its member, on the terms of its service.

use vip_common::{
    Action, MemberId, Reason,
    headers::{ICMP, Mac, UDP},
};

use super::Case;
use crate::{
    packet::{
        Packet, edit,
        layers::{Extension, destination_options, extended, fragment4, fragment6},
        readdressed,
    },
    world::{
        CLOSED, DOWN_MEMBER, KEEPS_TTL, LOCAL4, LOCAL6, OWN_MAC, SPREAD, TTL_MEMBER, VIP4, VIP6, WEB,
        WEB_MEMBER, mac_of,
        special::{
            DEAD_DROPPED, DEAD_KEPT, DEAD_RESET, NEW_MEMBER, OTHER_MEMBER, PEER_MAC, PEER_MEMBER, PEERS,
            PEERS_HERE, ROTA,
        },
        spread::{by_addresses4, by_addresses6, owner4},
    },
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = kept_ttl();
    cases.extend(of_local_vips());
    cases.extend(of_peers());
    cases.extend(not_remembered());
    cases.extend(dead());
    cases.extend(in_any_order());
    cases
}

/// The first fragment of a UDP datagram to a port, and a later one, which says nothing of it.
#[derive(Clone)]
struct Datagram {
    first: Vec<u8>,
    later: Vec<u8>,
}

impl Datagram {
    fn v4(packet: &Packet, id: u16) -> Self {
        let rest = packet.clone().raw(UDP, &[0xa5; 24]).frame();
        Self { first: fragment4(packet.frame(), 0, true, id), later: fragment4(rest, 4, false, id) }
    }

    fn v6(packet: &Packet, id: u32) -> Self {
        let later = |headers: &[Extension]| extended(&packet.clone().raw(UDP, &[0xa5; 24]).frame(), headers);
        Self {
            first: extended(&packet.frame(), &[fragment6(0, true, id)]),
            later: later(&[fragment6(4, false, id)]),
        }
    }

    fn both(vips: ([u8; 4], [u8; 16]), port: u16, id: u16) -> [(&'static str, Self); 2] {
        let (v4, v6) = (Packet::to4(vips.0).udp(port), Packet::to6(vips.1).udp(port));
        [("IPv4", Self::v4(&v4, id)), ("IPv6", Self::v6(&v6, id.into()))]
    }

    /// The same, by way of another machine.
    fn sent_by(self, mac: Mac) -> Self {
        Self { first: edit(self.first, 6, &mac), later: edit(self.later, 6, &mac) }
    }
}

/// The last hop of a later fragment is its service's, too.
fn kept_ttl() -> Vec<Case> {
    let keeps = |name: String, frame: Vec<u8>| Case {
        after: readdressed(&frame, OWN_MAC, mac_of(TTL_MEMBER)),
        expect: Action::transmit(TTL_MEMBER, false),
        ..Case::passes(name, frame, Reason::Forwarded)
    };
    let mut cases = Vec::new();
    for ttl in [1, 2, 64] {
        let id = 0x7780 + u16::from(ttl);
        let (v4, v6) = (Packet::to4(VIP4).udp(KEEPS_TTL), Packet::to6(VIP6).udp(KEEPS_TTL));
        let datagrams =
            [("IPv4", Datagram::v4(&v4.ttl(ttl), id)), ("IPv6", Datagram::v6(&v6.ttl(ttl), id.into()))];
        for (family, Datagram { first, later }) in datagrams {
            let name =
                format!("a later fragment with {ttl} hops left to a service that keeps them, {family}");
            cases.push(keeps(name, later).following([first]));
        }
    }
    let Datagram { first, .. } = Datagram::v4(&Packet::to4(VIP4).udp(WEB), 0x7710);
    let Datagram { later, .. } = Datagram::v4(&Packet::to4(VIP4).udp(WEB).ttl(1), 0x7710);
    cases.push(
        Case::drops("a later fragment with 1 hop left to a service that takes it", later, Reason::TtlExpired)
            .following([first]),
    );
    cases
}

fn of_local_vips() -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, Datagram { first, later }) in Datagram::both((LOCAL4, LOCAL6), CLOSED, 0x7720) {
        let name = format!("a first fragment that is left to the stack, {family}");
        cases.push(Case::passes(name, first.clone(), Reason::LocalVip));
        let name = format!("… and a later one after it, {family}");
        cases.push(Case::passes(name, later, Reason::LocalVip).following([first]));
    }
    let ping =
        |offset, more| fragment4(Packet::to4(LOCAL4).raw(ICMP, &[8; 64]).frame(), offset, more, 0x7721);
    let stack = |name: &str, frame| Case::passes(name, frame, Reason::LocalVip);
    cases.push(stack("a fragment of an echo request to a local VIP", ping(0, true)));
    cases.push(stack("… and a later one after it", ping(4, false)).following([ping(0, true)]));
    let Datagram { first, later } = Datagram::v4(&Packet::to4(LOCAL4).udp(SPREAD), 0x7722);
    let owner = owner4(LOCAL4, 40_000, UDP);
    cases.push(
        Case::forwards("a later fragment to a service of a local VIP", later, owner).following([first]),
    );
    cases
}

fn of_peers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, datagram) in Datagram::both((VIP4, VIP6), PEERS_HERE, 0x7730) {
        let Datagram { first, later } = datagram.sent_by(PEER_MAC);
        let name = format!("a peer's later fragment, whose first one was for this box, {family}");
        cases.push(Case::passes(name, later, Reason::ChosenByPeer).following([first]));
    }
    for (family, datagram) in Datagram::both((VIP4, VIP6), PEERS, 0x7731) {
        let Datagram { first, later } = datagram.sent_by(PEER_MAC);
        let name = format!("a peer's later fragment goes after its first one, {family}");
        cases.push(Case::forwards(name, later, NEW_MEMBER).following([first]));
    }
    for (family, Datagram { first, later }) in Datagram::both((VIP4, VIP6), PEERS, 0x7732) {
        let name = format!("a client's later fragment goes to a director after its first one, {family}");
        cases.push(Case::forwards(name, later.clone(), PEER_MEMBER).following([first.clone()]));
        let owner = if family == "IPv4" { by_addresses4(VIP4, UDP) } else { by_addresses6(VIP6, UDP) };
        let name = format!("… but not if a director sends it, {family}");
        let case = Case::forwards(name, edit(later, 6, &PEER_MAC), owner).following([first]);
        cases.push(case.because(Reason::FragmentBeforeFirst));
    }
    cases
}

/// Later fragments of what nobody got.
fn not_remembered() -> Vec<Case> {
    let unseen = |name: &str, frame, member: MemberId| {
        Case::forwards(name, frame, member).because(Reason::FragmentBeforeFirst)
    };
    let owner = by_addresses4(VIP4, UDP);
    let bounced = Datagram::v4(&Packet::to4(VIP4).udp(WEB), 0x7740);
    let back = bounced.clone().sent_by(mac_of(WEB_MEMBER)).first;
    let nowhere = Datagram::v4(&Packet::to4(VIP4).udp(CLOSED), 0x7741);
    let mut cases = vec![
        unseen("a later fragment, whose first one came back from its member", bounced.later, owner)
            .following([back]),
        unseen("a later fragment, whose first one was to no service", nowhere.later, owner)
            .following([nowhere.first]),
    ];
    for (name, port, id) in [("dropped", DEAD_DROPPED, 0x7742), ("reset", DEAD_RESET, 0x7743)] {
        let Datagram { first, later } = Datagram::v4(&Packet::to4(VIP4).udp(port), id);
        let gone = format!("a first fragment of a dead member's flow, where those are {name}");
        cases.push(Case::drops(gone, first.clone(), Reason::DeadMember));
        cases.push(
            unseen(&format!("… and a later one, where they are {name}"), later, owner).following([first]),
        );
    }
    cases
}

/// Where a dead member keeps its flows, it has the whole datagram.
fn dead() -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, Datagram { first, later }) in Datagram::both((VIP4, VIP6), DEAD_KEPT, 0x7750) {
        let name = format!("a later fragment of a dead member's flow, where it stays, {family}");
        cases.push(Case::forwards(name, later, DOWN_MEMBER).following([first]));
    }
    cases
}

/// By addresses and in turn: whichever fragment comes first takes the turn for all. A later one opens nothing that is counted:
/// it may be one of a connection.
fn in_any_order() -> Vec<Case> {
    let whole = Datagram::v4(&Packet::to4(ROTA.v4).udp(SPREAD), 0x7760);
    let other = Datagram::v6(&Packet::to6(ROTA.v6).udp(SPREAD), 0x7761);
    let options = extended(&Packet::to6(ROTA.v6).udp(SPREAD).frame(), &[destination_options(1)]);
    let turn = |name: &str, frame, member| Case::forwards(name, frame, member);
    vec![
        turn("in turn by addresses: a later fragment that comes first", whole.later.clone(), NEW_MEMBER),
        turn("… and its first one after it, IPv4", whole.first, NEW_MEMBER).following([whole.later.clone()]),
        turn("… and the turn after it, IPv6", other.later.clone(), OTHER_MEMBER)
            .following([whole.later.clone()]),
        turn("… and its first one, IPv6", other.first, OTHER_MEMBER)
            .following([whole.later.clone(), other.later.clone()]),
        turn("… and a whole packet, IPv6", options, OTHER_MEMBER).following([whole.later, other.later]),
    ]
}
