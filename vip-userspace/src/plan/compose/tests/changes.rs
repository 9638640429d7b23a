//! A look at what has changed alone comes to what a look at everything would.

use proptest::prelude::*;

use super::*;
use crate::model::{Cause, Check, Checked, Health, Maintenance, Probe};

/// Something that happens to backend `n` of 1 to 4, or to all.
#[derive(Clone, Copy, Debug)]
enum Change {
    Neighbour(u8, Option<u8>),
    Here(u8),
    Verdict(u8, bool),
    Admin(u8, Admin),
    Maintenance(u8, Maintenance),
    Weight(u8, u32),
    Tags(u8),
    LeaveAndJoin(u8),
    Link(bool),
    Peer(bool),
    Remove,
    Time(u8),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let n = || 1..=4_u8;
    let admin = || prop_oneof![Just(Admin::Enabled), Just(Admin::Draining), Just(Admin::Disabled)];
    let wish = prop_oneof![Just(Maintenance::Off), Just(Maintenance::Draining), Just(Maintenance::Disabled)];
    let change = prop_oneof![
        4 => (n(), prop::option::of(1..6_u8)).prop_map(|(n, mac)| Change::Neighbour(n, mac)),
        1 => n().prop_map(Change::Here),
        4 => (n(), any::<bool>()).prop_map(|(n, is_up)| Change::Verdict(n, is_up)),
        2 => (n(), admin()).prop_map(|(n, admin)| Change::Admin(n, admin)),
        1 => (n(), wish).prop_map(|(n, wish)| Change::Maintenance(n, wish)),
        2 => (n(), 0..3_u32).prop_map(|(n, weight)| Change::Weight(n, weight * 100)),
        1 => n().prop_map(Change::Tags),
        2 => n().prop_map(Change::LeaveAndJoin),
        1 => any::<bool>().prop_map(Change::Link),
        1 => any::<bool>().prop_map(Change::Peer),
        1 => Just(Change::Remove),
        2 => (0..90_u8).prop_map(Change::Time),
    ];
    prop::collection::vec(change, 1..25)
}

fn name(service: &str) -> ServiceName {
    service.parse().expect("a name")
}

/// Makes it so; what the intent refuses has not happened.
fn happen(bench: &mut Bench, change: Change, seconds: &mut u64) {
    let World { intent, neighbours, checked, links, peers, .. } = &mut bench.world;
    let address = |n: u8| std::net::IpAddr::from([10, 0, 0, n]);
    match change {
        Change::Neighbour(n, its) => {
            let there = |its| Place::Link(Neighbour { mac: mac(its), ifindex: PORT });
            neighbours.insert(address(n), its.map(there).ok_or(NoNeighbour::NoRoute));
        }
        Change::Here(n) => drop(neighbours.insert(address(n), Ok(Place::Here))),
        Change::Verdict(n, is_up) => {
            let health = if is_up { Health::Up } else { Health::Down };
            let cause = (!is_up).then_some(Box::new(Cause::PortClosed));
            checked.insert((name("checked"), backend(n).name), Checked { health, cause });
        }
        Change::Admin(n, admin) => drop(intent.set_admin(&backend(n).name, None, admin)),
        Change::Maintenance(n, wish) => drop(intent.set_maintenance(&backend(n).name, wish)),
        Change::Weight(n, weight) => drop(intent.set_weight(&backend(n).name, None, weight)),
        Change::Tags(n) => {
            let joined: Vec<_> = intent.services_of(&backend(n).name).map(|of| of.name.clone()).collect();
            joined.iter().for_each(|of| drop(intent.remove_member(of, &backend(n).name)));
            let _ = intent.remove_backend(&backend(n).name);
            let _ = intent.add_backend(Backend { vlans: Some(vec![u16::from(n)]), ..backend(n) });
            joined.iter().for_each(|of| drop(intent.add_member(of, Member::new(backend(n).name))));
        }
        Change::LeaveAndJoin(n) => {
            if intent.remove_member(&name("web"), &backend(n).name).is_err() {
                let _ = intent.add_member(&name("web"), Member::new(backend(n).name));
            }
        }
        Change::Link(is_up) => {
            links.get_mut(&PORT).expect("a port").is_up = is_up;
        }
        Change::Peer(is_there) => *peers = is_there.then(|| mac(2)).into_iter().collect(),
        Change::Remove => {
            if intent.remove_service(&name("web")).is_err() {
                let _ = intent.add_service(service("web", "10.200.0.1:80/udp", &[1, 2, 3]));
            }
        }
        Change::Time(passed) => *seconds += u64::from(passed),
    }
}

proptest! {
    #[test]
    fn what_has_changed_is_all_that_need_be_looked_at(changes in changes()) {
        let checked = Service {
            check: Some(Check::new(Probe::Tcp)),
            ..service("checked", "10.200.0.2:80", &[1, 2, 4])
        };
        let slow = Service {
            slow_start: Some(Duration::from_secs(60)),
            quorum_hysteresis: 1,
            quorum: 2,
            ..service("slow", "10.200.0.3:80", &[2, 3, 4])
        };
        let mut bench = bench([service("web", "10.200.0.1:80/udp", &[1, 2, 3]), checked, slow]);
        let mut seconds = 100;
        for change in changes {
            happen(&mut bench, change, &mut seconds);
            bench.world.forget_the_gone();
            bench.world.note(Duration::from_secs(seconds));
            bench.compose_at(seconds);
            let (mut all, mut numbers) = (bench.composer.clone(), bench.numbers.clone());
            let now = Duration::from_secs(seconds);
            all.repair(&bench.published, &numbers, now);
            let wanted = all.compose(&bench.world, &mut numbers, &bench.published, now);
            prop_assert_eq!(&bench.published, &wanted);
            prop_assert_eq!(&bench.numbers, &numbers);
        }
    }
}
