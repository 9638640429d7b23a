//! Who sent a packet, and who owns it: sources that are none, packets that came back, other directors, this very box, the
//! dead.

use vip_common::{Action, MemberId, Reason, headers::Mac};

use super::Case;
use crate::{
    packet::{
        IP, Packet, Route, edit, icmp6,
        layers::{destination_options, extended, fragment4, icmp4, segment},
    },
    world::{
        CLIENT_MAC, CLIENT4, CLOSED, DOWN_MEMBER, LOCAL4, NOBODYS, OWN_MAC, VIP4, VIP6, WEB, WEB_MEMBER,
        mac_of,
        special::{
            DEAD_DROPPED, DEAD_KEPT, DEAD_MOVED, DEAD_RESET, HERE, HERE_MEMBER, NEW_MEMBER, ONLY_PEERS,
            OTHER_MEMBER, OWN, PEER_MAC, PEER_MEMBER, PEERS, PEERS_HERE, PEERS_NOBODY, ROUND, ROUND_HERE,
            SHUT,
        },
    },
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sources();
    cases.extend(own());
    cases.extend(bounced());
    cases.extend(here());
    cases.extend(peers());
    cases.extend(peer_loops());
    cases.extend(peers_without_ports());
    cases.extend(dead());
    cases
}

fn sources() -> Vec<Case> {
    let from4 = |source, port| Packet::on(Route::V4(source, VIP4)).tcp(port).frame();
    let from6 = |source, port| Packet::on(Route::V6(source, VIP6)).udp(port).frame();
    let mut cases = vec![
        Case::drops("from the VIP to itself, IPv4", from4(VIP4, WEB), Reason::Land),
        Case::drops("from the VIP to itself, IPv6", from6(VIP6, WEB), Reason::Land),
        Case::drops("… also to a port that no service has", from4(VIP4, CLOSED), Reason::Land),
        Case::drops("… also an echo request", icmp4((VIP4, VIP4), (8, 0), &[0; 8]).frame(), Reason::Land),
        Case::forwards("from one VIP to another", from4(LOCAL4, WEB), WEB_MEMBER),
    ];
    for source in [[224, 0, 0, 1], [239, 255, 255, 255], [0; 4], [255; 4]] {
        let name = format!("from {source:?}: no machine has it");
        cases.push(Case::drops(name, from4(source, WEB), Reason::BadSource));
    }
    for source in [[223, 255, 255, 255], [240, 0, 0, 1], [0, 0, 0, 1], [127, 0, 0, 1]] {
        cases.push(Case::forwards(format!("from {source:?}: a machine's"), from4(source, WEB), WEB_MEMBER));
    }
    let ends = |first: u8, last: u8| {
        let mut address = [0; 16];
        (address[0], address[15]) = (first, last);
        address
    };
    for (source, bad) in
        [(ends(0xff, 1), true), (ends(0, 0), true), (ends(0, 1), false), (ends(0xfe, 0), false)]
    {
        let name = format!("from {source:x?}");
        let frame = from6(source, WEB);
        cases.push(if bad {
            Case::drops(name, frame, Reason::BadSource)
        } else {
            Case::forwards(name, frame, WEB_MEMBER)
        });
    }
    cases.push(Case::drops(
        "a source that is none comes before the TTL",
        Packet::on(Route::V4([0; 4], VIP4)).udp(WEB).ttl(1).frame(),
        Reason::BadSource,
    ));
    cases
}

fn bounce(name: &str, frame: Vec<u8>, member: MemberId) -> Case {
    Case { expect: Action::bounced(member), ..Case::drops(name, frame, Reason::Bounced) }
}

/// A probe that came back: told by the MAC that it came from.
fn own() -> Vec<Case> {
    let own4 = |port, mac| Packet::on(Route::V4(OWN.v4, VIP4)).macs(mac, OWN_MAC).tcp(port).frame();
    let own6 = |port, mac| Packet::on(Route::V6(OWN.v6, VIP6)).macs(mac, OWN_MAC).tcp(port).frame();
    let nobody = MemberId::NOBODY;
    vec![
        bounce("a probe that came back from a member, IPv4", own4(WEB, mac_of(OTHER_MEMBER)), OTHER_MEMBER),
        bounce("a probe that came back from a member, IPv6", own6(WEB, mac_of(OTHER_MEMBER)), OTHER_MEMBER),
        bounce("a probe that came back from nobody that is known, IPv4", own4(WEB, CLIENT_MAC), nobody),
        bounce("a probe that came back from nobody that is known, IPv6", own6(WEB, CLIENT_MAC), nobody),
        bounce("a probe that came back to a closed port", own4(CLOSED, mac_of(OTHER_MEMBER)), OTHER_MEMBER),
        bounce("an echo request of our own", icmp4((OWN.v4, VIP4), (8, 0), &[0; 8]).frame(), nobody),
        bounce(
            "an IPv6 echo request of our own",
            icmp6((mac_of(OTHER_MEMBER), OWN_MAC), (OWN.v6, VIP6), (128, 0), 9, &[0; 8]),
            OTHER_MEMBER,
        ),
        bounce(
            "a probe that came back is not reset",
            Packet::on(Route::V4(OWN.v4, SHUT.v4)).tcp(CLOSED).frame(),
            nobody,
        ),
        Case::drops(
            "a probe that came back with 1 hop left",
            Packet::on(Route::V4(OWN.v4, VIP4)).tcp(WEB).ttl(1).frame(),
            Reason::TtlExpired,
        ),
    ]
}

/// What programs of this box send comes in by the inlet: there its addresses are no sign that a packet has come back.
pub(super) fn of_inlets() -> Vec<Case> {
    let own4 = |port| Packet::on(Route::V4(OWN.v4, VIP4)).tcp(port).frame();
    let own6 = |port| Packet::on(Route::V6(OWN.v6, VIP6)).udp(port).frame();
    let forwarded = |name: &str, frame| Case::forwards(format!("a local client's {name}"), frame, WEB_MEMBER);
    vec![
        forwarded("segment by the inlet, IPv4", own4(WEB)),
        forwarded("datagram by the inlet, IPv6", own6(WEB)),
        forwarded("SYN by the inlet", Packet::on(Route::V4(OWN.v4, VIP4)).syn(WEB).frame()).opening(),
        forwarded(
            "packet by the inlet, from an address that is not listed",
            Packet::to4(VIP4).tcp(WEB).frame(),
        ),
        Case::drops("a local client's packet to a closed port", own4(CLOSED), Reason::UnknownPort),
        bounce(
            "what the chosen member is said to send by the inlet",
            Packet::on(Route::V4(OWN.v4, VIP4)).macs(mac_of(WEB_MEMBER), OWN_MAC).tcp(WEB).frame(),
            WEB_MEMBER,
        ),
    ]
}

fn bounced() -> Vec<Case> {
    let from = |packet: Packet, member| packet.macs(mac_of(member), OWN_MAC).frame();
    vec![
        bounce(
            "what the chosen member sent back, IPv4",
            from(Packet::to4(VIP4).tcp(WEB), WEB_MEMBER),
            WEB_MEMBER,
        ),
        bounce(
            "what the chosen member sent back, IPv6",
            from(Packet::to6(VIP6).udp(WEB), WEB_MEMBER),
            WEB_MEMBER,
        ),
        bounce(
            "a SYN that the chosen member sent back",
            from(Packet::to4(VIP4).syn(WEB), WEB_MEMBER),
            WEB_MEMBER,
        ),
        bounce(
            "a fragment that the chosen member sent back",
            fragment4(from(Packet::to4(VIP4).udp(WEB), WEB_MEMBER), 0, true, 0x7600),
            WEB_MEMBER,
        ),
        Case::forwards(
            "a member that is a client of another one",
            from(Packet::to4(VIP4).tcp(WEB), OTHER_MEMBER),
            WEB_MEMBER,
        ),
        Case::drops(
            "from a member, to where nobody is",
            from(Packet::to4(VIP4).tcp(NOBODYS), WEB_MEMBER),
            Reason::NoBackend,
        ),
    ]
}

fn here() -> Vec<Case> {
    let local = |name: &str, frame: Vec<u8>| Case {
        expect: Action::local(HERE_MEMBER),
        ..Case::passes(name, frame, Reason::LocalMember)
    };
    vec![
        local("owned by this very box, IPv4", Packet::to4(VIP4).tcp(HERE).frame()),
        local("owned by this very box, IPv6", Packet::to6(VIP6).udp(HERE).frame()),
        local("a SYN that this very box owns", Packet::to4(VIP4).syn(HERE).frame()),
        local("… with a tag, which stays", Packet::to4(VIP4).syn(HERE).frame()).tagged(&[(0x8100, 0x1005)]),
        Case::drops(
            "owned by this very box, with 1 hop left",
            Packet::to4(VIP4).tcp(HERE).ttl(1).frame(),
            Reason::TtlExpired,
        ),
    ]
}

fn peers() -> Vec<Case> {
    let from = |packet: Packet, mac: Mac| packet.macs(mac, OWN_MAC).frame();
    let (v4, v6) = (|| Packet::to4(VIP4), || Packet::to6(VIP6));
    let member_peer = mac_of(PEER_MEMBER);
    let passes = |name: &str, frame| Case::passes(name, frame, Reason::ChosenByPeer);
    vec![
        Case::forwards(
            "a client's packet goes to a director that is a member",
            v4().tcp(PEERS).frame(),
            PEER_MEMBER,
        ),
        Case::forwards(
            "a peer's packet goes to a member that is none, IPv4",
            from(v4().tcp(PEERS), PEER_MAC),
            NEW_MEMBER,
        ),
        Case::forwards(
            "a peer's packet goes to a member that is none, IPv6",
            from(v6().udp(PEERS), member_peer),
            NEW_MEMBER,
        ),
        Case::forwards(
            "a peer's SYN goes to a member that is none",
            from(v4().syn(PEERS), member_peer),
            NEW_MEMBER,
        ),
        Case::forwards(
            "a peer's fragment goes to a member that is none",
            fragment4(from(v4().udp(PEERS), PEER_MAC), 0, true, 0x7601),
            NEW_MEMBER,
        ),
        passes("a peer's packet where this box is a member, IPv4", from(v4().tcp(PEERS_HERE), PEER_MAC)),
        passes("a peer's packet where this box is a member, IPv6", from(v6().tcp(PEERS_HERE), member_peer)),
        Case::forwards("… and a client's goes where its owner is", v4().tcp(PEERS_HERE).frame(), PEER_MEMBER),
        Case::forwards(
            "a director's packet to a service without directors",
            from(v4().tcp(WEB), PEER_MAC),
            WEB_MEMBER,
        ),
        Case::drops(
            "a peer's packet with 1 hop left",
            from(v4().tcp(PEERS).ttl(1), PEER_MAC),
            Reason::TtlExpired,
        ),
    ]
}

/// Forwarded, these would go round.
fn peer_loops() -> Vec<Case> {
    let from = |packet: Packet| packet.macs(PEER_MAC, OWN_MAC).frame();
    let (v4, v6) = (|| Packet::to4(VIP4), || Packet::to6(VIP6));
    let loops = |name: &str, frame| Case::drops(name, frame, Reason::PeerLoop);
    vec![
        loops("a peer's packet where all members are directors, IPv4", from(v4().tcp(ONLY_PEERS))),
        loops("a peer's packet where all members are directors, IPv6", from(v6().udp(ONLY_PEERS))),
        loops("a peer's packet where no other member is eligible, IPv4", from(v4().tcp(PEERS_NOBODY))),
        loops("a peer's packet where no other member is eligible, IPv6", from(v6().udp(PEERS_NOBODY))),
    ]
}

/// What says of no port goes round as easily.
fn peers_without_ports() -> Vec<Case> {
    let from = |frame| edit(frame, 6, &PEER_MAC);
    let ping = |vip| from(icmp4((CLIENT4, vip), (8, 0), &[0; 8]).frame());
    let later = |vip| from(fragment4(Packet::to4(vip).udp(WEB).frame(), 4, false, 0x7610));
    let headers: Vec<_> = (0..7).map(|_| destination_options(1)).collect();
    let long = |vip| from(extended(&Packet::to6(vip).udp(WEB).frame(), &headers));
    let sent = |vip| Packet::on(Route::V4(vip, CLIENT4)).raw(47, &[0; 12]).frame();
    let error = |vip| {
        let quote = [&[0; 4], &sent(vip)[IP..]].concat();
        from(icmp4((CLIENT4, vip), (3, 4), &quote).frame())
    };
    let goes = |name: &str, frame| Case::forwards(name, frame, NEW_MEMBER);
    let passes = |name: &str, frame| Case::passes(name, frame, Reason::ChosenByPeer);
    vec![
        goes("a peer's echo request", ping(ROUND.v4)),
        goes("a peer's later fragment", later(ROUND.v4)).because(Reason::FragmentBeforeFirst),
        goes("a peer's packet with too many headers", long(ROUND.v6)),
        goes("a peer's error about no port", error(ROUND.v4)).because(Reason::QuoteWithoutPorts),
        passes("a peer's echo request where this box is a member", ping(ROUND_HERE.v4)),
        passes("a peer's later fragment where this box is a member", later(ROUND_HERE.v4)),
        passes("a peer's packet with too many headers where this box is a member", long(ROUND_HERE.v6)),
        passes("a peer's error about no port where this box is a member", error(ROUND_HERE.v4)),
    ]
}

/// Older flows of a dead member, by the service's `on-dead`. Resets are elsewhere.
fn dead() -> Vec<Case> {
    let kept = |name: &str, frame: Vec<u8>| Case::forwards(name, frame, DOWN_MEMBER);
    let mut cases = vec![
        Case::forwards(
            "a dead member's flow moves, TCP",
            Packet::to4(VIP4).tcp(DEAD_MOVED).frame(),
            NEW_MEMBER,
        ),
        Case::drops(
            "a dead member's flow is dropped, TCP",
            Packet::to4(VIP4).tcp(DEAD_DROPPED).frame(),
            Reason::DeadMember,
        ),
        Case::drops(
            "a dead member's flow is dropped, UDP",
            Packet::to6(VIP6).udp(DEAD_DROPPED).frame(),
            Reason::DeadMember,
        ),
        kept("a dead member's flow stays, TCP", Packet::to4(VIP4).tcp(DEAD_KEPT).frame()),
        kept("a dead member's flow stays, UDP", Packet::to6(VIP6).udp(DEAD_KEPT).frame()),
        // Of UDP nobody can tell what is new: it counts as older, and opens a flow as far as can be known.
        Case::forwards(
            "a dead member's flow moves, UDP",
            Packet::to6(VIP6).udp(DEAD_MOVED).frame(),
            NEW_MEMBER,
        )
        .opening(),
    ];
    for (what, port) in
        [("moved", DEAD_MOVED), ("reset", DEAD_RESET), ("dropped", DEAD_DROPPED), ("kept", DEAD_KEPT)]
    {
        let packet = Packet::to6(VIP6).from_port(50_000);
        let syn = packet.clone().syn(port).frame();
        let name = format!("a SYN goes to the living where the dead's flows are {what}");
        cases.push(Case::forwards(name, syn.clone(), NEW_MEMBER).opening());
        let ack = segment(packet.tcp(port).frame(), 0x10, 0x0102_0305, 1);
        let name = format!("… and what follows it, where they are {what}");
        cases.push(Case::forwards(name, ack, NEW_MEMBER).following([syn]));
    }
    cases
}
