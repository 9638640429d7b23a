//! How far drains are, and what follows when one comes to its end. It knows no clock and no socket: it is called once a
//! second, after the flow table was looked after.

use std::{collections::BTreeMap, time::Duration};

use super::Controller;
use crate::{
    control::protocol::{Command, DrainEnd, DrainStatus, DrainingMember},
    dataplane::Dataplane,
    model::{Admin, BackendName, Countdown, Draining, Drains, Maintenance, MemberKey, ServiceName, World},
};

/// A drain that has come to its end.
#[derive(Clone, PartialEq, Debug)]
pub struct Ended {
    /// What was draining.
    pub draining: Draining,
    /// How it ended, all its members taken together.
    pub end: DrainEnd,
    /// What is to be done now, as if the operator had asked for it; nothing where it drains for ever.
    pub then: Option<Command>,
}

/// What is remembered of drains beside when they began and are to end.
#[derive(Default, Debug)]
pub(super) struct DrainLog {
    /// The Unix time of the controller's beginning.
    pub(super) epoch: Duration,
    /// Those whose flows are gone, and of which that has been told.
    told: Vec<Draining>,
    /// How drains with a timeout are ending, by member: they are yet to be disabled.
    ending: BTreeMap<MemberKey, DrainEnd>,
    /// How the last drains with a timeout ended, by member, until another wish.
    ended: BTreeMap<MemberKey, DrainEnd>,
    /// What was unknown of each member when the last sweep began.
    pub(super) unknown: BTreeMap<MemberKey, u32>,
}

/// How far the drain of one member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Progress {
    left: Option<u64>,
    /// Slots, and when the last of their windows ends.
    unknown: Option<(u32, Duration)>,
    gone: bool,
}

impl<D: Dataplane> Controller<D> {
    /// The controller begins at this Unix time, with the drains that an earlier one left.
    pub fn begin_drains(&mut self, epoch: Duration, drains: Drains) {
        self.drain_log.epoch = epoch;
        self.world.drains = drains;
        self.follow_drains();
    }

    /// What drains follows what is wished for.
    pub(super) fn follow_drains(&mut self) {
        self.world.drains.follow(&self.world.intent, self.unix_time());
        let World { drains, intent, .. } = &self.world;
        let DrainLog { told, ending, ended, .. } = &mut self.drain_log;
        told.retain(|told| drains.contains(told));
        let is = |(service, backend): &MemberKey, admin| intent.admin(service, backend) == admin;
        ended.retain(|member, _| is(member, Admin::Disabled));
        let out = ending.iter().filter(|(member, _)| is(member, Admin::Disabled));
        ended.extend(out.map(|(member, end)| (member.clone(), *end)));
        ending.retain(|member, _| is(member, Admin::Draining));
    }

    /// Now, since the Unix epoch.
    pub(super) fn unix_time(&self) -> Duration {
        self.drain_log.epoch.saturating_add(self.now)
    }

    /// How far the drain of a member is; `None` where it does not drain.
    #[must_use]
    pub fn drain(&self, member: &MemberKey) -> Option<DrainStatus> {
        if self.world.intent.admin(&member.0, &member.1) != Admin::Draining {
            return None;
        }
        let (draining, countdown) = self.world.drains.of(member)?;
        let Progress { left, unknown, gone } = self.progress(member, countdown);
        let until = |end: Duration, now: Duration| end.saturating_sub(now).as_millis().div_ceil(1000);
        let seconds = |seconds: u128| u64::try_from(seconds).unwrap_or(u64::MAX);
        Some(DrainStatus {
            maintenance: draining.service.is_none(),
            seconds: self.unix_time().saturating_sub(countdown.since).as_secs(),
            flows_left: left,
            unknown_slots: unknown.map_or(0, |(slots, _)| slots),
            unknown_seconds: unknown.map(|(_, end)| seconds(until(end, self.now))),
            timeout_seconds: countdown.until.map(|end| seconds(until(end, self.unix_time()))),
            gone,
        })
    }

    /// How far the drain of each member is that does.
    #[must_use]
    pub fn drains(&self) -> BTreeMap<MemberKey, DrainStatus> {
        let mut drains = BTreeMap::new();
        for (draining, _) in self.world.drains.iter() {
            for member in self.members_of(draining) {
                drains.extend(self.drain(&member).map(|drain| (member, drain)));
            }
        }
        drains
    }

    /// The members of a backend, by service, with their drains.
    #[must_use]
    pub fn drain_of(&self, backend: &BackendName) -> Vec<DrainingMember> {
        let services = self.world.intent.services_of(backend).map(|service| &service.name);
        let member = |service: &ServiceName| {
            let key = (service.clone(), backend.clone());
            DrainingMember {
                service: service.clone(),
                admin: self.world.intent.admin(service, backend),
                drain: self.drain(&key),
                ended: self.drain_log.ended.get(&key).copied(),
            }
        };
        services.map(member).collect()
    }

    /// In how many slots each member that drains may have flows that are not known now. While there are drains that are not
    /// over, the flow table is swept more often.
    pub(super) fn look_at_drains(&mut self) -> BTreeMap<MemberKey, u32> {
        let mut unknown = BTreeMap::new();
        let mut goes_on = false;
        for (draining, countdown) in self.world.drains.iter() {
            for member in self.members_of(draining) {
                let slots = self.unknown(&member).map_or(0, |(slots, _)| slots);
                goes_on |= !self.progress(&member, countdown).gone;
                unknown.insert(member, slots);
            }
        }
        if goes_on {
            self.flows.hurry();
        }
        unknown
    }

    /// The drains that have come to their end since the last call. Those with a timeout end by being disabled, which is up to
    /// the caller.
    pub fn ended_drains(&mut self) -> Vec<Ended> {
        let now = self.unix_time();
        let drains: Vec<_> =
            self.world.drains.iter().map(|(draining, its)| (draining.clone(), *its)).collect();
        let mut ended = Vec::new();
        for (draining, countdown) in drains {
            let members: Vec<_> = self.members_of(&draining).collect();
            let progress: Vec<_> = members.iter().map(|member| self.progress(member, &countdown)).collect();
            let gone = progress.iter().all(|one| one.gone);
            let is_over = countdown.until.is_some_and(|until| until <= now);
            let is_news = gone && !self.drain_log.told.contains(&draining);
            let is_due = is_over || (gone && countdown.until.is_some());
            if !is_due && !is_news {
                continue;
            }
            let ends = progress.iter().map(|one| DrainEnd {
                timed_out: !gone,
                flows_left: one.left,
                unknown_slots: one.unknown.map_or(0, |(slots, _)| slots),
            });
            let then = countdown.until.map(|_| disable(&draining));
            if then.is_some() {
                self.drain_log.ending.extend(members.into_iter().zip(ends.clone()));
            }
            self.drain_log.told.push(draining.clone());
            let none = DrainEnd { timed_out: !gone, flows_left: Some(0), unknown_slots: 0 };
            let end = ends.fold(none, |sum, one| DrainEnd {
                flows_left: sum.flows_left.zip(one.flows_left).map(|(sum, one)| sum + one),
                unknown_slots: sum.unknown_slots + one.unknown_slots,
                ..sum
            });
            ended.push(Ended { draining, end, then });
        }
        ended
    }

    fn progress(&self, member: &MemberKey, countdown: &Countdown) -> Progress {
        let unknown = self.unknown(member);
        // A sweep counts what was written before it: so it must have begun after the drain did, and when nothing was unknown.
        let since = countdown.since.saturating_sub(self.drain_log.epoch);
        let left = match self.numbers.member(member) {
            Some(id) if self.composer.is_tracking(&member.0) => self.flows.of_member(id, since),
            _ => Some(0),
        };
        let was_unknown = self.composer.is_tracking(&member.0)
            && self.drain_log.unknown.get(member).is_none_or(|slots| *slots > 0);
        Progress { left, unknown, gone: left == Some(0) && unknown.is_none() && !was_unknown }
    }

    fn unknown(&self, member: &MemberKey) -> Option<(u32, Duration)> {
        self.composer.unknown(member, self.numbers.member(member)?)
    }

    /// The members that drain by it.
    fn members_of(&self, draining: &Draining) -> impl Iterator<Item = MemberKey> + use<D> {
        let services: Vec<_> = match &draining.service {
            Some(service) => vec![service.clone()],
            None => {
                self.world.intent.services_of(&draining.backend).map(|service| service.name.clone()).collect()
            }
        };
        let backend = draining.backend.clone();
        services.into_iter().map(move |service| (service, backend.clone()))
    }
}

fn disable(draining: &Draining) -> Command {
    let Draining { service, backend } = draining.clone();
    match service {
        Some(_) => Command::SetAdmin { backend, service, admin: Admin::Disabled, timeout: None },
        None => Command::SetMaintenance { backend, maintenance: Maintenance::Disabled, timeout: None },
    }
}
