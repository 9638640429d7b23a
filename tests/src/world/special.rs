//! The VIPs and services of that director that are told to do something special, one thing each.

use std::iter::repeat_n;

use bytemuck::Zeroable as _;
use vip_common::{
    MemberId,
    headers::{Mac, SCTP, TCP, UDP},
    tables::{
        Egress, EgressId, Member, MemberEntry, OnDead, Service, ServiceKey4, ServiceKey6, Slot, Station,
        Terms, WideKey4, WideKey6,
    },
};
use vip_userspace::plan::Tables;

use super::{
    DOWN_MEMBER, KEEPS_TTL, OTHER_MAC, OTHER_PORT, OWN_MAC, PORT, SERVICE_NUMBERS, SLOTS, SPREAD,
    SPREAD_MEMBERS, TERMS, VIP4, VIP6, WEB, mac_of,
};

/// An address of both families.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// IPv4.
    pub v4: [u8; 4],
    /// IPv6.
    pub v6: [u8; 16],
}

const fn vip(n: u8) -> Pair {
    Pair { v4: [10, 200, 0, n], v6: [0xfd, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n] }
}

/// A VIP with a service of the UDP ports 8,000 to 8,191 ([`RANGE`]), one of port 8,100, and one of all ports of SCTP.
pub const WIDE: Pair = vip(3);
/// A VIP with a service of all protocols.
pub const ANY: Pair = vip(4);
/// A VIP without an eligible member, and what is to no service of it is reset.
pub const SHUT: Pair = vip(5);
/// A VIP that leaves echo requests to its members.
pub const ECHO: Pair = vip(6);
/// A VIP that another director answers for.
pub const STANDBY: Pair = vip(7);
/// A VIP with a service, UDP [`SPREAD`], that places all packets by addresses, and two that don't: those of [`WITHIN`] and
/// [`KEEPS_TTL`] go to [`PEER_MEMBER`].
pub const WHOLE: Pair = vip(8);
/// A VIP whose own entry has a ring of directors, but for [`NEW_MEMBER`], and that leaves echo requests to them.
pub const ROUND: Pair = vip(9);
/// Such a VIP that this box is a member of.
pub const ROUND_HERE: Pair = vip(10);
/// A VIP with a service, UDP [`SPREAD`], that places all packets by addresses, and new ones in the turns of [`TURNS`].
pub const ROTA: Pair = vip(11);
/// Addresses of the director itself.
pub const OWN: Pair = Pair { v4: [10, 77, 0, 1], v6: [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] };

/// First and last port of the service of many ports.
pub const RANGE: (u16, u16) = (8000, 8191);
/// A port within [`RANGE`] with a service of its own.
pub const WITHIN: u16 = 8100;

/// Port of a service whose slots remember: new flows to [`NEW_MEMBER`], older ones to [`OLD_MEMBER`], which drains.
pub const MOVED: u16 = 92;
/// Port of a service whose slots are tracked, though both members are [`NEW_MEMBER`].
pub const SETTLED: u16 = 93;
/// Port of a service whose older flows are a dead member's: they go where the newer ones go.
pub const DEAD_MOVED: u16 = 94;
/// Port of a service whose older flows are a dead member's: they are reset.
pub const DEAD_RESET: u16 = 95;
/// Port of a service whose older flows are a dead member's: they are dropped.
pub const DEAD_DROPPED: u16 = 96;
/// Port of a service whose older flows are a dead member's: they stay.
pub const DEAD_KEPT: u16 = 97;
/// Port of a service that may write nothing to the flow table, with the slots of [`MOVED`].
pub const BROKE: u16 = 98;
/// Port of a service of which the newer flows are nobody's: everybody drains.
pub const DRAINED: u16 = 99;
/// Port of a service whose members are directors, but for [`NEW_MEMBER`].
pub const PEERS: u16 = 100;
/// Port of such a service that this box is a member of.
pub const PEERS_HERE: u16 = 101;
/// Port of such a service with no other members than directors.
pub const ONLY_PEERS: u16 = 102;
/// Port of such a service whose members that are no directors are not eligible.
pub const PEERS_NOBODY: u16 = 103;
/// Port of a service whose member is this very box.
pub const HERE: u16 = 104;
/// Port of a service that nobody has, and that says so.
pub const RESETS: u16 = 105;
/// Port of a service whose member is behind a way out without VLAN tags.
pub const UNTAGGED: u16 = 106;
/// Port of a service whose member is behind a way out with one VLAN tag.
pub const ONE_TAG: u16 = 107;
/// Port of a service whose member is behind a way out with two VLAN tags.
pub const TWO_TAGS: u16 = 108;
/// Port of a service whose member is behind another port, with one VLAN tag.
pub const TAG_ELSEWHERE: u16 = 109;
/// Port of a service whose new flows take turns: [`NEW_MEMBER`], then [`OTHER_MEMBER`].
pub const TURNS: u16 = 110;
/// Port of a service with the ring of [`SPREAD`], where a flow is the first 24 bits of the IPv4 source, or 64 of IPv6.
pub const SOURCES: u16 = 111;
/// Port of a service over SCTP.
pub const ASSOCIATIONS: u16 = 112;
/// Port of a service with the slots of [`MOVED`], where a slot is a source's, whatever its prefix in [`SOURCES`].
pub const MOVED_SOURCES: u16 = 113;
/// Port of a service with the turns of [`TURNS`], which sources take.
pub const TURNS_OF_SOURCES: u16 = 114;
/// Port of a service with the slots of [`MOVED`], that places all packets by addresses.
pub const MOVED_ADDRESSES: u16 = 115;
/// Number of the service of [`ROTA`]; no service has that port.
const ROTA_SERVICE: u32 = 116;
/// Port of a service without terms, whose slots are tracked.
pub const NO_TERMS: u16 = 127;

/// The member that new flows go to.
pub const NEW_MEMBER: MemberId = MemberId(3);
/// The other member that new flows go to.
pub const OTHER_MEMBER: MemberId = MemberId(4);
/// The member that drains.
pub const OLD_MEMBER: MemberId = MemberId(10);
/// The member that is this very box.
pub const HERE_MEMBER: MemberId = MemberId(11);
/// The member behind [`UNTAGGED`].
pub const UNTAGGED_MEMBER: MemberId = MemberId(12);
/// The member behind [`ONE_TAG`].
pub const ONE_TAG_MEMBER: MemberId = MemberId(13);
/// The member behind [`TWO_TAGS`].
pub const TWO_TAGS_MEMBER: MemberId = MemberId(14);
/// The member behind [`TAG_ELSEWHERE`].
pub const TAG_ELSEWHERE_MEMBER: MemberId = MemberId(15);
/// The member that is another director.
pub const PEER_MEMBER: MemberId = MemberId(16);
/// VLAN ids of [`ONE_TAG`] and [`TAG_ELSEWHERE`].
pub const VLAN: u16 = 0x123;
/// VLAN ids of [`TWO_TAGS`], the outer one first.
pub const VLANS: [u16; 2] = [0xabc, 0x456];
/// MAC of another director that is no member.
pub const PEER_MAC: Mac = [2, 0, 0, 0, 0, 0xdd];

/// Ports that other members or rings than [`rings`] have stand with those there.
pub(super) fn publish(tables: &mut Tables, first: u32) {
    for (id, tags, vlans) in [(3, 0, [0, 0]), (4, 1, [VLAN, 0]), (5, 2, VLANS)] {
        let egress = Egress { tags, vlans: vlans.map(u16::to_be_bytes), ..Egress::untouched(PORT, OWN_MAC) };
        tables.egresses.insert(EgressId(id), egress);
    }
    let other = Egress {
        tags: 1,
        vlans: [VLAN, 0].map(u16::to_be_bytes),
        ..Egress::untouched(OTHER_PORT, OTHER_MAC)
    };
    tables.egresses.insert(EgressId(6), other);
    tables.members.extend(members());
    stations(tables);
    let rings = Rings::publish(tables, first);
    services(tables, &rings);
    vips(tables, &rings);
}

fn members() -> Vec<(MemberId, MemberEntry)> {
    let member = |id: MemberId, egress, state| {
        (id, MemberEntry::new(Member { mac: mac_of(id), egress: EgressId(egress), state }, 7))
    };
    vec![
        member(OLD_MEMBER, 1, Member::DRAINING),
        member(HERE_MEMBER, 1, Member::HERE),
        member(UNTAGGED_MEMBER, 3, Member::UP),
        member(ONE_TAG_MEMBER, 4, Member::UP),
        member(TWO_TAGS_MEMBER, 5, Member::UP),
        member(TAG_ELSEWHERE_MEMBER, 6, Member::UP),
        member(PEER_MEMBER, 1, Member::UP),
    ]
}

fn stations(tables: &mut Tables) {
    let members = SPREAD_MEMBERS.map(|id| (mac_of(id), Station { member: id, flags: 0 }));
    tables.stations.extend(members);
    tables.stations.extend([
        (mac_of(PEER_MEMBER), Station { member: PEER_MEMBER, flags: Station::DIRECTOR }),
        (PEER_MAC, Station { member: MemberId::NOBODY, flags: Station::DIRECTOR }),
    ]);
}

/// Where the rings of these services lie, whose slots are all the same: by what a slot is.
struct Rings(Vec<(Slot, u32)>);

impl Rings {
    fn publish(tables: &mut Tables, first: u32) -> Self {
        let all = [
            Slot::tracked(NEW_MEMBER, OLD_MEMBER),
            Slot::tracked(NEW_MEMBER, NEW_MEMBER),
            Slot::tracked(NEW_MEMBER, DOWN_MEMBER),
            Slot::tracked(MemberId::NOBODY, OLD_MEMBER),
            Slot::of(NEW_MEMBER),
            Slot::of(OTHER_MEMBER),
            Slot::of(HERE_MEMBER),
            Slot::of(PEER_MEMBER),
            Slot::of(MemberId::NOBODY),
            Slot::of(UNTAGGED_MEMBER),
            Slot::of(ONE_TAG_MEMBER),
            Slot::of(TWO_TAGS_MEMBER),
            Slot::of(TAG_ELSEWHERE_MEMBER),
        ];
        let places: Vec<_> = all.into_iter().zip((first..).step_by(SLOTS as usize)).collect();
        for (slot, first) in &places {
            tables.rings.insert(*first, repeat_n(*slot, SLOTS as usize).collect());
        }
        Self(places)
    }

    fn of(&self, slot: Slot) -> Service {
        let first = self.0.iter().find(|(other, _)| *other == slot).map_or(0, |(_, first)| *first);
        Service { ring_first: first, ring_size: SLOTS, ..Service::zeroed() }
    }
}

fn services(tables: &mut Tables, rings: &Rings) {
    let dead = |on_dead: OnDead| Service {
        on_dead: on_dead as u8,
        ..rings.of(Slot::tracked(NEW_MEMBER, DOWN_MEMBER))
    };
    let moved = rings.of(Slot::tracked(NEW_MEMBER, OLD_MEMBER));
    let to = |member| rings.of(Slot::of(member));
    let peers = |others: u32, flags| Service {
        peers_first: others,
        flags: Service::PEERS | flags,
        ..to(PEER_MEMBER)
    };
    let turns = turns(tables, rings);
    rota(tables, turns);
    let all = [
        (MOVED, moved),
        (SETTLED, rings.of(Slot::tracked(NEW_MEMBER, NEW_MEMBER))),
        (DEAD_MOVED, dead(OnDead::Move)),
        (DEAD_RESET, dead(OnDead::Reset)),
        (DEAD_DROPPED, dead(OnDead::Drop)),
        (DEAD_KEPT, dead(OnDead::Keep)),
        (BROKE, moved),
        (DRAINED, rings.of(Slot::tracked(MemberId::NOBODY, OLD_MEMBER))),
        (PEERS, peers(to(NEW_MEMBER).ring_first, 0)),
        (PEERS_HERE, peers(to(NEW_MEMBER).ring_first, Service::HERE)),
        (ONLY_PEERS, peers(0, 0)),
        (PEERS_NOBODY, peers(to(MemberId::NOBODY).ring_first, 0)),
        (HERE, Service { flags: Service::HERE, ..to(HERE_MEMBER) }),
        (RESETS, Service { flags: Service::RESETS, ..to(MemberId::NOBODY) }),
        (UNTAGGED, to(UNTAGGED_MEMBER)),
        (ONE_TAG, to(ONE_TAG_MEMBER)),
        (TWO_TAGS, to(TWO_TAGS_MEMBER)),
        (TAG_ELSEWHERE, to(TAG_ELSEWHERE_MEMBER)),
        (TURNS, turns),
        (ASSOCIATIONS, moved),
        (MOVED_SOURCES, Service { source_bits: 32, ..moved }),
        (TURNS_OF_SOURCES, Service { source_bits: 32, ..turns }),
        (MOVED_ADDRESSES, Service { flags: Service::BY_ADDRESSES, ..moved }),
        (NO_TERMS, moved),
    ];
    for (port, service) in all {
        // The numbers of services end below that of the one without terms.
        let id = if port == NO_TERMS { SERVICE_NUMBERS } else { port.into() };
        add(tables, (VIP4, VIP6), port, Service { id, ..service });
    }
    sources(tables);
    tables.terms.insert(BROKE.into(), Terms { allowance: 0, ..TERMS });
    for port in [TURNS, TURNS_OF_SOURCES] {
        tables.terms.insert(port.into(), Terms { always: 1, ..TERMS });
    }
}

fn rota(tables: &mut Tables, turns: Service) {
    let flags = Service::TAKES_TURNS | Service::BY_ADDRESSES;
    let service = Service { id: ROTA_SERVICE, flags, ..turns };
    tables.terms.insert(ROTA_SERVICE, Terms { always: 1, ..TERMS });
    for (port, protocol) in [(SPREAD, UDP), (0, UDP), (0, 0)] {
        let port = port.to_be_bytes();
        tables.services4.insert(ServiceKey4 { vip: ROTA.v4, port, protocol, zero: 0 }, service);
        tables.services6.insert(ServiceKey6 { vip: ROTA.v6, port, protocol, zero: 0 }, service);
    }
}

/// A service where the flow is the source.
fn sources(tables: &mut Tables) {
    let spread =
        tables.services4[&ServiceKey4 { vip: VIP4, port: SPREAD.to_be_bytes(), protocol: TCP, zero: 0 }];
    let sources = Service { id: SOURCES.into(), ..spread };
    for protocol in [TCP, UDP] {
        let port = SOURCES.to_be_bytes();
        let key4 = ServiceKey4 { vip: VIP4, port, protocol, zero: 0 };
        tables.services4.insert(key4, Service { source_bits: 24, ..sources });
        let key6 = ServiceKey6 { vip: VIP6, port, protocol, zero: 0 };
        tables.services6.insert(key6, Service { source_bits: 64, ..sources });
    }
}

/// A service that goes round: its slots say nothing of new flows.
fn turns(tables: &mut Tables, rings: &Rings) -> Service {
    let turns_first = rings.0.last().map_or(0, |(_, first)| first + SLOTS);
    tables.rings.insert(turns_first, [NEW_MEMBER, OTHER_MEMBER].map(Slot::of).into());
    Service { turns_first, turns_size: 2, flags: Service::TAKES_TURNS, ..rings.of(Slot::of(OTHER_MEMBER)) }
}

/// TCP and UDP; of [`ASSOCIATIONS`] SCTP.
fn add(tables: &mut Tables, (vip4, vip6): ([u8; 4], [u8; 16]), port: u16, service: Service) {
    let protocols: &[u8] = if port == ASSOCIATIONS { &[SCTP] } else { &[TCP, UDP] };
    let port = port.to_be_bytes();
    for protocol in protocols.iter().copied() {
        tables.services4.insert(ServiceKey4 { vip: vip4, port, protocol, zero: 0 }, service);
        tables.services6.insert(ServiceKey6 { vip: vip6, port, protocol, zero: 0 }, service);
    }
}

fn vips(tables: &mut Tables, rings: &Rings) {
    let spread =
        tables.services4[&ServiceKey4 { vip: VIP4, port: SPREAD.to_be_bytes(), protocol: TCP, zero: 0 }];
    let to = |member| rings.of(Slot::of(member));
    let echo = Service::ANSWERS_ECHO;
    let round = Service {
        peers_first: to(NEW_MEMBER).ring_first,
        flags: Service::PEERS | Service::FORWARDS_ECHO,
        ..to(PEER_MEMBER)
    };
    let own = [
        (WIDE, Service { flags: Service::WIDE | echo, ..spread }),
        (ANY, Service { flags: Service::WIDE | echo, ..spread }),
        (SHUT, Service { flags: Service::RESETS, ..to(MemberId::NOBODY) }),
        (ECHO, Service { flags: Service::FORWARDS_ECHO, ..spread }),
        (STANDBY, Service { flags: Service::STANDBY | echo, ..spread }),
        (WHOLE, Service { flags: echo | Service::BY_ADDRESSES, ..spread }),
        (ROUND, round),
        (ROUND_HERE, Service { flags: round.flags | Service::HERE, ..round }),
    ];
    for (vip, service) in own {
        tables.services4.insert(ServiceKey4::vip(vip.v4), service);
        tables.services6.insert(ServiceKey6::vip(vip.v6), service);
    }
    tables.services4.insert(ServiceKey4::own(OWN.v4), Service::zeroed());
    tables.services6.insert(ServiceKey6::own(OWN.v6), Service::zeroed());
    add(tables, (STANDBY.v4, STANDBY.v6), WEB, spread);
    add(tables, (WIDE.v4, WIDE.v6), WITHIN, to(OTHER_MEMBER));
    let whole = Service { flags: Service::BY_ADDRESSES, ..spread };
    for port in [SPREAD, 0] {
        let port = port.to_be_bytes();
        tables.services4.insert(ServiceKey4 { vip: WHOLE.v4, port, protocol: UDP, zero: 0 }, whole);
        tables.services6.insert(ServiceKey6 { vip: WHOLE.v6, port, protocol: UDP, zero: 0 }, whole);
    }
    add(tables, (WHOLE.v4, WHOLE.v6), WITHIN, to(PEER_MEMBER));
    let keeps_ttl = Service { flags: Service::KEEP_TTL, ..to(PEER_MEMBER) };
    add(tables, (WHOLE.v4, WHOLE.v6), KEEPS_TTL, keeps_ttl);
    // 8,000 to 8,191 are three blocks of 64 ports.
    for port in [8000_u16, 8064, 8128] {
        wide(tables, WIDE, (UDP, port, 24 - 6), to(NEW_MEMBER));
    }
    wide(tables, WIDE, (SCTP, 0, 8), to(NEW_MEMBER));
    wide(tables, ANY, (0, 0, 0), spread);
}

/// `bits`: how many of those of protocol and port count.
fn wide(tables: &mut Tables, vip: Pair, (protocol, port, bits): (u8, u16, u32), service: Service) {
    let port = port.to_be_bytes();
    let key4 = WideKey4 { bits: WideKey4::VIP + bits, vip: vip.v4, protocol, port, zero: 0 };
    tables.wide4.insert(key4, service);
    let key6 = WideKey6 { bits: WideKey6::VIP + bits, vip: vip.v6, protocol, port, zero: 0 };
    tables.wide6.insert(key6, service);
}
