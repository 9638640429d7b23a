//! The heart of the controller on a dataplane in memory: packets go through the very decision that runs in the kernel.

use std::{net::IpAddr, time::Duration};

use vip_common::{
    Action, MemberId, Reason,
    headers::{ETHERTYPE_IPV4, TCP},
    host::HostFrame,
};

use super::{Controller, core::adopt};
use crate::{
    control::protocol::{Code, Command},
    dataplane::{Dataplane as _, fake::FakeDataplane},
    model::{
        Admin, Backend, Capacity, Check, Health, Ineligible, Intent, Mac, Member, MemberKey, Neighbour,
        NoNeighbour, Place, Probe, Script, Service, Standing, World,
    },
    plan::{Numbers, Operation, Tables},
    ring::RingKey,
};

const CAPACITY: Capacity = Capacity { slots: 4096, members: 16, services: 4, flows: 1 << 16, fragments: 64 };
const PORT: u32 = 3;
const OWN: Mac = Mac([2, 0, 0, 0, 0, 9]);

fn key() -> RingKey {
    "000102030405060708090a0b0c0d0e0f".parse().expect("a seed")
}

fn backend(n: u8) -> Backend {
    let name = format!("b{n}").parse().expect("a name");
    Backend { ipv4: Some([10, 0, 0, n].into()), ..Backend::new(name) }
}

fn service(name: &str, host: u8, backends: &[u8]) -> Service {
    let check = Check { rise: 2, fall: 3, ..Check::new(Probe::Tcp) };
    let member = |n: &u8| Member::new(backend(*n).name);
    Service {
        slots: 1021,
        check: Some(check),
        members: backends.iter().map(member).collect(),
        ..Service::new(
            name.parse().expect("a name"),
            format!("10.200.0.{host}:80/tcp").parse().expect("an address"),
        )
    }
}

fn intent() -> Intent {
    let mut intent = Intent::default();
    for n in 1..=4 {
        intent.add_backend(backend(n)).expect("a backend");
    }
    intent.add_service(service("web", 1, &[1, 2, 3, 4])).expect("a service");
    intent
}

fn member(n: u8) -> MemberKey {
    ("web".parse().expect("a name"), backend(n).name)
}

/// A controller of `web` on b1 to b4, which all answer.
fn controller(dataplane: &FakeDataplane) -> Controller<FakeDataplane> {
    let world = World { intent: intent().into(), ..World::default() };
    let mut numbers = Numbers::new(CAPACITY);
    numbers.assign(&world.intent, &Tables::default()).expect("room");
    let mut controller = Controller::new(world, numbers, key(), dataplane.clone()).expect("a controller");
    controller.port(PORT, "eth0".to_owned(), OWN);
    for n in 1..=4 {
        let found = Place::Link(Neighbour { mac: Mac([2, 0, 0, 0, 1, n]), ifindex: PORT });
        controller.neighbour(IpAddr::from([10, 0, 0, n]), Ok(found));
        controller.verdict(member(n), Health::Up, None);
    }
    controller.publish().expect("published");
    controller
}

const SYN: u8 = 2;
const ACK: u8 = 16;

/// Which backend gets a segment with these flags of each of 2,000 flows; 0 where it is dropped for want of one.
fn send(dataplane: &FakeDataplane, flags: u8) -> Vec<u8> {
    (0..2000_u16).map(|flow| owner(dataplane, flow, flags)).collect()
}

/// Which backend each of them lives on.
fn owners(dataplane: &FakeDataplane) -> Vec<u8> {
    send(dataplane, ACK)
}

/// How many flows live elsewhere.
fn differing(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).filter(|(one, other)| one != other).count()
}

fn owner(dataplane: &FakeDataplane, flow: u16, flags: u8) -> u8 {
    let mut bytes = vec![0; 54];
    bytes[..6].copy_from_slice(&OWN.0);
    bytes[12..14].copy_from_slice(&ETHERTYPE_IPV4);
    bytes[14] = 0x45;
    bytes[17] = 40;
    bytes[22] = 64;
    bytes[23] = TCP;
    bytes[26..30].copy_from_slice(&[192, 0, 2, 7]);
    bytes[30..34].copy_from_slice(&[10, 200, 0, 1]);
    bytes[34..36].copy_from_slice(&(1024 + flow).to_be_bytes());
    bytes[36..38].copy_from_slice(&80_u16.to_be_bytes());
    bytes[46] = 0x50;
    bytes[47] = flags;
    // A SYN has a number of its own; what comes after it continues.
    bytes[41] = u8::from(flags != SYN);
    let mut frame = HostFrame::new(&bytes, PORT);
    let action = dataplane.direct(&mut frame);
    if action == Action::drop(Reason::NoBackend) {
        return 0;
    }
    assert_eq!(action.reason, Reason::Forwarded, "{action:?}");
    frame.bytes[5]
}

#[test]
fn since_when_a_member_stands_as_it_does_is_known_of_each_by_itself() {
    let mut controller = controller(&FakeDataplane::new(CAPACITY));
    controller.time(Duration::from_secs(5));
    controller.verdict(member(2), Health::Down, None);
    controller.publish().expect("published");
    controller.time(Duration::from_secs(7));
    let command = Command::RemoveBackend { name: member(1).1, service: Some(member(1).0) };
    controller.command(&command).expect("removed");
    let since: Vec<_> = controller.standing_since().map(|(key, since)| (key, since.as_secs())).collect();
    assert_eq!(since, [(member(2), 5), (member(3), 0), (member(4), 0)]);
}

#[test]
fn a_death_moves_the_flows_of_the_dead_and_no_others_and_a_return_takes_back_just_those() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let mut controller = controller(&dataplane);
    let before = owners(&dataplane);
    for n in 1..=4 {
        assert!(before.iter().filter(|owner| **owner == n).count() > 400, "b{n} has its share");
    }
    controller.verdict(member(2), Health::Down, Some(crate::model::Cause::PortClosed));
    let transitions = controller.publish().expect("published");
    let why = Ineligible::Down(Box::new(crate::model::Cause::PortClosed));
    assert_eq!(transitions.len(), 1);
    assert_eq!((&transitions[0].member, &transitions[0].now), (&member(2), &Standing::Down(why)));
    for (before, after) in before.iter().zip(owners(&dataplane)) {
        assert!(if *before == 2 { after != 2 && after != 0 } else { after == *before });
    }
    let meanwhile = owners(&dataplane);
    controller.verdict(member(2), Health::Up, None);
    controller.publish().expect("published");
    // Flows stay where they have begun by now; new ones find everything as it was.
    assert_eq!(differing(&owners(&dataplane), &meanwhile), 0);
    dataplane.forget_flows();
    assert_eq!(differing(&send(&dataplane, SYN), &before), 0);
}

#[test]
fn without_an_eligible_member_packets_are_dropped_for_want_of_one() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let mut controller = controller(&dataplane);
    for n in 1..=4 {
        controller.neighbour(IpAddr::from([10, 0, 0, n]), Err(NoNeighbour::NoRoute));
    }
    controller.publish().expect("published");
    assert!(owners(&dataplane).iter().all(|owner| *owner == 0));
}

#[test]
fn new_flows_go_to_a_backup_while_no_other_member_is_eligible() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let mut controller = controller(&dataplane);
    let services =
        vec![crate::control::protocol::Membership { service: member(1).0, weight: 100, backup: true }];
    controller.command(&Command::AddBackend { backend: backend(5), services }).expect("done");
    let found = Place::Link(Neighbour { mac: Mac([2, 0, 0, 0, 1, 5]), ifindex: PORT });
    controller.neighbour([10, 0, 0, 5].into(), Ok(found));
    controller.verdict(member(5), Health::Up, None);
    controller.publish().expect("published");
    assert!(send(&dataplane, SYN).iter().all(|owner| (1..=4).contains(owner)));
    for n in 1..=4 {
        controller.verdict(member(n), Health::Down, Some(crate::model::Cause::PortClosed));
    }
    controller.publish().expect("published");
    dataplane.forget_flows();
    assert!(send(&dataplane, SYN).iter().all(|owner| *owner == 5));
    controller.neighbour([10, 0, 0, 5].into(), Err(NoNeighbour::NoRoute));
    controller.publish().expect("published");
    dataplane.forget_flows();
    assert!(send(&dataplane, SYN).iter().all(|owner| *owner == 0));
}

#[test]
fn what_fails_half_way_is_repaired_at_the_next_attempt_whatever_is_wanted_then() {
    for succeed in 0..8 {
        let dataplane = FakeDataplane::new(CAPACITY);
        let mut controller = controller(&dataplane);
        let before = owners(&dataplane);
        controller.verdict(member(3), Health::Down, Some(crate::model::Cause::PortClosed));
        dataplane.fail_after(succeed);
        assert!(controller.publish().is_err(), "after {succeed}");
        let meanwhile = owners(&dataplane);
        assert!(differing(&before, &meanwhile) < 100);
        // By now it is up again: new flows find what was written half-way undone, those begun meanwhile stay.
        controller.verdict(member(3), Health::Up, None);
        controller.publish().expect("published");
        assert_eq!(differing(&owners(&dataplane), &meanwhile), 0, "after {succeed}");
        dataplane.forget_flows();
        assert_eq!(differing(&send(&dataplane, SYN), &before), 0, "after {succeed}");
    }
}

#[test]
fn a_command_that_the_kernel_refuses_has_changed_nothing() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let mut controller = controller(&dataplane);
    let (before, intent) = (owners(&dataplane), controller.world().intent.clone());
    let tables = controller.published().clone();
    dataplane.fail_after(0);
    let disable =
        Command::SetAdmin { backend: backend(1).name, service: None, admin: Admin::Disabled, timeout: None };
    assert_eq!(controller.command(&disable).map_err(|refused| refused.code), Err(Code::Kernel));
    assert_eq!(controller.world().intent, intent);
    controller.publish().expect("published");
    assert_eq!(controller.published(), &tables);
    assert_eq!(differing(&owners(&dataplane), &before), 0);
    controller.command(&disable).expect("done");
    assert!(owners(&dataplane).iter().all(|owner| *owner != 1));
}

#[test]
fn a_command_for_which_there_is_no_room_is_refused_and_changes_nothing() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let mut controller = controller(&dataplane);
    let tables = controller.published().clone();
    let add = |slots| Command::AddService { service: Box::new(Service { slots, ..service("dns", 2, &[1]) }) };
    assert_eq!(controller.command(&add(4000)).map_err(|refused| refused.code), Err(Code::TableFull));
    assert_eq!(controller.published(), &tables);
    controller.command(&add(3000)).expect("done");
}

#[test]
fn a_command_runs_no_programs() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let mut controller = controller(&dataplane);
    let intent = controller.world().intent.clone();
    let script = Script { command: vec!["/bin/sh".to_owned()], user: None };
    let check = Some(Check::new(Probe::Script(script)));
    let add = Command::AddService { service: Box::new(Service { check, ..service("dns", 2, &[1]) }) };
    let refused = controller.command(&add).expect_err("it is refused");
    assert_eq!(refused.code, Code::BadValue);
    assert!(refused.message.contains("in the configuration file alone"), "{}", refused.message);
    assert_eq!(controller.world().intent, intent);
}

#[test]
fn a_controller_that_adopts_what_is_published_writes_nothing() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let labels = {
        let mut first = controller(&dataplane);
        first.verdict(member(4), Health::Down, Some(crate::model::Cause::PortClosed));
        first.publish().expect("published");
        first.numbers().labels()
    };
    let before = owners(&dataplane);
    dataplane.forget_applied();

    let published = dataplane.read().expect("tables");
    let mut world = World { intent: intent().into(), ..World::default() };
    let mut numbers = Numbers::adopt(CAPACITY, &published, &labels, &world.intent).expect("numbers");
    numbers.assign(&world.intent, &published).expect("room");
    adopt(&mut world, &published, &labels);
    let mut second = Controller::new(world, numbers, key(), dataplane.clone()).expect("a controller");
    second.port(PORT, "eth0".to_owned(), OWN);
    second.publish().expect("published");
    assert_eq!(dataplane.applied(), []);
    assert_eq!(differing(&owners(&dataplane), &before), 0);
}

#[test]
fn without_labels_adopted_tables_are_replaced_without_a_packet_dropped() {
    let dataplane = FakeDataplane::new(CAPACITY);
    drop(controller(&dataplane));
    let (before, published) = (owners(&dataplane), dataplane.read().expect("tables"));
    let mut world = World { intent: intent().into(), ..World::default() };
    let mut numbers =
        Numbers::adopt(CAPACITY, &published, &Default::default(), &world.intent).expect("numbers");
    numbers.assign(&world.intent, &published).expect("room");
    // New ids, beside the old ones: at no moment does a slot name a member that is not there.
    for n in 1..=4 {
        let id = numbers.member(&member(n)).expect("an id");
        assert!(!published.members.contains_key(&id), "{id:?} is taken");
        let found = Place::Link(Neighbour { mac: Mac([2, 0, 0, 0, 1, n]), ifindex: PORT });
        world.neighbours.insert([10, 0, 0, n].into(), Ok(found));
        world.checked.insert(member(n), crate::model::Checked { health: Health::Up, cause: None });
    }
    let mut second = Controller::new(world, numbers, key(), dataplane.clone()).expect("a controller");
    second.port(PORT, "eth0".to_owned(), OWN);
    second.publish().expect("published");
    assert_eq!(differing(&owners(&dataplane), &before), 0);
}

#[test]
fn a_removed_member_leaves_no_entry_and_its_id_is_given_again_with_new_counters() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let mut controller = controller(&dataplane);
    let id = controller.numbers().member(&member(2)).expect("an id");
    controller.command(&Command::RemoveBackend { name: backend(2).name, service: None }).expect("done");
    let entry = controller.published().members[&id];
    assert_eq!((entry.member.state, entry.generation), (0, 2), "only its generation is kept");
    dataplane.forget_applied();
    controller
        .command(&Command::AddBackend {
            backend: backend(5),
            services: vec![crate::control::protocol::Membership {
                service: member(1).0,
                weight: 100,
                backup: false,
            }],
        })
        .expect("done");
    let key = (member(1).0, backend(5).name);
    assert_eq!(controller.numbers().member(&key), Some(id));
    assert_eq!(controller.published().members[&id].generation, 3);
    let cleared =
        |operation: &Operation| matches!(operation, Operation::ClearCounts(MemberId(n)) if *n == id.0);
    assert!(dataplane.applied().iter().any(cleared));
}

mod drains;
mod flows;
mod scale;
mod tracked;

#[test]
fn what_somebody_else_writes_is_found_and_put_right_and_flows_stay() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let mut controller = controller(&dataplane);
    assert_eq!(controller.resync(0, 1).expect("a look"), [].into(), "nothing is amiss");
    let (before, tables) = (owners(&dataplane), dataplane.read().expect("tables"));
    let (first, slots) = tables.rings.first_key_value().expect("a ring");
    let id = *tables.members.keys().next().expect("a member");
    let somebody = vec![
        Operation::Slots(*first + 7, vec![slots.slot(0); 500]),
        Operation::Member(id, None),
        Operation::Service4(*tables.services4.keys().next().expect("a service"), None),
    ];
    dataplane.clone().apply(&somebody).expect("they may");
    let strays = controller.resync(0, 1).expect("a look");
    assert!(strays["RINGS"] > 100 && strays["MEMBERS"] > 0 && strays["SERVICES4"] == 1, "{strays:?}");
    assert_eq!(dataplane.read().expect("tables"), tables);
    assert_eq!(differing(&owners(&dataplane), &before), 0);
    assert_eq!(controller.resync(0, 1).expect("a look"), [].into());
}

#[test]
fn a_configuration_that_the_kernel_refuses_has_changed_nothing_and_one_that_holds_moves_nobody_else() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let mut controller = controller(&dataplane);
    let (before, tables) = (owners(&dataplane), controller.published().clone());
    let mut wanted = controller.world().clone();
    wanted.intent.add_service(service("dns", 2, &[1, 2])).expect("a service");
    wanted.intent.remove_member(&member(4).0, &member(4).1).expect("a member");
    dataplane.fail_after(1);
    let refused = controller.reconfigure(wanted.clone(), key()).expect_err("the kernel refuses");
    assert_eq!(refused.code, Code::Kernel);
    controller.publish().expect("repaired");
    assert_eq!(controller.published(), &tables);
    controller.reconfigure(wanted, key()).expect("done");
    assert_eq!(controller.world().intent.services().len(), 2);
    for (before, after) in before.iter().zip(owners(&dataplane)) {
        assert!(if *before == 4 { after != 4 } else { after == *before });
    }
}

#[test]
fn another_seed_and_another_size_make_other_rings() {
    let dataplane = FakeDataplane::new(CAPACITY);
    let mut controller = controller(&dataplane);
    let before = owners(&dataplane);
    let other = "0f0e0d0c0b0a09080706050403020100".parse().expect("a seed");
    controller.reconfigure(controller.world().clone(), other).expect("done");
    assert_eq!(controller.published().flow_key, Some(other.flow_key()));
    assert!(differing(&before, &send(&dataplane, SYN)) > 1000, "most flows are elsewhere");
    let mut wanted = controller.world().clone();
    wanted.intent.remove_service(&member(1).0).expect("a service");
    wanted.intent.add_service(Service { slots: 509, ..service("web", 1, &[1, 2, 3, 4]) }).expect("a service");
    controller.reconfigure(wanted, other).expect("done");
    let sizes: Vec<_> = controller.published().services4.values().map(|entry| entry.ring_size).collect();
    assert!(sizes.iter().all(|size| *size == 509), "{sizes:?}");
    assert!(owners(&dataplane).iter().all(|owner| (1..=4).contains(owner)));
}
