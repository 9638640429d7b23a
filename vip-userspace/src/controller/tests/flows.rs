//! Flows through changes, second by second: what they meet, what is tracked, what is left when the window is over.

use std::time::Duration;

use vip_common::tables::Member as Entry;

use super::*;
use crate::{control::protocol::Membership, model::OnDead};

/// A controller and what it writes to, at a time.
pub(super) struct Story {
    pub(super) dataplane: FakeDataplane,
    pub(super) controller: Controller<FakeDataplane>,
    seconds: u64,
}

/// With room for turns.
const ROOM: Capacity = Capacity { slots: 1 << 14, ..CAPACITY };

/// `web` with a window of 30 s.
pub(super) fn story(change: impl FnOnce(&mut Service)) -> Story {
    story_with(ROOM, change)
}

fn story_with(capacity: Capacity, change: impl FnOnce(&mut Service)) -> Story {
    let dataplane = FakeDataplane::new(capacity);
    let mut service = Service { window: Some(Duration::from_secs(30)), ..service("web", 1, &[1, 2, 3, 4]) };
    change(&mut service);
    let mut intent = Intent::default();
    for n in 1..=5 {
        intent.add_backend(backend(n)).expect("a backend");
    }
    intent.add_service(service).expect("a service");
    let world = World { intent: intent.into(), ..World::default() };
    let controller = begin(&dataplane, world, &Default::default(), capacity);
    let mut story = Story { dataplane, controller, seconds: 0 };
    for n in 1..=5 {
        story.controller.verdict(member(n), Health::Up, None);
    }
    story.controller.publish().expect("published");
    story.pass(1);
    story
}

/// A controller over what is published, which knows where everybody is.
fn begin(
    dataplane: &FakeDataplane,
    mut world: World,
    labels: &std::collections::BTreeMap<MemberId, MemberKey>,
    capacity: Capacity,
) -> Controller<FakeDataplane> {
    let published = dataplane.read().expect("tables");
    let mut numbers = Numbers::adopt(capacity, &published, labels, &world.intent).expect("numbers");
    numbers.assign(&world.intent, &published).expect("room");
    adopt(&mut world, &published, labels);
    let mut controller = Controller::new(world, numbers, key(), dataplane.clone()).expect("a controller");
    controller.port(PORT, "eth0".to_owned(), OWN);
    for n in 1..=5 {
        let found = Place::Link(Neighbour { mac: Mac([2, 0, 0, 0, 1, n]), ifindex: PORT });
        controller.neighbour(IpAddr::from([10, 0, 0, n]), Ok(found));
    }
    controller
}

/// Another controller takes over, with the same wishes; its time begins at 0.
pub(super) fn restart(story: &mut Story) {
    let (world, labels) = (story.controller.world().clone(), story.controller.numbers().labels());
    let world = World { courses: Default::default(), drains: Default::default(), ..world };
    story.controller = begin(&story.dataplane, world, &labels, ROOM);
    story.seconds = 0;
}

impl Story {
    /// Time passes as in the controller's loop; tells how many flows were refused an entry.
    pub(super) fn pass(&mut self, seconds: u64) -> u64 {
        let mut refused = 0;
        for _ in 0..seconds {
            self.seconds += 1;
            self.dataplane.set_clock(self.seconds * 1_000_000_000);
            self.controller.time(Duration::from_secs(self.seconds));
            refused += self.controller.look_after_flows().expect("looked after").values().sum::<u64>();
            self.controller.publish().expect("published");
        }
        refused
    }

    pub(super) fn command(&mut self, command: &Command) {
        self.controller.command(command).expect("done");
    }

    pub(super) fn admin(&mut self, n: u8, admin: Admin) {
        self.command(&Command::SetAdmin { backend: backend(n).name, service: None, admin, timeout: None });
    }

    pub(super) fn health(&mut self, n: u8, health: Health) {
        self.controller.verdict(member(n), health, None);
        self.controller.publish().expect("published");
    }

    /// Flows begin, each with a SYN and a segment after it.
    pub(super) fn begin(&self) -> Vec<u8> {
        let owners = send(&self.dataplane, SYN);
        assert_eq!(differing(&owners, &self.speak()), 0);
        owners
    }

    pub(super) fn speak(&self) -> Vec<u8> {
        send(&self.dataplane, ACK)
    }

    fn tracked(&self) -> usize {
        let rings = &self.controller.published().rings;
        rings.values().flat_map(crate::ring::Ring::iter).filter(vip_common::tables::Slot::is_tracked).count()
    }

    fn entries(&self) -> usize {
        self.dataplane.host_tables().flows4.borrow().len()
    }

    pub(super) fn service(&self) -> Service {
        self.controller.world().intent.services()[&member(1).0].clone()
    }

    fn id(&self, n: u8) -> MemberId {
        self.controller.numbers().member(&member(n)).expect("an id")
    }
}

pub(super) fn has(owners: &[u8], n: u8) -> usize {
    owners.iter().filter(|owner| **owner == n).count()
}

#[test]
fn at_rest_nothing_is_swept_and_nothing_written() {
    let mut story = story(|_| {});
    let flows = story.begin();
    story.dataplane.forget_applied();
    let swept = story.dataplane.sweeps();
    story.pass(100);
    assert_eq!(
        (story.dataplane.sweeps() - swept, story.dataplane.applied(), story.entries()),
        (0, vec![], 0)
    );
    assert_eq!(differing(&story.speak(), &flows), 0);
}

#[test]
fn flows_of_a_draining_member_stay_for_as_long_as_they_speak_and_when_they_end_nothing_is_left() {
    let mut story = story(|_| {});
    let flows = story.begin();
    story.admin(1, Admin::Draining);
    let state = story.controller.published().members[&story.id(1)].member.state;
    assert_eq!((state, story.tracked() > 200), (Entry::DRAINING, true));
    for _ in 0..10 {
        assert_eq!(differing(&story.speak(), &flows), 0);
        story.pass(10);
    }
    assert_eq!(story.entries(), has(&flows, 1), "only what can't be placed by the ring is remembered");
    assert!(story.tracked() > 100, "slots of b1's flows are tracked though their window is over");
    // They end.
    story.pass(60);
    assert_eq!((story.tracked(), story.entries()), (0, 0));
    assert_eq!(has(&story.begin(), 1), 0);
}

#[test]
fn new_flows_go_to_a_member_that_is_added_and_older_ones_stay() {
    let mut story = story(|_| {});
    let flows = story.begin();
    let services = vec![Membership { service: member(1).0, weight: 100, backup: false }];
    story.command(&Command::AddBackend { backend: backend(5), services });
    story.health(5, Health::Up);
    assert_eq!(differing(&story.speak(), &flows), 0);
    story.dataplane.forget_flows();
    assert!((300..500).contains(&has(&story.begin(), 5)));
    story.dataplane.forget_flows();
    story.pass(40);
    assert_eq!((story.tracked(), story.entries()), (0, 0));
    assert!((300..500).contains(&has(&story.speak(), 5)));
}

#[test]
fn a_death_tracks_nothing_and_the_return_of_the_dead_breaks_nothing() {
    let mut story = story(|_| {});
    story.begin();
    story.health(2, Health::Down);
    assert_eq!(story.tracked(), 0);
    let flows = story.begin();
    let generation = story.controller.published().members[&story.id(2)].generation;
    story.health(2, Health::Up);
    assert_eq!(story.controller.published().members[&story.id(2)].generation, generation + 1);
    for _ in 0..8 {
        assert_eq!(differing(&story.speak(), &flows), 0);
        story.pass(7);
    }
    story.pass(60);
    assert_eq!((story.tracked(), story.entries()), (0, 0));
    assert!(has(&story.begin(), 2) > 400);
}

#[test]
fn a_dead_or_removed_members_id_is_named_until_its_window_is_over_and_given_to_nobody_before() {
    let mut story = story(|service| service.on_dead = OnDead::Keep);
    let (id, flows) = (story.id(1), story.begin());
    story.command(&Command::RemoveBackend { name: backend(1).name, service: None });
    assert_eq!(differing(&story.speak(), &flows), 0, "its flows are kept");
    let entry = story.controller.published().members[&id];
    assert_eq!((entry.member.state, entry.generation), (Entry::DOWN, 2));
    let services = || vec![Membership { service: member(1).0, weight: 100, backup: false }];
    story.command(&Command::AddBackend { backend: backend(5), services: services() });
    assert_ne!(story.id(5), id);
    story.pass(60);
    assert_eq!(story.controller.published().members[&id].member.state, 0);
    story.command(&Command::AddBackend { backend: backend(1), services: services() });
    assert_eq!(story.id(1), id);
    assert_eq!(story.controller.published().members[&id].generation, 4);
}

#[test]
fn a_restart_keeps_flows_where_they_are_and_starts_windows_anew() {
    let mut story = story(|_| {});
    let flows = story.begin();
    story.admin(1, Admin::Draining);
    story.pass(20);
    story.speak();
    let tracked = story.tracked();
    story.dataplane.forget_applied();
    restart(&mut story);
    story.controller.publish().expect("published");
    let slots = |operation: &Operation| matches!(operation, Operation::Slots(..) | Operation::Ring(..));
    assert_eq!((story.tracked(), story.dataplane.applied().iter().any(slots)), (tracked, false));
    // The new controller's time begins at 0, and the window with it.
    story.controller.time(Duration::from_secs(20));
    story.controller.publish().expect("published");
    assert_eq!((differing(&story.speak(), &flows), story.tracked()), (0, tracked));
    assert_eq!(story.dataplane.applied().iter().filter(|operation| slots(operation)).count(), 0);
}

#[test]
fn flows_beyond_the_budget_stay_where_the_ring_has_them_and_are_told() {
    let mut story = story_with(Capacity { flows: 1600, ..ROOM }, |_| {});
    let flows = story.begin();
    story.admin(1, Admin::Draining);
    // The first 90, one part in 16 of nine tenths, are written.
    assert_eq!(differing(&story.speak(), &flows), 0);
    assert_eq!(story.entries(), 90);
    let refused = story.pass(20);
    assert!(refused > 300, "{refused} are told");
    for _ in 0..9 {
        assert_eq!(differing(&story.speak(), &flows), 0);
        story.pass(1);
    }
    assert_eq!(story.entries(), has(&flows, 1), "in time, all are");
}

#[test]
fn in_turns_every_flow_is_tracked_and_each_member_has_its_share_to_a_flow() {
    let mut story = story(|service| service.scheduler = "round-robin".parse().expect("a scheduler"));
    let flows = story.begin();
    for n in 1..=4 {
        assert_eq!(has(&flows, n), 500, "b{n}");
    }
    assert_eq!(flows[..8], [1, 2, 3, 4, 1, 2, 3, 4]);
    story.admin(1, Admin::Draining);
    for _ in 0..10 {
        assert_eq!(differing(&story.speak(), &flows), 0);
        story.pass(10);
    }
    story.health(2, Health::Down);
    let after = story.speak();
    assert_eq!(has(&after, 2), 0);
    let stay = |(before, after): (&u8, &u8)| *before == 2 || before == after;
    assert!(flows.iter().zip(&after).all(stay), "a death moves no flow of the living");
    story.dataplane.forget_flows();
    let flows = story.begin();
    assert_eq!((has(&flows, 3), has(&flows, 4)), (1000, 1000));
}

#[test]
fn in_turns_the_table_is_swept_by_the_idle_time_and_not_by_a_window_of_nothing() {
    let mut story = story(|service| {
        service.scheduler = "round-robin".parse().expect("a scheduler");
        service.window = Some(Duration::ZERO);
    });
    story.begin();
    story.pass(10);
    let before = story.dataplane.sweeps();
    story.pass(40);
    assert_eq!(story.dataplane.sweeps() - before, 4);
}
