//! What follows the intent and the places of backends is kept so: checks, watchers, lanes, groups, and what is left for the
//! next controller.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use log::{error, warn};

use super::{memory::Labels, probing, run::Loop};
use crate::{model::Shared, net::Groups};

impl Loop {
    /// All that follows the intent follows it.
    pub(super) fn intent_changed(&mut self) {
        self.inlet.changed();
        let intent = self.controller.world().intent.clone();
        let before = self.followed.replace(intent.clone());
        // Wishes for members change nothing of whom is looked after, and how.
        if !before.is_some_and(|before| intent.has_same_parts(&before)) {
            self.net.watcher.watch(self.controller.world().watched());
            let Self { checker, controller, .. } = self;
            checker.reconcile(probing::wanted_checks(controller.world(), controller.numbers()));
        }
        self.places_changed = true;
        self.listen();
        let ports = self.interfaces.iter().map(|interface| interface.ifindex).collect();
        self.net.asker.about(self.controller.world().vips(), ports);
        self.keep_labels();
    }

    /// Probes go where packets go, once these can.
    pub(super) fn tell_exits(&mut self) {
        let exits = probing::exits(self.controller.world(), &self.exits.borrow());
        self.exits.send_if_modified(|told| {
            let differs = *told != exits;
            *told = exits;
            differs
        });
    }

    /// What drains is kept as it is.
    pub(super) fn keep_drains(&mut self) {
        if self.controller.world().drains == self.drains {
            return;
        }
        match self.memory.keep_drains(&self.controller.world().drains) {
            Ok(()) => self.drains = self.controller.world().drains.clone(),
            Err(error) => error!("{error:#}: after a restart drains begin anew"),
        }
    }

    /// Probes get out, and their answers in.
    pub(super) async fn keep_lanes(&mut self) {
        if self.lanes.keep(self.controller.world(), &self.net.links).await {
            self.keep_labels();
        }
    }

    /// Each port listens to the solicitations for each IPv6 VIP.
    fn listen(&mut self) {
        let (ports, vips) = self.listeners();
        for error in self.net.groups.join(&ports, &vips, &self.net.links) {
            warn!("{error}: neighbours may not find the VIP");
        }
    }

    pub(super) fn listeners(&self) -> (BTreeSet<u32>, BTreeSet<Ipv6Addr>) {
        let ports = self.interfaces.iter().map(|interface| interface.ifindex).collect();
        let vips = self.controller.world().vips().into_iter().filter_map(|vip| match vip {
            IpAddr::V6(vip) => Some(vip),
            IpAddr::V4(_) => None,
        });
        (ports, vips.collect())
    }

    pub(super) fn keep_labels(&mut self) {
        let (ports, vips) = self.listeners();
        let numbers = self.controller.numbers();
        let members = match &self.labeled {
            Some(labeled) if labeled.has_same_members(numbers) => self.labels.members.clone(),
            _ => Shared::new(numbers.labels().into_iter().map(|(id, key)| (id.0, key)).collect()),
        };
        let numbers = numbers.clone();
        let labels = Labels {
            intent: self.controller.world().intent.clone(),
            members,
            groups: Groups::memberships(&ports, &vips),
            took_tags: self.labels.took_tags.clone(),
            opened: self.lanes.opened().clone(),
        };
        if labels != self.labels {
            match self.memory.keep_labels(&labels) {
                Ok(()) => (self.labels, self.labeled) = (labels, Some(numbers)),
                Err(error) => error!("{error:#}: without it, a restart gives members new ids"),
            }
        }
    }
}
