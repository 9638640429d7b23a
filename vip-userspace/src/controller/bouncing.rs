//! Backends that send packets back: they lack the VIP, or forward what they should take. It decides nothing of them, but
//! whose check is to look at once.

use std::collections::{BTreeMap, BTreeSet};

use vip_common::MemberId;

use super::Controller;
use crate::{
    dataplane::Dataplane,
    health::CheckId,
    model::{Cause, Health, MemberKey, NotHeld},
};

/// What follows from packets that came back.
#[derive(Default, Debug)]
pub(super) struct News {
    /// Whose check is to look at once.
    pub(super) doubted: Vec<CheckId>,
    /// Who is down without an answer: it is known now why.
    pub(super) explained: Vec<MemberKey>,
}

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
    pub(super) fn news<D: Dataplane>(&mut self, controller: &Controller<D>) -> anyhow::Result<News> {
        let all = controller.dataplane().bounced()?;
        let before = self.all.replace(all);
        if before == Some(all) {
            return Ok(News::default());
        }
        let counts = controller.dataplane().counts()?;
        let now: BTreeMap<_, _> = counts.members.iter().map(|(id, count)| (*id, count.bounced)).collect();
        let earlier = std::mem::replace(&mut self.members, now);
        // What was counted before the first look is an earlier controller's.
        if before.is_none() {
            return Ok(News::default());
        }
        let labels = controller.numbers().labels();
        let rose =
            self.members.iter().filter(|(id, now)| **now > earlier.get(id).copied().unwrap_or_default());
        let backends: BTreeSet<_> =
            rose.filter_map(|(id, _)| labels.get(id)).map(|(_, backend)| backend).collect();
        let keys = labels.values().filter(|(_, backend)| backends.contains(backend));
        let mut news = News::default();
        for key in keys {
            let checked = controller.world().checked.get(key);
            // Of who is down it is known, and his probes come back as well.
            match checked.filter(|checked| checked.health == Health::Down) {
                Some(checked) if checked.cause.as_deref().is_some_and(is_open) => {
                    news.explained.push(key.clone());
                }
                Some(_) => {}
                None => {
                    let (service, backend) = key.clone();
                    news.doubted.push(CheckId { service, backend });
                }
            }
        }
        Ok(news)
    }
}

/// True for what may be because the VIP is missing.
const fn is_open(cause: &Cause) -> bool {
    cause.is_silence() || matches!(cause, Cause::VipNotHeld { sign: NotHeld::Silent })
}

/// What a verdict's cause is, after what is known of the member.
pub(super) fn cause_after(known: Option<&Cause>, told: Option<Cause>) -> Option<Cause> {
    const BOUNCED: Cause = Cause::VipNotHeld { sign: NotHeld::Bounced };
    match told {
        Some(told) if known == Some(&BOUNCED) && is_open(&told) => Some(BOUNCED),
        told => told,
    }
}
