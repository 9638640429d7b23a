//! What can be done without a controller, from what is pinned: tell the status, and take everything away.

use std::{collections::BTreeMap, time::Duration};

use vip_common::tables::tick;

use super::{
    Memory,
    core::adopt,
    status::Sources,
    tracked::{Names, Wanted},
};
use crate::{
    control::protocol::{Code, FlowList, InterfaceStatus, Refused, Status},
    dataplane,
    model::{Backend, Link, Mac, World},
    net,
    places::Places,
    plan::Numbers,
};

/// The status by what is pinned; `None` where nothing is.
///
/// # Errors
/// What is pinned can't be read.
pub fn offline_status(places: &Places) -> anyhow::Result<Option<Status>> {
    let Some(pinned) = dataplane::inspect(places)? else { return Ok(None) };
    let labels = Memory::at(&places.state_dir()).labels()?.unwrap_or_default();
    let by_id = labels.by_id();
    let mut world = World { intent: labels.intent, ..World::default() };
    for (ifindex, port) in &pinned.tables.ports {
        let attached = pinned.interfaces.iter().find(|attached| attached.ifindex == *ifindex);
        let name = attached.and_then(|attached| attached.name.clone());
        let name = name.unwrap_or_else(|| format!("interface {ifindex}"));
        let mac = Mac(port.mac);
        let is_inlet = port.is_inlet();
        let link = Link { name, mac, is_port: !is_inlet, is_egress: false, is_inlet, is_up: true };
        world.links.insert(*ifindex, link);
    }
    adopt(&mut world, &pinned.tables, &by_id);
    let numbers = Numbers::adopt(pinned.capacity, &pinned.tables, &by_id, &world.intent)?;
    let interfaces = pinned.interfaces.iter().filter_map(|attached| {
        Some(InterfaceStatus {
            name: attached.name.clone()?,
            ifindex: attached.ifindex,
            mode: attached.mode?,
            mac: pinned.tables.ports.get(&attached.ifindex).map(|port| Mac(port.mac)),
        })
    });
    let is_inlet = |found: &InterfaceStatus| {
        pinned.tables.ports.get(&found.ifindex).is_some_and(vip_common::tables::Port::is_inlet)
    };
    let (inlet, interfaces): (Vec<_>, _) = interfaces.partition(is_inlet);
    let sources = Sources {
        instance: places.instance.as_str(),
        controller: None,
        interfaces,
        inlet: inlet.into_iter().next(),
        world: &world,
        numbers: &numbers,
        published: &pinned.tables,
        counts: &pinned.counts,
        flow_entries: pinned.capacity.flows,
        ages: BTreeMap::new(),
        drains: BTreeMap::new(),
        now: Duration::ZERO,
    };
    Ok(Some(sources.status()))
}

/// The flows that are tracked, by what is pinned, whether a controller runs or not; `None` where nothing is pinned.
///
/// # Errors
/// What is pinned can't be read, or a name is of nothing that there is.
pub fn flows(places: &Places, wanted: &Wanted) -> Result<Option<FlowList>, Refused> {
    let read = || -> anyhow::Result<_> {
        let Some(pinned) = dataplane::inspect(places)? else { return Ok(None) };
        let labels = Memory::at(&places.state_dir()).labels()?.unwrap_or_default();
        let numbers = Numbers::adopt(pinned.capacity, &pinned.tables, &labels.by_id(), &labels.intent)?;
        Ok(Some((dataplane::flow_entries(places)?, pinned, labels, numbers)))
    };
    let read = read().map_err(|error| Refused::new(Code::Failed, format!("{error:#}")))?;
    let Some((entries, pinned, labels, numbers)) = read else { return Ok(None) };
    let names = Names::new(&labels.intent, &numbers);
    // The clock of the director: `bpf_ktime_get_coarse_ns`.
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    let now = Duration::try_from(clock).unwrap_or_default();
    let now = tick(u64::try_from(now.as_nanos()).unwrap_or_default());
    names.check(wanted)?;
    Ok(Some(names.list(&entries, &pinned.tables, now, wanted)))
}

/// Takes away all that an instance has put into the kernel, with or without a controller: links, program, maps,
/// link-layer groups, neighbour entries, the lanes of probes, the inlet of local clients; NICs take VLAN tags off again that did before. The operator's
/// wishes and the seed stay.
///
/// # Errors
/// Something could not be removed.
pub async fn detach(places: &Places) -> anyhow::Result<dataplane::Detached> {
    let memory = Memory::at(&places.state_dir());
    let labels = memory.labels()?.unwrap_or_default();
    net::inlet::remove(&net::inlet::Names::of(&places.instance)).await?;
    let detached = dataplane::detach(places)?;
    let links = net::Links::list().await?;
    net::lanes::clear(&detached.indices).await?;
    net::lanes::close(&labels.opened, &links)?;
    net::leave(&labels.groups, &links)?;
    net::give_back_tags(&labels.took_tags, &links)?;
    net::release(&labels.intent.backends().values().flat_map(Backend::addresses).collect()).await?;
    memory.forget_labels()?;
    Ok(detached)
}
