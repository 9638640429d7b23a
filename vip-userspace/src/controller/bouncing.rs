//! Backends that send packets back: they lack the VIP, or forward what they should take. It decides nothing of them, but
//! whose check is to look at once.

use std::collections::BTreeMap;

use vip_common::MemberId;

use super::Controller;
use crate::{
    dataplane::Dataplane,
    health::CheckId,
    model::{Health, MemberKey},
};

/// What has been counted so far.
#[derive(Default, Debug)]
pub(super) struct Bouncing {
    /// Of all members together; nothing before the first look.
    all: Option<u64>,
    /// By member, at the last look at members.
    members: BTreeMap<MemberId, u64>,
}

impl Bouncing {
    /// Whose packets have come back since the last look. While none have, that is one counter. Anybody can forge such a
    /// frame, so a look, once a second, is all that follows from it.
    ///
    /// # Errors
    /// The counters can't be read.
    pub(super) fn news<D: Dataplane>(&mut self, controller: &Controller<D>) -> anyhow::Result<Vec<CheckId>> {
        let all = controller.dataplane().bounced()?;
        let before = self.all.replace(all);
        if before == Some(all) {
            return Ok(Vec::new());
        }
        let counts = controller.dataplane().counts()?;
        let now: BTreeMap<_, _> = counts.members.iter().map(|(id, count)| (*id, count.bounced)).collect();
        let earlier = std::mem::replace(&mut self.members, now);
        // What was counted before the first look is an earlier controller's.
        if before.is_none() {
            return Ok(Vec::new());
        }
        let labels = controller.numbers().labels();
        let rose =
            self.members.iter().filter(|(id, now)| **now > earlier.get(id).copied().unwrap_or_default());
        let named = rose.filter_map(|(id, _)| labels.get(id));
        // Of who is down it is known, and his probes come back as well.
        let is_down = |key: &MemberKey| {
            controller.world().checked.get(key).is_some_and(|checked| checked.health == Health::Down)
        };
        let doubted = named.filter(|key| !is_down(key));
        Ok(doubted
            .map(|(service, backend)| CheckId { service: service.clone(), backend: backend.clone() })
            .collect())
    }
}
