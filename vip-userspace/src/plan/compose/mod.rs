//! What is wanted in the tables: from the world, the numbers of its things, what is published, and what slots remember.

mod entries;
mod members;
mod ring;
#[cfg(test)]
mod tests;
mod whole;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytemuck::Zeroable as _;
use vip_common::{
    MemberId,
    tables::{Port, Station, TICK_BITS, Terms as TermsEntry},
};

use self::{
    entries::Entries,
    members::Members,
    ring::{Ingredient, Recipe, ServiceRing},
    whole::Whole,
};
use super::{Budget, Numbers, Shares, Tables, addresses};
use crate::{
    model::{Judgement, MemberKey, OnDead, Part, Service, ServiceName, Standing, Touched, World},
    ring::{Ring, RingKey, RingMemory, Terms},
};

/// Composes tables, and remembers what the slots of each service remember. Copies are cheap.
#[derive(Clone, Debug)]
pub struct Composer {
    key: RingKey,
    rings: BTreeMap<ServiceName, ServiceRing>,
    /// Rings that an earlier controller left and that have not been looked at yet.
    found: BTreeMap<ServiceName, RingMemory>,
    /// How long services wait with their first ring, for members that are not known yet.
    beginnings: BTreeMap<ServiceName, Duration>,
    budget: Budget,
    /// Rings of nobody's slots, by their size.
    blanks: BTreeMap<u32, Ring>,
    whole: Whole,
    /// The world that was looked at last. `None`: all is to be looked at.
    seen: Option<World>,
    /// The services that something has changed for since then.
    stale: Touched,
    /// The services that were looked at since somebody asked.
    touched: Touched,
    /// How often a service was looked at.
    looked: u64,
}

impl Composer {
    /// Rings and flow hash are made with `key`.
    #[must_use]
    pub fn new(key: RingKey, budget: Budget) -> Self {
        Self {
            key,
            rings: BTreeMap::new(),
            found: BTreeMap::new(),
            beginnings: BTreeMap::new(),
            budget,
            blanks: BTreeMap::new(),
            whole: Whole::default(),
            seen: None,
            stale: Touched::All,
            touched: Touched::default(),
            looked: 0,
        }
    }

    /// Makes rings and flow hash with another key. Where it is another, nothing of what slots remember tells of any flow
    /// any more: all rings are made anew.
    pub fn rekey(&mut self, key: RingKey) {
        if key != self.key {
            self.key = key;
            self.rings.clear();
            self.found.clear();
            self.seen = None;
        }
    }

    /// Takes over what the slots of published tables remember; their windows start anew at `now`.
    pub fn adopt(&mut self, published: &Tables, numbers: &Numbers, now: Duration) {
        self.seen = None;
        for (name, places) in numbers.places() {
            let ring = published.rings.get(&places.ring.first);
            if let Some(ring) = ring.filter(|ring| ring.len() == places.ring.size as usize) {
                self.found.insert(name.clone(), RingMemory::adopt(ring.clone(), now));
            }
        }
    }

    /// Takes the slots as they are `published`, after that did not go as it should: what then follows is composed from
    /// what packets have met.
    pub fn repair(&mut self, published: &Tables, numbers: &Numbers, now: Duration) {
        self.seen = None;
        for (name, ring) in &mut self.rings {
            let places = numbers.places_of(name);
            if let Some(found) = places.and_then(|places| published.rings.get(&places.ring.first)) {
                ring.correct(found, now);
            }
        }
    }

    /// The tables that `world` asks for at `now`, in place of those that are `published`. Services and members without a
    /// number are left out. Only services that something has changed for since the last time are looked at; so `published`
    /// is what was composed then, unless [`repair`](Self::repair) was told otherwise.
    pub fn compose(
        &mut self,
        world: &World,
        numbers: &mut Numbers,
        published: &Tables,
        now: Duration,
    ) -> Tables {
        let mut tables = Tables { flow_key: Some(self.key.flow_key()), ..Tables::default() };
        add_ports(world, &mut tables);
        let services = world.intent.services();
        self.rings.retain(|name, _| services.contains_key(name));
        self.found.retain(|name, _| services.contains_key(name));
        self.beginnings.retain(|name, _| services.contains_key(name));
        self.look(world, published);
        let mut members = Members::new(world, numbers, published);
        tables.egresses = members.ports();
        for service in services.values() {
            if self.is_stale(service) {
                self.look_at(service, &mut members, now);
            }
        }
        self.rings.values_mut().for_each(|ring| ring.settle(now));
        let Self { whole, rings, .. } = self;
        whole.forget(published, &mut tables, |id| rings.values().any(|ring| ring.names(id)));
        whole.enter(&mut tables);
        add_peers(world, &mut tables);
        self.add_slots(&mut tables, numbers);
        self.add_terms(world, numbers, &mut tables);
        self.add_entries(world, numbers, &mut tables);
        add_own_addresses(world, &mut tables);
        tables
    }

    /// The services that were looked at since the last call.
    pub fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    /// How the members of a service stood when it was looked at last.
    #[must_use]
    pub fn judged(&self, service: &ServiceName) -> Option<&Arc<Judgement>> {
        self.whole.of(service).map(|its| &its.judged)
    }

    /// How often a service was looked at since the composer's beginning.
    #[must_use]
    pub fn looked(&self) -> u64 {
        self.looked
    }

    /// Sees what has changed since the last time.
    fn look(&mut self, world: &World, published: &Tables) {
        self.stale = match &self.seen {
            Some(seen) => world.touched_since(seen),
            None => {
                self.whole = Whole::new(published);
                Touched::All
            }
        };
        self.touched.add(self.stale.clone());
        self.seen = Some(world.clone());
        self.whole.retain(|name| world.intent.services().contains_key(name));
    }

    /// Whether anything may have changed for a service: in the world, or by time alone.
    fn is_stale(&self, service: &Service) -> bool {
        let name = &service.name;
        service.slow_start.is_some() || self.beginnings.contains_key(name) || self.stale.contains(name)
    }

    fn look_at(&mut self, service: &Service, members: &mut Members<'_>, now: Duration) {
        self.looked += 1;
        let Some(places) = members.numbers.places_of(&service.name) else {
            return self.whole.put(&service.name, None);
        };
        let world = members.world;
        let judged = world.judge(service);
        let parts = world.parts(service, &judged.standings, now);
        let waits = self.waits(service, &judged.standings, now);
        let (contribution, mut ingredients) = members.of(service, judged, &parts);
        self.whole.put(&service.name, Some(contribution));
        if waits {
            // There are no flows yet whose owner could be dead.
            for member in &mut ingredients {
                *member = Ingredient { part: Part::NONE, is_alive: false, ..*member };
            }
        }
        let has_peers = !world.peers.is_empty() || ingredients.iter().any(|member| member.is_director);
        let recipe = Recipe {
            scheduler: service.scheduler,
            size: places.ring.size,
            terms: Terms { on_dead: service.on_dead.into(), window: service.window() },
            members: ingredients,
            spares_directors: has_peers && places.peers.is_some(),
        };
        self.follow(&service.name, recipe, now);
    }

    /// Stops tracking the slots that a sweep, begun at `began`, did not find held; `held` is asked for indices in `RINGS`.
    pub fn untrack(&mut self, numbers: &Numbers, began: Duration, held: impl Fn(u32) -> bool) {
        for (name, ring) in &mut self.rings {
            if let Some(places) = numbers.places_of(name).filter(|_| ring.memory().tracked() > 0) {
                ring.untrack(began, |slot| held(places.ring.first + slot));
            }
        }
    }

    /// How much services may write to the flow table.
    pub fn budget_mut(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// How many slots of a service are tracked.
    #[must_use]
    pub fn tracked(&self, name: &ServiceName) -> usize {
        self.rings.get(name).map_or(0, |ring| ring.memory().tracked())
    }

    /// Where flows of a member may live that are not in the flow table: in how many slots, and until when at the latest.
    /// `None` where all its flows are in the table, or none of them is any more.
    #[must_use]
    pub fn unknown(&self, (service, _): &MemberKey, id: MemberId) -> Option<(u32, Duration)> {
        let ring = self.rings.get(service).filter(|ring| ring.turns().is_none())?;
        Some(ring.memory().departed_from(id, ring.window())).filter(|(slots, _)| *slots > 0)
    }

    /// Whether flows of a service may be in the flow table.
    #[must_use]
    pub fn is_tracking(&self, service: &ServiceName) -> bool {
        self.rings.get(service).is_some_and(ServiceRing::tracks)
    }

    /// The services whose flows may be written to the flow table now, with their windows.
    pub fn tracking(&self) -> impl Iterator<Item = (&ServiceName, Duration)> {
        self.rings.iter().filter(|(_, ring)| ring.tracks()).map(|(name, ring)| (name, ring.window()))
    }

    /// Whether a service waits with its first ring. Members that come in one after the other would take slots from each
    /// other, and slots that have moved are tracked for a whole window: so the first ring is that of all of them, if they
    /// are known soon.
    fn waits(&mut self, service: &Service, standings: &[Standing], now: Duration) -> bool {
        let name = &service.name;
        if !self.rings.contains_key(name) && !self.found.contains_key(name) {
            self.beginnings.insert(name.clone(), now.saturating_add(service.patience()));
        }
        let Some(until) = self.beginnings.get(name) else { return false };
        let waits = now < *until && standings.iter().any(Standing::is_unknown);
        if !waits {
            self.beginnings.remove(name);
        }
        waits
    }

    fn follow(&mut self, name: &ServiceName, recipe: Recipe, now: Duration) {
        match self.rings.get_mut(name) {
            Some(ring) => {
                ring.settle(now);
                ring.follow(recipe, &self.key, now);
            }
            None => {
                let memory = self.found.remove(name).unwrap_or_else(|| self.blank(recipe.size, now));
                self.rings.insert(name.clone(), ServiceRing::new(recipe, memory, &self.key, now));
            }
        }
    }

    /// A ring of nobody's slots: all of a size are the same, until they get owners.
    fn blank(&mut self, size: u32, now: Duration) -> RingMemory {
        let blank = || Ring::at_rest(&vec![MemberId::NOBODY; size as usize]);
        RingMemory::adopt(self.blanks.entry(size).or_insert_with(blank).clone(), now)
    }

    fn add_slots(&self, tables: &mut Tables, numbers: &Numbers) {
        for (name, ring) in &self.rings {
            let Some(places) = numbers.places_of(name) else { continue };
            tables.rings.insert(places.ring.first, ring.memory().slots().clone());
            if let (Some(first), Some(turns)) = (places.turns, ring.turns()) {
                tables.rings.insert(first, turns.slots.clone());
            }
            if let (Some(first), Some(peers)) = (places.peers, ring.peers()) {
                tables.rings.insert(first, peers.clone());
            }
        }
    }

    fn add_terms(&self, world: &World, numbers: &Numbers, tables: &mut Tables) {
        let services = world.intent.services();
        let is_ipv4 = |name: &ServiceName| services.get(name).is_some_and(|of| of.address.vip.is_ipv4());
        let gone = Shares { tracking: 0, live: self.budget.live(Budget::GONE) };
        let (mut ipv4, mut ipv6) = (gone, gone);
        for (name, ring) in &self.rings {
            let shares = if is_ipv4(name) { &mut ipv4 } else { &mut ipv6 };
            shares.tracking += u32::from(ring.tracks());
            shares.live += numbers.places_of(name).map_or(0, |places| self.budget.live(places.id));
        }
        for (name, ring) in &self.rings {
            let (Some(places), Some(service)) = (numbers.places_of(name), services.get(name)) else {
                continue;
            };
            let mut terms = TermsEntry {
                period: 0,
                allowance: 0,
                idle: idle_ticks(service),
                always: u32::from(ring.turns().is_some()),
            };
            if ring.tracks() {
                let shares = if is_ipv4(name) { ipv4 } else { ipv6 };
                terms.period = self.budget.period();
                terms.allowance = self.budget.allowance(places.id, shares);
            }
            tables.terms.insert(places.id, terms);
        }
    }

    fn add_entries(&self, world: &World, numbers: &Numbers, tables: &mut Tables) {
        let mut entries = Entries::default();
        for service in world.intent.services().values() {
            let name = &service.name;
            let (Some(places), Some(its)) = (numbers.places_of(name), self.whole.of(name)) else { continue };
            let has_peers =
                !world.peers.is_empty() || self.rings.get(name).is_some_and(ServiceRing::has_directors);
            entries.add(service, its, (places, self.turns(name)), has_peers);
        }
        entries.enter(world, tables);
    }

    /// How many turns the order of a service has, where it has one.
    fn turns(&self, name: &ServiceName) -> Option<u32> {
        self.rings.get(name)?.turns().map(|turns| turns.size)
    }
}

/// The ticks for which a silent flow is remembered: not less than the idle time, whenever in a tick it spoke.
fn idle_ticks(service: &Service) -> u32 {
    let ticks = service.idle().as_nanos().div_ceil(1 << TICK_BITS) + 1;
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

fn add_ports(world: &World, tables: &mut Tables) {
    let router = world.virtual_router.unwrap_or_default();
    for (ifindex, link) in &world.links {
        let (router, flags) = match (link.is_port, link.is_inlet) {
            (true, _) => (router, 0),
            (false, true) => (0, Port::INLET),
            (false, false) => continue,
        };
        tables.ports.insert(*ifindex, Port { mac: link.mac.0, router, flags });
    }
}

/// Other directors, by their MACs.
fn add_peers(world: &World, tables: &mut Tables) {
    for peer in &world.peers {
        let station = tables.stations.entry(peer.0).or_insert_with(Station::zeroed);
        station.flags |= Station::DIRECTOR;
    }
}

/// What comes from an address of this box has come back: those are listed.
fn add_own_addresses(world: &World, tables: &mut Tables) {
    let (listed, _) = world.own_addresses();
    listed.into_iter().for_each(|address| addresses::put_own(tables, address));
}

impl From<OnDead> for vip_common::tables::OnDead {
    fn from(wish: OnDead) -> Self {
        match wish {
            OnDead::Move => Self::Move,
            OnDead::Reset => Self::Reset,
            OnDead::Drop => Self::Drop,
            OnDead::Keep => Self::Keep,
        }
    }
}
