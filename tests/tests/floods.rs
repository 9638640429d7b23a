//! Floods at full speed, on one service, while that changes: nobody who talks with it or with its neighbour notices, and
//! the status tells what was written and what was refused.

use std::{
    env,
    net::{IpAddr, SocketAddr, SocketAddrV4},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use vip_tests::{
    crowd::{Crowd, Flood, Kind, Stand, Water, dam, service},
    net::{Topology, wait_for},
};
use vip_userspace::control::protocol::FlowTableStatus;

/// How long each flood lasts, in seconds, if not as long as [`FLOOD`]: for who tries something out.
const FLOOD_SECONDS: &str = "VIP_TEST_FLOOD_SECONDS";
const FLOOD: Duration = Duration::from_secs(30);
/// So many packets are a flood, however slowly a busy machine sends them.
const MANY: u64 = 10_000;
const SOON: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_millis(500);
/// Talks with each service.
const TALKS: u32 = 500;
/// Port of the service that is flooded, and of its neighbour.
const PORTS: [u16; 2] = [7, 9];

fn services(topology: &Topology) -> String {
    let members: Vec<_> = topology.backends.iter().map(|host| host.name.clone()).collect();
    let vip = topology.vips[0];
    let one = |(name, protocol, port)| service(name, vip, protocol, port, &members, "slots = 1021");
    // A table that a flood could fill: its senders are more.
    let capacity = "[capacity]\nflows = 65536\n\n".to_owned();
    capacity
        + &[("flooded", "tcp", "7"), ("neighbour", "tcp", "9"), ("datagrams", "udp", "7")].map(one).concat()
}

fn seconds() -> Duration {
    let asked = env::var(FLOOD_SECONDS).ok().and_then(|text| text.parse().ok());
    asked.map_or(FLOOD, Duration::from_secs)
}

fn flows(stand: &Stand) -> Result<FlowTableStatus> {
    stand.status()?.flow_table.context("no flow table")
}

fn all(stand: &Stand, verb: &str, backends: RangeInclusive<u8>) -> Result<()> {
    backends.into_iter().try_for_each(|number| stand.command(&format!("backend {verb} backend{number}")))
}

/// Floods the service on the first port while the commands are carried out, each after an equal part of the time.
fn flood(stand: &Stand, crowd: &Crowd, water: Water, commands: &[&str]) -> Result<String> {
    let IpAddr::V4(vip) = stand.topology.vips[0] else { anyhow::bail!("the first VIP is an IPv4 one") };
    let before = flows(stand)?;
    let mark = crowd.mark();
    let began = Instant::now();
    let flood = Flood::start(&stand.topology.clients[1].namespace, water, SocketAddrV4::new(vip, PORTS[0]))?;
    let parts = u32::try_from(commands.len())? + 1;
    for (part, command) in (1..).zip(commands) {
        wait_for("a part of the flood", SOON, || began.elapsed() > seconds() * part / parts)?;
        stand.command(command)?;
    }
    wait_for("the flood to last", SOON + seconds(), || began.elapsed() > seconds() && flood.sent() > MANY)?;
    let sent = flood.sent();
    drop(flood);
    let rate = sent as f64 / began.elapsed().as_secs_f64();
    let now = crowd.mark();
    wait_for("all to speak", SOON, || crowd.have_spoken(&now, 2, None))?;
    let broken = crowd.broken(&mark);
    assert!(broken.is_empty(), "{water:?}: {} broke: {:#?}", broken.len(), &broken[..broken.len().min(5)]);
    let after = flows(stand)?;
    assert!(after.inserted > before.inserted && after.refused > before.refused, "{before:?} {after:?}");
    assert!(after.live <= after.capacity, "{after:?}");
    Ok(format!(
        "{:10} {:>9.0} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}\n",
        format!("{water:?}"),
        rate,
        sent,
        after.inserted - before.inserted,
        after.refused - before.refused,
        after.evicted,
        after.live,
        broken.len()
    ))
}

#[expect(clippy::print_stdout, reason = "the table is what the story tells")]
#[test]
fn a_flood_breaks_no_talk_with_the_flooded_service_or_another_even_while_it_changes() -> Result<()> {
    let stand = Stand::new(Topology::builder().clients(2).backends(6), &PORTS, services)?;
    stand.topology.backends.iter().try_for_each(|host| dam(&host.namespace))?;
    let crowd = Crowd::start(&stand.topology.clients[0].namespace, EVERY)?;
    let vip = stand.topology.vips[0];
    // The talks begin with one half of the backends, and all that is new is then for the other half: every talk is tracked.
    all(&stand, "drain", 4..=6)?;
    for (kind, port) in [(Kind::Tcp, PORTS[0]), (Kind::Tcp, PORTS[1]), (Kind::Udp, PORTS[0])] {
        crowd.open(kind, &[SocketAddr::new(vip, port)], TALKS);
    }
    wait_for("all to be answered", SOON, || crowd.lasting() >= 3 * TALKS as usize)?;
    all(&stand, "enable", 4..=6)?;
    all(&stand, "drain", 1..=3)?;
    let now = crowd.mark();
    wait_for("all to speak", SOON, || crowd.have_spoken(&now, 2, None))?;
    wait_for("the TCP talks to be tracked", SOON, || {
        flows(&stand).is_ok_and(|flows| flows.live >= 2 * u64::from(TALKS))
    })?;
    let mut table = format!(
        "{} talks, floods of {:?}\n{:10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}\n",
        crowd.lasting(),
        seconds(),
        "flood of",
        "packets/s",
        "sent",
        "inserted",
        "refused",
        "evicted",
        "live",
        "broken"
    );
    table += &flood(&stand, &crowd, Water::Syns, &["backend drain backend4", "backend enable backend1"])?;
    table += &flood(&stand, &crowd, Water::Acks, &["backend drain backend5", "backend enable backend4"])?;
    table +=
        &flood(&stand, &crowd, Water::Datagrams, &["backend drain backend6", "backend enable backend5"])?;
    println!("{table}");
    // An estimate: a SYN that meets its own pending entry again replaces it, and counts as one insert more.
    let flows = flows(&stand)?;
    assert!(flows.evicted <= flows.inserted / 100, "entries were pushed out: {flows:?}");
    Ok(())
}
