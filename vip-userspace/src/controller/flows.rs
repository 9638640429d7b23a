//! When the flow table is swept, what follows from a sweep, and how much may be written until the next one. It knows no
//! clock: it is called once a second, and told the time.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use vip_common::{
    MemberId,
    tables::{InsertCount, TICK_BITS},
};

use crate::{
    dataplane::{Dataplane, Swept},
    model::ServiceName,
    plan::{Budget, Composer, Numbers, Tables},
    ring::remember::GRACE,
};

/// How many flows were not tracked, for want of allowance, by service.
pub type Refusals = BTreeMap<ServiceName, u64>;

/// Longest time from one sweep to the next.
const RARELY: Duration = Duration::from_secs(10);
/// The same while a member is draining that may have flows.
const SOON: Duration = Duration::from_secs(2);
/// Shortest time from one sweep to the next.
const OFTEN: Duration = Duration::from_secs(1);

/// What is known of the flow table.
#[derive(Default, Debug)]
pub(super) struct FlowTable {
    last_sweep: Option<LastSweep>,
    /// When tables were last written that could not be written before.
    repaired: Option<Duration>,
    /// Time from one sweep to the next, by the shortest window, or idle time, of what was tracked last.
    interval: Option<Duration>,
    /// Somebody waits for flows to end.
    hurries: bool,
    /// What services had written, and were refused, at the last sweep.
    inserts: BTreeMap<u32, InsertCount>,
}

#[derive(Debug)]
struct LastSweep {
    began: Duration,
    swept: Swept,
}

impl FlowTable {
    /// At `now` the tables get what they should have had before: slots are in them only since then.
    pub(super) fn repaired(&mut self, now: Duration) {
        self.repaired = Some(now);
    }

    /// Live flows of a member at the last sweep, if that began after `since`.
    pub(super) fn of_member(&self, id: MemberId, since: Duration) -> Option<u64> {
        let last = self.last_sweep.as_ref().filter(|last| last.began > since)?;
        Some(last.swept.flows.get(&id).copied().unwrap_or_default())
    }

    /// When the last sweep began.
    pub(super) fn last_sweep(&self) -> Option<Duration> {
        self.last_sweep.as_ref().map(|last| last.began)
    }

    /// Somebody waits for flows to end: the next sweep comes [`SOON`] after the last one.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
    }

    /// One second's work. While nothing is tracked and nothing lives, that is none.
    pub(super) fn look_after<D: Dataplane>(
        &mut self,
        dataplane: &mut D,
        composer: &mut Composer,
        numbers: &Numbers,
        published: &Tables,
        now: Duration,
    ) -> anyhow::Result<Refusals> {
        let terms_of = |name: &ServiceName| published.terms.get(&numbers.places_of(name)?.id);
        // Where every flow is tracked, entries end by their idle time, whatever the window is.
        let lasting = |(name, window): (&ServiceName, Duration)| match terms_of(name) {
            Some(terms) if terms.always != 0 => Duration::from_nanos(u64::from(terms.idle) << TICK_BITS),
            _ => window,
        };
        let shortest = composer.tracking().map(lasting).min();
        if let Some(window) = shortest {
            self.interval = Some((window / 2).clamp(OFTEN, RARELY));
        }
        // At the beginning nobody knows what an earlier controller has left.
        let nothing_left = self.last_sweep.as_ref().is_some_and(|last| last.swept.live == 0);
        if shortest.is_none() && nothing_left {
            return Ok(Refusals::new());
        }
        let mut refusals = Refusals::new();
        if self.is_time(now) {
            let swept = dataplane.sweep().context("sweep the flow table")?;
            composer.untrack(numbers, now, |slot| swept.is_held(slot));
            self.last_sweep = Some(LastSweep { began: now, swept });
            self.hurries = false;
            refusals = self.count_inserts(dataplane, numbers)?;
        }
        let live = self.live(dataplane, composer, numbers)?;
        composer.budget_mut().begin(live, published.terms.values().map(|terms| terms.period));
        Ok(refusals)
    }

    /// True if a sweep is due, and the slots are in the tables for as long as it is thought.
    fn is_time(&self, now: Duration) -> bool {
        let interval = self.interval.unwrap_or(RARELY).min(if self.hurries { SOON } else { RARELY });
        let due = self.last_sweep.as_ref().is_none_or(|last| last.began.saturating_add(interval) <= now);
        due && self.repaired.is_none_or(|repaired| repaired.saturating_add(GRACE) <= now)
    }

    /// Notes what each service has written so far, and tells what was refused since the last time.
    fn count_inserts<D: Dataplane>(&mut self, dataplane: &D, numbers: &Numbers) -> anyhow::Result<Refusals> {
        let mut refusals = Refusals::new();
        let mut counted = BTreeMap::new();
        for (name, places) in numbers.places() {
            let now = dataplane.inserts(places.id)?;
            // What was refused before the first look is an earlier controller's.
            let before = self.inserts.get(&places.id).map_or(now.refused, |before| before.refused);
            if now.refused > before {
                refusals.insert(name.clone(), now.refused - before);
            }
            counted.insert(places.id, now);
        }
        self.inserts = counted;
        Ok(refusals)
    }

    /// Entries in use by the number of each service: those of the last sweep, and of those that track all written since.
    fn live<D: Dataplane>(
        &self,
        dataplane: &D,
        composer: &Composer,
        numbers: &Numbers,
    ) -> anyhow::Result<BTreeMap<u32, u64>> {
        let mut live = BTreeMap::new();
        let of_members = self.last_sweep.as_ref().map(|last| &last.swept.flows);
        let labels = numbers.labels();
        for (id, flows) in of_members.into_iter().flatten() {
            let service = labels.get(id).and_then(|(service, _)| numbers.places_of(service));
            *live.entry(service.map_or(Budget::GONE, |places| places.id)).or_default() += flows;
        }
        for places in composer.tracking().filter_map(|(name, _)| numbers.places_of(name)) {
            let inserted = dataplane.inserts(places.id)?.inserted;
            let before = self.inserts.get(&places.id).map_or(0, |before| before.inserted);
            *live.entry(places.id).or_default() += inserted.saturating_sub(before);
        }
        Ok(live)
    }
}
