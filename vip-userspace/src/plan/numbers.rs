//! The numbers that the tables know things by: member ids, egress ids, the places of rings. Each stays with its owner
//! for as long as that exists, over restarts too.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};
use vip_common::{
    MemberId,
    tables::{EgressId, Service as ServiceEntry, ServiceKey4, ServiceKey6},
};

use super::Tables;
use crate::{
    model::{Capacity, Intent, MemberKey, ServiceAddress, ServiceName},
    ring::Slots,
};

/// The place of a service's ring in `RINGS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RingPlace {
    /// Index of its first slot.
    pub first: u32,
    /// Number of slots.
    pub size: u32,
}

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

/// Which numbers are whose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Numbers {
    capacity: Capacity,
    members: BTreeMap<MemberKey, MemberId>,
    rings: BTreeMap<ServiceName, RingPlace>,
    services: BTreeMap<ServiceName, u32>,
    egresses: BTreeMap<u32, EgressId>,
    slots: Slots,
}

impl Numbers {
    /// No number has an owner yet.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            members: BTreeMap::new(),
            rings: BTreeMap::new(),
            services: BTreeMap::new(),
            egresses: BTreeMap::new(),
            slots: Slots::new(capacity.slots),
        }
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
        let mut taken = BTreeSet::new();
        for service in intent.services().values() {
            let Some(entry) = entry_of(published, &service.address) else { continue };
            if entry.ring_size != service.slots {
                let (service, configured) = (service.name.clone(), service.slots);
                return Err(ResizedRing { service, published: entry.ring_size, configured });
            }
            numbers
                .rings
                .insert(service.name.clone(), RingPlace { first: entry.ring_first, size: entry.ring_size });
            if taken.insert(entry.id) {
                numbers.services.insert(service.name.clone(), entry.id);
            }
        }
        // Rings that overlap are of nobody's making: all of them get new places.
        match Slots::adopt(capacity.slots, numbers.rings.values().map(|place| (place.first, place.size))) {
            Ok(slots) => numbers.slots = slots,
            Err(_) => numbers.rings.clear(),
        }
        for (id, egress) in &published.egresses {
            numbers.egresses.insert(egress.ifindex, *id);
        }
        for (id, key) in labels.iter().filter(|(id, _)| published.members.contains_key(id)) {
            numbers.members.insert(key.clone(), *id);
        }
        Ok(numbers)
    }

    /// Gives a number to everything in `intent` that has none, and takes back those of what is gone.
    ///
    /// `published` tells which member ids are still in use by others.
    ///
    /// # Errors
    /// A table is full; the numbers are then as they were.
    pub fn assign(&mut self, intent: &Intent, published: &Tables) -> Result<(), Full> {
        let mut next = self.clone();
        next.take_back(intent);
        let places = next.rings.values().map(|place| (place.first, place.size));
        next.slots =
            Slots::adopt(self.capacity.slots, places).unwrap_or_else(|_| Slots::new(self.capacity.slots));
        next.give_rings(intent)?;
        next.give_members(intent, published)?;
        *self = next;
        Ok(())
    }

    fn take_back(&mut self, intent: &Intent) {
        let services = intent.services();
        self.rings
            .retain(|name, place| services.get(name).is_some_and(|service| service.slots == place.size));
        self.services.retain(|name, _| services.contains_key(name));
        self.members.retain(|(service, backend), _| {
            services
                .get(service)
                .is_some_and(|found| found.members.iter().any(|member| member.backend == *backend))
        });
    }

    fn give_rings(&mut self, intent: &Intent) -> Result<(), Full> {
        let count = intent.services().len() as u64;
        if count > u64::from(self.capacity.services) {
            return Err(Full { what: "services", wanted: count, room: self.capacity.services });
        }
        for service in intent.services().values() {
            if !self.rings.contains_key(&service.name) {
                let Some(first) = self.slots.allocate(service.slots) else {
                    let wanted = intent.services().values().map(|service| u64::from(service.slots)).sum();
                    return Err(Full { what: "slots", wanted, room: self.capacity.slots });
                };
                self.rings.insert(service.name.clone(), RingPlace { first, size: service.slots });
            }
            if !self.services.contains_key(&service.name) {
                let id = lowest_free(self.services.values().copied());
                self.services.insert(service.name.clone(), id);
            }
        }
        Ok(())
    }

    fn give_members(&mut self, intent: &Intent, published: &Tables) -> Result<(), Full> {
        let mut taken: BTreeSet<u32> = self.members.values().map(|id| id.0).collect();
        // An id is reused only when no table names it any more.
        taken.extend(published.members.keys().map(|id| id.0));
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

    /// The id of a way out by an interface, given at first use; `None` when all 255 are in use.
    pub fn egress(&mut self, ifindex: u32) -> Option<EgressId> {
        if let Some(id) = self.egresses.get(&ifindex) {
            return Some(*id);
        }
        let id = (1..=u8::MAX).map(EgressId).find(|id| self.egresses.values().all(|taken| taken != id))?;
        self.egresses.insert(ifindex, id);
        Some(id)
    }

    /// The id of a member.
    #[must_use]
    pub fn member(&self, key: &MemberKey) -> Option<MemberId> {
        self.members.get(key).copied()
    }

    /// All member ids, with whose they are.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<MemberId, MemberKey> {
        self.members.iter().map(|(key, id)| (*id, key.clone())).collect()
    }

    /// The place of a service's ring, and the service's number.
    #[must_use]
    pub fn ring(&self, service: &ServiceName) -> Option<(RingPlace, u32)> {
        Some((*self.rings.get(service)?, *self.services.get(service)?))
    }
}

/// The entry of a service in published tables.
#[must_use]
pub fn entry_of(tables: &Tables, address: &ServiceAddress) -> Option<ServiceEntry> {
    let (port, protocol) = (address.port().unwrap_or_default().to_be_bytes(), address.protocol.number());
    match address.vip {
        IpAddr::V4(vip) => {
            tables.services4.get(&ServiceKey4 { vip: vip.octets(), port, protocol, zero: 0 }).copied()
        }
        IpAddr::V6(vip) => {
            tables.services6.get(&ServiceKey6 { vip: vip.octets(), port, protocol, zero: 0 }).copied()
        }
    }
}

fn lowest_free(taken: impl Iterator<Item = u32>) -> u32 {
    let taken: BTreeSet<u32> = taken.collect();
    (1..).find(|id| !taken.contains(id)).unwrap_or(u32::MAX)
}
