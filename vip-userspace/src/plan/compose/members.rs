//! The entries of members, of the ways out that lead to them, and of the MACs that are theirs: what a service contributes.

use std::{collections::BTreeMap, sync::Arc};

use bytemuck::Zeroable as _;
use vip_common::{
    MemberId,
    tables::{Egress, EgressId, Member as Entry, MemberEntry},
};

use super::{
    Tables,
    ring::Ingredient,
    whole::{Contribution, Entered},
};
use crate::{
    model::{Backend, Judgement, Mac, OnDead, Part, Place, Service, Standing, World},
    plan::numbers::{Numbers, Way},
    ring::Candidate,
};

/// Tells what services contribute.
pub(super) struct Members<'a> {
    pub(super) world: &'a World,
    pub(super) numbers: &'a mut Numbers,
    published: &'a Tables,
}

impl<'a> Members<'a> {
    pub(super) fn new(world: &'a World, numbers: &'a mut Numbers, published: &'a Tables) -> Self {
        Self { world, numbers, published }
    }

    /// Ports keep the ways out that they have been: known before anybody needs them.
    pub(super) fn ports(&mut self) -> BTreeMap<EgressId, Egress> {
        let mut egresses = BTreeMap::new();
        for (ifindex, link) in self.world.links.iter().filter(|(_, link)| link.is_port) {
            self.egress(Way { ifindex: *ifindex, vlans: None }, link.mac, &mut egresses);
        }
        egresses
    }

    /// What a service contributes, and what its slots are made from. Members without a number are left out.
    pub(super) fn of(
        &mut self,
        service: &Service,
        judged: Judgement,
        parts: &[Part],
    ) -> (Contribution, Vec<Ingredient>) {
        let judged = Arc::new(judged);
        let standings = &judged.standings;
        let mut contribution = Contribution {
            judged: Arc::clone(&judged),
            has_eligible: standings.iter().any(Standing::is_eligible),
            is_here: standings.iter().any(|standing| standing.place() == Some(Place::Here)),
            ..Contribution::default()
        };
        let mut ingredients = Vec::new();
        for ((member, standing), part) in service.members.iter().zip(standings).zip(parts) {
            let backend = self.world.intent.backends().get(&member.backend);
            let id = self.numbers.member(&(service.name.clone(), member.backend.clone()));
            let (Some(backend), Some(id)) = (backend, id) else { continue };
            let entered = self.enter(id, backend, service, standing, &mut contribution.egresses);
            contribution.members.insert(id, entered);
            let Some(address) = backend.address_for(service.address.vip) else { continue };
            ingredients.push(Ingredient {
                id,
                candidate: Candidate { address, weight: member.weight },
                part: *part,
                is_alive: standing.is_alive(),
                is_director: backend.director,
            });
        }
        (contribution, ingredients)
    }

    fn enter(
        &mut self,
        id: MemberId,
        backend: &Backend,
        service: &Service,
        standing: &Standing,
        egresses: &mut BTreeMap<EgressId, Egress>,
    ) -> Entered {
        let place = self.world.place(backend, service.address.vip).ok();
        let state = match standing {
            // Where the dead keep their packets, those of this box are left to it as before.
            Standing::Down(_) if place == Some(Place::Here) && service.on_dead == OnDead::Keep => Entry::HERE,
            Standing::Down(_) => Entry::DOWN,
            Standing::Eligible(Place::Here) | Standing::Draining(Place::Here, _) => Entry::HERE,
            Standing::Eligible(_) => Entry::UP,
            Standing::Draining(..) => Entry::DRAINING,
        };
        let mut station = None;
        let entry = match place {
            Some(Place::Link(neighbour)) => {
                let way = Way { ifindex: neighbour.ifindex, vlans: backend.vlans.clone() };
                let mac = self.world.links.get(&way.ifindex).map_or(Mac([0; 6]), |link| link.mac);
                let egress = self.egress(way, mac, egresses).unwrap_or(EgressId::NONE);
                station = Some((neighbour.mac, backend.director));
                Entry { mac: neighbour.mac.0, egress, state }
            }
            Some(Place::Here) => Entry { state, ..Entry::zeroed() },
            // Where the dead keep their flows, they keep the way that led to them.
            None => Entry { state, ..self.last_way(id, egresses) },
        };
        let generation = generation(self.published.members.get(&id), &entry);
        Entered { entry: MemberEntry::new(entry, generation), station }
    }

    /// The way that led to a member so far, with what it needs.
    fn last_way(&self, id: MemberId, egresses: &mut BTreeMap<EgressId, Egress>) -> Entry {
        let Some(old) = self.published.members.get(&id) else { return Entry::zeroed() };
        if let Some(egress) = self.published.egresses.get(&old.member.egress) {
            egresses.entry(old.member.egress).or_insert(*egress);
        }
        old.member
    }

    /// The number of a way out, with its entry; `None` when all numbers are in use.
    fn egress(&mut self, way: Way, mac: Mac, egresses: &mut BTreeMap<EgressId, Egress>) -> Option<EgressId> {
        let egress = way.egress(mac);
        let id = self.numbers.egress(way)?;
        egresses.insert(id, egress);
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
