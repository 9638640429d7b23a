//! What a change costs is counted: which services are looked at, and which slots are written. Both depend on what changes,
//! not on how much there is.

use std::collections::BTreeSet;

use super::*;
use crate::ring::Ring;

/// Services of ten members each, of 40 backends: each is a member of a quarter of the services.
const SERVICES: u8 = 40;
const GROUPS: u8 = 4;
const ROOM: Capacity =
    Capacity { slots: 1 << 14, members: 1024, services: 64, flows: 1 << 16, fragments: 64 };

fn many(dataplane: &FakeDataplane) -> Controller<FakeDataplane> {
    let mut intent = Intent::default();
    for n in 0..SERVICES {
        intent.add_backend(backend(n + 1)).expect("a backend");
    }
    for n in 0..SERVICES {
        let members: Vec<_> = (0..SERVICES).filter(|b| b % GROUPS == n % GROUPS).map(|b| b + 1).collect();
        let service = Service { slots: 211, ..service(&format!("s{n}"), n + 1, &members) };
        intent.add_service(service).expect("a service");
    }
    let world = World { intent: intent.into(), ..World::default() };
    let mut numbers = Numbers::new(ROOM);
    numbers.assign(&world.intent, &Tables::default()).expect("room");
    let mut controller = Controller::new(world, numbers, key(), dataplane.clone()).expect("a controller");
    controller.port(PORT, "eth0".to_owned(), OWN);
    for n in 1..=SERVICES {
        controller.neighbour([10, 0, 0, n].into(), Ok(there(n)));
    }
    let services: Vec<_> = controller.world().intent.services().values().cloned().collect();
    for service in services {
        for member in service.members {
            controller.verdict((service.name.clone(), member.backend), Health::Up, None);
        }
    }
    controller.publish().expect("published");
    controller
}

fn there(n: u8) -> Place {
    Place::Link(Neighbour { mac: Mac([2, 0, 0, 0, 1, n]), ifindex: PORT })
}

/// Does something and publishes it: how many services were looked at, and how many slots written. Each slot was written
/// once, with another word than it had, and none that differs was left out.
fn count(
    controller: &mut Controller<FakeDataplane>,
    dataplane: &FakeDataplane,
    change: impl FnOnce(&mut Controller<FakeDataplane>),
) -> (u64, usize) {
    let (before, looked) = (controller.published().clone(), controller.composer.looked());
    dataplane.forget_applied();
    change(controller);
    controller.publish().expect("published");
    let (mut written, mut writes) = (BTreeSet::new(), 0);
    for operation in dataplane.applied() {
        let (first, slots) = match operation {
            Operation::Slots(first, run) => (first, run.len()),
            Operation::Ring(first, ring) => (first, ring.len()),
            _ => continue,
        };
        written.extend((first..).take(slots));
        writes += slots;
    }
    assert_eq!(written.len(), writes);
    let slots = |rings: &std::collections::BTreeMap<u32, Ring>| -> Vec<_> {
        rings.iter().flat_map(|(first, ring)| (*first..).zip(ring.iter().collect::<Vec<_>>())).collect()
    };
    let (before, now) = (slots(&before.rings), slots(&controller.published().rings));
    let differing: BTreeSet<_> =
        before.iter().zip(&now).filter(|(before, now)| before != now).map(|(_, (index, _))| *index).collect();
    assert_eq!(written, differing);
    assert_eq!(dataplane.read().expect("tables"), *controller.published());
    (controller.composer.looked() - looked, written.len())
}

/// The slots that name a backend for new flows.
fn slots_of(controller: &Controller<FakeDataplane>, n: u8) -> usize {
    let name = backend(n).name;
    let services = controller.world().intent.services_of(&name);
    let ids: BTreeSet<_> = services
        .filter_map(|service| controller.numbers().member(&(service.name.clone(), name.clone())))
        .collect();
    let rings = controller.published().rings.values();
    rings.flat_map(Ring::iter).filter(|slot| ids.contains(&slot.current)).count()
}

#[test]
fn a_death_concerns_the_services_of_the_dead_alone_and_writes_just_its_slots() {
    let dataplane = FakeDataplane::new(ROOM);
    let mut controller = many(&dataplane);
    let (each, its) = (u64::from(SERVICES / GROUPS), slots_of(&controller, 7));
    assert!(its > 150, "a tenth of ten rings: {its}");
    let lost = Err(NoNeighbour::NoMac { interface: "eth0".to_owned() });
    let dies = |controller: &mut Controller<_>| controller.neighbour([10, 0, 0, 7].into(), lost);
    assert_eq!(count(&mut controller, &dataplane, dies), (each, its));
    let returns = |controller: &mut Controller<_>| controller.neighbour([10, 0, 0, 7].into(), Ok(there(7)));
    assert_eq!(count(&mut controller, &dataplane, returns), (each, its));

    let disable = |admin| Command::SetAdmin { backend: backend(7).name, service: None, admin, timeout: None };
    let command = |admin| {
        move |controller: &mut Controller<FakeDataplane>| {
            controller.command(&disable(admin)).expect("it may");
        }
    };
    assert_eq!(count(&mut controller, &dataplane, command(Admin::Disabled)), (each, its));
    assert_eq!(count(&mut controller, &dataplane, command(Admin::Enabled)), (each, its));
}

#[test]
fn a_verdict_concerns_one_service_and_a_tick_none() {
    let dataplane = FakeDataplane::new(ROOM);
    let mut controller = many(&dataplane);
    let of = |service: &str, n| (service.parse().expect("a name"), backend(n).name);
    let mut verdict = |service: &str, health| {
        let member = of(service, 5);
        let told = |controller: &mut Controller<_>| controller.verdict(member, health, None);
        count(&mut controller, &dataplane, told)
    };
    let (looked, slots) = verdict("s4", Health::Down);
    assert_eq!(looked, 1);
    assert!((10..40).contains(&slots), "a tenth of a ring: {slots}");
    assert_eq!(verdict("s4", Health::Down), (0, 0), "it is known");
    assert_eq!(verdict("s4", Health::Up), (1, slots));
    let tick = |controller: &mut Controller<FakeDataplane>| controller.time(Duration::from_secs(1));
    assert_eq!(count(&mut controller, &dataplane, tick), (0, 0));
    assert_eq!(dataplane.applied(), []);
}

#[test]
fn a_weight_concerns_its_service_alone_and_a_service_that_comes_no_other() {
    let dataplane = FakeDataplane::new(ROOM);
    let mut controller = many(&dataplane);
    let service = Some("s4".parse().expect("a name"));
    let command = Command::SetWeight { backend: backend(5).name, service, weight: 50 };
    let weigh = |controller: &mut Controller<FakeDataplane>| {
        controller.command(&command).expect("it may");
    };
    let (looked, slots) = count(&mut controller, &dataplane, weigh);
    assert_eq!(looked, 1);
    assert!(slots < 211, "not all of the ring is another's: {slots}");
    let looked = controller.composer.looked();
    let new = Service { slots: 101, ..super::service("new", 99, &[1, 2]) };
    controller.command(&Command::AddService { service: Box::new(new) }).expect("it may");
    assert_eq!(controller.composer.looked() - looked, 1);
}
