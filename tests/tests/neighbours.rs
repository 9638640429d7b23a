//! Stories of backends that can't be found on the link: they are kept out, with the reason, and taken in when they appear.

use std::time::Duration;

use anyhow::Result;
use vip_tests::{
    load::Load,
    net::{Topology, wait_for},
    stage::{Stage, members},
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
    assert!(words.iter().all(|why| why.words.contains("its MAC is not known")), "{words:?}");

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
