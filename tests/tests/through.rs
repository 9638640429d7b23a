//! Stories of probes that go to the VIP through each backend: what they see that others would not, and what they leave
//! behind in the kernel.

use std::net::IpAddr;

use anyhow::Result;
use vip_tests::{
    load::Load,
    net::{DEFAULT_VIPS, Namespace, Nginx, Signal, Topology, run},
    stage::{Stage, members},
};
use vip_userspace::{control::protocol::Status, model::Health};

/// True if each part of that backend has that health.
fn is(status: &Status, backend: &str, health: Health) -> bool {
    members(status, backend).all(|member| member.health == Some(health))
}

/// Takes the VIPs from a host, or gives them back.
fn hold(host: &Namespace, vips: &[IpAddr], verb: &str) -> Result<()> {
    let prefix = |vip: &IpAddr| if vip.is_ipv4() { 32 } else { 128 };
    let lines: Vec<_> =
        vips.iter().map(|vip| format!("address {verb} {vip}/{} dev lo", prefix(vip))).collect();
    host.ip(&lines)
}

/// Rules, routes and neighbours of lanes on the director, and what is attached to what leaves by `eth0`.
fn lanes(stage: &Stage) -> Result<Vec<String>> {
    let host = &stage.topology.director.namespace;
    let look = |program: &str, arguments: &str, mark: &str| -> Result<Vec<String>> {
        let shown = run(host.command(program).args(arguments.split(' ')))?;
        Ok(shown.lines().filter(|line| line.contains(mark)).map(str::to_owned).collect())
    };
    Ok([
        look("ip", "-4 rule show", "0x76000000")?,
        look("ip", "-6 rule show", "0x76000000")?,
        look("ip", "-4 route show table all", "169.254.118.112")?,
        look("ip", "-6 route show table all", "fe80::7669:7000")?,
        look("ip", "-4 neighbour show nud permanent", "169.254.118.112")?,
        look("ip", "-6 neighbour show nud permanent", "fe80::7669:7000")?,
        classifiers(stage)?,
    ]
    .concat())
}

/// The classifier: a pinned link, or on older kernels a filter.
fn classifiers(stage: &Stage) -> Result<Vec<String>> {
    let pins = stage.traces()?.into_iter().filter(|trace| trace.contains("/probe-link-"));
    let host = &stage.topology.director.namespace;
    // Without a queueing discipline of that kind there is nothing to be shown, which is an error to it.
    let shown = run(host.command("tc").args(["filter", "show", "dev", "eth0", "egress"])).unwrap_or_default();
    let filters = shown.lines().filter(|line| line.contains("probe")).map(str::to_owned);
    Ok(pins.chain(filters).collect())
}

#[test]
fn a_backend_that_lost_the_vip_is_out_whatever_its_own_address_says() -> Result<()> {
    let stage = Stage::ready(Topology::builder())?;
    let (topology, backend) = (&stage.topology, &stage.topology.backends[0].namespace);
    hold(backend, &topology.vips, "delete")?;
    stage.wait_for("backend1 to be down", |status| is(status, "backend1", Health::Down))?;
    assert!(is(&stage.status()?, "backend2", Health::Up));
    hold(backend, &topology.vips, "add")?;
    stage.wait_for("backend1 to be up", |status| is(status, "backend1", Health::Up))?;
    Ok(())
}

#[test]
fn a_check_of_the_own_address_does_not_ask_for_the_vip() -> Result<()> {
    let mut stage = Stage::build(Topology::builder())?;
    stage.vip.configure(&stage.config().replace("check = {", "check = { probe = \"address\","))?;
    hold(&stage.topology.backends[0].namespace, &stage.topology.vips, "delete")?;
    stage.start()?;
    stage.wait_for("both to be up", |status| {
        is(status, "backend1", Health::Up) && is(status, "backend2", Health::Up)
    })?;
    Ok(())
}

#[test]
fn a_director_that_holds_the_vip_and_serves_it_probes_itself_and_the_others() -> Result<()> {
    let mut stage = Stage::build(Topology::builder().backends(1))?;
    let (director, vips) = (&stage.topology.director, &stage.topology.vips);
    hold(&director.namespace, vips, "add")?;
    let server = Nginx::start(&director.namespace, "director")?;
    let (ipv4, ipv6) = (director.address4, director.address6);
    let itself = format!("\n[backend.itself]\naddress = [\"{ipv4}\", \"{ipv6}\"]\n");
    stage
        .vip
        .configure(&(stage.config().replace("[\"backend1\"]", "[\"backend1\", \"itself\"]") + &itself))?;
    stage.start()?;
    let opened = "/proc/sys/net/ipv4/conf/eth0/accept_local";
    let (itself, both) = ("itself", ["itself", "backend1"]);
    stage.wait_for("both to be up", |status| both.iter().all(|name| is(status, name, Health::Up)))?;
    drop(server);
    stage.wait_for("the director to be down", |status| is(status, itself, Health::Down))?;
    assert!(is(&stage.status()?, "backend1", Health::Up));
    let director = &stage.topology.director.namespace;
    assert_eq!(director.run(|| std::fs::read_to_string(opened))??.trim(), "1");
    stage.vip.output(director, &["detach"])?;
    assert_eq!(director.run(|| std::fs::read_to_string(opened))??.trim(), "0");
    Ok(())
}

#[test]
fn lanes_are_made_once_mended_and_taken_away() -> Result<()> {
    let mut stage = Stage::ready(Topology::builder().backends(1))?;
    let made = lanes(&stage)?;
    assert_eq!(made.len(), 7, "{made:#?}");
    // The kernel takes routes away with a link.
    stage.topology.director.namespace.ip(&["link set eth0 down", "link set eth0 up"])?;
    stage.wait_for("the lanes to be mended", |status| {
        is(status, "backend1", Health::Up) && lanes(&stage).is_ok_and(|lanes| lanes.len() == 7)
    })?;
    stage.stop(Signal::KILL)?;
    stage.start()?;
    stage.wait_for("the member to be in", |status| is(status, "backend1", Health::Up))?;
    assert_eq!(lanes(&stage)?.len(), 7);
    stage.vip.output(&stage.topology.director.namespace, &["detach"])?;
    assert_eq!(lanes(&stage)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_backend_that_sends_packets_back_is_checked_at_once() -> Result<()> {
    let mut stage = Stage::build(Topology::builder().backends(1).vips(&DEFAULT_VIPS[..1]))?;
    let rarely = "check = { interval = \"60s\", timeout = \"2s\", rise = 1, fall = 1, tcp = true }\n";
    let config: Vec<_> = stage.config().lines().map(str::to_owned).collect();
    let config = config
        .into_iter()
        .map(|line| if line.starts_with("check = ") { rarely.to_owned() } else { line + "\n" });
    stage.vip.configure(&config.collect::<String>())?;
    stage.start()?;
    stage.wait_for("backend1 to be up", |status| is(status, "backend1", Health::Up))?;
    // It forwards what it should take, to whom it hears that has the VIP.
    let (backend, vip) = (&stage.topology.backends[0].namespace, stage.topology.vips[0]);
    backend.sysctls(&[("ipv4/ip_forward", "1"), ("ipv4/conf/all/send_redirects", "0")])?;
    hold(backend, &[vip], "delete")?;
    backend.ip(&[format!("route add {vip} dev eth0")])?;
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let _requests = load.burst(&stage.services(), 5);
    stage.wait_for("backend1 to be down", |status| is(status, "backend1", Health::Down))?;
    Ok(())
}
