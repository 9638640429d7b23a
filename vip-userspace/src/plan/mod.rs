//! From published to wanted tables: an ordered list of idempotent operations. Pure.
//!
//! Leaves are published first and roots last (way out, member, slots, service, VIP, port), and taken away in the
//! opposite order: at every moment between two operations a packet meets tables that agree. Two things follow that are
//! easily missed: a service's terms say how its flows are written before any of its slots is tracked, and a member's
//! generation is raised before it is up again.

mod addresses;
mod budget;
mod compose;
mod numbers;
mod tables;

use std::collections::BTreeMap;

use bytemuck::Zeroable as _;
use imbl::ordmap::DiffItem;
use vip_common::{
    FlowKey, MemberId,
    tables::{
        Egress, EgressId, Member, MemberEntry, Port, Service, ServiceKey4, ServiceKey6, Slot, Station, Terms,
        WideKey4, WideKey6, names,
    },
};

use crate::ring::Ring;

pub use addresses::entry_of;
pub use budget::{Budget, Shares};
pub use compose::Composer;
pub use numbers::{Full, Numbers, ResizedRing, RingPlace};
pub use tables::Tables;

/// One write to one table. Doing it twice is doing it once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// `PORTS[ifindex]`; `None` clears it.
    Port(u32, Option<Port>),
    /// `FLOW_KEY[0]`.
    FlowKey(FlowKey),
    /// `EGRESSES[id]`; `None` clears it.
    Egress(EgressId, Option<Egress>),
    /// The word of `MEMBERS[id]` that says how it is reached; `None` clears it.
    Member(MemberId, Option<Member>),
    /// The word of `MEMBERS[id]` that has the generation.
    Generation(MemberId, u32),
    /// `MEMBER_COUNTS[id]` on all CPUs becomes zero: the id has a new owner.
    ClearCounts(MemberId),
    /// `TERMS[service id]`; `None` clears it.
    Terms(u32, Option<Terms>),
    /// An entry of `STATIONS`; `None` removes it.
    Station([u8; 6], Option<Station>),
    /// A run of `RINGS`, by the index of its first slot.
    Slots(u32, Vec<Slot>),
    /// The same, of all slots of a ring.
    Ring(u32, Ring),
    /// An entry of `SERVICES4`; `None` removes it.
    Service4(ServiceKey4, Option<Service>),
    /// An entry of `SERVICES6`; `None` removes it.
    Service6(ServiceKey6, Option<Service>),
    /// An entry of `WIDE4`; `None` removes it.
    Wide4(WideKey4, Option<Service>),
    /// An entry of `WIDE6`; `None` removes it.
    Wide6(WideKey6, Option<Service>),
    /// A word of `VIPS`.
    VipWord(u32, u64),
}

impl Operation {
    /// The table that it writes, and how many entries of it.
    #[must_use]
    pub fn table(&self) -> (&'static str, usize) {
        match self {
            Self::Port(..) => (names::PORTS, 1),
            Self::FlowKey(_) => (names::FLOW_KEY, 1),
            Self::Egress(..) => (names::EGRESSES, 1),
            Self::Member(..) | Self::Generation(..) => (names::MEMBERS, 1),
            Self::ClearCounts(_) => (names::MEMBER_COUNTS, 1),
            Self::Terms(..) => (names::TERMS, 1),
            Self::Station(..) => (names::STATIONS, 1),
            Self::Slots(_, slots) => (names::RINGS, slots.len()),
            Self::Ring(_, ring) => (names::RINGS, ring.len()),
            Self::Service4(..) => (names::SERVICES4, 1),
            Self::Service6(..) => (names::SERVICES6, 1),
            Self::Wide4(..) => (names::WIDE4, 1),
            Self::Wide6(..) => (names::WIDE6, 1),
            Self::VipWord(..) => (names::VIPS, 1),
        }
    }
}

/// The operations that turn `published` into `wanted`; none where they are equal.
///
/// Only what differs is written, down to single slots.
#[must_use]
pub fn plan(published: &Tables, wanted: &Tables) -> Vec<Operation> {
    let mut operations = Vec::new();
    take_away_roots(published, wanted, &mut operations);
    add_leaves(published, wanted, &mut operations);
    add_slots(published, wanted, &mut operations);
    add_roots(published, wanted, &mut operations);
    take_away_leaves(published, wanted, &mut operations);
    operations
}

fn take_away_roots(published: &Tables, wanted: &Tables, operations: &mut Vec<Operation>) {
    operations.extend(gone(&published.ports, &wanted.ports).map(|ifindex| Operation::Port(ifindex, None)));
    let wanted_words = wanted.vip_words();
    for (index, word) in published.vip_words() {
        let kept = word & wanted_words.get(&index).copied().unwrap_or_default();
        if kept != word {
            operations.push(Operation::VipWord(index, kept));
        }
    }
    operations
        .extend(gone(&published.services4, &wanted.services4).map(|key| Operation::Service4(key, None)));
    operations
        .extend(gone(&published.services6, &wanted.services6).map(|key| Operation::Service6(key, None)));
    operations.extend(gone(&published.wide4, &wanted.wide4).map(|key| Operation::Wide4(key, None)));
    operations.extend(gone(&published.wide6, &wanted.wide6).map(|key| Operation::Wide6(key, None)));
}

fn add_leaves(published: &Tables, wanted: &Tables, operations: &mut Vec<Operation>) {
    if let Some(key) = wanted.flow_key.filter(|_| wanted.flow_key != published.flow_key) {
        operations.push(Operation::FlowKey(key));
    }
    operations.extend(terms(published, wanted, true));
    let egresses = changed(&published.egresses, &wanted.egresses);
    operations.extend(egresses.map(|(id, value)| Operation::Egress(id, Some(value))));
    for change in members(published, wanted).filter(|change| !change.declines()) {
        if change.old.member.state == 0 {
            operations.push(Operation::ClearCounts(change.id));
        }
        // While it is down still: its flows of before are nobody's when it is up.
        operations.extend(change.generation());
        operations.extend(change.member());
    }
    let stations = changed(&published.stations, &wanted.stations);
    operations.extend(stations.map(|(mac, value)| Operation::Station(mac, Some(value))));
}

fn add_slots(published: &Tables, wanted: &Tables, operations: &mut Vec<Operation>) {
    for (first, ring) in &wanted.rings {
        match published.rings.get(first) {
            Some(old) if old.is_same(ring) => {}
            // A ring that was elsewhere, or of another size: the slots that were there tell nothing.
            Some(old) if old.len() == ring.len() => operations.extend(runs(*first, old.differing(ring))),
            _ => operations.push(Operation::Ring(*first, ring.clone())),
        }
    }
}

fn add_roots(published: &Tables, wanted: &Tables, operations: &mut Vec<Operation>) {
    let wide4 = changed(&published.wide4, &wanted.wide4);
    operations.extend(wide4.map(|(key, value)| Operation::Wide4(key, Some(value))));
    let wide6 = changed(&published.wide6, &wanted.wide6);
    operations.extend(wide6.map(|(key, value)| Operation::Wide6(key, Some(value))));
    let services4 = changed(&published.services4, &wanted.services4);
    let (vips4, services4) = services4.partition::<Vec<_>, _>(|(key, _)| *key == ServiceKey4::vip(key.vip));
    operations.extend(services4.into_iter().map(|(key, value)| Operation::Service4(key, Some(value))));
    let services6 = changed(&published.services6, &wanted.services6);
    let (vips6, services6) = services6.partition::<Vec<_>, _>(|(key, _)| *key == ServiceKey6::vip(key.vip));
    operations.extend(services6.into_iter().map(|(key, value)| Operation::Service6(key, Some(value))));
    operations.extend(vips4.into_iter().map(|(key, value)| Operation::Service4(key, Some(value))));
    operations.extend(vips6.into_iter().map(|(key, value)| Operation::Service6(key, Some(value))));
    let published_words = published.vip_words();
    for (index, word) in wanted.vip_words() {
        let before = published_words.get(&index).copied().unwrap_or_default();
        if word & !before != 0 {
            operations.push(Operation::VipWord(index, word));
        }
    }
    let ports = changed(&published.ports, &wanted.ports);
    operations.extend(ports.map(|(ifindex, value)| Operation::Port(ifindex, Some(value))));
}

fn take_away_leaves(published: &Tables, wanted: &Tables, operations: &mut Vec<Operation>) {
    operations.extend(gone(&published.stations, &wanted.stations).map(|mac| Operation::Station(mac, None)));
    // A member that goes down is still named by slots that have not moved: until here it kept its entry.
    for change in members(published, wanted).filter(MemberChange::declines) {
        operations.extend(change.member());
        operations.extend(change.generation());
    }
    operations.extend(gone(&published.egresses, &wanted.egresses).map(|id| Operation::Egress(id, None)));
    operations.extend(terms(published, wanted, false));
    operations.extend(gone(&published.terms, &wanted.terms).map(|id| Operation::Terms(id, None)));
}

/// Terms that differ: those by which flows are written, and those of new services, are leaves; those by which none are
/// written any more follow when no slot is tracked.
fn terms<'a>(
    published: &'a Tables,
    wanted: &'a Tables,
    leaves: bool,
) -> impl Iterator<Item = Operation> + use<'a> {
    let is_leaf = move |id: &u32, terms: &Terms| terms.allowance > 0 || !published.terms.contains_key(id);
    changed(&published.terms, &wanted.terms)
        .filter(move |(id, terms)| is_leaf(id, terms) == leaves)
        .map(|(id, terms)| Operation::Terms(id, Some(terms)))
}

/// A member whose entry differs.
struct MemberChange {
    id: MemberId,
    old: MemberEntry,
    new: MemberEntry,
}

impl MemberChange {
    /// True if it loses flows that it had: new ones, or all.
    fn declines(&self) -> bool {
        rank(&self.new.member) < rank(&self.old.member)
    }

    fn member(&self) -> Option<Operation> {
        let member = (self.new.member.state != 0).then_some(self.new.member);
        (self.old.member != self.new.member).then_some(Operation::Member(self.id, member))
    }

    fn generation(&self) -> Option<Operation> {
        let new = self.new.generation;
        (self.old.generation != new).then_some(Operation::Generation(self.id, new))
    }
}

/// The more flows a member gets, the higher.
fn rank(member: &Member) -> u8 {
    match member.state {
        0 => 0,
        _ if member.is_eligible() => 3,
        _ if member.is_alive() => 2,
        _ => 1,
    }
}

/// All members whose entries differ.
fn members<'a>(published: &'a Tables, wanted: &'a Tables) -> impl Iterator<Item = MemberChange> + use<'a> {
    let changes = published.members.diff(&wanted.members).map(|change| match change {
        DiffItem::Add(id, new) => MemberChange { id: *id, old: MemberEntry::zeroed(), new: *new },
        DiffItem::Update { old: (id, old), new: (_, new) } => MemberChange { id: *id, old: *old, new: *new },
        DiffItem::Remove(id, old) => MemberChange { id: *id, old: *old, new: MemberEntry::zeroed() },
    });
    changes.filter(|change| change.old != change.new)
}

/// The keys that only `published` has.
fn gone<'a, K: Ord + Copy, V>(
    published: &'a BTreeMap<K, V>,
    wanted: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = K> + use<'a, K, V> {
    published.keys().filter(|key| !wanted.contains_key(key)).copied()
}

/// The entries of `wanted` that `published` lacks, or has another value of.
fn changed<'a, K: Ord + Copy, V: PartialEq + Copy>(
    published: &'a BTreeMap<K, V>,
    wanted: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (K, V)> + use<'a, K, V> {
    wanted.iter().filter(|(key, value)| published.get(key) != Some(value)).map(|(key, value)| (*key, *value))
}

/// The writes of these slots of the ring that begins at `first`, in their order: one for each stretch without a gap.
pub fn runs(first: u32, slots: impl Iterator<Item = (u32, Slot)>) -> Vec<Operation> {
    let mut runs: Vec<(u32, Vec<Slot>)> = Vec::new();
    let mut end = None;
    for (index, slot) in slots {
        match runs.last_mut() {
            Some((_, run)) if end == Some(index) => run.push(slot),
            _ => runs.push((index, vec![slot])),
        }
        end = index.checked_add(1);
    }
    runs.into_iter().map(|(start, run)| Operation::Slots(first + start, run)).collect()
}

#[cfg(test)]
mod tests;
