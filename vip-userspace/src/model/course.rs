//! What is remembered of a service to judge its members by: who came up when, and whether its quorum was short. Pure: it is
//! told the time, and who is eligible by himself.

use std::{collections::BTreeMap, time::Duration};

use super::{BackendName, Part, Service};

/// What has been of a service, as far as that matters for what is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Course {
    /// When it was first looked at.
    began: Option<Duration>,
    /// It had fewer eligible members than its quorum, and has not recovered since.
    pub(super) is_short: bool,
    /// Members that are eligible, each with when it came up; `None` for one that was there from the beginning.
    up: BTreeMap<BackendName, Option<Duration>>,
}

impl Course {
    /// A service whose quorum may be short, as an earlier controller left it.
    pub(super) fn adopted(is_short: bool) -> Self {
        Self { is_short, ..Self::default() }
    }

    /// Notes at `now` who is `eligible`, in the order of the members. Those that are so within the service's
    /// [`patience`](Service::patience) were there from the beginning.
    pub(super) fn note(&mut self, service: &Service, eligible: &[bool], is_short: bool, now: Duration) {
        self.is_short = is_short;
        let began = *self.began.get_or_insert(now);
        let came = (now >= began.saturating_add(service.patience())).then_some(now);
        let mut up = std::mem::take(&mut self.up);
        for (member, _) in service.members.iter().zip(eligible).filter(|(_, eligible)| **eligible) {
            let since = up.remove(&member.backend).unwrap_or(came);
            self.up.insert(member.backend.clone(), since);
        }
    }

    /// How much of its weight each member has at `now`, of those that are `eligible`, in the order of the members. Who has
    /// not been noted yet is taken for one that has just come up.
    pub(super) fn parts(&self, service: &Service, eligible: &[bool], now: Duration) -> Vec<Part> {
        let Some(over) = service.slow_start else {
            return eligible.iter().copied().map(Part::of).collect();
        };
        let part = |backend| match self.up.get(backend) {
            Some(None) => Part::ALL,
            Some(Some(since)) => Part::grown(now.saturating_sub(*since), over),
            None if self.began.is_none_or(|began| now < began.saturating_add(service.patience())) => {
                Part::ALL
            }
            None => Part::grown(Duration::ZERO, over),
        };
        let members = service.members.iter().zip(eligible);
        let own: Vec<_> = members
            .map(|(member, eligible)| if *eligible { part(&member.backend) } else { Part::NONE })
            .collect();
        let largest = own.iter().copied().max().unwrap_or(Part::NONE);
        own.into_iter().map(|part| part.among(largest)).collect()
    }
}

/// Whether a quorum of `service` is short with that many `eligible` members of `all` (backups are not counted), if it
/// `was` short before. It is short no more as soon as all are eligible, whatever the hysteresis.
pub(super) fn is_short(service: &Service, eligible: usize, all: usize, was: bool) -> bool {
    let eligible = u32::try_from(eligible).unwrap_or(u32::MAX);
    let all = u32::try_from(all).unwrap_or(u32::MAX);
    let enough = service.quorum.saturating_add(service.quorum_hysteresis).min(all).max(service.quorum);
    eligible < service.quorum || (was && eligible < enough)
}

/// Whether so few of `all` members are `healthy` that health is to be ignored.
pub(super) fn panics(service: &Service, healthy: usize, all: usize) -> bool {
    let Some(threshold) = service.panic_threshold else { return false };
    healthy as u64 * 100 < u64::from(threshold) * all as u64
}
