//! Numbers given, kept, taken back and taken over.

use bytemuck::Zeroable as _;
use vip_common::tables::{Member as Entry, MemberEntry};

use super::*;
use crate::{
    model::{Backend, Member},
    plan::addresses,
};

const CAPACITY: Capacity = Capacity { slots: 10_000, members: 3, services: 3, flows: 64, fragments: 64 };

fn backend(n: u8) -> Backend {
    let name = format!("b{n}").parse().expect("a name");
    Backend { ipv4: Some([10, 0, 0, n].into()), ..Backend::new(name) }
}

fn service(name: &str, host: u8, slots: u32) -> Service {
    let address = format!("10.200.0.{host}:80").parse().expect("an address");
    Service {
        slots,
        members: vec![Member::new(backend(1).name)],
        ..Service::new(name.parse().expect("a name"), address)
    }
}

fn intent(services: impl IntoIterator<Item = Service>) -> Intent {
    let mut intent = Intent::default();
    for n in 1..=3 {
        intent.add_backend(Backend { director: n == 2, ..backend(n) }).expect("a backend");
    }
    for service in services {
        intent.add_service(service).expect("a service");
    }
    intent
}

/// Tables with the entries of all services that have places, and nothing else.
fn published(numbers: &Numbers, intent: &Intent) -> Tables {
    let mut tables = Tables::default();
    for (name, places) in numbers.places() {
        let entry = ServiceEntry {
            ring_first: places.ring.first,
            ring_size: places.ring.size,
            turns_first: places.turns.unwrap_or_default(),
            turns_size: places.turns.map_or(0, |_| 4000),
            peers_first: places.peers.unwrap_or_default(),
            id: places.id,
            ..ServiceEntry::zeroed()
        };
        addresses::put(&mut tables, &intent.services()[name].address, entry);
    }
    tables
}

fn places(numbers: &Numbers, name: &str) -> Places {
    numbers.places_of(&name.parse().expect("a name")).expect("places")
}

#[test]
fn a_service_has_the_places_that_its_scheduler_and_its_members_ask_for() {
    let turns = Service { scheduler: "round-robin".parse().expect("a scheduler"), ..service("b", 2, 100) };
    let mut peers = service("c", 3, 100);
    peers.members = vec![Member::new(backend(2).name)];
    let intent = intent([service("a", 1, 100), turns, peers]);
    let mut numbers = Numbers::new(CAPACITY);
    numbers.assign(&intent, &Tables::default()).expect("room");
    let at = |name| {
        let Places { ring, turns, peers, id } = places(&numbers, name);
        (ring.first, turns, peers, id)
    };
    assert_eq!(
        [at("a"), at("b"), at("c")],
        [(1, None, None, 1), (101, Some(201), None, 2), (201 + MAX_TURNS, None, Some(301 + MAX_TURNS), 3),]
    );
    let adopted = Numbers::adopt(CAPACITY, &published(&numbers, &intent), &BTreeMap::new(), &intent);
    assert_eq!(adopted.map(|adopted| adopted.services), Ok(numbers.services));
}

#[test]
fn slots_that_are_published_are_given_to_nobody_until_they_are_not() {
    let (mut numbers, before) = (Numbers::new(CAPACITY), intent([service("a", 1, 6000)]));
    numbers.assign(&before, &Tables::default()).expect("room");
    let (tables, after) = (published(&numbers, &before), intent([service("b", 2, 6000)]));
    let full = numbers.clone().assign(&after, &tables).expect_err("a packet may still read them");
    assert!(full.to_string().starts_with("slots: 6000 are wanted, but there is room for 10000"), "{full}");
    numbers.assign(&after, &Tables::default()).expect("room");
    assert_eq!(places(&numbers, "b").ring, RingPlace { first: 1, size: 6000 });
}

#[test]
fn rings_that_overlap_or_share_a_number_get_new_places() {
    let both = intent([service("a", 1, 100), service("b", 2, 100)]);
    let entry = |ring_first, id| ServiceEntry { ring_first, ring_size: 100, id, ..ServiceEntry::zeroed() };
    for (other, kept) in
        [(entry(150, 2), false), (entry(200, 1), false), (entry(200, 0), false), (entry(200, 2), true)]
    {
        let mut tables = Tables::default();
        for (service, entry) in both.services().values().zip([entry(100, 1), other]) {
            addresses::put(&mut tables, &service.address, entry);
        }
        let mut numbers = Numbers::adopt(CAPACITY, &tables, &BTreeMap::new(), &both).expect("numbers");
        numbers.assign(&both, &tables).expect("room");
        assert_eq!(places(&numbers, "a").ring.first, 100);
        let Places { ring, id, .. } = places(&numbers, "b");
        assert_eq!((ring.first, id) == (other.ring_first, other.id), kept, "{other:?}");
    }
}

#[test]
fn ids_that_an_entry_still_has_are_given_to_nobody() {
    let mut intent = intent([service("a", 1, 100)]);
    let name = "a".parse().expect("a name");
    let mut numbers = Numbers::new(CAPACITY);
    numbers.assign(&intent, &Tables::default()).expect("room");
    let mut tables = published(&numbers, &intent);
    let down = MemberEntry::new(Entry { state: Entry::DOWN, ..Entry::zeroed() }, 2);
    let free = MemberEntry::new(Entry::zeroed(), 3);
    tables.members = [(MemberId(1), down), (MemberId(2), down), (MemberId(3), free)].into_iter().collect();
    intent.add_member(&name, Member::new(backend(2).name)).expect("no member");
    numbers.assign(&intent, &tables).expect("room");
    assert_eq!(numbers.member(&(name.clone(), backend(2).name)), Some(MemberId(3)));
    intent.add_member(&name, Member::new(backend(3).name)).expect("no member");
    let full = numbers.assign(&intent, &tables).expect_err("2 is in use");
    assert!(full.to_string().starts_with("members: 3 are wanted, but there is room for 3"), "{full}");
}
