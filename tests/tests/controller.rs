//! Stories of a controller's life: it is killed, ends and returns, and forwarding is none of its business; only `detach`
//! ends that.

use std::time::{Duration, Instant};

use anyhow::Result;
use vip_tests::{
    load::Load,
    net::{Signal, Topology, TopologyBuilder, wait_for},
    stage::{Stage, TRACEABLE_VIPS},
    witness::Witness,
};
use vip_userspace::control::Status;

const SOON: Duration = Duration::from_secs(30);
/// Load while something happens, at least so long and so much.
const A_WHILE: Duration = Duration::from_millis(700);
const REQUESTS: usize = 20;

/// Ids and slots of every member: what is published.
fn published(status: &Status) -> Vec<(String, u32, u32)> {
    let members = status.services.iter().flat_map(|service| &service.members);
    members.map(|member| (member.backend.to_string(), member.id, member.slots)).collect()
}

/// Waits for so much load, of which each open connection has a part.
fn let_pass(load: &Load) -> Result<()> {
    let (until, requests) = (Instant::now() + A_WHILE, load.requests().len() + REQUESTS);
    let answers = |load: &Load| load.connections().iter().map(|it| it.answers).collect::<Vec<_>>();
    let before = answers(load);
    // One that is broken is told of by itself.
    let all_spoke = || {
        load.connections().iter().zip(&before).all(|(it, before)| it.broken.is_some() || it.answers > *before)
    };
    wait_for("some load", A_WHILE + SOON, || {
        Instant::now() >= until && load.requests().len() > requests && all_spoke()
    })
    .map(drop)
}

/// No request failed, no connection broke, and each SYN that the director was sent, it sent on: one that TCP repeats
/// hides nothing.
fn assert_nothing_was_lost(load: &Load, witness: &Witness) -> Result<()> {
    wait_for("what began to end", SOON * 2, || load.is_idle())?;
    let lost = witness.testimony()?.lost();
    assert!(lost.is_empty(), "{lost:?}");
    let requests = load.requests();
    let failed: Vec<_> = requests.iter().filter(|request| request.outcome.is_err()).collect();
    assert!(
        failed.is_empty() && requests.len() > REQUESTS,
        "{} of {}: {failed:?}",
        failed.len(),
        requests.len()
    );
    for connection in load.connections() {
        assert!(connection.broken.is_none() && connection.answers > 1, "{connection:?}");
    }
    Ok(())
}

#[test]
fn a_killed_controller_costs_nothing_and_the_next_one_adopts_what_it_finds() -> Result<()> {
    let mut stage = Stage::ready(Topology::builder())?;
    let before = published(&stage.status()?);
    let witness = Witness::listen(&stage.topology)?;
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let opened = load.keep_open(&stage.services(), 20, Duration::from_millis(50));
    wait_for("the connections to be open", SOON, || opened.is_done())?;
    let stream = load.stream(&stage.services(), 60);

    stage.stop(Signal::KILL)?;
    let_pass(&load)?;
    let (orphan, code) = stage.vip.status(&stage.topology.director.namespace)?;
    assert_eq!((code, orphan.controller, orphan.pid), (3, false, None));
    assert_eq!(published(&orphan), before);

    stage.start()?;
    assert_eq!(published(&stage.status()?), before, "adopted as it was, before any probe");
    let_pass(&load)?;
    assert_eq!(published(&stage.status()?), before, "and nothing moved when probes decided");
    drop(stream);
    assert_nothing_was_lost(&load, &witness)?;
    Ok(())
}

#[test]
fn a_death_without_a_controller_is_noticed_by_the_next_one() -> Result<()> {
    let mut stage = Stage::ready(Topology::builder())?;
    stage.stop(Signal::KILL)?;
    stage.die(0)?;
    stage.start()?;
    stage.wait_for("the death to be noticed", |status| {
        status.services.iter().all(|service| service.eligible == 1)
    })?;
    Ok(())
}

#[test]
fn ctrl_c_leaves_forwarding_in_place() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM] {
        let mut stage = Stage::ready(Topology::builder().backends(1))?;
        let witness = Witness::listen(&stage.topology)?;
        let load = Load::start(&stage.topology.clients[0].namespace)?;
        let opened = load.keep_open(&stage.services(), 4, Duration::from_millis(50));
        wait_for("the connections to be open", SOON, || opened.is_done())?;
        let stream = load.stream(&stage.services(), 60);
        let mut controller = stage.controller.take().expect("the stage is ready");
        let ended = controller.end(signal)?;
        assert!(ended.success(), "{ended}");
        assert!(!stage.vip.socket().exists(), "the socket goes with the controller");
        let_pass(&load)?;
        drop(stream);
        assert_nothing_was_lost(&load, &witness)?;
    }
    Ok(())
}

fn topology() -> TopologyBuilder {
    Topology::builder().backends(1).vips(&TRACEABLE_VIPS)
}

#[test]
fn detach_removes_everything_and_ends_the_controller() -> Result<()> {
    let mut stage = Stage::ready(topology())?;
    let there = stage.traces()?.join("\n");
    for trace in ["prog/xdp", "33:33:ff:00:be:ef", "managed", "bpf/vip"] {
        assert!(there.contains(trace), "no {trace} in {there}");
    }
    let director = &stage.topology.director.namespace;
    let detached = stage.vip.output(director, &["detach"])?;
    assert_eq!(detached.status.code(), Some(0), "{detached:?}");
    let mut controller = stage.controller.take().expect("the stage is ready");
    assert!(controller.process().wait(SOON)?.success());
    assert_eq!(stage.traces()?, [""; 0]);
    Ok(())
}

#[test]
fn detach_removes_everything_without_a_controller() -> Result<()> {
    let mut stage = Stage::ready(topology())?;
    stage.stop(Signal::KILL)?;
    assert!(!stage.traces()?.is_empty());
    let director = &stage.topology.director.namespace;
    let detached = stage.vip.output(director, &["detach"])?;
    assert_eq!(detached.status.code(), Some(0), "{detached:?}");
    assert_eq!(stage.traces()?, [""; 0]);
    let again = stage.vip.output(director, &["detach"])?;
    assert_eq!(again.status.code(), Some(3), "nothing is left to remove: {again:?}");
    Ok(())
}
