//! Tables: written, read back, taken over, refused.

use std::{collections::BTreeSet, fs, time::Duration};

use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, lpm_trie::Key};
use vip_common::{
    MemberId,
    tables::{FlowEntry, FlowId4, FlowState, Slot, names, tick},
};
use vip_userspace::{
    dataplane::{Capacity, Dataplane as _, KernelDataplane, kernel::check},
    places::Places,
    plan::{Operation, Tables, plan},
};

use super::harness::{CAPACITY, TABLES, alone, map_ids, open, publish, tables};

#[test]
fn what_is_published_is_read_back_and_a_second_time_changes_nothing() {
    alone(|places| {
        let (mut dataplane, adopted) = KernelDataplane::open(places, CAPACITY, false).expect("open");
        assert!(adopted.fresh && adopted.interfaces.is_empty() && adopted.gone.is_empty());
        assert_eq!(dataplane.read().expect("read"), Tables::default());
        let operations = plan(&Tables::default(), &tables());
        for _ in 0..2 {
            dataplane.apply(&operations).expect("apply");
            assert_eq!(dataplane.read().expect("read"), tables());
        }
        for _ in 0..2 {
            dataplane.apply(&plan(&tables(), &Tables::default())).expect("take away");
            let left = dataplane.read().expect("read");
            assert_eq!(left, Tables { flow_key: tables().flow_key, ..Tables::default() });
        }
    });
}

#[test]
fn what_is_beyond_the_capacity_is_refused_by_the_tables_name() {
    alone(|places| {
        let mut dataplane = open(places);
        assert_eq!(dataplane.capacity(), CAPACITY);
        let cases = [
            (Operation::Slots(9999, [Slot::of(MemberId(1)); 2].into()), names::RINGS),
            (Operation::Member(MemberId(21), None), names::MEMBERS),
            (Operation::Generation(MemberId(21), 1), names::MEMBERS),
            (Operation::Terms(6, None), names::TERMS),
            (Operation::ClearCounts(MemberId(21)), names::MEMBER_COUNTS),
            (Operation::Port(1 << 20, None), names::PORTS),
        ];
        for (operation, table) in cases {
            let error = dataplane.apply(&[operation]).expect_err(table).to_string();
            assert!(error.contains(table), "{error}");
        }
    });
}

#[test]
fn a_controller_that_died_while_it_made_the_tables_is_followed_by_one_that_makes_the_rest() {
    alone(|places| {
        drop(open(places));
        for name in &TABLES[4..] {
            fs::remove_file(places.pins().join(name)).expect("remove a pin");
        }
        let mut dataplane = open(places);
        publish(&mut dataplane, &tables());
        assert_eq!(dataplane.read().expect("read"), tables());
    });
}

#[test]
fn a_controller_that_died_between_a_service_and_its_vips_bit_is_followed_by_one_that_sets_it() {
    alone(|places| {
        let mut first = open(places);
        publish(&mut first, &tables());
        drop(first);
        let map = MapData::from_pin(places.pins().join(names::VIPS)).expect("the pinned map");
        let mut vips: Array<_, u64> = Map::from_map_data(map).and_then(TryInto::try_into).expect("an array");
        let words = tables().vip_words();
        for index in words.keys() {
            vips.set(*index, 0, 0).expect("clear a word");
        }
        vips.set(1023, 1, 0).expect("set a bit of no VIP");
        drop(open(places));
        for index in 0..1024 {
            let wanted = words.get(&index).copied().unwrap_or_default();
            assert_eq!(vips.get(&index, 0).expect("a word"), wanted, "word {index}");
        }
    });
}

#[test]
fn tables_of_another_size_are_refused_and_left_as_they_are() {
    alone(|places| {
        let mut first = open(places);
        publish(&mut first, &tables());
        drop(first);
        let ids = map_ids(places);
        let other = Capacity { slots: 20_000, ..CAPACITY };
        let text = KernelDataplane::open(places, other, false).err().expect("a refusal").to_string();
        for part in ["RINGS", "10000", "20000", "vip detach --instance default"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(check(places, other, &[]).is_err());
        assert_eq!(map_ids(places), ids);
        assert_eq!(open(places).read().expect("read"), tables());
    });
}

/// An entry of the flow table: client port, service id, and where the flow lives.
fn remember(places: &Places, port: u16, service: u32, entry: FlowEntry) {
    let map = MapData::from_pin(places.pins().join(names::FLOWS4)).expect("the pinned map");
    let mut flows: HashMap<_, [u8; 12], [u8; 24]> =
        Map::from_map_data(map).and_then(TryInto::try_into).expect("a hash table");
    let id = FlowId4 {
        source: [192, 0, 2, 1],
        source_port: port.to_be_bytes(),
        port: [0, 80],
        scope: service << 8 | 6,
    };
    flows.insert(bytemuck::cast::<_, [u8; 12]>(id), bytemuck::cast::<_, [u8; 24]>(entry), 0).expect("insert");
}

fn uptime() -> Duration {
    let text = fs::read_to_string("/proc/uptime").expect("the uptime");
    let seconds = text.split(' ').next().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs_f64(seconds.expect("a number"))
}

#[test]
fn a_sweep_deletes_what_is_over_counts_what_lives_and_tells_which_slots_are_held() {
    alone(|places| {
        let mut dataplane = open(places);
        publish(&mut dataplane, &tables());
        let now = tick(u64::try_from(uptime().as_nanos()).expect("a time"));
        // Slots from 700 on are tracked: new flows of the first to member 1, of the second to member 2, older ones to 19.
        let lives = |member: u32, slot| FlowEntry {
            member: MemberId(member),
            generation: 7 + member,
            slot,
            sequence: 0,
            seen: now,
            state: FlowState::Firm as u32,
        };
        let (away, at_home) = (lives(19, 702), lives(2, 703));
        let entries = [
            away,
            at_home,
            FlowEntry { seen: now.wrapping_sub(50), ..at_home },
            FlowEntry { seen: now.wrapping_sub(70), ..at_home },
            FlowEntry { generation: 3, ..away },
            // Not tracked.
            lives(1, 40),
            // A pending one has a minute.
            FlowEntry { seen: now.wrapping_sub(66), state: FlowState::Pending as u32, ..at_home },
        ];
        for (port, entry) in (1..).zip(entries) {
            remember(places, port, 3, entry);
        }
        // Where every flow is tracked, whatever the slot.
        remember(places, 99, 2, lives(1, 40));
        let swept = dataplane.sweep().expect("a sweep");
        assert_eq!(swept.live, 4);
        assert_eq!(swept.flows, [(MemberId(19), 1), (MemberId(2), 2), (MemberId(1), 1)].into());
        let held: Vec<_> = (0..1000).filter(|slot| swept.is_held(*slot)).collect();
        assert_eq!(held, [702]);
        assert_eq!(dataplane.counts().expect("counts").flows.deleted, 4);
        let again = dataplane.sweep().expect("a second sweep");
        assert_eq!((again, dataplane.counts().expect("counts").flows.deleted), (swept, 4));
    });
}

/// The pinned table of a name, opened by somebody else.
fn by_somebody_else(places: &Places, name: &str) -> Map {
    let data = MapData::from_pin(places.pins().join(name)).expect("a pinned map");
    Map::from_map_data(data).expect("a known kind of map")
}

/// Adds one to the first byte of a value that is there, or makes one where there is none.
fn meddle<const KEY: usize, const VALUE: usize>(map: Map, index: usize, other: [u8; KEY]) {
    let mut map: HashMap<_, [u8; KEY], [u8; VALUE]> = map.try_into().expect("its sizes");
    let there = map.keys().nth(index).and_then(Result::ok).unwrap_or([9; KEY]);
    let mut value = map.get(&there, 0).unwrap_or([0; VALUE]);
    value[0] = value[0].wrapping_add(1);
    map.insert(there, value, 0).expect("somebody may write");
    map.insert(other, value, 0).expect("somebody may write");
}

#[test]
fn what_somebody_else_has_changed_is_found_in_every_table_and_put_right() {
    const PARTS: usize = 4;
    alone(|places| {
        let mut dataplane = open(places);
        publish(&mut dataplane, &tables());
        let look = |dataplane: &KernelDataplane| -> Vec<Operation> {
            let part = |part| dataplane.strays(&tables(), part, PARTS).expect("a look");
            (0..PARTS).flat_map(part).collect()
        };
        assert_eq!(look(&dataplane), [], "nobody has changed anything");

        for (name, index) in [
            (names::RINGS, 40),
            (names::RINGS, 720),
            (names::MEMBERS, 2),
            (names::TERMS, 3),
            (names::PORTS, 9),
            (names::VIPS, 5),
        ] {
            match name {
                names::MEMBERS | names::TERMS => {
                    let mut map: Array<_, [u8; 16]> =
                        by_somebody_else(places, name).try_into().expect("an array");
                    map.set(index, [0x55; 16], 0).expect("somebody may write");
                }
                _ => {
                    let mut map: Array<_, [u8; 8]> =
                        by_somebody_else(places, name).try_into().expect("an array");
                    map.set(index, [0x55; 8], 0).expect("somebody may write");
                }
            }
        }
        let mut egresses: Array<_, [u8; 16]> =
            by_somebody_else(places, names::EGRESSES).try_into().expect("an array");
        egresses.set(255, [0; 16], 0).expect("somebody may write");
        let mut flow_key: Array<_, [u8; 88]> =
            by_somebody_else(places, names::FLOW_KEY).try_into().expect("an array");
        flow_key.set(0, [1; 88], 0).expect("somebody may write");
        meddle::<8, 8>(by_somebody_else(places, names::STATIONS), 0, [6, 6, 6, 6, 6, 6, 0, 0]);
        meddle::<8, 32>(by_somebody_else(places, names::SERVICES4), 1, [7; 8]);
        meddle::<20, 32>(by_somebody_else(places, names::SERVICES6), 0, [7; 20]);
        let mut wide: LpmTrie<_, [u8; 8], [u8; 32]> =
            by_somebody_else(places, names::WIDE4).try_into().expect("a table of prefixes");
        wide.insert(&Key::new(13, [7; 8]), [3; 32], 0).expect("somebody may write");

        let found = look(&dataplane);
        let tables_found: BTreeSet<_> = found.iter().map(|operation| operation.table().0).collect();
        let all = [
            names::RINGS,
            names::MEMBERS,
            names::TERMS,
            names::PORTS,
            names::VIPS,
            names::EGRESSES,
            names::FLOW_KEY,
            names::STATIONS,
            names::SERVICES4,
            names::SERVICES6,
            names::WIDE4,
        ];
        assert_eq!(tables_found, BTreeSet::from(all));
        dataplane.apply(&found).expect("put right");
        assert_eq!(look(&dataplane), []);
        assert_eq!(dataplane.read().expect("read"), tables());
    });
}
