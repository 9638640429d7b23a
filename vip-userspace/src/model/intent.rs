//! The operator's intent as a whole: what services and backends there are, and what they must not be together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

pub use self::refusal::Refusal;
use self::{index::Index, rules::within};
use super::{
    Admin, Backend, BackendName, Fragments, Maintenance, Member, Protocol, Service, ServiceName, VipSettings,
    service::MAX_WEIGHT, world::MemberKey,
};

mod checks;
mod index;
mod refusal;
mod rules;

/// Services, backends and the operator's wishes for members. Every method leaves it valid, or unchanged.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Intent {
    services: BTreeMap<ServiceName, Service>,
    backends: BTreeMap<BackendName, Backend>,
    /// What is wanted of VIPs; the defaults of all others. It outlives the VIP's services: one that is removed and added
    /// again must not make a standby answer.
    #[serde(default)]
    vips: BTreeMap<IpAddr, VipSettings>,
    /// Members that are disabled.
    disabled: BTreeSet<(ServiceName, BackendName)>,
    /// Members that are draining; all others are enabled.
    #[serde(default)]
    draining: BTreeSet<(ServiceName, BackendName)>,
    /// Backends that are in maintenance, each with its kind.
    #[serde(default)]
    maintenance: BTreeMap<BackendName, Maintenance>,
    /// Services by their members.
    #[serde(skip)]
    index: Index,
}

impl Intent {
    /// All services, by name.
    #[must_use]
    pub fn services(&self) -> &BTreeMap<ServiceName, Service> {
        &self.services
    }

    /// All backends, by name.
    #[must_use]
    pub fn backends(&self) -> &BTreeMap<BackendName, Backend> {
        &self.backends
    }

    /// What the operator's wishes make of a member: the one for it, and the one for its whole backend.
    #[must_use]
    pub fn admin(&self, service: &ServiceName, backend: &BackendName) -> Admin {
        self.own_admin(service, backend).max(self.maintenance(backend).admin())
    }

    /// The operator's wish for a member, whatever its backend's maintenance makes of it.
    #[must_use]
    pub fn own_admin(&self, service: &ServiceName, backend: &BackendName) -> Admin {
        let member = (service.clone(), backend.clone());
        match (self.disabled.contains(&member), self.draining.contains(&member)) {
            (true, _) => Admin::Disabled,
            (false, true) => Admin::Draining,
            (false, false) => Admin::Enabled,
        }
    }

    /// The operator's wish for a whole backend.
    #[must_use]
    pub fn maintenance(&self, backend: &BackendName) -> Maintenance {
        self.maintenance.get(backend).copied().unwrap_or_default()
    }

    /// Members that are draining, whatever their backend's maintenance makes of them.
    pub fn draining(&self) -> impl Iterator<Item = &(ServiceName, BackendName)> {
        self.draining.iter()
    }

    /// Backends that are in maintenance, with its kind.
    pub fn in_maintenance(&self) -> impl Iterator<Item = (&BackendName, Maintenance)> {
        self.maintenance.iter().map(|(backend, wish)| (backend, *wish))
    }

    /// Sets the wish for a whole backend, in all services that it is or will be a member of.
    ///
    /// # Errors
    /// There is no such backend.
    pub fn set_maintenance(&mut self, backend: &BackendName, wish: Maintenance) -> Result<(), Refusal> {
        if !self.backends.contains_key(backend) {
            return Err(Refusal::NoBackend(backend.clone()));
        }
        match wish {
            Maintenance::Off => self.maintenance.remove(backend),
            wish => self.maintenance.insert(backend.clone(), wish),
        };
        Ok(())
    }

    /// What is wanted of a VIP.
    #[must_use]
    pub fn vip(&self, vip: IpAddr) -> VipSettings {
        self.vips.get(&vip).copied().unwrap_or_default()
    }

    /// VIPs of which something is said that holds for services which are there.
    pub fn stated_vips(&self) -> impl Iterator<Item = (IpAddr, VipSettings)> {
        let has = |vip: IpAddr| self.services.values().any(|service| service.address.vip == vip);
        self.vips.iter().map(|(vip, settings)| (*vip, *settings)).filter(move |(vip, _)| has(*vip))
    }

    /// Says what is wanted of a VIP.
    ///
    /// # Errors
    /// No service has it.
    pub fn set_vip(&mut self, vip: IpAddr, settings: VipSettings) -> Result<(), Refusal> {
        if !self.services.values().any(|service| service.address.vip == vip) {
            return Err(Refusal::NoVip(vip));
        }
        self.vips.insert(vip, settings);
        Ok(())
    }

    /// Adds a backend.
    ///
    /// # Errors
    /// Its name or an address is taken, or an address, a MAC or a VLAN is none that it can have.
    pub fn add_backend(&mut self, backend: Backend) -> Result<(), Refusal> {
        if self.backends.contains_key(&backend.name) {
            return Err(Refusal::BackendExists(backend.name));
        }
        rules::backend(&backend)?;
        for address in backend.addresses() {
            if let Some(old) =
                self.backends.values().find(|old| old.addresses().any(|other| other == address))
            {
                let old = old.name.clone();
                return Err(Refusal::BackendAddressTaken { new: backend.name, old, address });
            }
            if let Some(service) = self.services.values().find(|service| service.address.vip == address) {
                let service = service.name.clone();
                return Err(Refusal::VipIsBackend { address, service, backend: backend.name });
            }
        }
        self.backends.insert(backend.name.clone(), backend);
        Ok(())
    }

    /// Removes a backend that is a member of no service.
    ///
    /// # Errors
    /// There is none of that name, or it is a member.
    pub fn remove_backend(&mut self, name: &BackendName) -> Result<(), Refusal> {
        if !self.backends.contains_key(name) {
            return Err(Refusal::NoBackend(name.clone()));
        }
        if let Some(service) = self.services_of(name).next() {
            return Err(Refusal::BackendInUse { service: service.name.clone(), backend: name.clone() });
        }
        self.backends.remove(name);
        self.maintenance.remove(name);
        Ok(())
    }

    /// Adds a service, with all its members.
    ///
    /// # Errors
    /// Its name or address is taken, its settings are out of range or contradict each other, or a member can't be one.
    pub fn add_service(&mut self, service: Service) -> Result<(), Refusal> {
        if self.services.contains_key(&service.name) {
            return Err(Refusal::ServiceExists(service.name));
        }
        self.check_beside_others(&service)?;
        rules::service(&service)?;
        for (at, member) in service.members.iter().enumerate() {
            self.check_member(&service, member)?;
            if service.members[..at].iter().any(|other| other.backend == member.backend) {
                let (service, backend) = (service.name.clone(), member.backend.clone());
                return Err(Refusal::MemberExists { service, backend });
            }
        }
        for member in &service.members {
            self.index.change(&service.name, &member.backend, true);
        }
        self.services.insert(service.name.clone(), service);
        Ok(())
    }

    /// Removes a service and its members; the backends stay.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_service(&mut self, name: &ServiceName) -> Result<(), Refusal> {
        let removed = self.services.remove(name).ok_or_else(|| Refusal::NoService(name.clone()))?;
        for member in &removed.members {
            self.index.change(name, &member.backend, false);
        }
        self.disabled.retain(|(service, _)| service != name);
        self.draining.retain(|(service, _)| service != name);
        Ok(())
    }

    /// Makes a backend a member of a service.
    ///
    /// # Errors
    /// One of them does not exist, it is one already, or it can't be one.
    pub fn add_member(&mut self, service: &ServiceName, member: Member) -> Result<(), Refusal> {
        let found = self.services.get(service).ok_or_else(|| Refusal::NoService(service.clone()))?;
        self.check_member(found, &member)?;
        if found.members.iter().any(|other| other.backend == member.backend) {
            return Err(Refusal::MemberExists { service: service.clone(), backend: member.backend });
        }
        if let Some(found) = self.services.get_mut(service) {
            self.index.change(service, &member.backend, true);
            found.members.push(member);
        }
        Ok(())
    }

    /// Ends a backend's part in a service.
    ///
    /// # Errors
    /// The service does not exist, or the backend is no member of it.
    pub fn remove_member(&mut self, service: &ServiceName, backend: &BackendName) -> Result<(), Refusal> {
        let found = self.services.get_mut(service).ok_or_else(|| Refusal::NoService(service.clone()))?;
        let Some(at) = found.members.iter().position(|member| member.backend == *backend) else {
            return Err(Refusal::NoMember { service: service.clone(), backend: backend.clone() });
        };
        found.members.remove(at);
        self.index.change(service, backend, false);
        let member = (service.clone(), backend.clone());
        self.disabled.remove(&member);
        self.draining.remove(&member);
        Ok(())
    }

    /// Sets the wish for a backend's part in one service, or in all that it is a member of.
    ///
    /// # Errors
    /// The backend or the service does not exist, or it is no member.
    pub fn set_admin(
        &mut self,
        backend: &BackendName,
        service: Option<&ServiceName>,
        admin: Admin,
    ) -> Result<(), Refusal> {
        for service in self.memberships(backend, service)? {
            let member = (service, backend.clone());
            self.disabled.remove(&member);
            self.draining.remove(&member);
            match admin {
                Admin::Enabled => false,
                Admin::Draining => self.draining.insert(member),
                Admin::Disabled => self.disabled.insert(member),
            };
        }
        Ok(())
    }

    /// Sets a backend's weight in one service, or in all that it is a member of.
    ///
    /// # Errors
    /// The backend or the service does not exist, it is no member, or the weight is out of range.
    pub fn set_weight(
        &mut self,
        backend: &BackendName,
        service: Option<&ServiceName>,
        weight: u32,
    ) -> Result<(), Refusal> {
        for service in self.memberships(backend, service)? {
            within(&service, "weight", weight, 0, MAX_WEIGHT)?;
            let members = self.services.get_mut(&service).map(|service| &mut service.members);
            for member in members.into_iter().flatten().filter(|member| member.backend == *backend) {
                member.weight = weight;
            }
        }
        Ok(())
    }

    /// Whether another intent is of the same services, members, checks and backends, whatever is wished of them: nothing
    /// needs another number, and nothing is probed otherwise.
    #[must_use]
    pub fn has_same_parts(&self, other: &Self) -> bool {
        let parts = |of: &Service| (of.address, of.slots, of.tracks_every_flow());
        let is_same = |(one, other): (&Service, &Service)| {
            let mut members = one.members.iter().zip(&other.members);
            (&one.name, parts(one), &one.check) == (&other.name, parts(other), &other.check)
                && one.members.len() == other.members.len()
                && members.all(|(one, other)| one.backend == other.backend)
        };
        self.services.len() == other.services.len()
            && self.backends == other.backends
            && self.services.values().zip(other.services.values()).all(is_same)
    }

    /// The members whose admin state is wished otherwise than by another intent, maintenance left aside.
    pub(super) fn other_wishes<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a MemberKey> {
        let disabled = self.disabled.symmetric_difference(&other.disabled);
        disabled.chain(self.draining.symmetric_difference(&other.draining))
    }

    /// The backends that are others than those of another intent, or whose maintenance is.
    pub(super) fn other_backends<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a BackendName> {
        let is_other = |name: &&BackendName, intent: &Self| {
            self.backends.get(*name) != intent.backends.get(*name)
                || self.maintenance(name) != intent.maintenance(name)
        };
        let here = self.backends.keys().filter(move |name| is_other(name, other));
        here.chain(other.backends.keys().filter(|name| !self.backends.contains_key(*name)))
    }

    /// Whether a backend is a member of a service.
    #[must_use]
    pub fn is_member(&self, service: &ServiceName, backend: &BackendName) -> bool {
        self.index.is_member(&self.services, (service, backend))
    }

    /// The services that a backend is a member of.
    pub fn services_of(&self, backend: &BackendName) -> impl Iterator<Item = &Service> {
        let names = self.index.services_of(&self.services, backend);
        names.filter_map(|name| self.services.get(name))
    }

    /// The services that a wish for a backend is about: the one, or all that it is a member of.
    ///
    /// # Errors
    /// The backend or the service does not exist, or it is no member.
    pub fn memberships(
        &self,
        backend: &BackendName,
        service: Option<&ServiceName>,
    ) -> Result<Vec<ServiceName>, Refusal> {
        if !self.backends.contains_key(backend) {
            return Err(Refusal::NoBackend(backend.clone()));
        }
        let all: Vec<_> = self.services_of(backend).map(|service| service.name.clone()).collect();
        match service {
            Some(one) if !self.services.contains_key(one) => Err(Refusal::NoService(one.clone())),
            Some(one) if !all.contains(one) => {
                Err(Refusal::NoMember { service: one.clone(), backend: backend.clone() })
            }
            Some(one) => Ok(vec![one.clone()]),
            None if all.is_empty() => Err(Refusal::NoMembership(backend.clone())),
            None => Ok(all),
        }
    }

    /// What a service and those that are there must not be together.
    fn check_beside_others(&self, service: &Service) -> Result<(), Refusal> {
        let (name, address, vip) = (&service.name, service.address, service.address.vip);
        if let Some(old) = self.services.values().find(|old| old.address.contends(&address)) {
            let (new, other, old) = (name.clone(), old.address, old.name.clone());
            return Err(match other == address {
                true => Refusal::AddressTaken { new, old, address },
                false => Refusal::AddressOverlaps { new, old, address, other },
            });
        }
        let mut backends = self.backends.values();
        if let Some(backend) = backends.find(|backend| backend.addresses().any(|own| own == vip)) {
            let backend = backend.name.clone();
            return Err(Refusal::VipIsBackend { address: vip, service: name.clone(), backend });
        }
        // What has no ports says of no service.
        let by_addresses = |service: &Service| service.fragments == Fragments::Addresses;
        let meets = |old: &&Service| {
            let protocols = [old.address.protocol, address.protocol];
            let met = protocols[0] == protocols[1] || protocols.contains(&Protocol::Any);
            met && old.address.vip == vip && by_addresses(old) && by_addresses(service)
        };
        match self.services.values().find(meets) {
            Some(old) => Err(Refusal::TwoByAddresses { new: name.clone(), old: old.name.clone() }),
            None => Ok(()),
        }
    }

    fn check_member(&self, service: &Service, member: &Member) -> Result<(), Refusal> {
        let backend =
            self.backends.get(&member.backend).ok_or_else(|| Refusal::NoBackend(member.backend.clone()))?;
        within(&service.name, "weight", member.weight, 0, MAX_WEIGHT)?;
        let vip = service.address.vip;
        let same_family = backend.addresses().any(|address| address.is_ipv4() == vip.is_ipv4());
        // By its MAC alone a backend can serve either family; but then nothing of that family can be probed.
        if !same_family && (backend.mac.is_none() || service.check.is_some()) {
            let (service, backend) = (service.name.clone(), backend.name.clone());
            return Err(Refusal::WrongFamily { service, backend, vip });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
