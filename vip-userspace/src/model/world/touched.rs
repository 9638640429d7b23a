//! Which services a change of the world concerns: all others stand as they did, and nobody need look at them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use imbl::ordmap::DiffItem;

use super::{Backend, BackendName, ServiceName, World};

/// The services that something has changed for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Touched {
    /// All of them.
    All,
    /// These.
    Some(BTreeSet<ServiceName>),
}

impl Default for Touched {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl Touched {
    /// Whether a service is among them.
    #[must_use]
    pub fn contains(&self, service: &ServiceName) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.contains(service),
        }
    }

    /// Adds others.
    pub fn add(&mut self, others: Self) {
        match (self, others) {
            (Self::All, _) => {}
            (all, Self::All) => *all = Self::All,
            (Self::Some(names), Self::Some(others)) => names.extend(others),
        }
    }
}

impl World {
    /// The services whose members may stand otherwise than in an earlier world, or be elsewhere, or whose settings are
    /// others. It takes as long as the differences are many, not the members.
    #[must_use]
    pub fn touched_since(&self, before: &Self) -> Touched {
        if (&self.links, &self.peers) != (&before.links, &before.peers) {
            return Touched::All;
        }
        let mut names = BTreeSet::new();
        let mut backends = self.moved_since(before);
        if !self.intent.is_same(&before.intent) {
            let old = before.intent.services();
            let others = self.intent.services().values().filter(|of| old.get(&of.name) != Some(*of));
            names.extend(others.map(|service| service.name.clone()));
            names.extend(self.intent.other_wishes(&before.intent).map(|(service, _)| service.clone()));
            backends.extend(self.intent.other_backends(&before.intent).cloned());
        }
        names.extend(self.checked.diff(&before.checked).map(|change| match change {
            DiffItem::Add((service, _), _) | DiffItem::Remove((service, _), _) => service.clone(),
            DiffItem::Update { new: ((service, _), _), .. } => service.clone(),
        }));
        names.extend(differing(&self.courses, &before.courses).cloned());
        for backend in &backends {
            names.extend(self.intent.services_of(backend).map(|service| service.name.clone()));
        }
        Touched::Some(names)
    }

    /// The backends that are elsewhere than in an earlier world.
    fn moved_since(&self, before: &Self) -> BTreeSet<BackendName> {
        let mut addresses: BTreeSet<&IpAddr> = differing(&self.neighbours, &before.neighbours).collect();
        addresses.extend(differing(&self.last_ways, &before.last_ways));
        if addresses.is_empty() {
            return BTreeSet::new();
        }
        let is_there = |backend: &&Backend| backend.addresses().any(|address| addresses.contains(&address));
        self.intent.backends().values().filter(is_there).map(|backend| backend.name.clone()).collect()
    }
}

/// The keys whose values differ, or that only one has.
fn differing<'a, K: Ord, V: PartialEq>(
    one: &'a BTreeMap<K, V>,
    other: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    let here = one.iter().filter(|(key, value)| other.get(*key) != Some(*value)).map(|(key, _)| key);
    here.chain(other.keys().filter(|key| !one.contains_key(*key)))
}
