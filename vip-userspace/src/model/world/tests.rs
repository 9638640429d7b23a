//! Who stands how: places, backups, quorums, panic, slow starts.

use proptest::prelude::*;

use super::*;
use crate::model::{Check, Probe};

const THERE: Neighbour = Neighbour { mac: Mac([2, 0, 0, 0, 0, 1]), ifindex: 3 };
const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 200, 0, 1));

fn backend(mac: Option<Mac>) -> Backend {
    Backend { ipv4: Some([10, 0, 0, 1].into()), mac, ..Backend::new("b1".parse().expect("a name")) }
}

fn world(known: Result<Place, NoNeighbour>, is_port: bool, is_egress: bool) -> World {
    let link =
        Link { name: "eth0".into(), mac: Mac([2; 6]), is_port, is_egress, is_inlet: false, is_up: true };
    World {
        neighbours: [([10, 0, 0, 1].into(), known)].into(),
        links: [(3, link)].into(),
        ..World::default()
    }
}

#[test]
fn a_backend_is_where_the_kernel_says_if_that_is_a_way_out() {
    let there = Place::Link(THERE);
    assert_eq!(world(Ok(there), true, false).place(&backend(None), VIP), Ok(there));
    assert_eq!(world(Ok(there), false, true).place(&backend(None), VIP), Ok(there));
    let not_a_port = Err(NoNeighbour::NotAPort { interface: "eth0".into() });
    assert_eq!(world(Ok(there), false, false).place(&backend(None), VIP), not_a_port);
    assert_eq!(World::default().place(&backend(None), VIP), Err(NoNeighbour::Pending));
}

#[test]
fn a_stated_mac_overrides_the_kernel_and_stands_in_where_nobody_answers() {
    let mac = Mac([6; 6]);
    let stated = Ok(Place::Link(Neighbour { mac, ..THERE }));
    let place = |known| world(known, true, false).place(&backend(Some(mac)), VIP);
    assert_eq!(place(Ok(Place::Link(THERE))), stated);
    assert_eq!(place(Err(NoNeighbour::NoMac { interface: "eth0".into() })), stated);
    let gateway = NoNeighbour::NotOnLink { gateway: [10, 0, 0, 254].into() };
    assert_eq!(place(Err(gateway.clone())), Err(gateway));
}

#[test]
fn a_backend_with_an_address_of_this_box_is_here_on_whatever_interface() {
    assert_eq!(world(Ok(Place::Here), false, false).place(&backend(None), VIP), Ok(Place::Here));
    assert_eq!(world(Ok(Place::Here), true, false).place(&backend(Some(Mac([6; 6]))), VIP), Ok(Place::Here));
}

/// Service web without a check: members b1 and b2, and their backup b3.
fn with_a_backup() -> World {
    let mut world = world(Ok(Place::Here), true, false);
    let mut service =
        Service::new("web".parse().expect("a name"), "10.200.0.1:80".parse().expect("an address"));
    for n in 1..=3 {
        let name: BackendName = format!("b{n}").parse().expect("a name");
        let backend = Backend { ipv4: Some([10, 0, 0, n].into()), ..Backend::new(name.clone()) };
        world.intent.add_backend(backend).expect("a backend");
        world.neighbours.insert([10, 0, 0, n].into(), Ok(Place::Here));
        service.members.push(Member { backup: n == 3, ..Member::new(name) });
    }
    world.intent.add_service(service).expect("a service");
    world
}

#[test]
fn a_backup_gets_new_flows_only_while_nobody_else_does() {
    let mut world = with_a_backup();
    let standing_of_b3 = |world: &World| {
        let service = &world.intent.services().values().next().expect("a service");
        world.standings(service)[2].clone()
    };
    let waits = Standing::Draining(Place::Here, Ineligible::Backup);
    assert_eq!(standing_of_b3(&world), waits);
    let [b1, b2] = ["b1", "b2"].map(|name| name.parse().expect("a name"));
    world.intent.set_admin(&b1, None, Admin::Disabled).expect("a member");
    assert_eq!(standing_of_b3(&world), waits);
    world.intent.set_weight(&b2, None, 0).expect("a member");
    assert_eq!(standing_of_b3(&world), Standing::Eligible(Place::Here));
    world.intent.set_weight(&b2, None, 1).expect("a member");
    assert_eq!(standing_of_b3(&world), waits);
}

/// Service web with a check and members b1 to `count`, the last `backups` of which are backups. All are up.
fn checked(count: u8, backups: u8, change: impl FnOnce(&mut Service)) -> World {
    let mut world = World::default();
    let mut service =
        Service::new("web".parse().expect("a name"), "10.200.0.1:80".parse().expect("an address"));
    service.check = Some(Check { rise: 2, fall: 3, ..Check::new(Probe::Tcp) });
    for n in 1..=count {
        let backend = Backend { ipv4: Some([10, 0, 0, n].into()), ..Backend::new(name(n)) };
        world.intent.add_backend(backend).expect("a backend");
        world.neighbours.insert([10, 0, 0, n].into(), Ok(Place::Here));
        service.members.push(Member { backup: n > count - backups, ..Member::new(name(n)) });
        set(&mut world, n, Health::Up);
    }
    change(&mut service);
    world.intent.add_service(service).expect("a service");
    world
}

fn name(n: u8) -> BackendName {
    format!("b{n}").parse().expect("a name")
}

fn set(world: &mut World, n: u8, health: Health) {
    let member = ("web".parse().expect("a name"), name(n));
    world.checked.insert(member, Checked { health, cause: Some(Box::new(Cause::PortClosed)) });
}

fn web(world: &World) -> &Service {
    world.intent.services().values().next().expect("a service")
}

/// Which members are eligible, by number; and whether the quorum is short, and health ignored.
fn judged(world: &World) -> (Vec<u8>, bool, bool) {
    let Judgement { standings, is_short, panics } = world.judge(web(world));
    let eligible = (1..).zip(&standings).filter(|(_, standing)| standing.is_eligible());
    (eligible.map(|(n, _)| n).collect(), is_short, panics)
}

#[test]
fn below_the_quorum_backups_join_in_and_above_its_hysteresis_they_go() {
    let mut world = checked(5, 1, |service| (service.quorum, service.quorum_hysteresis) = (2, 1));
    let mut after = |n, health| {
        set(&mut world, n, health);
        world.note(Duration::ZERO);
        judged(&world)
    };
    assert_eq!(after(1, Health::Down), (vec![2, 3, 4], false, false));
    assert_eq!(after(2, Health::Down), (vec![3, 4], false, false), "not yet: two are a quorum");
    assert_eq!(after(3, Health::Down), (vec![4, 5], true, false));
    assert_eq!(after(3, Health::Up), (vec![3, 4, 5], true, false), "not yet: one more is asked for");
    assert_eq!(after(2, Health::Up), (vec![2, 3, 4], false, false));
    assert_eq!(after(3, Health::Down), (vec![2, 4], false, false));
}

#[test]
fn a_quorum_that_all_members_do_not_meet_is_short_and_all_of_them_are_enough_for_any_hysteresis() {
    let world = checked(2, 1, |service| service.quorum = 2);
    assert_eq!(judged(&world), (vec![1, 2], true, false));
    let mut world = checked(3, 1, |service| (service.quorum, service.quorum_hysteresis) = (2, 7));
    set(&mut world, 1, Health::Down);
    world.note(Duration::ZERO);
    assert_eq!(judged(&world), (vec![2, 3], true, false));
    set(&mut world, 1, Health::Up);
    assert_eq!(judged(&world), (vec![1, 2], false, false));
}

#[test]
fn below_the_panic_threshold_the_health_of_members_is_ignored_but_nothing_else() {
    let mut world = checked(4, 0, |service| service.panic_threshold = Some(50));
    set(&mut world, 1, Health::Down);
    set(&mut world, 2, Health::Down);
    assert_eq!(judged(&world), (vec![3, 4], false, false), "half of them is not less than half");
    set(&mut world, 3, Health::Down);
    assert_eq!(judged(&world), (vec![1, 2, 3, 4], false, true));
    world.neighbours.insert([10, 0, 0, 1].into(), Err(NoNeighbour::NoRoute));
    assert_eq!(judged(&world).0, [2, 3, 4], "who can't be reached stays out");
    // Who is not to get flows does not count: one of two is healthy.
    for n in [1, 2] {
        world.intent.set_admin(&name(n), None, Admin::Disabled).expect("a member");
    }
    assert_eq!(judged(&world), (vec![4], false, false));
    set(&mut world, 4, Health::Down);
    assert_eq!(judged(&world), (vec![3, 4], true, true));
    world.intent.set_admin(&name(3), None, Admin::Draining).expect("a member");
    let standing = world.standings(web(&world))[2].clone();
    assert_eq!(standing, Standing::Draining(Place::Here, Ineligible::Draining), "it keeps its flows");
}

#[test]
fn nobody_panics_over_members_that_are_not_known_yet() {
    let mut world = checked(4, 0, |service| service.panic_threshold = Some(100));
    for n in 1..=4 {
        set(&mut world, n, Health::Unknown);
    }
    assert_eq!(judged(&world), (vec![], true, false));
    set(&mut world, 2, Health::Down);
    assert_eq!(judged(&world), (vec![2], true, true), "but over one that is known to be down");
}

/// The parts of the members at a second, in eighths.
fn parts(world: &mut World, second: u64) -> Vec<u32> {
    let now = Duration::from_secs(second);
    world.note(now);
    let service = web(world);
    world.parts(service, &world.standings(service), now).into_iter().map(Part::eighths).collect()
}

#[test]
fn who_comes_up_later_than_the_service_grows_to_its_share() {
    let mut world = checked(3, 0, |service| service.slow_start = Some(Duration::from_secs(70)));
    set(&mut world, 2, Health::Unknown);
    set(&mut world, 3, Health::Unknown);
    assert_eq!(parts(&mut world, 0), [8, 0, 0]);
    set(&mut world, 2, Health::Up);
    assert_eq!(parts(&mut world, 2), [8, 8, 0], "this was the first look at it");
    set(&mut world, 3, Health::Up);
    assert_eq!(parts(&mut world, 100), [8, 8, 1]);
    assert_eq!(parts(&mut world, 135), [8, 8, 4]);
    assert_eq!(parts(&mut world, 170), [8, 8, 8]);
    world.intent.set_admin(&name(2), None, Admin::Disabled).expect("a member");
    assert_eq!(parts(&mut world, 171), [8, 0, 8]);
    world.intent.set_admin(&name(2), None, Admin::Enabled).expect("a member");
    assert_eq!(parts(&mut world, 180), [8, 1, 8], "by command as well");
}

#[test]
fn where_all_have_just_come_up_shares_are_as_if_none_had() {
    let mut world = checked(3, 0, |service| service.slow_start = Some(Duration::from_secs(70)));
    assert_eq!(parts(&mut world, 0), [8, 8, 8]);
    (1..=3).for_each(|n| set(&mut world, n, Health::Down));
    assert_eq!(parts(&mut world, 100), [0, 0, 0]);
    set(&mut world, 1, Health::Up);
    assert_eq!(parts(&mut world, 200), [8, 0, 0], "there is nobody else");
    set(&mut world, 2, Health::Up);
    assert_eq!(parts(&mut world, 230), [8, 2, 0], "four eighths, and one");
    assert_eq!(parts(&mut world, 250), [8, 4, 0], "six, and three");
}

prop_compose! {
    /// A service of some terms, and what becomes of its members one after the other.
    fn story()(
        count in 1..8_u8,
        quorum in 1..5_u32,
        hysteresis in 0..3_u32,
        threshold in prop::option::of(1..=100_u32),
        events in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8), 1..40),
    )(
        backups in 0..=count,
        count in Just(count),
        terms in Just((quorum, hysteresis, threshold)),
        events in Just(events),
    ) -> (World, Vec<(u8, Health)>) {
        let world = checked(count, backups, |service| {
            (service.quorum, service.quorum_hysteresis, service.panic_threshold) = terms;
        });
        let health = [Health::Up, Health::Down, Health::Unknown];
        let events = events.into_iter().map(|(member, which)| {
            (1 + u8::try_from(member.index(count.into())).expect("few"), health[usize::from(which)])
        });
        (world, events.collect())
    }
}

proptest! {
    #[test]
    fn who_stands_how_follows_from_what_is_known((mut world, events) in story()) {
        let mut was_short = false;
        for (n, health) in events {
            set(&mut world, n, health);
            let service = web(&world);
            let known = |member: &Member| world.checked[&(service.name.clone(), member.backend.clone())].health;
            let regular: Vec<_> = service.members.iter().filter(|member| !member.backup).collect();
            let up = regular.iter().filter(|member| known(member) == Health::Up).count();
            let down = regular.iter().filter(|member| known(member) == Health::Down).count();
            let Judgement { standings, is_short, panics } = world.judge(service);
            // A quorum is short below it, and then until there are so many more, or all.
            let up = u32::try_from(up).expect("few");
            prop_assert!(is_short || up >= service.quorum);
            if is_short && up >= service.quorum {
                prop_assert!(was_short && up < service.quorum + service.quorum_hysteresis && (up as usize) < regular.len());
            }
            // Health is ignored where so few are not known to be down.
            let threshold = service.panic_threshold.unwrap_or_default() as usize;
            prop_assert_eq!(panics, (regular.len() - down) * 100 < threshold * regular.len());
            for (member, standing) in service.members.iter().zip(&standings) {
                let eligible = match (member.backup, known(member)) {
                    (false, Health::Down) => panics,
                    (true, Health::Up) => is_short,
                    (false, Health::Up) => true,
                    (true, Health::Down) | (_, Health::Unknown) => false,
                };
                prop_assert_eq!(standing.is_eligible(), eligible, "{:?}", member);
            }
            was_short = is_short;
            world.note(Duration::ZERO);
            // What is remembered changes nothing by itself.
            prop_assert_eq!(world.judge(web(&world)).standings, standings);
        }
    }
}
