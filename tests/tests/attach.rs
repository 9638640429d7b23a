//! Stories of an interface: how the program is attached to it, and what is said if that is not how it should be.

use std::{fs, time::Duration};

use anyhow::Result;
use vip_tests::{
    load::Load,
    net::{Topology, run, wait_for},
    stage::Stage,
};
use vip_userspace::dataplane::Mode;

const SOON: Duration = Duration::from_secs(10);

/// A stage whose configuration asks for that mode.
fn with_mode(mode: &str) -> Result<Stage> {
    let stage = Stage::build(Topology::builder().backends(1))?;
    stage.vip.configure(&stage.config().replace("\"native\"", &format!("{mode:?}")))?;
    Ok(stage)
}

/// Makes native XDP impossible on the director's interface: a veth refuses it while its peer sends by more queues than it
/// receives by.
fn forbid_native(stage: &Stage) -> Result<()> {
    run(stage.topology.switch().command("ethtool").args(["-L", "director", "tx", "2"])).map(drop)
}

fn assert_it_forwards(stage: &Stage) -> Result<()> {
    stage.wait_for("the members to be in", |status| {
        status.services.iter().all(|service| service.eligible == 1)
    })?;
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let burst = load.burst(&stage.services(), 20);
    wait_for("the burst to end", SOON, || burst.is_done())?;
    let requests = load.requests();
    assert!(requests.iter().all(|request| request.outcome.as_deref() == Ok("backend1")), "{requests:?}");
    Ok(())
}

fn modes(stage: &Stage) -> Result<Vec<(String, Mode)>> {
    Ok(stage.status()?.interfaces.into_iter().map(|interface| (interface.name, interface.mode)).collect())
}

#[test]
fn generic_mode_forwards_as_well() -> Result<()> {
    let mut stage = with_mode("generic")?;
    stage.start()?;
    assert_eq!(modes(&stage)?, [("eth0".to_owned(), Mode::Generic)]);
    assert_it_forwards(&stage)
}

#[test]
fn auto_is_native_where_the_driver_can() -> Result<()> {
    let mut stage = with_mode("auto")?;
    stage.start()?;
    assert_eq!(modes(&stage)?, [("eth0".to_owned(), Mode::Native)]);
    let log = fs::read_to_string(stage.vip.log())?;
    assert!(log.contains("native") && !log.contains("WARN"), "{log}");
    assert_it_forwards(&stage)
}

#[test]
fn auto_falls_back_to_generic_and_says_so_loudly() -> Result<()> {
    let mut stage = with_mode("auto")?;
    forbid_native(&stage)?;
    stage.start()?;
    assert_eq!(modes(&stage)?, [("eth0".to_owned(), Mode::Generic)]);
    let log = fs::read_to_string(stage.vip.log())?;
    let warned =
        log.lines().any(|line| line.contains("WARN") && line.contains("eth0") && line.contains("GENERIC"));
    assert!(warned, "{log}");
    let status = stage.vip.output(&stage.topology.director.namespace, &["status"])?;
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(text.contains("generic"), "{text}");
    assert_it_forwards(&stage)
}

#[test]
fn native_is_refused_where_the_driver_can_not() -> Result<()> {
    let stage = with_mode("native")?;
    forbid_native(&stage)?;
    let refusal = stage.vip.refusal(&stage.topology.director.namespace)?;
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(refusal.stderr.contains("eth0") && refusal.stderr.contains("native"), "{refusal:?}");
    Ok(())
}

#[test]
fn a_way_out_gets_a_program_too_and_is_no_port() -> Result<()> {
    let mut stage = with_mode("auto")?;
    let director = &stage.topology.director.namespace;
    director.ip(&["link add eth1 type veth peer name far", "link set eth1 up"])?;
    let with_way_out =
        format!("egress-interfaces = [\"eth1\"]\n{}", stage.config().replace("\"native\"", "\"auto\""));
    stage.vip.configure(&with_way_out)?;
    stage.start()?;
    assert_eq!(modes(&stage)?, [("eth0".to_owned(), Mode::Native)]);
    let director = &stage.topology.director.namespace;
    let shown = run(director.command("ip").args(["link", "show", "dev", "eth1"]))?;
    assert!(shown.contains("xdp"), "{shown}");
    assert_it_forwards(&stage)?;
    stage.vip.output(director, &["detach"])?;
    let shown = run(stage.topology.director.namespace.command("ip").args(["link", "show", "dev", "eth1"]))?;
    assert!(!shown.contains("xdp"), "{shown}");
    Ok(())
}
