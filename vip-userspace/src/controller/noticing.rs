//! What the loop notices: verdicts, links and neighbours that it is told of, and what nobody tells of, once a second.

use std::{collections::BTreeSet, net::IpAddr, time::Instant};

use log::{error, info, warn};

use super::{
    bouncing,
    run::{Loop, TICK},
    words,
};
use crate::{
    control::protocol::News,
    health::Verdict,
    model::{Cause, Health, Mac, NotHeld},
    net::{Link, NetError, NetEvent, Way, addresses, routes},
};

/// The tables are looked at in so many parts, one a tick: what somebody else changes is found within as many seconds.
const PARTS: usize = 10;

impl Loop {
    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        for id in verdict.ids.iter().filter(|id| self.checker.holds(verdict, id)) {
            let member = (id.service.clone(), id.backend.clone());
            let known = self.controller.world().checked.get(&member);
            let known = known.and_then(|checked| checked.cause.as_deref());
            let cause = bouncing::cause_after(known, verdict.cause.clone());
            self.controller.verdict(member, verdict.health, cause);
        }
    }

    pub(super) async fn link_or_neighbour(&mut self, event: NetEvent) {
        let before = match &event {
            NetEvent::Link(link) => self.net.links.by_index(link.ifindex).cloned(),
            _ => None,
        };
        if self.is_urgent(&event) {
            self.rests_until = Instant::now();
        }
        self.tell_of_net(&event);
        self.net.links.apply(&event);
        self.places_changed = true;
        if !matches!(event, NetEvent::Neighbour { .. }) {
            self.inlet.changed();
        }
        match event {
            NetEvent::Neighbour { address, result } => self.controller.neighbour(address, result),
            NetEvent::Link(link) => {
                if self.is_missing(&link) {
                    return self.attach_again(&link.name).await;
                }
                if let Some(before) = before.filter(|_| self.is_attached(link.ifindex)) {
                    for (is_bad, line) in words::of_link(&before, &link) {
                        if is_bad { warn!("{line}") } else { info!("{line}") }
                    }
                }
                self.controller.link(link.ifindex, link.name, link.mac.unwrap_or(Mac([0; 6])), link.up);
            }
            NetEvent::LinkGone(link) => {
                self.detach_gone(&link);
                self.controller.link_gone(link.ifindex);
            }
        }
    }

    /// True for what packets get lost by until it is published: a link that is down, a neighbour with another MAC.
    fn is_urgent(&self, event: &NetEvent) -> bool {
        match event {
            NetEvent::Neighbour { address, result: Ok(place) } => {
                let known = self.controller.world().neighbours.get(address);
                matches!(known, Some(Ok(known)) if known != place)
            }
            NetEvent::Neighbour { .. } => false,
            NetEvent::Link(link) => !link.up && self.is_attached(link.ifindex),
            NetEvent::LinkGone(link) => self.is_attached(link.ifindex),
        }
    }

    /// True for an interface that the configuration names, and that is none of the director's.
    fn is_missing(&self, link: &Link) -> bool {
        let mut named = self.config.interfaces.iter().chain(&self.config.egress_interfaces);
        named.any(|name| *name == link.name) && !self.is_attached(link.ifindex)
    }

    /// True for an interface that the director is attached to.
    pub(super) fn is_attached(&self, ifindex: u32) -> bool {
        let known = self.controller.world().links.get(&ifindex);
        known.is_some_and(crate::model::Link::is_attached)
    }

    /// Others answer for a VIP than before.
    pub(super) fn owners(&mut self, vip: IpAddr, macs: BTreeSet<Mac>) {
        let before: BTreeSet<_> = self.controller.world().thieves(vip).collect();
        self.controller.owners(vip, macs);
        let now: BTreeSet<_> = self.controller.world().thieves(vip).collect();
        for mac in now.difference(&before) {
            self.tell_of_thief(vip, *mac, true);
        }
        for mac in before.difference(&now) {
            self.tell_of_thief(vip, *mac, false);
        }
    }

    /// What nobody tells of: the addresses of this box, and how full the flow table is.
    pub(super) async fn look_after(&mut self) {
        match local(self.controller.world().vips()).await {
            Ok(local) => {
                if let Some(more) = self.controller.local(local) {
                    warn!("{}", words::of_unlisted_addresses(more));
                }
            }
            Err(error) => warn!("{error}: a VIP on this box may not be noticed"),
        }
        match self.controller.resync(self.part, PARTS) {
            Ok(strays) => {
                for (table, entries) in strays {
                    let words = words::of_strays(table, entries);
                    warn!("{words}");
                    self.herald.tell(News::Mended { table: table.to_owned(), entries }, words);
                }
            }
            Err(error) => error!("{error:#}; trying again in {PARTS} s"),
        }
        self.part = (self.part + 1) % PARTS;
        match self.controller.look_after_flows() {
            Ok(refusals) => {
                for (service, flows) in refusals {
                    let words = words::of_refusals(&service, flows);
                    warn!("{words}");
                    self.herald.tell(News::FlowTableFull { service, flows }, words);
                }
            }
            Err(error) => error!("{error:#}; trying again in {} s", TICK.as_secs()),
        }
        match self.bouncing.news(&self.controller) {
            Ok(bouncing::News { doubted, explained }) => {
                doubted.iter().for_each(|id| self.checker.hasten(id));
                for member in explained {
                    let cause = Cause::VipNotHeld { sign: NotHeld::Bounced };
                    self.controller.verdict(member, Health::Down, Some(cause));
                }
            }
            Err(error) => error!("{error:#}; trying again in {} s", TICK.as_secs()),
        }
        for ended in self.controller.ended_drains() {
            self.tell_of_drain(&ended);
            if let Some(command) = ended.then
                && let Err(refused) = self.command(&command, None).await
            {
                error!("{refused}; trying again in {} s", TICK.as_secs());
            }
        }
    }
}

/// The addresses of this box, and those VIPs that it takes for its own without having them.
async fn local(vips: BTreeSet<IpAddr>) -> Result<BTreeSet<IpAddr>, NetError> {
    let here = routes(vips).await?.into_iter().filter(|(_, route)| *route == Ok(Way::Here));
    let mut local = addresses().await?;
    local.extend(here.map(|(vip, _)| vip));
    Ok(local)
}
