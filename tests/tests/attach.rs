//! Stories of an interface: how the program is attached to it, and what is said if that is not how it should be.

use std::{fs, time::Duration};

use anyhow::Result;
use vip_tests::{
    load::Load,
    net::{Signal, Topology, run, wait_for},
    stage::Stage,
};
use vip_userspace::{control::Status, dataplane::Mode};

const SOON: Duration = Duration::from_secs(30);

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
    second_cable(&stage)?;
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

/// A second interface of the director, with a cable that leads to nobody.
fn second_cable(stage: &Stage) -> Result<()> {
    let director = &stage.topology.director.namespace;
    director.ip(&["link add eth1 type veth peer name far", "link set eth1 up"])
}

#[test]
fn a_way_out_that_frames_could_not_leave_by_is_refused_by_name() -> Result<()> {
    let stage = with_mode("auto")?;
    second_cable(&stage)?;
    let director = &stage.topology.director.namespace;
    run(director.command("ethtool").args(["-L", "far", "tx", "2"]))?;
    let config = stage.config().replace("\"native\"", "\"auto\"");
    stage.vip.configure(&format!("egress-interfaces = [\"eth1\"]\n{config}"))?;
    let refusal = stage.vip.refusal(director)?;
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(refusal.stderr.contains("eth1") && refusal.stderr.contains("generic"), "{refusal:?}");
    let shown = run(director.command("ip").args(["link", "show"]))?;
    assert!(!shown.contains("xdp"), "nothing has changed: {shown}");
    Ok(())
}

#[test]
fn a_backend_behind_another_interface_gets_its_packets_by_it() -> Result<()> {
    let mut stage = Stage::build(Topology::builder().backends(2))?;
    let _accepted = stage.lay_second_cable(1)?;
    let config = stage.config_by_second_cable();
    stage.vip.configure(&format!("egress-interfaces = [\"eth1\"]\n{config}"))?;
    stage.start()?;
    stage.wait_for("the members to be in", |status| {
        status.services.iter().all(|service| service.eligible == 2)
    })?;
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let burst = load.burst(&stage.services(), 40);
    wait_for("the burst to end", SOON, || burst.is_done())?;
    let requests = load.requests();
    for backend in ["backend1", "backend2"] {
        let served = requests.iter().filter(|request| request.outcome.as_deref() == Ok(backend)).count();
        assert!(served > 0, "{backend} served none of {requests:?}");
    }
    assert!(requests.iter().all(|request| request.outcome.is_ok()), "{requests:?}");
    // Both families went by the second cable.
    for service in stage.status()?.services {
        let far = service.members.iter().find(|member| member.backend.to_string() == "backend2");
        assert!(far.is_some_and(|member| member.totals.packets > 0), "{service:?}");
    }
    Ok(())
}

/// Whether the director's NIC takes VLAN tags off what it receives.
fn takes_tags(stage: &Stage) -> Result<bool> {
    let shown = run(stage.topology.director.namespace.command("ethtool").args(["-k", "eth0"]))?;
    Ok(shown.lines().any(|line| line.trim() == "rx-vlan-offload: on"))
}

#[test]
fn a_nic_leaves_vlan_tags_in_frames_until_the_director_is_detached() -> Result<()> {
    let mut stage = with_mode("auto")?;
    let detach = |stage: &Stage| stage.vip.output(&stage.topology.director.namespace, &["detach"]);
    assert!(takes_tags(&stage)?, "a veth does unless it is told otherwise");
    stage.start()?;
    // It answers when all is attached.
    stage.status()?;
    assert!(!takes_tags(&stage)?);
    // Forwarding goes on without the controller.
    stage.stop(Signal::INT)?;
    assert!(!takes_tags(&stage)?);
    stage.start()?;
    stage.status()?;
    detach(&stage)?;
    assert!(takes_tags(&stage)?);
    // Who had it off before finds it off.
    run(stage.topology.director.namespace.command("ethtool").args(["-K", "eth0", "rxvlan", "off"]))?;
    stage.start()?;
    stage.status()?;
    detach(&stage)?;
    assert!(!takes_tags(&stage)?);
    Ok(())
}

#[test]
fn a_start_that_is_refused_leaves_the_nic_as_it_was() -> Result<()> {
    let stage = with_mode("native")?;
    forbid_native(&stage)?;
    stage.vip.refusal(&stage.topology.director.namespace)?;
    assert!(takes_tags(&stage)?);
    Ok(())
}

#[test]
fn an_interface_that_is_removed_and_made_again_is_attached_to_again() -> Result<()> {
    let mut stage = Stage::build(Topology::builder().backends(2))?;
    let has = |status: &Status, name: &str| status.interfaces.iter().any(|port| port.name == name);
    let accepted = stage.lay_second_cable(1)?;
    let config = stage.config_by_second_cable();
    stage.vip.configure(&config.replace("[\"eth0\"]", "[\"eth0\", \"eth1\"]"))?;
    stage.start()?;
    let both_are_in = |status: &Status| status.services.iter().all(|service| service.eligible == 2);
    stage.wait_for("the members to be in", both_are_in)?;
    let director = &stage.topology.director.namespace;
    director.ip(&[
        "link set eth1 mtu 1400",
        "link set eth1 mtu 1500",
        "link set eth1 down",
        "link set eth1 up",
    ])?;
    drop(accepted);
    director.ip(&["link delete eth1"])?;
    stage.wait_for("it to be told as gone", |status| !has(status, "eth1") && !both_are_in(status))?;
    let _accepted = stage.lay_second_cable(1)?;
    stage.wait_for("the members to be in again", |status| has(status, "eth1") && both_are_in(status))?;
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let burst = load.burst(&stage.services(), 40);
    wait_for("the burst to end", SOON, || burst.is_done())?;
    let requests = load.requests();
    assert!(requests.iter().all(|request| request.outcome.is_ok()), "{requests:?}");
    assert!(requests.iter().any(|request| request.outcome.as_deref() == Ok("backend2")), "{requests:?}");
    Ok(())
}
