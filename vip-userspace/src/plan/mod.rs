//! From published to wanted tables: an ordered list of idempotent operations. Pure.
//!
//! Leaves are published first and roots last (way out, member, slots, service, VIP, port), and taken away in the
//! opposite order: at every moment between two operations a packet meets tables that agree.

mod compose;
mod numbers;
mod tables;

use std::collections::BTreeMap;

use vip_common::{
    FlowKey, MemberId,
    tables::{Egress, EgressId, Member, Port, Service, ServiceKey4, ServiceKey6, Slot},
};

pub use compose::Composer;
pub use numbers::{Full, Numbers, ResizedRing, RingPlace, entry_of};
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
    /// `MEMBERS[id]`; `None` clears it.
    Member(MemberId, Option<Member>),
    /// `MEMBER_COUNTS[id]` on all CPUs becomes zero: the id has a new owner.
    ClearCounts(MemberId),
    /// A run of `RINGS`, by the index of its first slot.
    Slots(u32, Vec<Slot>),
    /// An entry of `SERVICES4`; `None` removes it.
    Service4(ServiceKey4, Option<Service>),
    /// An entry of `SERVICES6`; `None` removes it.
    Service6(ServiceKey6, Option<Service>),
    /// A word of `VIPS`.
    VipWord(u32, u64),
}

/// The operations that turn `published` into `wanted`; none where they are equal.
///
/// Only what differs is written, down to single slots.
#[must_use]
pub fn plan(published: &Tables, wanted: &Tables) -> Vec<Operation> {
    let mut operations = Vec::new();
    take_away_roots(published, wanted, &mut operations);
    add_leaves(published, wanted, &mut operations);
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
}

fn add_leaves(published: &Tables, wanted: &Tables, operations: &mut Vec<Operation>) {
    if let Some(key) = wanted.flow_key.filter(|_| wanted.flow_key != published.flow_key) {
        operations.push(Operation::FlowKey(key));
    }
    operations.extend(
        changed(&published.egresses, &wanted.egresses).map(|(id, value)| Operation::Egress(id, Some(value))),
    );
    // A member that goes down is still named by slots that have not moved: until then it keeps its entry.
    for (id, member) in changed(&published.members, &wanted.members).filter(|(_, member)| is_up(member)) {
        if !published.members.contains_key(&id) {
            operations.push(Operation::ClearCounts(id));
        }
        operations.push(Operation::Member(id, Some(member)));
    }
    for (first, ring) in &wanted.rings {
        match published.rings.get(first) {
            Some(old) if std::sync::Arc::ptr_eq(old, ring) => {}
            // A ring that was elsewhere, or of another size: the slots that were there tell nothing.
            Some(old) if old.len() == ring.len() => operations.extend(differing_runs(*first, old, ring)),
            _ => operations.push(Operation::Slots(*first, ring.to_vec())),
        }
    }
}

fn add_roots(published: &Tables, wanted: &Tables, operations: &mut Vec<Operation>) {
    operations.extend(
        changed(&published.services4, &wanted.services4)
            .map(|(key, value)| Operation::Service4(key, Some(value))),
    );
    operations.extend(
        changed(&published.services6, &wanted.services6)
            .map(|(key, value)| Operation::Service6(key, Some(value))),
    );
    let published_words = published.vip_words();
    for (index, word) in wanted.vip_words() {
        let before = published_words.get(&index).copied().unwrap_or_default();
        if word & !before != 0 {
            operations.push(Operation::VipWord(index, word));
        }
    }
    operations.extend(
        changed(&published.ports, &wanted.ports)
            .map(|(ifindex, value)| Operation::Port(ifindex, Some(value))),
    );
}

fn is_up(member: &Member) -> bool {
    member.state == Member::UP
}

fn take_away_leaves(published: &Tables, wanted: &Tables, operations: &mut Vec<Operation>) {
    let down = changed(&published.members, &wanted.members).filter(|(_, member)| !is_up(member));
    for (id, member) in down {
        if !published.members.contains_key(&id) {
            operations.push(Operation::ClearCounts(id));
        }
        operations.push(Operation::Member(id, Some(member)));
    }
    operations.extend(gone(&published.members, &wanted.members).map(|id| Operation::Member(id, None)));
    operations.extend(gone(&published.egresses, &wanted.egresses).map(|id| Operation::Egress(id, None)));
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

/// The stretches of a ring in which every slot differs.
fn differing_runs(first: u32, old: &[Slot], new: &[Slot]) -> Vec<Operation> {
    let mut runs: Vec<(usize, Vec<Slot>)> = Vec::new();
    for (at, slot) in new.iter().enumerate().filter(|(at, slot)| old[*at] != **slot) {
        match runs.last_mut() {
            Some((start, run)) if *start + run.len() == at => run.push(*slot),
            _ => runs.push((at, vec![*slot])),
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "a ring has fewer than 2^32 slots")]
    runs.into_iter().map(|(start, run)| Operation::Slots(first + start as u32, run)).collect()
}

#[cfg(test)]
mod tests;
