//! The plan against a plain reference: apply every operation to tables in memory, and look at each step.

#![expect(clippy::cast_possible_truncation, reason = "the numbers of these examples are small")]

use std::sync::Arc;

use vip_common::headers::TCP;

use super::*;

/// Applies one operation to tables as the kernel would: the VIP words beside them.
fn apply(tables: &mut Tables, words: &mut BTreeMap<u32, u64>, operation: &Operation) {
    fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
    match operation.clone() {
        Operation::Port(key, value) => set(&mut tables.ports, key, value),
        Operation::FlowKey(key) => tables.flow_key = Some(key),
        Operation::Egress(key, value) => set(&mut tables.egresses, key, value),
        Operation::Member(key, value) => set(&mut tables.members, key, value),
        Operation::ClearCounts(_) => {}
        Operation::Slots(first, run) => write_slots(tables, first, &run),
        Operation::Service4(key, value) => set(&mut tables.services4, key, value),
        Operation::Service6(key, value) => set(&mut tables.services6, key, value),
        Operation::VipWord(index, 0) => drop(words.remove(&index)),
        Operation::VipWord(index, word) => drop(words.insert(index, word)),
    }
}

fn write_slots(tables: &mut Tables, first: u32, run: &[Slot]) {
    let found = tables
        .rings
        .range_mut(..=first)
        .next_back()
        .filter(|(start, ring)| **start + ring.len() as u32 > first);
    match found {
        Some((start, ring)) if (first - *start) as usize + run.len() <= ring.len() => {
            let mut slots = ring.to_vec();
            let at = (first - *start) as usize;
            slots[at..at + run.len()].copy_from_slice(run);
            *ring = slots.into();
        }
        _ => drop(tables.rings.insert(first, run.into())),
    }
}

fn example(services: &[(u8, u32, &[u32])]) -> Tables {
    let mut tables = Tables { flow_key: Some(bytemuck::Zeroable::zeroed()), ..Tables::default() };
    tables.ports.insert(3, Port { mac: [2, 0, 0, 0, 0, 9], zero: [0; 2] });
    tables.egresses.insert(EgressId(1), Egress { ifindex: 3, mac: [2, 0, 0, 0, 0, 9], zero: [0; 6] });
    for (host, first, owners) in services {
        let vip = [10, 200, 0, *host];
        let key = ServiceKey4 { vip, port: [0, 80], protocol: TCP, zero: 0 };
        let service =
            Service { ring_first: *first, ring_size: owners.len() as u32, flags: 0, id: u32::from(*host) };
        tables.services4.insert(key, service);
        tables
            .services4
            .insert(ServiceKey4::vip(vip), Service { ring_first: 0, ring_size: 0, flags: 0, id: 0 });
        tables.rings.insert(*first, owners.iter().map(|owner| Slot::of(MemberId(*owner))).collect());
        for owner in owners.iter().filter(|owner| **owner != 0) {
            let member =
                Member { mac: [2, 0, 0, 0, 1, *owner as u8], egress: EgressId(1), state: Member::UP };
            tables.members.insert(MemberId(*owner), member);
        }
    }
    tables
}

/// Every service of the tables points to slots that name members that exist, with a way out that exists.
fn assert_whole(tables: &Tables, operation: &Operation) {
    for service in tables.services4.values().filter(|service| service.ring_size > 0) {
        let ring =
            tables.rings.get(&service.ring_first).unwrap_or_else(|| panic!("no ring after {operation:?}"));
        assert_eq!(ring.len(), service.ring_size as usize, "after {operation:?}");
        for slot in ring.iter().filter(|slot| slot.current != MemberId::NOBODY) {
            let member =
                tables.members.get(&slot.current).unwrap_or_else(|| panic!("no member after {operation:?}"));
            assert!(tables.egresses.contains_key(&member.egress), "no egress after {operation:?}");
        }
    }
}

#[test]
fn equal_tables_need_no_operation() {
    let tables = example(&[(1, 0, &[1, 2, 1])]);
    assert_eq!(plan(&tables, &tables.clone()), []);
}

#[test]
fn every_step_of_every_plan_leaves_tables_that_agree_and_the_last_one_those_that_were_wanted() {
    let states = [
        Tables::default(),
        example(&[(1, 0, &[1, 2, 1])]),
        example(&[(1, 0, &[2, 2, 2])]),
        example(&[(1, 0, &[1, 3, 1]), (2, 3, &[4, 5])]),
        example(&[(2, 3, &[4, 0])]),
        example(&[(3, 0, &[6, 7, 6])]),
    ];
    for from in &states {
        for to in &states {
            let (mut tables, mut words) = (from.clone(), from.vip_words());
            for operation in plan(from, to) {
                apply(&mut tables, &mut words, &operation);
                assert_whole(&tables, &operation);
                let bits = |words: &BTreeMap<u32, u64>, index| words.get(&index).copied().unwrap_or(0);
                // A VIP's bit is set only while its entry is there.
                for (index, word) in &words {
                    assert_eq!(word & !bits(&tables.vip_words(), *index), 0, "after {operation:?}");
                }
            }
            tables.rings.retain(|first, _| to.rings.contains_key(first));
            assert_eq!(&tables, &Tables { flow_key: to.flow_key.or(from.flow_key), ..to.clone() });
            assert_eq!(words, to.vip_words());
        }
    }
}

#[test]
fn only_the_slots_that_differ_are_written() {
    let old = example(&[(1, 10, &[1, 2, 1, 2, 1])]);
    let new = example(&[(1, 10, &[1, 1, 1, 2, 2])]);
    let one = |member| vec![Slot::of(MemberId(member))];
    assert_eq!(plan(&old, &new), [Operation::Slots(11, one(1)), Operation::Slots(14, one(2))]);
}

#[test]
fn a_ring_that_is_shared_is_not_looked_at() {
    let old = example(&[(1, 0, &[1, 2])]);
    let new = old.clone();
    assert!(Arc::ptr_eq(&old.rings[&0], &new.rings[&0]));
    assert_eq!(plan(&old, &new), []);
}

#[test]
fn the_counts_of_an_id_are_cleared_when_it_gets_an_owner_and_not_when_that_changes() {
    let (none, one) = (Tables::default(), example(&[(1, 0, &[1])]));
    let clears = |operations: Vec<Operation>| {
        operations.into_iter().filter(|operation| matches!(operation, Operation::ClearCounts(_))).count()
    };
    let mut moved = one.clone();
    for member in moved.members.values_mut() {
        member.mac[0] = 6;
    }
    assert_eq!((clears(plan(&none, &one)), clears(plan(&one, &moved))), (1, 0));
}

#[test]
fn a_member_goes_down_only_after_its_slots_have_moved() {
    let old = example(&[(1, 0, &[1, 2, 1])]);
    let mut new = example(&[(1, 0, &[1, 1, 1])]);
    let dead = Member { state: Member::DOWN, ..old.members[&MemberId(2)] };
    new.members.insert(MemberId(2), dead);
    let moved = Operation::Slots(1, vec![Slot::of(MemberId(1))]);
    assert_eq!(plan(&old, &new), [moved, Operation::Member(MemberId(2), Some(dead))]);
    // And it is up again before slots name it.
    let back = Operation::Slots(1, vec![Slot::of(MemberId(2))]);
    assert_eq!(plan(&new, &old), [Operation::Member(MemberId(2), Some(old.members[&MemberId(2)])), back]);
}
