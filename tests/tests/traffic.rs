//! Real HTTP over real TCP through the director's program, natively attached: the way of a packet without a controller.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    programs::{Xdp, XdpMode},
};
use bytemuck::Zeroable as _;
use vip_common::{
    MemberId,
    headers::TCP,
    tables::{Egress, EgressId, Member, MemberEntry, Port, Service, ServiceKey4, ServiceKey6, Slot},
};
use vip_tests::{
    kernel,
    net::{Nginx, Topology, run, scaled},
    world::{VIP4, VIP6, flow_key},
};
use vip_userspace::plan::Tables;

/// Tables that spread port 80 of both VIPs over all backends.
fn tables(topology: &Topology) -> Result<Tables> {
    let ifindex = topology.director.ifindex("eth0")?;
    let mac = topology.director.mac;
    let members = (1..).map(MemberId).zip(&topology.backends);
    let slots: Vec<_> = members.clone().map(|(id, _)| Slot::of(id)).cycle().take(251).collect();
    let service = Service { ring_size: 251, id: 1, ..Service::zeroed() };
    let own = Service { ring_size: 0, ..service };
    let port = 80_u16.to_be_bytes();
    Ok(Tables {
        ports: [(ifindex, Port { mac, router: 0, flags: 0 })].into(),
        services4: [
            (ServiceKey4::vip(VIP4), own),
            (ServiceKey4 { vip: VIP4, port, protocol: TCP, zero: 0 }, service),
        ]
        .into(),
        services6: [
            (ServiceKey6::vip(VIP6), own),
            (ServiceKey6 { vip: VIP6, port, protocol: TCP, zero: 0 }, service),
        ]
        .into(),
        rings: [(0, slots.into())].into(),
        members: members
            .map(|(id, backend)| {
                (id, MemberEntry::new(Member { mac: backend.mac, egress: EgressId(1), state: Member::UP }, 1))
            })
            .collect(),
        egresses: [(EgressId(1), Egress::untouched(ifindex, mac))].into(),
        flow_key: Some(flow_key(1)),
        ..Tables::default()
    })
}

/// The program on the director's port; it is gone when dropped.
fn direct(topology: &Topology, mode: XdpMode) -> Result<Ebpf> {
    let mut ebpf = kernel::load(16, 1024, 16, 64)?;
    kernel::publish(&mut ebpf, &tables(topology)?)?;
    topology.director.namespace.run(|| -> Result<()> {
        let program: &mut Xdp = ebpf.program_mut("director").context("the director")?.try_into()?;
        program.attach("eth0", mode).context("attach the director")?;
        Ok(())
    })??;
    Ok(ebpf)
}

/// Who answers 30 requests to a URL, each on a connection of its own.
fn answers(topology: &Topology, url: &str) -> Result<BTreeSet<String>> {
    // A machine that was busy is not so three times; a director that loses packets does it every time.
    answers_at_once(topology, url)
        .or_else(|_| answers_at_once(topology, url))
        .or_else(|_| answers_at_once(topology, url))
}

fn answers_at_once(topology: &Topology, url: &str) -> Result<BTreeSet<String>> {
    // A request that waits for a retransmission (1 s) has lost a packet.
    let time = scaled(Duration::from_millis(900)).as_secs_f32().to_string();
    let options = ["-sS", "--max-time", &time, "-H", "Connection: close"];
    let mut curl = topology.clients[0].namespace.command("curl");
    let answers = run(curl.args(options).args([url; 30]))?;
    ensure!(answers.lines().count() == 30, "{answers}");
    Ok(answers.lines().map(str::to_owned).collect())
}

#[test]
fn requests_to_a_vip_are_answered_by_all_backends_natively() -> Result<()> {
    serves(XdpMode::Driver)
}

#[test]
fn requests_to_a_vip_are_answered_by_all_backends_generically() -> Result<()> {
    serves(XdpMode::Skb)
}

fn serves(mode: XdpMode) -> Result<()> {
    let topology = Topology::builder().backends(3).build()?;
    let _servers: Vec<_> = topology
        .backends
        .iter()
        .map(|backend| Nginx::start(&backend.namespace, &backend.name))
        .collect::<Result<_>>()?;
    let _director = direct(&topology, mode)?;
    let all: BTreeSet<_> = topology.backends.iter().map(|backend| backend.name.clone()).collect();
    for vip in &topology.vips {
        let url = if vip.is_ipv4() { format!("http://{vip}/") } else { format!("http://[{vip}]/") };
        assert_eq!(answers(&topology, &url)?, all, "{url}");
    }
    Ok(())
}
