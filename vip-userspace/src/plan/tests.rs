//! The plan against a plain reference: apply every operation to tables in memory, and look at each step.

#![expect(clippy::cast_possible_truncation, reason = "the numbers of these examples are small")]

use bytemuck::Zeroable;
use imbl::OrdMap;
use vip_common::{headers::TCP, tables::own_bit4};

use super::*;

/// Applies one operation to tables as the kernel would: the VIP words beside them.
fn apply(tables: &mut Tables, words: &mut BTreeMap<u32, u64>, operation: &Operation) {
    fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
    let entry = |tables: &Tables, id| tables.members.get(&id).copied().unwrap_or_else(MemberEntry::zeroed);
    match operation.clone() {
        Operation::Port(key, value) => set(&mut tables.ports, key, value),
        Operation::FlowKey(key) => tables.flow_key = Some(key),
        Operation::Egress(key, value) => set(&mut tables.egresses, key, value),
        Operation::Member(id, value) => {
            let member = value.unwrap_or_else(Member::zeroed);
            let entry = MemberEntry { member, ..entry(tables, id) };
            set_member(&mut tables.members, id, entry);
        }
        Operation::Generation(id, generation) => {
            let entry = MemberEntry { generation, ..entry(tables, id) };
            set_member(&mut tables.members, id, entry);
        }
        Operation::ClearCounts(_) => {}
        Operation::Terms(key, value) => set(&mut tables.terms, key, value),
        Operation::Station(key, value) => set(&mut tables.stations, key, value),
        Operation::Slots(first, run) => write_slots(tables, first, &run),
        Operation::Ring(first, ring) => write_slots(tables, first, &ring.iter().collect::<Vec<_>>()),
        Operation::Service4(key, value) => set(&mut tables.services4, key, value),
        Operation::Service6(key, value) => set(&mut tables.services6, key, value),
        Operation::Wide4(key, value) => set(&mut tables.wide4, key, value),
        Operation::Wide6(key, value) => set(&mut tables.wide6, key, value),
        Operation::VipWord(index, 0) => drop(words.remove(&index)),
        Operation::VipWord(index, word) => drop(words.insert(index, word)),
    }
}

fn set_member(members: &mut OrdMap<MemberId, MemberEntry>, id: MemberId, entry: MemberEntry) {
    if entry == MemberEntry::zeroed() {
        members.remove(&id);
    } else {
        members.insert(id, entry);
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
            let mut slots: Vec<_> = ring.iter().collect();
            let at = (first - *start) as usize;
            slots.splice(at..at + run.len(), run.iter().copied());
            *ring = slots.into();
        }
        _ => drop(tables.rings.insert(first, run.to_vec().into())),
    }
}

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Services, each with the last byte of its VIP, the first of its slots, and who owns them; a slot of `TRACKED + n` is
/// tracked, and settled at member 9.
fn example(services: &[(u8, u32, &[u32])]) -> Tables {
    let mut tables = Tables { flow_key: Some(Zeroable::zeroed()), ..Tables::default() };
    tables.ports.insert(3, Port { mac: MAC, router: 0, flags: 0 });
    tables.egresses.insert(EgressId(1), Egress::untouched(3, MAC));
    for (host, first, owners) in services {
        let vip = [10, 200, 0, *host];
        let key = ServiceKey4 { vip, port: [0, 80], protocol: TCP, zero: 0 };
        let (ring_first, ring_size, id) = (*first, owners.len() as u32, u32::from(*host));
        let service = Service { ring_first, ring_size, id, ..Service::zeroed() };
        let wide = WideKey4 { bits: WideKey4::PROTOCOL, vip, protocol: TCP, port: [0; 2], zero: 0 };
        tables.services4.insert(key, service);
        tables.services4.insert(ServiceKey4::vip(vip), Service { flags: Service::WIDE, ..service });
        tables.wide4.insert(wide, service);
        tables.terms.insert(id, Terms { period: 1, allowance: 10, idle: 60, always: 0 });
        tables.rings.insert(*first, owners.iter().map(|owner| slot(*owner)).collect());
        for owner in tables.rings[first].iter().flat_map(|slot| [slot.current, slot.settled()]) {
            if owner != MemberId::NOBODY {
                tables.members.insert(owner, MemberEntry::new(member(owner, Member::UP), 1));
            }
        }
    }
    tables
}

const TRACKED: u32 = 1000;

fn slot(owner: u32) -> Slot {
    match owner.checked_sub(TRACKED) {
        Some(owner) => Slot::tracked(MemberId(owner), MemberId(9)),
        None => Slot::of(MemberId(owner)),
    }
}

fn member(id: MemberId, state: u8) -> Member {
    Member { mac: [2, 0, 0, 0, 1, id.0 as u8], egress: EgressId(1), state }
}

/// What an entry of a service points to is there: terms, slots, members that they name, ways out. A tracked slot has
/// terms that let flows be written.
fn assert_whole(tables: &Tables, operation: &Operation) {
    for service in tables.services().filter(|service| service.ring_size > 0) {
        let ring =
            tables.rings.get(&service.ring_first).unwrap_or_else(|| panic!("no ring after {operation:?}"));
        assert_eq!(ring.len(), service.ring_size as usize, "after {operation:?}");
        let terms = tables.terms.get(&service.id).unwrap_or_else(|| panic!("no terms after {operation:?}"));
        assert!(
            terms.allowance > 0 || !ring.iter().any(|slot| slot.is_tracked()),
            "no allowance after {operation:?}"
        );
        for id in ring.iter().flat_map(|slot| [slot.current, slot.settled()]) {
            if id != MemberId::NOBODY {
                let entry = tables.members.get(&id).filter(|entry| entry.member.state != 0);
                let entry = entry.unwrap_or_else(|| panic!("no member {id:?} after {operation:?}"));
                assert!(tables.egresses.contains_key(&entry.member.egress), "no egress after {operation:?}");
            }
        }
    }
    for (key, service) in &tables.services4 {
        if service.has(Service::WIDE) {
            assert!(tables.wide4.keys().any(|wide| wide.vip == key.vip), "nothing wide after {operation:?}");
        }
    }
}

#[test]
fn equal_tables_need_no_operation() {
    let tables = example(&[(1, 0, &[1, 2, 1])]);
    assert_eq!(plan(&tables, &tables.clone()), []);
}

/// The same, with an id that only has a generation.
fn retired(tables: &Tables, id: u32) -> Tables {
    let mut tables = tables.clone();
    tables.members.insert(MemberId(id), MemberEntry::new(Member::zeroed(), 5));
    tables
}

/// The same, while nothing may be written.
fn without_terms(mut tables: Tables) -> Tables {
    for terms in tables.terms.values_mut() {
        terms.allowance = 0;
    }
    tables
}

#[test]
fn every_step_of_every_plan_leaves_tables_that_agree_and_the_last_one_those_that_were_wanted() {
    let states = [
        Tables::default(),
        example(&[(1, 0, &[1, 2, 1])]),
        example(&[(1, 0, &[2, 2, 2])]),
        example(&[(1, 0, &[1, 3, 1]), (2, 3, &[4, 5])]),
        example(&[(2, 3, &[4, 0])]),
        example(&[(1, 0, &[TRACKED + 1, 2, TRACKED + 3])]),
        retired(&example(&[(1, 0, &[2, 2, 2])]), 1),
        example(&[(3, 0, &[6, 7, 6])]),
        without_terms(example(&[(1, 0, &[1, 2, 1])])),
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
    assert!(old.rings[&0].is_same(&new.rings[&0]));
    assert_eq!(plan(&old, &new), []);
}

#[test]
fn the_counts_of_an_id_are_cleared_when_it_gets_an_owner_and_not_when_that_changes() {
    let (none, one) = (Tables::default(), example(&[(1, 0, &[1])]));
    let clears = |operations: Vec<Operation>| {
        operations.into_iter().filter(|operation| matches!(operation, Operation::ClearCounts(_))).count()
    };
    let mut moved = one.clone();
    moved.members.get_mut(&MemberId(1)).expect("a member").member.mac[0] = 6;
    assert_eq!((clears(plan(&none, &one)), clears(plan(&one, &moved))), (1, 0));
    assert_eq!(clears(plan(&retired(&none, 1), &one)), 1);
}

#[test]
fn a_member_loses_flows_only_after_its_slots_have_moved_and_gets_some_only_after_it_is_ready() {
    for state in [Member::DOWN, Member::DRAINING] {
        let old = example(&[(1, 0, &[1, 2, 1])]);
        let mut new = example(&[(1, 0, &[1, 1, 1])]);
        new.members.insert(MemberId(2), MemberEntry::new(member(MemberId(2), state), 1));
        let moved = Operation::Slots(1, [slot(1)].into());
        let declined = Operation::Member(MemberId(2), Some(member(MemberId(2), state)));
        assert_eq!(plan(&old, &new), [moved, declined]);
        // Its generation is another before it is up again, and it is up before slots name it.
        let mut back = old.clone();
        back.members.insert(MemberId(2), MemberEntry::new(member(MemberId(2), Member::UP), 2));
        let generation = Operation::Generation(MemberId(2), 2);
        let up = Operation::Member(MemberId(2), Some(member(MemberId(2), Member::UP)));
        assert_eq!(plan(&new, &back), [generation, up, Operation::Slots(1, [slot(2)].into())]);
    }
}

#[test]
fn a_member_that_is_gone_ends_before_its_generation_does() {
    let old = example(&[(1, 0, &[1, 2])]);
    let new = retired(&example(&[(1, 0, &[1, 1])]), 2);
    let gone = [Operation::Member(MemberId(2), None), Operation::Generation(MemberId(2), 5)];
    assert_eq!(plan(&old, &new)[1..], gone);
}

#[test]
fn terms_are_written_before_a_slot_is_tracked() {
    let mut old = example(&[(1, 0, &[1, 2])]);
    old.members.insert(MemberId(9), MemberEntry::new(member(MemberId(9), Member::UP), 1));
    let new = example(&[(1, 0, &[TRACKED + 1, 2])]);
    let old = without_terms(old);
    let terms = Operation::Terms(1, Some(new.terms[&1]));
    let mut tracked = new.clone();
    tracked.members = old.members.clone();
    assert_eq!(plan(&old, &tracked), [terms, Operation::Slots(0, [slot(TRACKED + 1)].into())]);
}

#[test]
fn own_addresses_have_bits_of_their_own() {
    let mut tables = Tables::default();
    let own = ServiceKey4::own([10, 0, 0, 1]);
    tables.services4.insert(own, Service::zeroed());
    let bit = own_bit4([10, 0, 0, 1]);
    assert_eq!(tables.vip_words(), [(bit / 64, 1 << (bit % 64))].into());
}
