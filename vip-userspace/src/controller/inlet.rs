//! Keeps the inlet, by which local programs are clients of the VIPs, as the configuration and the world need it: made,
//! attached to, led to; or gone. How interfaces and routes are made is not known here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use log::{info, warn};

use super::{
    run::{Loop, failed},
    start::refused,
};
use crate::{
    control::{Refused, protocol::InterfaceStatus},
    model::{AttachMode, Place, World},
    net::{Links, inlet, inlet::Names, lanes},
    places::Instance,
};

/// Ticks from one look after the inlet to the next, if nothing has changed: somebody else may have.
const TICKS: u32 = 10;
/// The MTU while no interface leads to backends.
const MTU: u32 = 1500;

/// What the inlet is made for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Need {
    /// The VIPs, each with a backend's address: by the address that this box speaks to it, it speaks to the VIP.
    vips: BTreeMap<IpAddr, Option<IpAddr>>,
    /// Most bytes of a packet that leads to any backend.
    mtu: u32,
    /// The addresses of this box: another one may be the source now.
    own: BTreeSet<IpAddr>,
    /// Index, MTU and whether it works, of both ends as they are.
    ends: [Option<(u32, u32, bool)>; 2],
    /// Ways out whose `rp_filter` is strict. If IPv4 VIPs were led to the inlet, what backends answer from them would be dropped
    /// there, to programs and to probes.
    strict: BTreeSet<String>,
}

impl Need {
    fn of(world: &World, links: &Links, names: &Names) -> Self {
        let ways = world.links.iter().filter(|(_, link)| link.is_port || link.is_egress);
        let mtus = ways.filter_map(|(ifindex, _)| links.by_index(*ifindex)).map(|link| link.mtu);
        let end = |name| links.by_name(name).map(|link| (link.ifindex, link.mtu, link.up));
        let mut vips = towards(world);
        let names_of_ways = world.links.values().filter(|link| link.is_port || link.is_egress);
        let strict: BTreeSet<_> =
            names_of_ways.map(|link| &link.name).filter(|name| lanes::is_strict(name)).cloned().collect();
        if !strict.is_empty() {
            vips.retain(|vip, _| vip.is_ipv6());
        }
        Self {
            vips,
            strict,
            mtu: mtus.min().unwrap_or(MTU),
            own: world.local.clone(),
            ends: [end(&names.inner), end(&names.outer)],
        }
    }
}

/// Of each VIP the address, of its family, of a backend that serves it; of one that is on the link, if there is any.
fn towards(world: &World) -> BTreeMap<IpAddr, Option<IpAddr>> {
    let mut found = BTreeMap::new();
    for service in world.intent.services().values() {
        let vip = service.address.vip;
        let (is_there, known) = found.entry(vip).or_insert((false, None));
        for member in &service.members {
            // Of a thousand members one is enough.
            if *is_there {
                break;
            }
            let Some(backend) = world.intent.backends().get(&member.backend) else { continue };
            let address = backend.address_for(vip).filter(|address| address.is_ipv4() == vip.is_ipv4());
            *is_there = address.is_some() && matches!(world.place(backend, vip), Ok(Place::Link(_)));
            if *is_there || known.is_none() {
                *known = address;
            }
        }
    }
    found.into_iter().map(|(vip, (_, address))| (vip, address)).collect()
}

/// The inlet, as it was made last.
#[derive(Debug)]
pub(super) struct Inlet {
    names: Names,
    /// What it was made for; `None` where it is to be made, or to be taken away.
    made: Option<Need>,
    /// Whether there may be something to be taken away.
    is_on: bool,
    /// VIPs that may have been led to it.
    led: BTreeSet<IpAddr>,
    /// VIPs that are told to be addresses of this box.
    told: BTreeSet<IpAddr>,
    /// Ways out that are told to be strict.
    told_strict: BTreeSet<String>,
    ticks: u32,
    /// Whether it may have to be another one now.
    may_differ: bool,
    /// How the director is attached to it.
    pub(super) port: Option<InterfaceStatus>,
}

impl Inlet {
    /// Of an instance that had these VIPs before, and may have left one.
    pub(super) fn new(instance: &Instance, led: BTreeSet<IpAddr>) -> Self {
        Self {
            names: Names::of(instance),
            made: None,
            is_on: true,
            led,
            told: BTreeSet::new(),
            told_strict: BTreeSet::new(),
            ticks: 0,
            may_differ: true,
            port: None,
        }
    }

    /// Intent or links have changed.
    pub(super) fn changed(&mut self) {
        self.may_differ = true;
    }

    /// A tick: now and then all is looked at again.
    pub(super) fn tick(&mut self) {
        self.ticks += 1;
        // The addresses of this box are looked at so often as well.
        self.changed();
        if self.ticks.is_multiple_of(TICKS) {
            self.made = None;
        }
    }
}

/// The index of an instance's inlet, if there is one that was attached to.
pub(super) fn found(instance: &Instance, links: &Links) -> Option<u32> {
    links.by_name(&Names::of(instance).inner).map(|link| link.ifindex)
}

impl Loop {
    /// Makes the inlet, or takes it away.
    pub(super) async fn keep_inlet(&mut self) {
        if !std::mem::take(&mut self.inlet.may_differ) {
            return;
        }
        if !self.config.local_clients {
            return self.end_inlet().await;
        }
        self.inlet.is_on = true;
        let need = Need::of(self.controller.world(), &self.net.links, &self.inlet.names);
        if self.inlet.made.as_ref() == Some(&need) {
            return;
        }
        let is_new = self.inlet.port.is_none();
        // It is tried again at the next look, not at each event.
        self.inlet.made = Some(need.clone());
        match self.make_inlet(&need).await {
            Ok(()) => {
                if is_new {
                    info!("programs of this box are clients of the VIPs, by {}", self.inlet.names.outer);
                }
                self.tell_of_strict_ways(&need);
                self.tell_of_local_vips(&need);
            }
            Err(refused) => {
                warn!(
                    "{}: programs of this box may not reach VIPs; trying again in {TICKS} s",
                    refused.message
                );
            }
        }
    }

    async fn make_inlet(&mut self, need: &Need) -> Result<(), Refused> {
        let names = self.inlet.names.clone();
        let (inner, outer) = inlet::make(&names, need.mtu).await.map_err(failed)?;
        if self.inlet.port.as_ref().is_none_or(|port| port.ifindex != inner.ifindex) {
            // Generic mode reaches an interface in either mode, native mode none that is attached to in generic mode.
            let dataplane = self.controller.dataplane_mut();
            let mode = dataplane.attach(&inner.name, AttachMode::Generic).map_err(refused)?.mode;
            let (name, ifindex) = (inner.name.clone(), inner.ifindex);
            self.inlet.port = Some(InterfaceStatus { name, ifindex, mode, mac: inner.mac });
            self.controller.inlet(inner.mac.map(|mac| (ifindex, inner.name, mac)));
            // It takes packets in before any is led there.
            self.rests_until = std::time::Instant::now();
            self.settle().await;
        }
        let others: BTreeSet<_> =
            self.inlet.led.iter().copied().filter(|vip| !need.vips.contains_key(vip)).collect();
        inlet::lead(&names, outer.ifindex, &need.vips, &others).await.map_err(failed)?;
        self.inlet.led = need.vips.keys().copied().collect();
        Ok(())
    }

    /// VIPs that no program reaches a backend by, once.
    fn tell_of_local_vips(&mut self, need: &Need) {
        let local: BTreeSet<_> = need.vips.keys().copied().filter(|vip| need.own.contains(vip)).collect();
        for vip in local.difference(&self.inlet.told) {
            warn!(
                "{vip} is an address of this box: its own programs speak to this box there, and to no backend"
            );
        }
        self.inlet.told = local;
    }

    /// Ways by which answers from IPv4 VIPs would not get in, once.
    fn tell_of_strict_ways(&mut self, need: &Need) {
        let has_ipv4 = towards(self.controller.world()).keys().any(IpAddr::is_ipv4);
        let strict = if has_ipv4 { need.strict.clone() } else { BTreeSet::new() };
        for name in strict.difference(&self.inlet.told_strict) {
            warn!(
                "{name}: rp_filter is 1: programs of this box do not reach IPv4 VIPs, for what backends answer would be \
                 dropped. Set net.ipv4.conf.{name}.rp_filter (and all.rp_filter) to 0 or 2"
            );
        }
        self.inlet.told_strict = strict;
    }

    async fn end_inlet(&mut self) {
        if !self.inlet.is_on {
            return;
        }
        self.controller.inlet(None);
        match inlet::remove(&self.inlet.names).await {
            Ok(()) => (self.inlet.is_on, self.inlet.port, self.inlet.made) = (false, None, None),
            Err(error) => warn!("{error}: local clients may go on"),
        }
    }

    /// True for its interface, which is gone: it is to be made again.
    pub(super) fn lost_inlet(&mut self, ifindex: u32) -> bool {
        let is_it = self.inlet.port.as_ref().is_some_and(|port| port.ifindex == ifindex);
        if is_it {
            warn!(
                "{}: the interface is gone by which local clients come in; it is made again",
                self.inlet.names.inner
            );
            (self.inlet.port, self.inlet.made) = (None, None);
        }
        is_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        model::{Link, Mac, Neighbour},
        net,
    };

    const CONFIG: &str = r#"
        interfaces = ["eth0"]
        [service.web]
        vip = "10.200.0.1"
        port = 80
        members = ["b1", "b2"]
        [service.web6]
        vip = "fd00:200::1"
        port = 80
        members = ["b1"]
        [backend.b1]
        address = "10.0.0.11"
        mac = "02:00:00:00:00:11"
        [backend.b2]
        address = "10.0.0.12"
    "#;

    fn world() -> World {
        let link = Link {
            name: "eth0".into(),
            mac: Mac([2; 6]),
            is_port: true,
            is_egress: false,
            is_inlet: false,
            is_up: true,
        };
        let intent = config::parse(CONFIG).expect("a good configuration").intent;
        World { intent: intent.into(), links: [(2, link)].into(), ..World::default() }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_source_is_that_towards_a_backend_that_is_there_and_of_the_vips_family() {
        let (mut world, vip) = (world(), address("10.200.0.1"));
        assert_eq!(towards(&world)[&vip], Some(address("10.0.0.11")), "none is there: the first one");
        let there = Place::Link(Neighbour { mac: Mac([2; 6]), ifindex: 2 });
        world.neighbours.insert(address("10.0.0.12"), Ok(there));
        assert_eq!(towards(&world)[&vip], Some(address("10.0.0.12")));
        assert_eq!(towards(&world)[&address("fd00:200::1")], None, "it has no IPv6 address");
    }

    #[test]
    fn the_inlet_takes_no_more_in_than_each_way_out_can_carry() {
        let link = |ifindex, name: &str, mtu| net::Link {
            ifindex,
            name: name.to_owned(),
            mac: None,
            mtu,
            up: true,
            xdp: None,
        };
        let (world, names) = (world(), Names::of(&Instance::default()));
        let mut links = Links::from_iter([link(2, "eth0", 1400), link(3, "eth1", 1300)]);
        let need = Need::of(&world, &links, &names);
        assert_eq!((need.mtu, need.ends), (1400, [None, None]), "eth1 leads to no backend");
        links = Links::from_iter([link(2, "eth0", 9000), link(5, &names.inner, 1400)]);
        let need = Need::of(&world, &links, &names);
        assert_eq!((need.mtu, need.ends), (9000, [Some((5, 1400, true)), None]));
    }
}
