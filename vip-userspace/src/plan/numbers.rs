//! The numbers that the tables know things by: member ids, egress ids, the places of rings. Each stays with its owner
//! for as long as that exists, over restarts too.

use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use vip_common::{
    MemberId,
    tables::{Egress, EgressId, Service as ServiceEntry},
};

use super::{Tables, entry_of};
use crate::{
    model::{Capacity, Intent, MemberKey, Service, ServiceName},
    ring::{MAX_TURNS, Slots},
};

/// The place of a service's ring in `RINGS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RingPlace {
    /// Index of its first slot.
    pub first: u32,
    /// Number of slots.
    pub size: u32,
}

/// Where the slots of a service lie in `RINGS`, and its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Places {
    /// Its ring.
    pub ring: RingPlace,
    /// Index of the first of the [`MAX_TURNS`] slots of its turns, where its scheduler has some.
    pub turns: Option<u32>,
    /// Index of the first slot of its ring for packets from other directors, where some of its members are directors.
    pub peers: Option<u32>,
    /// Number of the service, from 1 on.
    pub id: u32,
}

/// A way out: an interface, and the VLAN tags that frames get there; `None` where they keep those that they have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Way {
    /// Index of the interface.
    pub ifindex: u32,
    /// Ids of the tags, outermost first: at most two.
    pub vlans: Option<Vec<u16>>,
}

impl Way {
    fn of(egress: &Egress) -> Self {
        let tags = usize::from(egress.tags);
        let vlans = || egress.vlans.iter().take(tags).map(|id| u16::from_be_bytes(*id)).collect();
        Self { ifindex: egress.ifindex, vlans: (egress.tags != Egress::AS_IT_CAME).then(vlans) }
    }
}

/// Services get numbers below this one: a flow's key has room for 24 bits.
const SERVICE_IDS: u32 = 1 << 24;

/// The capacity of a table does not suffice.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{what}: {wanted} are wanted, but there is room for {room}: raise `capacity.{what}`, then `vip detach` and run"
)]
pub struct Full {
    what: &'static str,
    wanted: u64,
    room: u32,
}

/// A pinned ring has another size than its service is configured with.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "service {service} has a ring of {published} slots in the kernel and {configured} in the configuration: \
     another size moves its flows to other backends. Set `slots = {published}`, or `vip detach` first"
)]
pub struct ResizedRing {
    service: ServiceName,
    published: u32,
    configured: u32,
}

/// Which numbers are whose. Copies are cheap: they share what there may be very much of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Numbers {
    capacity: Capacity,
    members: OrdMap<MemberKey, MemberId>,
    services: BTreeMap<ServiceName, Places>,
    egresses: BTreeMap<Way, EgressId>,
}

impl Numbers {
    /// No number has an owner yet.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self { capacity, members: OrdMap::new(), services: BTreeMap::new(), egresses: BTreeMap::new() }
    }

    /// The numbers that are in use in tables published by an earlier controller. Rings and ways out are found by what
    /// they are for; members by `labels`, which that controller left, as far as the tables bear them out.
    ///
    /// # Errors
    /// A ring's size is not the configured one.
    pub fn adopt(
        capacity: Capacity,
        published: &Tables,
        labels: &BTreeMap<MemberId, MemberKey>,
        intent: &Intent,
    ) -> Result<Self, ResizedRing> {
        let mut numbers = Self::new(capacity);
        let (mut taken, mut ids) = (free_slots(capacity), BTreeSet::new());
        for service in intent.services().values() {
            let Some(entry) = entry_of(published, &service.address) else { continue };
            if entry.ring_size != service.slots {
                let (service, configured) = (service.name.clone(), service.slots);
                return Err(ResizedRing { service, published: entry.ring_size, configured });
            }
            let places = places_in(&entry);
            // What overlaps, or has another's number, is of nobody's making: it gets new places.
            let mut next = taken.clone();
            let fits = extents(&places).all(|(first, len)| next.take(first, len).is_ok());
            if fits && (1..SERVICE_IDS).contains(&entry.id) && ids.insert(entry.id) {
                taken = next;
                numbers.services.insert(service.name.clone(), places);
            }
        }
        for (id, egress) in &published.egresses {
            numbers.egresses.insert(Way::of(egress), *id);
        }
        for (id, key) in labels {
            if published.members.get(id).is_some_and(|entry| entry.member.state != 0) {
                numbers.members.insert(key.clone(), *id);
            }
        }
        Ok(numbers)
    }

    /// Gives a number to everything in `intent` that has none, and takes back those of what is gone.
    ///
    /// `published` tells which member ids and slots are still in use by others.
    ///
    /// # Errors
    /// A table is full; the numbers are then as they were.
    pub fn assign(&mut self, intent: &Intent, published: &Tables) -> Result<(), Full> {
        let mut next = self.clone();
        next.take_back(intent, published);
        next.give_places(intent, published)?;
        next.give_members(intent, published)?;
        *self = next;
        Ok(())
    }

    fn take_back(&mut self, intent: &Intent, published: &Tables) {
        let services = intent.services();
        self.services
            .retain(|name, places| services.get(name).is_some_and(|of| of.slots == places.ring.size));
        let is_member = |(service, backend): &MemberKey| intent.is_member(service, backend);
        let gone: Vec<_> = self.members.keys().filter(|key| !is_member(key)).cloned().collect();
        for key in gone {
            self.members.remove(&key);
        }
        self.take_back_ways(published);
    }

    /// Takes back the numbers of ways out that are not published: they are given at need.
    pub fn take_back_ways(&mut self, published: &Tables) {
        self.egresses.retain(|_, id| published.egresses.contains_key(id));
    }

    fn give_places(&mut self, intent: &Intent, published: &Tables) -> Result<(), Full> {
        let count = intent.services().len() as u64;
        if count > u64::from(self.capacity.services) {
            return Err(Full { what: "services", wanted: count, room: self.capacity.services });
        }
        let mut slots = self.free_slots(published);
        let mut taken: BTreeSet<u32> = self.services.values().map(|places| places.id).collect();
        let mut next = 1;
        for service in intent.services().values() {
            let old = self.services.get(&service.name).copied();
            let full = |_| Full {
                what: "slots",
                wanted: intent.services().values().map(|of| wanted_slots(of, intent)).sum(),
                room: self.capacity.slots,
            };
            let new = places(old, service, intent, |len| slots.allocate(len)).ok_or(()).map_err(full)?;
            let id = match old {
                Some(old) => old.id,
                None => {
                    while !taken.insert(next) {
                        next += 1;
                    }
                    next
                }
            };
            self.services.insert(service.name.clone(), Places { id, ..new });
        }
        Ok(())
    }

    /// The slots that nobody has, and that no published entry names: those may be read until the plan is through.
    fn free_slots(&self, published: &Tables) -> Slots {
        let mut free = free_slots(self.capacity);
        let own = self.services.values().flat_map(extents);
        let all: BTreeSet<_> = own.chain(published.places()).collect();
        for (first, len) in all {
            // What overlaps is taken already, or of nobody's making.
            let _ = free.take(first, len);
        }
        free
    }

    fn give_members(&mut self, intent: &Intent, published: &Tables) -> Result<(), Full> {
        let mut taken: BTreeSet<u32> = self.members.values().map(|id| id.0).collect();
        // Rule 14: an id is reused only when no slot names it any more; until then its entry is in use.
        taken.extend(
            published.members.iter().filter(|(_, entry)| entry.member.state != 0).map(|(id, _)| id.0),
        );
        let mut next = 1;
        for service in intent.services().values() {
            for member in &service.members {
                let key = (service.name.clone(), member.backend.clone());
                if self.members.contains_key(&key) {
                    continue;
                }
                while taken.contains(&next) {
                    next += 1;
                }
                if next > self.capacity.members {
                    let wanted = intent.services().values().map(|service| service.members.len() as u64).sum();
                    return Err(Full { what: "members", wanted, room: self.capacity.members });
                }
                taken.insert(next);
                self.members.insert(key, MemberId(next));
            }
        }
        Ok(())
    }

    /// The id of a way out, given at first use; `None` when all 255 are in use.
    pub fn egress(&mut self, way: Way) -> Option<EgressId> {
        if let Some(id) = self.egresses.get(&way) {
            return Some(*id);
        }
        let id = (1..=u8::MAX).map(EgressId).find(|id| self.egresses.values().all(|taken| taken != id))?;
        self.egresses.insert(way, id);
        Some(id)
    }

    /// The id of a member.
    #[must_use]
    pub fn member(&self, key: &MemberKey) -> Option<MemberId> {
        self.members.get(key).copied()
    }

    /// Whether no member has another id than by these, as copies of one another tell without a look at them.
    #[must_use]
    pub fn has_same_members(&self, other: &Self) -> bool {
        self.members.ptr_eq(&other.members)
    }

    /// All member ids, with whose they are.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<MemberId, MemberKey> {
        self.members.iter().map(|(key, id)| (*id, key.clone())).collect()
    }

    /// The places of a service's slots, and the service's number.
    #[must_use]
    pub fn places_of(&self, service: &ServiceName) -> Option<Places> {
        self.services.get(service).copied()
    }

    /// The same of all services.
    pub fn places(&self) -> impl Iterator<Item = (&ServiceName, Places)> {
        self.services.iter().map(|(name, places)| (name, *places))
    }
}

/// All slots are free but for the first: an entry that names slot 0 names none.
fn free_slots(capacity: Capacity) -> Slots {
    let mut slots = Slots::new(capacity.slots);
    let _ = slots.take(0, 1);
    slots
}

/// The places that a published entry names.
fn places_in(entry: &ServiceEntry) -> Places {
    let own_peers = entry.peers_first != 0 && entry.peers_first != entry.ring_first;
    Places {
        ring: RingPlace { first: entry.ring_first, size: entry.ring_size },
        turns: (entry.turns_size > 0).then_some(entry.turns_first),
        peers: own_peers.then_some(entry.peers_first),
        id: entry.id,
    }
}

/// First slot and number of slots of each place.
fn extents(places: &Places) -> impl Iterator<Item = (u32, u32)> + use<> {
    let Places { ring, turns, peers, .. } = *places;
    let turns = turns.map(|first| (first, MAX_TURNS));
    let peers = peers.map(|first| (first, ring.size));
    [Some((ring.first, ring.size)), turns, peers].into_iter().flatten()
}

/// The places that a service needs: those that it has stay. `None` where there is no room.
fn places(
    old: Option<Places>,
    service: &Service,
    intent: &Intent,
    mut allocate: impl FnMut(u32) -> Option<u32>,
) -> Option<Places> {
    let ring = match old {
        Some(old) => old.ring,
        None => RingPlace { first: allocate(service.slots)?, size: service.slots },
    };
    let mut place = |is_needed: bool, old: Option<u32>, len| match old {
        _ if !is_needed => Some(None),
        Some(old) => Some(Some(old)),
        None => allocate(len).map(Some),
    };
    let turns = place(service.tracks_every_flow(), old.and_then(|old| old.turns), MAX_TURNS)?;
    let peers = place(has_director(service, intent), old.and_then(|old| old.peers), service.slots)?;
    Some(Places { ring, turns, peers, id: 0 })
}

fn wanted_slots(service: &Service, intent: &Intent) -> u64 {
    let turns = if service.tracks_every_flow() { MAX_TURNS } else { 0 };
    let peers = if has_director(service, intent) { service.slots } else { 0 };
    u64::from(service.slots) + u64::from(turns) + u64::from(peers)
}

fn has_director(service: &Service, intent: &Intent) -> bool {
    let mut members = service.members.iter();
    members.any(|member| intent.backends().get(&member.backend).is_some_and(|backend| backend.director))
}

#[cfg(test)]
mod tests;
