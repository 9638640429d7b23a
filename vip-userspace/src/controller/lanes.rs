//! Keeps the lanes by which probes leave as the world needs them, and says what on this box would hold up their answers.
//! How a lane is made is not known here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use log::warn;

use crate::{
    model::World,
    net::{Links, Way, lanes, routes},
};

/// Ticks from one look after the lanes to the next, if nothing has changed: somebody else may have.
const TICKS: u32 = 10;

/// What lanes are made for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Need {
    /// The interfaces that lead to backends and work, by index, with their names.
    ways: BTreeMap<u32, String>,
    ipv4: bool,
    ipv6: bool,
    /// An IPv4 VIP is an address of this box.
    local: bool,
}

impl Need {
    fn of(world: &World, links: &Links) -> Self {
        let works = |ifindex| links.by_index(ifindex).is_some_and(|link| link.up);
        let used =
            world.links.iter().filter(|(ifindex, link)| (link.is_port || link.is_egress) && works(**ifindex));
        let vips = || world.intent.services().values().map(|service| service.address.vip);
        Self {
            ways: used.map(|(ifindex, link)| (*ifindex, link.name.clone())).collect(),
            ipv4: vips().any(|vip| vip.is_ipv4()),
            ipv6: vips().any(|vip| vip.is_ipv6()),
            local: vips().any(|vip| vip.is_ipv4() && world.local.contains(&vip)),
        }
    }
}

/// The lanes, as they were made last.
#[derive(Debug)]
pub(super) struct Lanes {
    made: Need,
    /// The interfaces that were made to take packets from addresses of this box, by index: to be undone.
    opened: BTreeSet<u32>,
    ticks: u32,
}

impl Lanes {
    /// None yet; an earlier run may have `opened` interfaces.
    pub(super) fn new(opened: BTreeSet<u32>) -> Self {
        Self { made: Need::default(), opened, ticks: 0 }
    }

    /// The interfaces that were opened, by index.
    pub(super) fn opened(&self) -> &BTreeSet<u32> {
        &self.opened
    }

    /// A tick: now and then all is looked at again.
    pub(super) fn tick(&mut self) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS) {
            self.made.ways.clear();
        }
    }

    /// Makes what is missing. True if more interfaces are open now.
    pub(super) async fn keep(&mut self, world: &World, links: &Links) -> bool {
        let need = Need::of(world, links);
        if self.made == need {
            return false;
        }
        let vips = world.vips();
        if let Err(error) = lanes::lay(&need.ways, &vips).await {
            warn!("{error}: probes to VIPs may not get out");
        }
        let is_new = self.made.local != need.local || self.made.ipv4 != need.ipv4;
        let before = self.opened.len();
        for (ifindex, name) in &need.ways {
            if need.local {
                self.open(*ifindex, name);
            }
            if is_new && need.ipv4 {
                warn_of_filter(*ifindex, name, &vips).await;
            }
        }
        self.made = need;
        self.opened.len() != before
    }

    /// Answers of backends come from the VIP: where that is local, they would pass for forged.
    fn open(&mut self, ifindex: u32, interface: &str) {
        match lanes::accept_local(interface, true) {
            Ok(true) => {
                self.opened.insert(ifindex);
            }
            Ok(false) => {}
            Err(error) => warn!("{interface}: accept_local can't be set: {error}"),
        }
    }
}

/// A strict `rp_filter` drops answers from a VIP that is routed elsewhere than where they come in.
async fn warn_of_filter(ifindex: u32, interface: &str, vips: &BTreeSet<IpAddr>) {
    if !lanes::is_strict(interface) {
        return;
    }
    let vips = vips.iter().copied().filter(IpAddr::is_ipv4);
    let Ok(routes) = routes(vips).await else { return };
    if let Some((vip, _)) = routes.iter().find(|(_, way)| **way != Ok(Way::Out(ifindex))) {
        warn!(
            "{interface}: rp_filter is 1 and the route to the VIP {vip} is another: answers to probes are dropped. Set \
             net.ipv4.conf.{interface}.rp_filter (and all.rp_filter) to 0 or 2, or checks to probe = \"address\""
        );
    }
}
