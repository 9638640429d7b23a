//! The tables of members, ways out and MACs, put together from what each service contributes: where one service changes, the
//! contributions of all others stay as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytemuck::Zeroable as _;
use imbl::{OrdMap, OrdSet};
use vip_common::{
    MemberId,
    tables::{Egress, EgressId, Member as Entry, MemberEntry, Station},
};

use crate::{
    model::{Judgement, Mac, ServiceName},
    plan::Tables,
};

/// What one service contributes.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct Contribution {
    /// The entries of its members.
    pub(super) members: BTreeMap<MemberId, Entered>,
    /// The ways out that these name.
    pub(super) egresses: BTreeMap<EgressId, Egress>,
    /// How they stand.
    pub(super) judged: Arc<Judgement>,
    /// Some member gets new flows.
    pub(super) has_eligible: bool,
    /// Some member that lives is this very box.
    pub(super) is_here: bool,
}

/// A member as it is entered.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Entered {
    pub(super) entry: MemberEntry,
    /// The MAC that is its own, and whether it is a director's.
    pub(super) station: Option<(Mac, bool)>,
}

/// What all services contribute. Copies are cheap: they share.
#[derive(Clone, Default, Debug)]
pub(super) struct Whole {
    services: BTreeMap<ServiceName, Arc<Contribution>>,
    members: OrdMap<MemberId, MemberEntry>,
    /// Published members that are nobody's any more, and have not been forgotten.
    gone: BTreeSet<MemberId>,
    /// Whose each MAC is, of all that say so.
    claims: OrdSet<([u8; 6], MemberId)>,
    /// Those of them that say that it is a director's.
    directors: OrdSet<([u8; 6], MemberId)>,
    stations: BTreeMap<[u8; 6], Station>,
}

impl Whole {
    /// All that is published is nobody's, until a service says otherwise.
    pub(super) fn new(published: &Tables) -> Self {
        let known = published.members.iter().filter(|(_, entry)| entry.member.state != 0);
        let gone = known.map(|(id, _)| *id).collect();
        Self { members: published.members.clone(), gone, ..Self::default() }
    }

    /// What a service contributes.
    pub(super) fn of(&self, service: &ServiceName) -> Option<&Contribution> {
        self.services.get(service).map(|its| &**its)
    }

    /// Forgets the services that `is_there` does not know.
    pub(super) fn retain(&mut self, is_there: impl Fn(&ServiceName) -> bool) {
        let gone: Vec<_> = self.services.keys().filter(|name| !is_there(name)).cloned().collect();
        for name in gone {
            self.put(&name, None);
        }
    }

    /// Takes what a service contributes now in place of what it did before.
    pub(super) fn put(&mut self, service: &ServiceName, now: Option<Contribution>) {
        let now = now.map(Arc::new);
        let before = match &now {
            Some(now) => self.services.insert(service.clone(), Arc::clone(now)),
            None => self.services.remove(service),
        };
        let none = BTreeMap::new();
        let [before, now] = [&before, &now].map(|one| one.as_ref().map_or(&none, |one| &one.members));
        let mut macs = BTreeSet::new();
        for (id, old) in before.iter().filter(|(id, old)| now.get(id) != Some(old)) {
            if let Some((mac, _)) = old.station {
                self.claims.remove(&(mac.0, *id));
                self.directors.remove(&(mac.0, *id));
                macs.insert(mac.0);
            }
            if !now.contains_key(id) {
                self.gone.insert(*id);
            }
        }
        for (id, new) in now.iter().filter(|(id, new)| before.get(id) != Some(new)) {
            self.gone.remove(id);
            if self.members.get(id) != Some(&new.entry) {
                self.members.insert(*id, new.entry);
            }
            if let Some((mac, is_director)) = new.station {
                self.claims.insert((mac.0, *id));
                if is_director {
                    self.directors.insert((mac.0, *id));
                }
                macs.insert(mac.0);
            }
        }
        for mac in macs {
            self.look_at(mac);
        }
    }

    /// A MAC counts what it sends back for the lowest of its members.
    fn look_at(&mut self, mac: [u8; 6]) {
        let its = (mac, MemberId(0))..=(mac, MemberId(u32::MAX));
        let is_director = self.directors.range(its.clone()).next().is_some();
        let flags = if is_director { Station::DIRECTOR } else { 0 };
        match self.claims.range(its).next() {
            Some((_, member)) => self.stations.insert(mac, Station { member: *member, flags }),
            None => self.stations.remove(&mac),
        };
    }

    /// Members that are gone: down while a slot names them, then only a generation (rule 14).
    pub(super) fn forget(
        &mut self,
        published: &Tables,
        tables: &mut Tables,
        is_named: impl Fn(MemberId) -> bool,
    ) {
        for id in std::mem::take(&mut self.gone) {
            let Some(old) = published.members.get(&id) else {
                self.members.remove(&id);
                continue;
            };
            let entry = if old.member.state == 0 {
                *old
            } else if is_named(id) {
                self.gone.insert(id);
                // It keeps the way that led to it.
                if let Some(egress) = published.egresses.get(&old.member.egress) {
                    tables.egresses.insert(old.member.egress, *egress);
                }
                let generation = old.generation.wrapping_add(u32::from(old.member.is_alive()));
                MemberEntry::new(Entry { state: Entry::DOWN, ..old.member }, generation)
            } else {
                MemberEntry::new(Entry::zeroed(), old.generation.wrapping_add(1))
            };
            if self.members.get(&id) != Some(&entry) {
                self.members.insert(id, entry);
            }
        }
    }

    /// Enters all of it.
    pub(super) fn enter(&self, tables: &mut Tables) {
        tables.members = self.members.clone();
        tables.stations = self.stations.clone();
        for contribution in self.services.values() {
            tables.egresses.extend(&contribution.egresses);
        }
    }
}
