//! The entries of members, of the ways out that lead to them, and of the MACs that are theirs.

use std::collections::BTreeSet;

use bytemuck::Zeroable as _;
use vip_common::{
    MemberId,
    tables::{Egress, EgressId, Member as Entry, MemberEntry, Station},
};

use super::{Tables, ring::Ingredient};
use crate::{
    model::{Backend, Mac, OnDead, Part, Place, Service, Standing, World},
    plan::numbers::{Numbers, Way},
    ring::Candidate,
};

/// Collects members into tables.
pub(super) struct Members<'a> {
    world: &'a World,
    pub(super) numbers: &'a mut Numbers,
    published: &'a Tables,
    tables: &'a mut Tables,
}

impl<'a> Members<'a> {
    pub(super) fn new(
        world: &'a World,
        numbers: &'a mut Numbers,
        published: &'a Tables,
        tables: &'a mut Tables,
    ) -> Self {
        let mut members = Self { world, numbers, published, tables };
        // Ports keep the ways out that they have been: known before anybody needs them.
        for (ifindex, link) in world.links.iter().filter(|(_, link)| link.is_port) {
            members.egress(Way { ifindex: *ifindex, vlans: None }, link.mac);
        }
        members
    }

    /// Enters the members of a service, and tells what its slots are made from. Those without a number are left out.
    pub(super) fn add(
        &mut self,
        service: &Service,
        standings: &[Standing],
        parts: &[Part],
    ) -> Vec<Ingredient> {
        let mut ingredients = Vec::new();
        for ((member, standing), part) in service.members.iter().zip(standings).zip(parts) {
            let backend = self.world.intent.backends().get(&member.backend);
            let id = self.numbers.member(&(service.name.clone(), member.backend.clone()));
            let (Some(backend), Some(id)) = (backend, id) else { continue };
            self.enter(id, backend, service, standing);
            let Some(address) = backend.address_for(service.address.vip) else { continue };
            ingredients.push(Ingredient {
                id,
                candidate: Candidate { address, weight: member.weight },
                part: *part,
                is_alive: standing.is_alive(),
                is_director: backend.director,
            });
        }
        ingredients
    }

    fn enter(&mut self, id: MemberId, backend: &Backend, service: &Service, standing: &Standing) {
        let place = self.world.place(backend, service.address.vip).ok();
        let state = match standing {
            // Where the dead keep their packets, those of this box are left to it as before.
            Standing::Down(_) if place == Some(Place::Here) && service.on_dead == OnDead::Keep => Entry::HERE,
            Standing::Down(_) => Entry::DOWN,
            Standing::Eligible(Place::Here) | Standing::Draining(Place::Here, _) => Entry::HERE,
            Standing::Eligible(_) => Entry::UP,
            Standing::Draining(..) => Entry::DRAINING,
        };
        let entry = match place {
            Some(Place::Link(neighbour)) => {
                let way = Way { ifindex: neighbour.ifindex, vlans: backend.vlans.clone() };
                let mac = self.world.links.get(&way.ifindex).map_or(Mac([0; 6]), |link| link.mac);
                let egress = self.egress(way, mac).unwrap_or(EgressId::NONE);
                self.add_station(neighbour.mac, id, backend.director);
                Entry { mac: neighbour.mac.0, egress, state }
            }
            Some(Place::Here) => Entry { state, ..Entry::zeroed() },
            // Where the dead keep their flows, they keep the way that led to them.
            None => Entry { state, ..self.last_way(id) },
        };
        let generation = generation(self.published.members.get(&id), &entry);
        self.tables.members.insert(id, MemberEntry::new(entry, generation));
    }

    /// The entries of members that are gone: down while a slot names them, then only a generation (rule 14).
    pub(super) fn keep_named(&mut self, is_named: impl Fn(MemberId) -> bool) {
        for (id, old) in &self.published.members {
            if self.tables.members.contains_key(id) {
                continue;
            }
            let entry = if old.member.state == 0 {
                *old
            } else if is_named(*id) {
                let generation = old.generation.wrapping_add(u32::from(old.member.is_alive()));
                MemberEntry::new(Entry { state: Entry::DOWN, ..self.last_way(*id) }, generation)
            } else {
                MemberEntry::new(Entry::zeroed(), old.generation.wrapping_add(1))
            };
            self.tables.members.insert(*id, entry);
        }
    }

    /// Other directors, by their MACs.
    pub(super) fn add_stations(&mut self, peers: &BTreeSet<Mac>) {
        for peer in peers {
            self.add_station(*peer, MemberId::NOBODY, true);
        }
    }

    /// A MAC counts what it sends back for the lowest of its members.
    fn add_station(&mut self, mac: Mac, member: MemberId, is_director: bool) {
        let station = self.tables.stations.entry(mac.0).or_insert_with(Station::zeroed);
        if station.member == MemberId::NOBODY || (member != MemberId::NOBODY && member < station.member) {
            station.member = member;
        }
        station.flags |= if is_director { Station::DIRECTOR } else { 0 };
    }

    /// The way that led to a member so far, with what it needs.
    fn last_way(&mut self, id: MemberId) -> Entry {
        let Some(old) = self.published.members.get(&id) else { return Entry::zeroed() };
        if let Some(egress) = self.published.egresses.get(&old.member.egress) {
            self.tables.egresses.entry(old.member.egress).or_insert(*egress);
        }
        old.member
    }

    /// The number of a way out, with its entry; `None` when all numbers are in use.
    fn egress(&mut self, way: Way, mac: Mac) -> Option<EgressId> {
        let egress = way.egress(mac);
        let id = self.numbers.egress(way)?;
        self.tables.egresses.insert(id, egress);
        Some(id)
    }
}

/// The generation of an entry: another one than before for who returns from down, and for who gets the id of another.
fn generation(old: Option<&MemberEntry>, new: &Entry) -> u32 {
    let Some(old) = old else { return 1 };
    let is_reused = old.member.state == 0;
    let returns = new.is_alive() && !old.member.is_alive();
    old.generation.wrapping_add(u32::from(is_reused || returns))
}

impl Way {
    /// Its entry, for an interface with this MAC.
    fn egress(&self, mac: Mac) -> Egress {
        let untouched = Egress::untouched(self.ifindex, mac.0);
        let Some(vlans) = &self.vlans else { return untouched };
        let mut ids = vlans.iter().map(|vlan| vlan.to_be_bytes());
        let vlans: [[u8; 2]; 2] = std::array::from_fn(|_| ids.next().unwrap_or_default());
        let tags = vlans.iter().filter(|vlan| **vlan != [0; 2]).count();
        Egress { tags: u8::try_from(tags).unwrap_or_default(), vlans, ..untouched }
    }
}
