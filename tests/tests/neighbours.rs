//! Stories of backends that can't be found on the link: they are kept out, with the reason, and taken in when they appear.

use std::time::{Duration, Instant};

use anyhow::Result;
use vip_tests::{
    load::Load,
    net::{DEFAULT_VIPS, Seen, Tap, Topology, scaled, wait_for},
    stage::{Stage, is_in, members},
};
use vip_userspace::{
    control::Status,
    model::{Ineligible, NoNeighbour},
};

const SOON: Duration = Duration::from_secs(30);

fn has_no_mac(status: &Status, backend: &str) -> bool {
    members(status, backend).all(|member| {
        let cause = member.why_not.as_ref().map(|why| &why.cause);
        matches!(cause, Some(Ineligible::NoNeighbour(NoNeighbour::NoMac { interface })) if interface == "eth0")
    })
}

#[test]
fn a_backend_whose_mac_is_not_found_is_kept_out_and_taken_in_when_it_appears() -> Result<()> {
    let mut stage = Stage::build(Topology::builder())?;
    let absent = &stage.topology.backends[1];
    stage.topology.unplug(absent)?;
    stage.start()?;
    stage.wait_for("its absence to be told", |status| has_no_mac(status, "backend2"))?;
    stage.wait_for("the other one to be in", |status| {
        members(status, "backend1").all(|member| member.eligible)
    })?;
    let words: Vec<_> =
        members(&stage.status()?, "backend2").filter_map(|member| member.why_not.clone()).collect();
    assert!(
        words.iter().all(|why| why.words.contains("nobody answers for its address on eth0")),
        "{words:?}"
    );

    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let burst = load.burst(&stage.services(), 20);
    wait_for("the burst to end", SOON, || burst.is_done())?;
    assert!(load.requests().iter().all(|request| request.outcome.as_deref() == Ok("backend1")));

    stage.topology.plug(&stage.topology.backends[1])?;
    stage
        .wait_for("it to be taken in", |status| members(status, "backend2").all(|member| member.eligible))?;
    let burst = load.burst(&stage.services(), 20);
    wait_for("the burst to end", SOON, || burst.is_done())?;
    let requests = load.requests();
    assert!(requests.iter().all(|request| request.outcome.is_ok()), "{requests:?}");
    assert!(requests.iter().any(|request| request.outcome.as_deref() == Ok("backend2")));
    Ok(())
}

#[test]
fn a_stated_mac_needs_nobody_to_answer() -> Result<()> {
    let mut stage = Stage::build(Topology::builder().backends(1))?;
    let mac = stage.topology.backends[0].mac.map(|byte| format!("{byte:02x}")).join(":");
    stage.vip.configure(&format!("{}mac = \"{mac}\"\n", stage.config()))?;
    stage.topology.director.namespace.sysctls(&[("ipv4/neigh/eth0/mcast_solicit", "1")])?;
    stage.start()?;
    stage.wait_for("it to be in", |status| members(status, "backend1").all(|member| member.eligible))?;
    let status = stage.status()?;
    let macs: Vec<_> =
        members(&status, "backend1").filter_map(|member| member.mac).map(|it| it.to_string()).collect();
    assert_eq!(macs, [mac.as_str(), mac.as_str()]);
    Ok(())
}

const CHANGES: u8 = 10;
/// How long packets of live connections may go to a MAC that is no longer a backend's.
const TO_AN_OLD_MAC: Duration = Duration::from_millis(50);

#[test]
#[expect(clippy::print_stdout, reason = "the times are what the story tells")]
fn another_mac_of_a_backend_reaches_its_live_connections_within_50_ms() -> Result<()> {
    let stage = Stage::ready(Topology::builder().backends(1).vips(&DEFAULT_VIPS[..1]))?;
    let (director, backend) = (stage.topology.director.mac, &stage.topology.backends[0]);
    // It tells its neighbours of its new MAC by itself, as a machine that takes over does.
    backend.namespace.sysctls(&[("ipv4/conf/eth0/arp_notify", "1")])?;
    // Between two changes the kernel believes nobody (`locktime`).
    stage.topology.director.namespace.sysctls(&[("ipv4/neigh/eth0/locktime", "0")])?;
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let opened = load.keep_open(&stage.services(), 10, Duration::from_millis(20));
    wait_for("the connections to be open", SOON, || opened.is_done())?;
    let vip = stage.topology.vips[0];
    let mut took = Vec::new();
    for change in 1..=CHANGES {
        let mac = [2, 0x0c, 0, 0, 0, change];
        let tap = Tap::start(stage.topology.switch(), move |seen| {
            seen.from_mac == director && seen.to == vip && seen.from_port != 0
        })?;
        let text = mac.map(|byte| format!("{byte:02x}")).join(":");
        let before = Instant::now();
        backend.namespace.ip(&[format!("link set eth0 address {text}")])?;
        let is_new = |seen: &Seen| seen.to_mac == mac;
        wait_for("packets to the new MAC", SOON, || {
            tap.seen().is_ok_and(|seen| seen.iter().filter(|seen| is_new(seen)).count() > 20)
        })?;
        let last = tap.seen()?.iter().filter(|seen| !is_new(seen)).map(|seen| seen.at).max();
        took.push(last.unwrap_or(before).saturating_duration_since(before));
    }
    let connections = load.connections();
    assert!(connections.iter().all(|connection| connection.broken.is_none()), "{connections:?}");
    took.sort_unstable();
    println!("from another MAC to the last packet to the old one: {took:?}");
    let late = took.iter().filter(|took| **took > scaled(TO_AN_OLD_MAC)).count();
    // A busy machine may be late now and then.
    assert!(
        late <= usize::from(CHANGES) / 4,
        "{late} of {CHANGES} took longer than {TO_AN_OLD_MAC:?}: {took:?}"
    );
    Ok(())
}

const FAILURES: usize = 10;
/// How long a neighbour that has failed may be sent packets.
const TO_A_FAILED_ONE: Duration = Duration::from_secs(1);

/// No check looks at the backends.
fn unchecked(config: &str) -> String {
    config.lines().filter(|line| !line.starts_with("check = ")).flat_map(|line| [line, "\n"]).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "the times are what the story tells")]
fn a_neighbour_that_fails_takes_its_backends_out_within_a_second_unchecked() -> Result<()> {
    let mut stage = Stage::build(Topology::builder().backends(2))?;
    stage.vip.configure(&unchecked(&stage.config()))?;
    stage.start()?;
    let (director, backend) = (stage.topology.director.mac, stage.topology.backends[1].mac);
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let vips = stage.topology.vips.clone();
    let mut took = Vec::new();
    for _ in 0..FAILURES {
        stage.wait_for("it to be in", |status| is_in(status, "backend2"))?;
        let stream = load.stream(&stage.services(), 100);
        let vips = vips.clone();
        let tap = Tap::start(stage.topology.switch(), move |seen| {
            seen.from_mac == director && seen.to_mac == backend && vips.contains(&seen.to)
        })?;
        wait_for("packets to it", SOON, || tap.seen().is_ok_and(|seen| seen.len() > 10))?;
        let before = Instant::now();
        stage.topology.unplug(&stage.topology.backends[1])?;
        stage.wait_for("it to be out", |status| has_no_mac(status, "backend2"))?;
        let since = load.requests().len();
        wait_for("others to be asked", SOON, || load.requests().len() > since + 20)?;
        drop(stream);
        let last = tap.seen()?.iter().map(|seen| seen.at).max();
        took.push(last.unwrap_or(before).saturating_duration_since(before));
        let known: Vec<_> = members(&stage.status()?, "backend1").map(|member| member.eligible).collect();
        assert!(known.iter().all(|eligible| *eligible), "the other one answers: {known:?}");
        stage.topology.plug(&stage.topology.backends[1])?;
    }
    took.sort_unstable();
    println!(
        "from a failure to the last packet, in ms: {:?}",
        took.iter().map(Duration::as_millis).collect::<Vec<_>>()
    );
    let late = took.iter().filter(|took| **took > scaled(TO_A_FAILED_ONE)).count();
    // A busy machine may be late now and then.
    assert!(late <= FAILURES / 4, "{late} of {FAILURES} took longer than {TO_A_FAILED_ONE:?}: {took:?}");
    Ok(())
}
