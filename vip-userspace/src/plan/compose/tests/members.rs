//! Members, the ways to them, and what other directors find.

use std::collections::BTreeSet;

use vip_common::{
    MemberId,
    tables::{Egress, Member as Entry, MemberEntry, Slot, Station},
};

use super::*;

#[test]
fn members_have_the_state_that_they_stand_in_and_the_way_that_leads_there() {
    let mut bench = bench([service("web", "10.200.0.1:80", &[1, 2, 3, 4])]);
    bench.world.neighbours.insert([10, 0, 0, 4].into(), Ok(Place::Here));
    bench.compose();
    let egress = bench.published.egresses.iter().find(|(_, egress)| egress.ifindex == PORT).expect("a way");
    let up = Entry { mac: mac(1).0, egress: *egress.0, state: Entry::UP };
    assert_eq!(*egress.1, Egress::untouched(PORT, OWN.0));
    assert_eq!(bench.member("web", 1), MemberEntry::new(up, 1));
    assert_eq!(bench.member("web", 4).member.state, Entry::HERE);
    assert!(bench.published.services4[&exact(80, 6)].has(ServiceEntry::HERE));
    bench.admin(1, Admin::Draining);
    bench.admin(2, Admin::Disabled);
    bench.world.neighbours.insert([10, 0, 0, 3].into(), Err(NoNeighbour::NoRoute));
    bench.compose();
    assert_eq!(bench.member("web", 1), MemberEntry::new(Entry { state: Entry::DRAINING, ..up }, 1));
    assert_eq!(bench.member("web", 2).member.state, Entry::DOWN);
    let kept = Entry { mac: mac(3).0, state: Entry::DOWN, ..up };
    assert_eq!(bench.member("web", 3), MemberEntry::new(kept, 1), "the last way to it is kept");
}

#[test]
fn a_dead_member_on_this_box_keeps_its_packets_where_the_dead_keep_them() {
    let mut web = service("web", "10.200.0.1:80", &[1, 2]);
    web.on_dead = OnDead::Keep;
    let mut bench = bench([web]);
    bench.world.neighbours.insert([10, 0, 0, 2].into(), Ok(Place::Here));
    bench.compose();
    bench.admin(2, Admin::Disabled);
    bench.compose();
    assert_eq!(bench.member("web", 2).member.state, Entry::HERE);
}

#[test]
fn a_generation_is_raised_at_every_return_and_at_removal_and_reuse_and_at_nothing_else() {
    let mut bench = bench([service("web", "10.200.0.1:80", &[1, 2])]);
    bench.compose();
    let after = |bench: &mut Bench, admin| {
        bench.admin(1, admin);
        bench.compose();
        bench.member("web", 1).generation
    };
    let steps = [
        (Admin::Enabled, 1),
        (Admin::Draining, 1),
        (Admin::Enabled, 1),
        (Admin::Disabled, 1),
        (Admin::Disabled, 1),
        (Admin::Draining, 2),
        (Admin::Disabled, 2),
        (Admin::Enabled, 3),
    ];
    for (admin, generation) in steps {
        assert_eq!(after(&mut bench, admin), generation, "{admin:?}");
    }
    let (id, web) = (bench.id("web", 1), "web".parse().expect("a name"));
    bench.world.intent.remove_member(&web, &backend(1).name).expect("a member");
    bench.compose();
    assert_eq!(bench.published.members[&id], MemberEntry::new(bytemuck::Zeroable::zeroed(), 4));
    bench.world.intent.add_member(&web, Member::new(backend(3).name)).expect("no member");
    bench.compose();
    assert_eq!((bench.id("web", 3), bench.member("web", 3).generation), (id, 5));
}

#[test]
fn backups_get_new_flows_only_while_nobody_else_does() {
    let mut web = service("web", "10.200.0.1:80", &[1, 2]);
    web.members[1].backup = true;
    let mut bench = bench([web]);
    let owners = |tables: &Tables| -> BTreeSet<_> {
        tables.rings.values().flat_map(|ring| ring.iter().map(|slot| slot.current)).collect()
    };
    let tables = bench.compose();
    assert_eq!(owners(&tables), [bench.id("web", 1)].into());
    assert_eq!(bench.member("web", 2).member.state, Entry::DRAINING);
    bench.admin(1, Admin::Disabled);
    let tables = bench.compose();
    assert_eq!(owners(&tables), [bench.id("web", 2)].into());
    assert_eq!(bench.member("web", 2).member.state, Entry::UP);
}

#[test]
fn each_stack_of_tags_is_a_way_out_of_its_own() {
    let tagged = |n, vlans: &[u16]| Backend { vlans: Some(vlans.to_vec()), ..backend(n) };
    let backends = [backend(1), tagged(2, &[]), tagged(3, &[100, 7]), tagged(4, &[100, 7])];
    let mut bench = bench_of(backends, [service("web", "10.200.0.1:80", &[1, 2, 3, 4])]);
    let far = Place::Link(Neighbour { mac: mac(2), ifindex: 4 });
    bench.world.neighbours.insert([10, 0, 0, 2].into(), Ok(far));
    bench.compose();
    let way = |n| {
        let Egress { ifindex, tags, vlans, .. } =
            bench.published.egresses[&bench.member("web", n).member.egress];
        (ifindex, tags, vlans)
    };
    assert_eq!(way(1), (PORT, Egress::AS_IT_CAME, [[0; 2]; 2]));
    assert_eq!(way(2), (4, 0, [[0; 2]; 2]));
    assert_eq!(way(3), (PORT, 2, [[0, 100], [0, 7]]));
    assert_eq!(bench.member("web", 3).member.egress, bench.member("web", 4).member.egress);
    // Taken over by what they are for.
    let labels = bench.numbers.labels();
    let adopted = Numbers::adopt(CAPACITY, &bench.published, &labels, &bench.world.intent).expect("numbers");
    assert_eq!(adopted, bench.numbers);
}

#[test]
fn packets_from_directors_find_a_ring_without_directors() {
    let director = |n| Backend { director: true, ..backend(n) };
    let web = || service("web", "10.200.0.1:80", &[1, 2]);
    let ring = |tables: &Tables, first: u32| -> BTreeSet<_> { tables.rings[&first].iter().collect() };
    let mut none = bench([web()]);
    assert_eq!((none.compose().services4[&exact(80, 6)].peers_first, none.published.stations.len()), (0, 2));
    none.world.peers = [mac(77), mac(2)].into();
    let tables = none.compose();
    let entry = tables.services4[&exact(80, 6)];
    assert!(entry.has(ServiceEntry::PEERS) && entry.peers_first == entry.ring_first);
    let peer = Station { member: MemberId::NOBODY, flags: Station::DIRECTOR };
    let both = Station { member: none.id("web", 2), flags: Station::DIRECTOR };
    let member = Station { member: none.id("web", 1), flags: 0 };
    assert_eq!(tables.stations, [(mac(1).0, member), (mac(2).0, both), (mac(77).0, peer)].into());

    let mut one = bench_of([director(1), backend(2)], [web()]);
    let tables = one.compose();
    let entry = tables.services4[&exact(80, 6)];
    assert!(entry.has(ServiceEntry::PEERS));
    assert_eq!(ring(&tables, entry.ring_first).len(), 2);
    assert_eq!(ring(&tables, entry.peers_first), [Slot::of(one.id("web", 2))].into());
    assert_eq!(tables.stations[&mac(1).0].flags, Station::DIRECTOR);

    let tables = bench_of([director(1), director(2)], [web()]).compose();
    let entry = tables.services4[&exact(80, 6)];
    assert_eq!(ring(&tables, entry.peers_first), [Slot::of(MemberId::NOBODY)].into());
}
