//! What the world asks for, entry by entry.

use std::net::Ipv4Addr;

use vip_common::tables::{
    MemberEntry, OnDead as OnDeadEntry, Service as ServiceEntry, ServiceKey4, ServiceKey6, Slot, WideKey4,
};

use super::*;
use crate::model::{
    Admin, Affinity, Answer, Backend, Capacity, Echo, Fragments, Intent, Link, Mac, Member, Neighbour,
    NoNeighbour, OnDead, Place, Role, Ttl, VipSettings,
};

mod changes;
mod members;

const CAPACITY: Capacity = Capacity { slots: 1 << 14, members: 32, services: 8, flows: 3200, fragments: 64 };
const PORT: u32 = 3;
const OWN: Mac = Mac([2, 0, 0, 0, 0, 9]);

/// A world and what is composed of it, published or not.
struct Bench {
    world: World,
    numbers: Numbers,
    composer: Composer,
    published: Tables,
}

fn backend(n: u8) -> Backend {
    let name = format!("b{n}").parse().expect("a name");
    let ipv6 = format!("fd00::{n}").parse().ok();
    Backend { ipv4: Some(Ipv4Addr::new(10, 0, 0, n)), ipv6, ..Backend::new(name) }
}

fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 1, n])
}

fn service(name: &str, address: &str, members: &[u8]) -> Service {
    Service {
        slots: 101,
        members: members.iter().map(|n| Member::new(backend(*n).name)).collect(),
        ..Service::new(name.parse().expect("a name"), address.parse().expect("an address"))
    }
}

/// Backends b1 to b4, all on the link, and these services.
fn bench(services: impl IntoIterator<Item = Service>) -> Bench {
    bench_of((1..=4).map(backend), services)
}

fn bench_of(
    backends: impl IntoIterator<Item = Backend>,
    services: impl IntoIterator<Item = Service>,
) -> Bench {
    let mut intent = Intent::default();
    for backend in backends {
        intent.add_backend(backend).expect("a backend");
    }
    for service in services {
        intent.add_service(service).expect("a service");
    }
    let mut world = World { intent: intent.into(), ..World::default() };
    for (ifindex, is_port) in [(PORT, true), (4, false)] {
        let link = Link {
            name: format!("eth{ifindex}"),
            mac: OWN,
            is_port,
            is_egress: true,
            is_inlet: false,
            is_up: true,
        };
        world.links.insert(ifindex, link);
    }
    for n in 1..=4 {
        let there = Place::Link(Neighbour { mac: mac(n), ifindex: PORT });
        for address in backend(n).addresses() {
            world.neighbours.insert(address, Ok(there));
        }
    }
    let key = "000102030405060708090a0b0c0d0e0f".parse().expect("a seed");
    let composer = Composer::new(key, Budget::new(CAPACITY.flows, 2));
    Bench { world, numbers: Numbers::new(CAPACITY), composer, published: Tables::default() }
}

impl Bench {
    fn compose(&mut self) -> Tables {
        self.compose_at(0)
    }

    /// What is wanted then, and published from then on.
    fn compose_at(&mut self, seconds: u64) -> Tables {
        self.numbers.assign(&self.world.intent, &self.published).expect("room");
        let now = Duration::from_secs(seconds);
        self.published = self.composer.compose(&self.world, &mut self.numbers, &self.published, now);
        self.published.clone()
    }

    fn id(&self, service: &str, n: u8) -> MemberId {
        let key = (service.parse().expect("a name"), backend(n).name);
        self.numbers.member(&key).expect("an id")
    }

    fn member(&self, service: &str, n: u8) -> MemberEntry {
        self.published.members[&self.id(service, n)]
    }

    fn admin(&mut self, n: u8, admin: Admin) {
        self.world.intent.set_admin(&backend(n).name, None, admin).expect("a member");
    }
}

const VIP: [u8; 4] = [10, 200, 0, 1];

fn exact(port: u16, protocol: u8) -> ServiceKey4 {
    ServiceKey4 { vip: VIP, port: port.to_be_bytes(), protocol, zero: 0 }
}

#[test]
fn a_service_is_entered_as_it_is_told_to_be() {
    let told = Service {
        ttl: Ttl::Keep,
        affinity: Affinity::Source { ipv4_prefix: 24, ipv6_prefix: 56 },
        on_dead: OnDead::Reset,
        fragments: Fragments::Addresses,
        no_backend: Answer::Reset,
        ..service("told", "10.200.0.1:80", &[1])
    };
    let six = Service {
        name: "six".parse().expect("a name"),
        address: "[fd00:200::1]:80".parse().expect("one"),
        ..told.clone()
    };
    let tables = bench([told, six, service("plain", "10.200.0.2:80", &[1])]).compose();
    let entry = tables.services4[&exact(80, 6)];
    let flags = ServiceEntry::KEEP_TTL | ServiceEntry::BY_ADDRESSES | ServiceEntry::RESETS;
    assert_eq!((entry.flags, entry.source_bits, entry.on_dead), (flags, 24, OnDeadEntry::Reset as u8));
    let six = tables.services6.iter().find(|(key, _)| key.port == [0, 80]).expect("an entry").1;
    assert_eq!((six.flags, six.source_bits), (flags, 56));
    let plain = tables.services4[&ServiceKey4 { vip: [10, 200, 0, 2], ..exact(80, 6) }];
    assert_eq!((plain.flags, plain.source_bits, plain.on_dead, plain.ring_size), (0, 0, 0, 101));
    let ids: std::collections::BTreeSet<_> = [entry.id, six.id, plain.id].into();
    assert_eq!(ids, [1, 2, 3].into());
    let places = tables.places();
    assert!(places.len() == 3 && places.iter().all(|(first, _)| *first > 0), "slot 0 stands for none");
}

#[test]
fn a_vip_has_the_ring_of_its_first_service_and_its_own_flags() {
    let mut bench =
        bench([service("web", "10.200.0.1:80", &[1, 2]), service("alt", "10.200.0.1:8080", &[3])]);
    let vip = ServiceKey4::vip(VIP);
    let entry = bench.compose().services4[&vip];
    assert_eq!(
        entry,
        ServiceEntry { flags: ServiceEntry::ANSWERS_ECHO, ..bench.published.services4[&exact(80, 6)] }
    );
    let address = VIP.into();
    bench.world.local = [address].into();
    let settings = VipSettings { role: Role::Standby, echo: Echo::Backend, unknown_port: Answer::Reset };
    bench.world.intent.set_vip(address, settings).expect("a VIP");
    for n in 1..=3 {
        bench.admin(n, Admin::Disabled);
    }
    let flags =
        ServiceEntry::LOCAL | ServiceEntry::STANDBY | ServiceEntry::FORWARDS_ECHO | ServiceEntry::RESETS;
    let tables = bench.compose();
    assert_eq!(tables.services4[&vip].flags, flags);
    assert!(!tables.services4.contains_key(&ServiceKey4::own(VIP)), "a VIP is no address of a probe");
    bench.world.intent.add_service(service("all", "10.200.0.1:*/any", &[4])).expect("a service");
    let entry = bench.compose().services4[&vip];
    let all = bench.published.wide4[&WideKey4 { bits: 32, vip: VIP, protocol: 0, port: [0; 2], zero: 0 }];
    let flags = flags | ServiceEntry::WIDE | ServiceEntry::ANSWERS_ECHO;
    assert_eq!(entry, ServiceEntry { flags, ..all });
}

#[test]
fn ttls_of_what_says_of_no_port_are_kept_only_where_all_services_keep_them() {
    let keep = |name, address| Service { ttl: Ttl::Keep, ..service(name, address, &[1]) };
    let one = bench([keep("a", "10.200.0.1:80"), keep("b", "10.200.0.1:81")]).compose();
    assert!(one.services4[&ServiceKey4::vip(VIP)].has(ServiceEntry::KEEP_TTL));
    let other = bench([keep("a", "10.200.0.1:80"), service("b", "10.200.0.1:81", &[1])]).compose();
    assert!(!other.services4[&ServiceKey4::vip(VIP)].has(ServiceEntry::KEEP_TTL));
}

#[test]
fn what_says_no_port_goes_to_one_service_of_its_protocol() {
    let by_addresses =
        |name, address| Service { fragments: Fragments::Addresses, ..service(name, address, &[1]) };
    let portless = |services: Vec<Service>| {
        let mut bench = bench(services);
        let tables = bench.compose();
        let found = tables.services4.get(&exact(0, 6)).map(|entry| entry.id)?;
        bench.numbers.places().find(|(_, places)| places.id == found).map(|(name, _)| name.to_string())
    };
    let web = || service("web", "10.200.0.1:80", &[1]);
    let range = || service("range", "10.200.0.1:20-30", &[1]);
    let rest = || service("rest", "10.200.0.1:*/tcp", &[1]);
    assert_eq!(portless(vec![service("dns", "10.200.0.1:53/udp", &[1])]), None);
    assert_eq!(portless(vec![service("tls", "10.200.0.1:443", &[1]), web()]).as_deref(), Some("web"));
    assert_eq!(portless(vec![web(), by_addresses("tls", "10.200.0.1:443")]).as_deref(), Some("tls"));
    assert_eq!(portless(vec![web(), range()]).as_deref(), Some("web"));
    assert_eq!(portless(vec![range()]).as_deref(), Some("range"));
    // One of any protocol is found without, and goes before those that don't place by addresses.
    let all = || by_addresses("all", "10.200.0.1:*/any");
    assert_eq!(portless(vec![web(), all()]), None);
    // One of any port is found without.
    assert_eq!(portless(vec![range(), rest()]), None);
    assert_eq!(portless(vec![web(), rest()]).as_deref(), Some("web"));
}

#[test]
fn what_says_no_protocol_is_placed_as_by_the_service_that_does_without() {
    let whole = Service { fragments: Fragments::Addresses, ..service("dns", "10.200.0.1:53/udp", &[2]) };
    let tables = bench([service("web", "10.200.0.1:80", &[1]), whole]).compose();
    let (own, dns) = (tables.services4[&ServiceKey4::vip(VIP)], tables.services4[&exact(53, 17)]);
    assert_eq!((own.ring_first, own.id), (dns.ring_first, dns.id));
    assert!(own.has(ServiceEntry::BY_ADDRESSES));
}

#[test]
fn what_says_no_port_does_not_go_round_among_directors_either() {
    let mut bench = bench_of(
        (1..=4).map(|n| Backend { director: n == 1, ..backend(n) }),
        [service("web", "10.200.0.1:80", &[1, 2, 4])],
    );
    bench.world.neighbours.insert([10, 0, 0, 4].into(), Ok(Place::Here));
    let tables = bench.compose();
    let (own, web) = (tables.services4[&ServiceKey4::vip(VIP)], tables.services4[&exact(80, 6)]);
    assert!(own.peers_first != 0 && own.peers_first == web.peers_first);
    assert!(own.has(ServiceEntry::PEERS) && own.has(ServiceEntry::HERE));
}

#[test]
fn the_inlet_is_a_port_that_says_what_it_is_and_has_no_virtual_router() {
    let mut bench = bench([service("web", "10.200.0.1:80", &[1])]);
    bench.world.virtual_router = Some(7);
    let inlet = Link {
        name: "vip-in".into(),
        mac: Mac([2; 6]),
        is_port: false,
        is_egress: false,
        is_inlet: true,
        is_up: true,
    };
    bench.world.links.insert(9, inlet);
    let ports = bench.compose().ports;
    let port = |mac: Mac, router, flags| Port { mac: mac.0, router, flags };
    assert_eq!(ports, [(PORT, port(OWN, 7, 0)), (9, port(Mac([2; 6]), 0, Port::INLET))].into());
}

#[test]
fn own_addresses_are_listed_but_for_vips_and_loopback() {
    let mut bench = bench([service("web", "10.200.0.1:80", &[1])]);
    let own = ["10.200.0.1", "127.0.0.1", "::1", "10.0.0.9", "fd00::9"];
    bench.world.local = own.iter().map(|text| text.parse().expect("an address")).collect();
    let tables = bench.compose();
    let listed4: Vec<_> = tables.services4.keys().filter(|key| **key == ServiceKey4::own(key.vip)).collect();
    let listed6: Vec<_> = tables.services6.keys().collect();
    assert_eq!(listed4, [&ServiceKey4::own([10, 0, 0, 9])]);
    let nine: std::net::Ipv6Addr = "fd00::9".parse().expect("an address");
    assert_eq!(listed6, [&ServiceKey6::own(nine.octets())]);
}

#[test]
fn addresses_that_there_is_no_room_for_are_counted() {
    let mut bench = bench([service("web", "10.200.0.1:80", &[1])]);
    let address = |n: u16| std::net::IpAddr::from([172, 16, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
    bench.world.local = (0..256).map(address).collect();
    assert_eq!((bench.world.own_addresses().0.len(), bench.world.own_addresses().1), (256, 0));
    bench.world.local = (0..300).map(address).chain(["fd00::9".parse().expect("an address")]).collect();
    let (listed, more) = bench.world.own_addresses();
    assert_eq!((listed.len(), more), (257, 44));
    let tables = bench.compose();
    let listed4 = tables.services4.keys().filter(|key| **key == ServiceKey4::own(key.vip)).count();
    assert_eq!((listed4, tables.services6.len()), (256, 1));
}

#[test]
fn turns_have_slots_of_their_own_and_as_many_whole_rounds_as_there_is_room_for() {
    let mut web = Service {
        scheduler: "round-robin".parse().expect("a scheduler"),
        ..service("web", "10.200.0.1:80", &[1, 2, 3])
    };
    web.members[0].weight = 200;
    let mut bench = bench([web]);
    let tables = bench.compose();
    let entry = tables.services4[&exact(80, 6)];
    assert_eq!((entry.has(ServiceEntry::TAKES_TURNS), entry.turns_size), (true, 4096));
    let turns = &tables.rings[&entry.turns_first];
    let had = |n| turns.iter().filter(|slot| *slot == Slot::of(bench.id("web", n))).count();
    assert_eq!((had(1), had(2), had(3)), (2048, 1024, 1024));
    assert_eq!(tables.terms[&entry.id].always, 1);
    bench.admin(2, Admin::Disabled);
    let tables = bench.compose();
    let entry = tables.services4[&exact(80, 6)];
    assert_eq!(entry.turns_size, 4095);
    let turns = &tables.rings[&entry.turns_first];
    assert!(
        turns.iter().all(|slot| slot != Slot::of(bench.id("web", 2))),
        "also those beyond the last round"
    );
    for n in [1, 3] {
        bench.admin(n, Admin::Disabled);
    }
    let tables = bench.compose();
    assert!(tables.rings[&entry.turns_first].iter().all(|slot| slot == Slot::of(MemberId::NOBODY)));
}

#[test]
fn services_that_track_share_the_flow_table_and_the_others_have_no_allowance() {
    let six = service("six", "[fd00:200::1]:80", &[1, 2]);
    let mut bench =
        bench([service("a", "10.200.0.1:80", &[1, 2]), service("b", "10.200.0.1:81", &[1, 2]), six]);
    let allowances = |tables: &Tables| -> Vec<_> {
        tables.terms.values().map(|terms| (terms.period, terms.allowance)).collect()
    };
    assert_eq!(allowances(&bench.compose()), [(0, 0); 3]);
    bench.composer.budget_mut().begin(BTreeMap::new(), [6]);
    bench
        .world
        .intent
        .set_weight(&backend(1).name, Some(&"a".parse().expect("a name")), 0)
        .expect("a member");
    assert_eq!(allowances(&bench.compose()), [(7, 90), (0, 0), (0, 0)]);
    bench.world.intent.set_weight(&backend(1).name, None, 0).expect("a member");
    assert_eq!(allowances(&bench.compose()), [(7, 45), (7, 45), (7, 90)]);
}

#[test]
fn a_flow_is_remembered_for_its_idle_time_at_least() {
    let web = Service { idle: Some(Duration::from_secs(7900)), ..service("web", "10.200.0.1:80", &[1]) };
    let idle = bench([web]).compose().terms[&1].idle;
    assert!(u64::from(idle - 1) << TICK_BITS >= 7_900_000_000_000);
    assert!(u64::from(idle - 2) << TICK_BITS < 7_900_000_000_000);
}

#[test]
fn windows_end_when_it_is_time_and_not_before() {
    let mut bench = bench([service("web", "10.200.0.1:80/udp", &[1, 2])]);
    let tracked = |tables: &Tables| {
        let slots = tables.rings.values().flat_map(Ring::iter);
        slots.filter(|slot| slot.current != slot.settled()).count()
    };
    bench.compose();
    bench.admin(1, Admin::Draining);
    let begun = tracked(&bench.compose_at(10));
    assert_eq!((begun > 40, tracked(&bench.compose_at(129))), (true, begun));
    assert_eq!(tracked(&bench.compose_at(130)), 0);
    let name = "web".parse().expect("a name");
    assert_eq!(bench.composer.tracked(&name), begun);
    bench.composer.untrack(&bench.numbers, Duration::from_secs(140), |_| false);
    assert_eq!(bench.composer.tracked(&name), 0);
    let rings = bench.compose_at(140).rings;
    assert!(rings.values().flat_map(Ring::iter).all(|slot| slot == Slot::of(bench.id("web", 2))));
}

#[test]
fn the_first_ring_waits_for_members_that_are_not_known_yet_but_not_for_long() {
    let owners = |tables: &Tables| -> std::collections::BTreeSet<_> {
        tables.rings.values().flat_map(Ring::iter).collect()
    };
    let nobody = [Slot::of(MemberId::NOBODY)].into();
    let unknown = |bench: &mut Bench, n| {
        let pending = Err(NoNeighbour::Pending);
        bench.world.neighbours.insert([10, 0, 0, n].into(), pending);
    };
    let mut bench = bench([service("web", "10.200.0.1:80", &[1, 2])]);
    unknown(&mut bench, 2);
    assert_eq!(owners(&bench.compose_at(10)), nobody);
    let there = Place::Link(Neighbour { mac: mac(2), ifindex: PORT });
    bench.world.neighbours.insert([10, 0, 0, 2].into(), Ok(there));
    let both = [Slot::of(bench.id("web", 1)), Slot::of(bench.id("web", 2))].into();
    assert_eq!(owners(&bench.compose_at(10)), both);
    // Later, nothing waits.
    unknown(&mut bench, 2);
    assert_eq!(owners(&bench.compose_at(10)), [Slot::of(bench.id("web", 1))].into());

    bench.world.intent.add_service(service("late", "10.200.0.2:80", &[1, 2])).expect("a service");
    let late = |bench: &mut Bench, seconds| {
        let (tables, name) = (bench.compose_at(seconds), "late".parse().expect("a name"));
        let places = bench.numbers.places_of(&name).expect("places");
        tables.rings[&places.ring.first].iter().collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(late(&mut bench, 20), nobody);
    assert_eq!(late(&mut bench, 21), [Slot::of(bench.id("late", 1))].into());
}
