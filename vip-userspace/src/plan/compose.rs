//! What is wanted in the tables: from the world and the numbers of its things.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use vip_common::{
    MemberId,
    tables::{
        Egress, EgressId, Member as MemberEntry, Port, Service as ServiceEntry, ServiceKey4, ServiceKey6,
        Slot,
    },
};

use super::{Numbers, Tables};
use crate::{
    model::{Member, Place, Service, ServiceName, Ttl, World},
    ring::{Candidate, RingKey, maglev, stand_in},
};

/// Composes tables, and remembers rings whose members have not changed.
#[derive(Debug)]
pub struct Composer {
    key: RingKey,
    rings: BTreeMap<ServiceName, Ring>,
}

/// A ring, with all that it was made from.
#[derive(Debug)]
struct Ring {
    candidates: Vec<Candidate>,
    size: u32,
    base: Arc<[Option<usize>]>,
    eligible: Vec<bool>,
    ids: Vec<MemberId>,
    slots: Arc<[Slot]>,
}

impl Composer {
    /// Rings and flow hash are made with `key`.
    #[must_use]
    pub fn new(key: RingKey) -> Self {
        Self { key, rings: BTreeMap::new() }
    }

    /// The tables that `world` asks for. Services and members without a number are left out.
    pub fn compose(&mut self, world: &World, numbers: &mut Numbers) -> Tables {
        let mut tables = Tables { flow_key: Some(self.key.flow_key()), ..Tables::default() };
        add_ports(world, numbers, &mut tables);
        self.rings.retain(|name, _| world.intent.services().contains_key(name));
        for service in world.intent.services().values() {
            self.add_service(service, world, numbers, &mut tables);
        }
        tables
    }

    fn add_service(&mut self, service: &Service, world: &World, numbers: &mut Numbers, tables: &mut Tables) {
        let Some((place, id)) = numbers.ring(&service.name) else { return };
        let mut candidates = Vec::new();
        let mut eligible = Vec::new();
        let mut ids = Vec::new();
        for (member, standing) in service.members.iter().zip(world.standings(service)) {
            let Some(member_id) = numbers.member(&(service.name.clone(), member.backend.clone())) else {
                continue;
            };
            let is_eligible = standing.is_eligible();
            tables.members.insert(member_id, member_entry(service, member, world, numbers, is_eligible));
            let backend = world.intent.backends().get(&member.backend);
            if let Some(address) = backend.and_then(|backend| backend.address_for(service.address.vip)) {
                candidates.push(Candidate { address, weight: member.weight });
                eligible.push(is_eligible);
                ids.push(member_id);
            }
        }
        tables.rings.insert(place.first, self.ring(service, candidates, eligible, ids));
        let flags = if service.ttl == Ttl::Keep { ServiceEntry::KEEP_TTL } else { 0 };
        let entry = ServiceEntry { ring_first: place.first, ring_size: place.size, flags, id };
        let local = if world.local.contains(&service.address.vip) { ServiceEntry::LOCAL } else { 0 };
        let vip_entry = ServiceEntry { ring_first: 0, ring_size: 0, flags: local, id: 0 };
        let port = service.address.port().unwrap_or_default().to_be_bytes();
        let protocol = service.address.protocol.number();
        match service.address.vip {
            IpAddr::V4(vip) => {
                let vip = vip.octets();
                tables.services4.insert(ServiceKey4 { vip, port, protocol, zero: 0 }, entry);
                tables.services4.insert(ServiceKey4::vip(vip), vip_entry);
            }
            IpAddr::V6(vip) => {
                let vip = vip.octets();
                tables.services6.insert(ServiceKey6 { vip, port, protocol, zero: 0 }, entry);
                tables.services6.insert(ServiceKey6::vip(vip), vip_entry);
            }
        }
    }

    /// The slots of a service's ring: made anew only as far as what it is made from has changed.
    fn ring(
        &mut self,
        service: &Service,
        candidates: Vec<Candidate>,
        eligible: Vec<bool>,
        ids: Vec<MemberId>,
    ) -> Arc<[Slot]> {
        let made_alike = |ring: &&Ring| ring.candidates == candidates && ring.size == service.slots;
        let old = self.rings.get(&service.name).filter(made_alike);
        if let Some(ring) = old.filter(|ring| ring.eligible == eligible && ring.ids == ids) {
            return Arc::clone(&ring.slots);
        }
        let base = match old {
            Some(ring) => Arc::clone(&ring.base),
            None => maglev(&candidates, service.slots, &self.key).into(),
        };
        let owners = stand_in(&base, &candidates, &eligible, &self.key);
        let slots: Arc<[Slot]> =
            owners.iter().map(|owner| Slot::of(owner.map_or(MemberId::NOBODY, |at| ids[at]))).collect();
        let ring = Ring { candidates, size: service.slots, base, eligible, ids, slots: Arc::clone(&slots) };
        self.rings.insert(service.name.clone(), ring);
        slots
    }
}

fn add_ports(world: &World, numbers: &mut Numbers, tables: &mut Tables) {
    for (ifindex, link) in world.links.iter().filter(|(_, link)| link.is_port) {
        tables.ports.insert(*ifindex, Port { mac: link.mac.0, zero: [0; 2] });
        if let Some(id) = numbers.egress(*ifindex) {
            tables.egresses.insert(id, Egress { ifindex: *ifindex, mac: link.mac.0, zero: [0; 6] });
        }
    }
}

/// A member's entry. One that can't be reached keeps its id and its counters, without a way.
fn member_entry(
    service: &Service,
    member: &Member,
    world: &World,
    numbers: &mut Numbers,
    eligible: bool,
) -> MemberEntry {
    let backend = world.intent.backends().get(&member.backend);
    let place = backend.and_then(|backend| world.place(backend, service.address.vip).ok());
    let way = place
        .and_then(Place::neighbour)
        .and_then(|neighbour| Some((neighbour.mac.0, numbers.egress(neighbour.ifindex)?)));
    let (mac, egress) = way.unwrap_or(([0; 6], EgressId::NONE));
    let state = if eligible { MemberEntry::UP } else { MemberEntry::DOWN };
    MemberEntry { mac, egress, state }
}
