//! The director that packet cases are sent to: its port, its services, its members, sound and broken ones.

pub mod special;
pub mod spread;

use std::{collections::BTreeMap, iter::repeat_n};

use bytemuck::Zeroable as _;
use vip_common::{
    FlowKey, MemberId,
    headers::{Mac, TCP, UDP},
    host::HostTables,
    tables::{Egress, EgressId, Member, MemberEntry, Port, Service, ServiceKey4, ServiceKey6, Slot, Terms},
};
use vip_userspace::plan::Tables;

/// Interface index of the port that packets come in by: the loopback's, which every network has.
pub const PORT: u32 = 1;
/// Interface index of the other way out.
pub const OTHER_PORT: u32 = 7;
/// The port's own MAC.
pub const OWN_MAC: Mac = [2, 0, 0, 0, 0, 1];
/// The port's virtual router id, where it has one.
pub const ROUTER: u8 = 0x33;
/// The MAC of the other way out.
pub const OTHER_MAC: Mac = [2, 0, 0, 0, 0, 7];
/// The client's MAC.
pub const CLIENT_MAC: Mac = [2, 0, 0, 0, 0, 99];
/// The client's IPv4 address.
pub const CLIENT4: [u8; 4] = [10, 77, 0, 11];
/// The client's IPv6 address.
pub const CLIENT6: [u8; 16] = [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11];
/// An IPv4 VIP.
pub const VIP4: [u8; 4] = [10, 200, 0, 1];
/// An IPv6 VIP.
pub const VIP6: [u8; 16] = [0xfd, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// An IPv4 VIP that is also a local address of the director.
pub const LOCAL4: [u8; 4] = [10, 200, 0, 2];
/// An IPv6 VIP that is also a local address of the director.
pub const LOCAL6: [u8; 16] = [0xfd, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// The member that owns all flows of [`WEB`].
pub const WEB_MEMBER: MemberId = MemberId(1);
/// The member that owns all flows of [`KEEPS_TTL`].
pub const TTL_MEMBER: MemberId = MemberId(2);
/// The member that owns all flows of [`ELSEWHERE`].
pub const ELSEWHERE_MEMBER: MemberId = MemberId(5);
/// Members that own the flows of [`SPREAD`], in the order of slots.
pub const SPREAD_MEMBERS: [MemberId; 4] = [MemberId(1), MemberId(2), MemberId(3), MemberId(4)];
/// The member of [`DOWN`].
pub const DOWN_MEMBER: MemberId = MemberId(6);
const STRANDED_MEMBER: MemberId = MemberId(7);
const UNUSED_MEMBER: MemberId = MemberId(8);
const STRANGE_MEMBER: MemberId = MemberId(9);
const MEMBER_PAST_THE_END: MemberId = MemberId(1_000_000);

/// Port of a service with one member.
pub const WEB: u16 = 80;
/// Port of a service that leaves the TTL alone.
pub const KEEPS_TTL: u16 = 81;
/// Port of a service whose member is behind another port of the director.
pub const ELSEWHERE: u16 = 82;
/// Port of a service whose slots nobody owns.
pub const NOBODYS: u16 = 83;
/// Port of a service whose member is down.
pub const DOWN: u16 = 84;
/// Port of a service whose slots name an unused member.
pub const UNUSED: u16 = 85;
/// Port of a service whose member names an unused egress.
pub const STRANDED: u16 = 86;
/// Port of a service without slots.
pub const NO_RING: u16 = 87;
/// Port of a service whose member has an unknown state.
pub const STRANGE: u16 = 88;
/// Port of a service with four members and [`SPREAD_SLOTS`] slots.
pub const SPREAD: u16 = 89;
/// Port of a service whose ring lies past the end of `RINGS`.
pub const LOST_RING: u16 = 90;
/// Port of a service whose slots name a member past the end of `MEMBERS`.
pub const PAST_THE_END: u16 = 91;
/// A port that no service has.
pub const CLOSED: u16 = 54;

/// Slots of [`SPREAD`].
pub const SPREAD_SLOTS: u32 = 251;
/// Slots of the other rings.
const SLOTS: u32 = 7;
/// Entries of `RINGS`.
pub const RING_ENTRIES: u32 = 1024;
/// Numbers of services: above every port that has one.
pub const SERVICE_NUMBERS: u32 = 256;
/// Entries of `MEMBERS`.
pub const MEMBER_ENTRIES: u32 = 32;

/// The MAC of a member.
#[must_use]
pub fn mac_of(member: MemberId) -> Mac {
    let [.., low] = member.0.to_be_bytes();
    [2, 0, 0, 0, 1, low]
}

/// The secret of the flow hash: fixed numbers without a pattern (SplitMix64 from 1, 2 … 11).
#[must_use]
pub fn flow_key(first: u64) -> FlowKey {
    let mut coefficients = [0; 11];
    for (coefficient, seed) in coefficients.iter_mut().zip(first..) {
        let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *coefficient = mixed ^ (mixed >> 31);
    }
    FlowKey { coefficients }
}

/// The terms of every service: it may write what it likes for now.
pub const TERMS: Terms = Terms { period: 1, allowance: 1 << 20, idle: 120, always: 0 };

/// All tables of that director.
#[must_use]
pub fn tables() -> Tables {
    let mut tables = Tables {
        ports: [(PORT, Port { mac: OWN_MAC, router: 0, flags: 0 })].into(),
        members: members().into(),
        egresses: [(1, PORT, OWN_MAC), (2, OTHER_PORT, OTHER_MAC)]
            .map(|(id, ifindex, mac)| (EgressId(id), Egress::untouched(ifindex, mac)))
            .into(),
        flow_key: Some(flow_key(1)),
        terms: (1..SERVICE_NUMBERS).map(|id| (id, TERMS)).collect(),
        ..Tables::default()
    };
    // Slot 0 belongs to no ring: whoever reads it by mistake meets nobody.
    let mut first = 1;
    for (port, flags, slots) in rings() {
        #[expect(clippy::cast_possible_truncation, reason = "a few hundred slots")]
        let ring_size = slots.len() as u32;
        let ring_first = if port == LOST_RING { RING_ENTRIES } else { first };
        add(&mut tables, port, service(ring_first, ring_size, flags, port));
        if port == SPREAD {
            own_entries(&mut tables, service(ring_first, ring_size, Service::ANSWERS_ECHO, port));
        }
        if port != LOST_RING {
            tables.rings.insert(first, slots.into());
            first += ring_size;
        }
    }
    tables.rings.retain(|_, slots| !slots.is_empty());
    special::publish(&mut tables, first);
    tables
}

/// What is to no service of a VIP: by `own`, whose ring is that of one of its services.
fn own_entries(tables: &mut Tables, own: Service) {
    for (vip4, vip6, flags) in [(VIP4, VIP6, 0), (LOCAL4, LOCAL6, Service::LOCAL)] {
        let own = Service { flags: own.flags | flags, ..own };
        tables.services4.insert(ServiceKey4::vip(vip4), own);
        tables.services6.insert(ServiceKey6::vip(vip6), own);
    }
}

/// The same tables, where the port has a virtual router's MACs as well.
#[must_use]
pub fn with_router(tables: Tables) -> Tables {
    let port = Port { mac: OWN_MAC, router: ROUTER, flags: 0 };
    Tables { ports: [(PORT, port)].into(), ..tables }
}

/// The same tables, where the port is the inlet of local clients.
#[must_use]
pub fn with_inlet(tables: Tables) -> Tables {
    let port = Port { mac: OWN_MAC, router: 0, flags: Port::INLET };
    Tables { ports: [(PORT, port)].into(), ..tables }
}

/// A service whose number is its port.
#[must_use]
pub fn service(ring_first: u32, ring_size: u32, flags: u32, port: u16) -> Service {
    Service { ring_first, ring_size, flags, id: port.into(), ..Service::zeroed() }
}

/// The same tables, as the decision reads them on the host now.
#[must_use]
pub fn on_host(tables: &Tables) -> HostTables {
    let words = tables.vip_words();
    let bits = words.iter().flat_map(|(word, bits)| {
        (0..64).filter(move |bit| bits >> bit & 1 != 0).map(move |bit| (word * 64 + bit, true))
    });
    let mut rings = vec![Slot::of(MemberId::NOBODY); RING_ENTRIES as usize];
    for (first, slots) in &tables.rings {
        rings[*first as usize..].iter_mut().zip(slots.iter()).for_each(|(place, slot)| *place = slot);
    }
    HostTables {
        ports: tables.ports.clone().into_iter().collect(),
        vip_bits: bits.collect(),
        services4: tables.services4.clone().into_iter().collect(),
        services6: tables.services6.clone().into_iter().collect(),
        flow_key: tables.flow_key,
        rings,
        wide4: tables.wide4.clone().into_iter().collect(),
        wide6: tables.wide6.clone().into_iter().collect(),
        members: tables.members.clone().into_iter().collect(),
        egresses: tables.egresses.clone().into_iter().collect(),
        stations: tables.stations.clone().into_iter().collect(),
        terms: tables.terms.clone().into_iter().collect(),
        now: now().into(),
        ..HostTables::default()
    }
}

/// The clock that the decision in the kernel reads, in ns.
#[must_use]
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

fn members() -> BTreeMap<MemberId, MemberEntry> {
    let member = |id: MemberId, egress, state| {
        (id, MemberEntry::new(Member { mac: mac_of(id), egress: EgressId(egress), state }, 1))
    };
    let up = SPREAD_MEMBERS.map(|id| member(id, 1, Member::UP));
    let others = [
        member(ELSEWHERE_MEMBER, 2, Member::UP),
        member(DOWN_MEMBER, 1, Member::DOWN),
        member(STRANDED_MEMBER, 9, Member::UP),
        member(STRANGE_MEMBER, 1, 99),
    ];
    up.into_iter().chain(others).collect()
}

/// Port, flags and slots of every service.
fn rings() -> Vec<(u16, u32, Vec<Slot>)> {
    let of = |port, member| (port, 0, repeat_n(Slot::of(member), SLOTS as usize).collect());
    let spread = SPREAD_MEMBERS.into_iter().cycle().map(Slot::of).take(SPREAD_SLOTS as usize);
    let (_, _, keeps_ttl) = of(KEEPS_TTL, TTL_MEMBER);
    vec![
        of(WEB, WEB_MEMBER),
        (KEEPS_TTL, Service::KEEP_TTL, keeps_ttl),
        of(ELSEWHERE, ELSEWHERE_MEMBER),
        of(NOBODYS, MemberId::NOBODY),
        of(DOWN, DOWN_MEMBER),
        of(UNUSED, UNUSED_MEMBER),
        of(STRANDED, STRANDED_MEMBER),
        (NO_RING, 0, Vec::new()),
        of(STRANGE, STRANGE_MEMBER),
        (SPREAD, 0, spread.collect()),
        of(LOST_RING, WEB_MEMBER),
        of(PAST_THE_END, MEMBER_PAST_THE_END),
    ]
}

fn add(tables: &mut Tables, port: u16, service: Service) {
    let port = port.to_be_bytes();
    for protocol in [TCP, UDP] {
        for vip in [VIP4, LOCAL4] {
            tables.services4.insert(ServiceKey4 { vip, port, protocol, zero: 0 }, service);
        }
        for vip in [VIP6, LOCAL6] {
            tables.services6.insert(ServiceKey6 { vip, port, protocol, zero: 0 }, service);
        }
    }
}
