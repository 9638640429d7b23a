//! What a service can be told about who gets which flow, each in a short story with real connections: schedulers, affinity,
//! ranges of ports, a drain, and what the clients of a dead backend get.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use anyhow::Result;
use vip_tests::{
    crowd::{Crowd, End, Kind, Stand, Talk, checked, service},
    net::{Seen, Tap, Topology, TopologyBuilder, wait_for},
    stage::is_out,
};

const SOON: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(100);
/// A client whose backend dies sees a reset so soon after that was noticed: when it asks the next time. Even on a busy
/// machine that is much less than a client waits for an answer that does not come.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A service of every VIP over all backends, on a port as the configuration says it.
fn services(topology: &Topology, protocol: &str, port: &str, rest: &str) -> String {
    let members: Vec<_> = topology.backends.iter().map(|host| host.name.clone()).collect();
    let rest = format!("{}\n{rest}", checked(7));
    let one = |(vip, family)| service(&format!("{protocol}{family}"), vip, protocol, port, &members, &rest);
    topology.vips.iter().copied().zip([4, 6]).map(one).collect()
}

fn stand(topology: TopologyBuilder, protocol: &str, port: &str, rest: &str, ports: &[u16]) -> Result<Stand> {
    Stand::new(topology, ports, |topology| services(topology, protocol, port, rest))
}

/// A crowd of the first client that has opened `count` talks, all of them answered.
fn crowd(stand: &Stand, kind: Kind, servers: &[SocketAddr], count: u32) -> Result<Crowd> {
    let crowd = Crowd::start(&stand.topology.clients[0].namespace, EVERY)?;
    open(&crowd, kind, servers, count)?;
    Ok(crowd)
}

fn open(crowd: &Crowd, kind: Kind, servers: &[SocketAddr], count: u32) -> Result<()> {
    let before = crowd.lasting();
    crowd.open(kind, servers, count);
    wait_for("all to be answered", SOON, || crowd.lasting() >= before + count as usize).map(drop)
}

/// Talks by VIP and backend.
fn shares(talks: &[Talk]) -> BTreeMap<(SocketAddr, u8), u32> {
    let mut shares = BTreeMap::new();
    for talk in talks {
        if let Some(home) = talk.home {
            *shares.entry((talk.server, home)).or_default() += 1;
        }
    }
    shares
}

/// The backends of talks by VIP.
fn homes_by_vip(talks: &[Talk]) -> BTreeMap<SocketAddr, BTreeSet<u8>> {
    let mut homes: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (server, home) in shares(talks).into_keys() {
        homes.entry(server).or_default().insert(home);
    }
    homes
}

fn assert_none_broke(crowd: &Crowd) {
    let broken: Vec<_> = crowd.talks().into_iter().filter(|talk| talk.ended.is_some()).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn with_on_dead_reset_the_clients_of_a_dead_backend_see_a_reset_at_once() -> Result<()> {
    let mut stand = stand(Topology::builder().backends(3), "tcp", "7", "on-dead = \"reset\"", &[7])?;
    let crowd = crowd(&stand, Kind::Tcp, &stand.servers(7), 60)?;
    let director = stand.topology.director.mac;
    let tap =
        Tap::start(stand.topology.switch(), move |seen| seen.flags & 4 != 0 && seen.from_mac == director)?;
    let its: Vec<_> = crowd.talks().into_iter().filter(|talk| talk.home == Some(2)).collect();
    assert!(its.len() > 5, "{}", its.len());
    let mark = crowd.mark();
    stand.die(2)?;
    stand.wait_for("the death to be noticed", |status| is_out(status, "backend2"))?;
    wait_for("its clients to see a reset", AT_ONCE, || crowd.broken(&mark).len() >= its.len())?;
    let broken = crowd.broken(&mark);
    let resets: Vec<_> = tap.seen()?.into_iter().map(|seen: Seen| (seen.from, seen.to_port)).collect();
    for talk in &broken {
        assert_eq!(
            (talk.home, talk.ended.as_ref().map(|(_, end)| end)),
            (Some(2), Some(&End::Reset)),
            "{talk:?}"
        );
        assert!(resets.contains(&(talk.server.ip(), talk.port)), "the director resets {talk:?}");
    }
    assert_eq!(broken.len(), its.len());
    assert!(stand.met("reset-dead-member")? >= its.len() as u64);
    wait_for("them to begin anew elsewhere", SOON, || crowd.lasting() == 60)?;
    let now = crowd.mark();
    wait_for("all to speak", SOON, || crowd.have_spoken(&now, 5, None))?;
    assert_eq!(crowd.broken(&mark).len(), its.len(), "nobody else's");
    Ok(())
}

#[test]
fn a_drained_backend_keeps_its_connections_and_gets_no_new_one_until_it_is_enabled() -> Result<()> {
    let stand = stand(Topology::builder().backends(3), "tcp", "7", "", &[7])?;
    let crowd = crowd(&stand, Kind::Tcp, &stand.servers(7), 90)?;
    stand.command("backend drain backend1")?;
    let before = crowd.talks().len();
    open(&crowd, Kind::Tcp, &stand.servers(7), 90)?;
    let now = crowd.mark();
    wait_for("all to speak", SOON, || crowd.have_spoken(&now, 5, None))?;
    let talks = crowd.talks();
    assert!(talks[..before].iter().any(|talk| talk.home == Some(1)), "it had some");
    assert!(talks[before..].iter().all(|talk| talk.home != Some(1)), "it got new ones");
    stand.command("backend enable backend1")?;
    let before = crowd.talks().len();
    open(&crowd, Kind::Tcp, &stand.servers(7), 90)?;
    let now = crowd.mark();
    wait_for("all to speak", SOON, || crowd.have_spoken(&now, 5, None))?;
    assert!(crowd.talks()[before..].iter().any(|talk| talk.home == Some(1)), "it gets new ones");
    assert_none_broke(&crowd);
    Ok(())
}

#[test]
fn with_affinity_source_all_ports_of_a_client_go_to_one_backend() -> Result<()> {
    let topology = Topology::builder().clients(6).backends(4);
    let stand = stand(topology, "tcp", "7", "affinity = \"source\"", &[7])?;
    let mut homes = BTreeMap::new();
    let mut crowds = Vec::new();
    for client in &stand.topology.clients {
        let crowd = Crowd::start(&client.namespace, EVERY)?;
        open(&crowd, Kind::Tcp, &stand.servers(7), 20)?;
        for talk in crowd.talks() {
            let its: &mut BTreeSet<_> = homes.entry((client.name.clone(), talk.server)).or_default();
            its.extend(talk.home);
        }
        crowds.push(crowd);
    }
    assert_eq!(homes.len(), 12);
    assert!(homes.values().all(|its| its.len() == 1), "{homes:?}");
    assert!(homes.values().collect::<BTreeSet<_>>().len() > 1, "not all to the same one: {homes:?}");
    // One is drained: the older ones stay, and new ones of the same clients go elsewhere, each client's to one backend.
    stand.command("backend drain backend1")?;
    for crowd in &crowds {
        let before = crowd.talks().len();
        open(crowd, Kind::Tcp, &stand.servers(7), 20)?;
        let now = crowd.mark();
        wait_for("all to speak", SOON, || crowd.have_spoken(&now, 5, None))?;
        let new = homes_by_vip(&crowd.talks()[before..]);
        assert!(new.values().all(|its| its.len() == 1 && !its.contains(&1)), "{new:?}");
        assert_none_broke(crowd);
    }
    Ok(())
}

#[test]
fn sources_that_take_turns_stay_where_they_are_while_one_is_drained() -> Result<()> {
    let topology = Topology::builder().clients(6).backends(3);
    let rest = "affinity = \"source\"\nscheduler = \"round-robin\"";
    let stand = stand(topology, "tcp", "7", rest, &[7])?;
    let mut crowds = Vec::new();
    for client in &stand.topology.clients {
        let crowd = Crowd::start(&client.namespace, EVERY)?;
        open(&crowd, Kind::Tcp, &stand.servers(7), 40)?;
        crowds.push((homes_by_vip(&crowd.talks()), crowd));
    }
    let used: BTreeSet<_> = crowds.iter().flat_map(|(homes, _)| homes.values().flatten()).collect();
    assert!(used.len() > 1, "not all to the same one: {used:?}");
    stand.command("backend drain backend1")?;
    for (homes, crowd) in &crowds {
        assert!(homes.values().all(|its| its.len() == 1), "{homes:?}");
        open(crowd, Kind::Tcp, &stand.servers(7), 40)?;
        let now = crowd.mark();
        wait_for("all to speak", SOON, || crowd.have_spoken(&now, 5, None))?;
        assert_eq!(&homes_by_vip(&crowd.talks()), homes);
        assert_none_broke(crowd);
    }
    Ok(())
}

#[test]
fn round_robin_gives_each_backend_its_turn_by_weight() -> Result<()> {
    let rest = "scheduler = \"round-robin\"";
    let stand = stand(Topology::builder().backends(3), "tcp", "7", rest, &[7])?;
    stand.command("backend weight backend3 200")?;
    let crowd = crowd(&stand, Kind::Tcp, &stand.servers(7), 160)?;
    let shares = shares(&crowd.talks());
    assert_eq!(shares.len(), 6, "{shares:?}");
    for ((_, backend), share) in &shares {
        // 80 to each VIP; each CPU takes turns by itself.
        let fair = if *backend == 3 { 40 } else { 20 };
        assert!(share.abs_diff(fair) <= 4, "{shares:?}");
    }
    stand.command("backend drain backend2")?;
    let now = crowd.mark();
    wait_for("all to speak", SOON, || crowd.have_spoken(&now, 5, None))?;
    assert_none_broke(&crowd);
    Ok(())
}

#[test]
fn a_range_of_ports_is_one_service_and_the_ports_beside_it_are_none() -> Result<()> {
    for (kind, protocol) in [(Kind::Tcp, "tcp"), (Kind::Udp, "udp")] {
        let ports = [7, 8000, 8001, 8010, 8011];
        let stand = stand(Topology::builder().backends(2), protocol, "\"8000-8010\"", "", &ports)?;
        let inside: Vec<_> = [8000, 8001, 8010].into_iter().flat_map(|port| stand.servers(port)).collect();
        let crowd = crowd(&stand, kind, &inside, 60)?;
        let homes: BTreeSet<_> = shares(&crowd.talks()).into_keys().collect();
        assert_eq!(homes.len(), 12, "each of six addresses by both backends: {homes:?}");
        let before = stand.met("unknown-port")?;
        crowd.open(kind, &stand.servers(8011), 2);
        stand.wait_for("what is beside it to be dropped", |status| {
            status.reasons.iter().any(|one| one.reason == "unknown-port" && one.packets >= before + 2)
        })?;
        assert!(!crowd.talks().iter().any(|talk| talk.server.port() == 8011 && talk.home.is_some()));
        assert_none_broke(&crowd);
    }
    Ok(())
}

#[test]
fn a_service_of_any_port_takes_all_that_no_other_one_takes() -> Result<()> {
    let ports = [7, 1, 22, 40_000, 65_535];
    let any = |topology: &Topology| {
        let exact: String = (topology.vips.iter().zip([4, 6]))
            .map(|(vip, family)| {
                service(&format!("one{family}"), *vip, "tcp", "22", &["backend1".to_owned()], "")
            })
            .collect();
        services(topology, "tcp", "\"*\"", "") + &exact
    };
    let stand = Stand::new(Topology::builder().backends(3), &ports, any)?;
    let servers: Vec<_> = ports.into_iter().flat_map(|port| stand.servers(port)).collect();
    let crowd = crowd(&stand, Kind::Tcp, &servers, 150)?;
    let mut homes: BTreeMap<u16, BTreeSet<u8>> = BTreeMap::new();
    for talk in crowd.talks() {
        homes.entry(talk.server.port()).or_default().extend(talk.home);
    }
    for (port, homes) in homes {
        let wanted: &[u8] = if port == 22 { &[1] } else { &[1, 2, 3] };
        assert_eq!(homes, wanted.iter().copied().collect(), "port {port}");
    }
    stand.command("backend drain backend2")?;
    let now = crowd.mark();
    wait_for("all to speak", SOON, || crowd.have_spoken(&now, 5, None))?;
    assert_none_broke(&crowd);
    Ok(())
}
