//! Stories of changes under load, in the kernel: no connection of a backend that stays up breaks, and what was remembered
//! for it is forgotten when it is over.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vip_tests::{
    load::Load,
    net::{Topology, wait_for},
    stage::Stage,
};
use vip_userspace::control::Status;

const SOON: Duration = Duration::from_secs(30);
/// The settle window of all services; connections speak much more often.
const WINDOW: &str = "3s";
const EVERY: Duration = Duration::from_millis(300);

fn live(status: &Status) -> u64 {
    status.flow_table.map_or(0, |table| table.live)
}

fn tracked(status: &Status) -> u64 {
    status.flow_table.map_or(0, |table| table.tracked_slots)
}

/// Runs a verb that is to succeed.
fn vip(stage: &Stage, arguments: &[&str]) -> Result<()> {
    let output = stage.vip.output(&stage.topology.director.namespace, arguments)?;
    ensure!(output.status.success(), "vip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_drain_and_its_end_break_no_connection_and_leave_nothing_behind() -> Result<()> {
    let mut stage = Stage::build(Topology::builder().backends(3))?;
    let config = stage.config().replace("port = ", &format!("window = \"{WINDOW}\"\nport = "));
    stage.vip.configure(&config)?;
    stage.start()?;
    let all_in = |status: &Status| status.services.iter().all(|service| service.eligible == service.total);
    stage.wait_for("all members to be in", all_in)?;
    // A start is no change, unless a busy machine let a member come in late.
    stage.wait_for("nothing to be remembered", |status| tracked(status) == 0)?;
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let opened = load.keep_open(&stage.services(), 120, EVERY);
    wait_for("the connections to be open", SOON, || opened.is_done())?;
    assert_eq!((tracked(&stage.status()?), live(&stage.status()?)), (0, 0), "nothing has changed");
    vip(&stage, &["backend", "drain", "backend1"])?;
    stage.wait_for("the window to be over, and only its own connections to be remembered", |status| {
        let of_it = load.connections().iter().filter(|it| it.backend.as_deref() == Some("backend1")).count();
        live(status) == of_it as u64 && tracked(status) <= live(status)
    })?;
    vip(&stage, &["backend", "enable", "backend1"])?;
    let burst = load.burst(&stage.services(), 60);
    wait_for("the burst to end", SOON, || burst.is_done())?;
    let requests = load.requests();
    assert!(requests.iter().all(|request| request.outcome.is_ok()), "{requests:?}");
    assert!(requests.iter().any(|request| request.outcome.as_deref() == Ok("backend1")));
    for connection in load.connections() {
        assert!(connection.backend.is_some() && connection.broken.is_none(), "{connection:?}");
    }
    drop(load);
    wait_for("all to be forgotten", SOON * 2, || {
        stage.status().is_ok_and(|status| tracked(&status) == 0 && live(&status) == 0)
    })
    .context("it is not")?;
    Ok(())
}
