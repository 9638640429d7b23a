//! The operator's intent as a whole: what services and backends there are, and what they must not be together.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Admin, Backend, BackendName, Check, Probe, Service, ServiceAddress, ServiceName, duration,
    service::{MAX_SLOTS, MAX_WEIGHT},
};

/// Services, backends and the operator's wishes for members. Every method leaves it valid, or unchanged.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Intent {
    services: BTreeMap<ServiceName, Service>,
    backends: BTreeMap<BackendName, Backend>,
    /// Members that are disabled; all others are enabled.
    disabled: std::collections::BTreeSet<(ServiceName, BackendName)>,
}

/// Why a change of the intent is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum Refusal {
    #[error("there is a service {0} already")]
    ServiceExists(ServiceName),
    #[error("service {new} has the address {address} of service {old}")]
    AddressTaken { new: ServiceName, old: ServiceName, address: ServiceAddress },
    #[error("there is no service {0}")]
    NoService(ServiceName),
    #[error("there is a backend {0} already")]
    BackendExists(BackendName),
    #[error("backend {new} has the address {address} of backend {old}")]
    BackendAddressTaken { new: BackendName, old: BackendName, address: IpAddr },
    #[error("there is no backend {0}")]
    NoBackend(BackendName),
    #[error("backend {0} has no address")]
    NoAddress(BackendName),
    #[error("backend {0}: {1} is not the address of one machine")]
    BadBackendAddress(BackendName, IpAddr),
    #[error("backend {0}: the MAC {1} is not that of one NIC")]
    BadMac(BackendName, super::Mac),
    #[error("service {0}: {1} is not an address that a VIP can have")]
    BadVip(ServiceName, IpAddr),
    #[error("{address} is the VIP of service {service} and the address of backend {backend}")]
    VipIsBackend { address: IpAddr, service: ServiceName, backend: BackendName },
    #[error("backend {backend} is no member of service {service}")]
    NoMember { service: ServiceName, backend: BackendName },
    #[error("backend {backend} is a member of service {service} already")]
    MemberExists { service: ServiceName, backend: BackendName },
    #[error("backend {backend} is a member of service {service}: remove it there first")]
    BackendInUse { service: ServiceName, backend: BackendName },
    #[error("backend {0} is a member of no service")]
    NoMembership(BackendName),
    #[error(
        "service {service} has an {} VIP, but backend {backend} has no {} address: give it one (or its `mac`, and \
         the service no check)", family(.vip), family(.vip)
    )]
    WrongFamily { service: ServiceName, backend: BackendName, vip: IpAddr },
    #[error("service {service}: {what} {value} is out of range: {range}")]
    OutOfRange { service: ServiceName, what: &'static str, value: String, range: String },
    #[error("service {service}: {path:?} is no path: it starts with '/' and has no blanks")]
    BadPath { service: ServiceName, path: String },
    #[error("service {service}: {host:?} is no host name")]
    BadHost { service: ServiceName, host: String },
    #[error(
        "service {service}: a UDP service can't be checked on its own port by {probe}: give the check a `port`"
    )]
    UdpCheck { service: ServiceName, probe: &'static str },
}

fn family(vip: &IpAddr) -> &'static str {
    if vip.is_ipv4() { "IPv4" } else { "IPv6" }
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

    /// The operator's wish for a member.
    #[must_use]
    pub fn admin(&self, service: &ServiceName, backend: &BackendName) -> Admin {
        if self.disabled.contains(&(service.clone(), backend.clone())) {
            Admin::Disabled
        } else {
            Admin::Enabled
        }
    }

    /// Adds a backend.
    ///
    /// # Errors
    /// Its name or an address is taken, or an address or MAC is none that it can have.
    pub fn add_backend(&mut self, backend: Backend) -> Result<(), Refusal> {
        if self.backends.contains_key(&backend.name) {
            return Err(Refusal::BackendExists(backend.name));
        }
        if backend.addresses().next().is_none() {
            return Err(Refusal::NoAddress(backend.name));
        }
        for address in backend.addresses() {
            if !is_one_machine(address) {
                return Err(Refusal::BadBackendAddress(backend.name, address));
            }
            if let Some(old) =
                self.backends.values().find(|old| old.addresses().any(|other| other == address))
            {
                return Err(Refusal::BackendAddressTaken {
                    new: backend.name,
                    old: old.name.clone(),
                    address,
                });
            }
            if let Some(service) = self.services.values().find(|service| service.address.vip == address) {
                let service = service.name.clone();
                return Err(Refusal::VipIsBackend { address, service, backend: backend.name });
            }
        }
        if let Some(mac) = backend.mac.filter(|mac| !mac.is_unicast()) {
            return Err(Refusal::BadMac(backend.name, mac));
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
        Ok(())
    }

    /// Adds a service, with all its members.
    ///
    /// # Errors
    /// Its name or address is taken, a figure is out of range, or a member can't be one.
    pub fn add_service(&mut self, service: Service) -> Result<(), Refusal> {
        let name = &service.name;
        if self.services.contains_key(name) {
            return Err(Refusal::ServiceExists(service.name));
        }
        if let Some(old) = self.services.values().find(|old| old.address == service.address) {
            let (old, address) = (old.name.clone(), service.address);
            return Err(Refusal::AddressTaken { new: service.name, old, address });
        }
        let vip = service.address.vip;
        if !is_one_machine(vip) {
            return Err(Refusal::BadVip(service.name, vip));
        }
        if let Some(backend) =
            self.backends.values().find(|backend| backend.addresses().any(|own| own == vip))
        {
            let backend = backend.name.clone();
            return Err(Refusal::VipIsBackend { address: vip, service: service.name, backend });
        }
        within(name, "port", u32::from(service.address.port), 1, u32::from(u16::MAX))?;
        within(name, "slots", service.slots, 1, MAX_SLOTS)?;
        if let Some(check) = &service.check {
            check_check(&service, check)?;
        }
        for (at, member) in service.members.iter().enumerate() {
            self.check_member(&service, member)?;
            if service.members[..at].iter().any(|other| other.backend == member.backend) {
                let (service, backend) = (service.name.clone(), member.backend.clone());
                return Err(Refusal::MemberExists { service, backend });
            }
        }
        self.services.insert(service.name.clone(), service);
        Ok(())
    }

    /// Removes a service and its members; the backends stay.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_service(&mut self, name: &ServiceName) -> Result<(), Refusal> {
        self.services.remove(name).ok_or_else(|| Refusal::NoService(name.clone()))?;
        self.disabled.retain(|(service, _)| service != name);
        Ok(())
    }

    /// Makes a backend a member of a service.
    ///
    /// # Errors
    /// One of them does not exist, it is one already, or it can't be one.
    pub fn add_member(&mut self, service: &ServiceName, member: super::Member) -> Result<(), Refusal> {
        let found = self.services.get(service).ok_or_else(|| Refusal::NoService(service.clone()))?;
        self.check_member(found, &member)?;
        if found.members.iter().any(|other| other.backend == member.backend) {
            return Err(Refusal::MemberExists { service: service.clone(), backend: member.backend });
        }
        if let Some(found) = self.services.get_mut(service) {
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
        self.disabled.remove(&(service.clone(), backend.clone()));
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
            match admin {
                Admin::Enabled => self.disabled.remove(&member),
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

    /// The services that a backend is a member of.
    pub fn services_of(&self, backend: &BackendName) -> impl Iterator<Item = &Service> {
        self.services
            .values()
            .filter(move |service| service.members.iter().any(|member| member.backend == *backend))
    }

    fn memberships(
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

    fn check_member(&self, service: &Service, member: &super::Member) -> Result<(), Refusal> {
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

fn check_check(service: &Service, check: &Check) -> Result<(), Refusal> {
    let name = &service.name;
    within_time(name, "interval", check.interval, Check::MIN_INTERVAL, Check::MAX_INTERVAL)?;
    within_time(name, "timeout", check.timeout, Check::MIN_TIMEOUT, check.interval)?;
    within(name, "rise", check.rise, 1, Check::MAX_STREAK)?;
    within(name, "fall", check.fall, 1, Check::MAX_STREAK)?;
    if check.port == Some(0) {
        within(name, "check port", 0, 1, u32::from(u16::MAX))?;
    }
    if service.address.protocol == super::Protocol::Udp && check.port.is_none() {
        let probe = match check.probe {
            Probe::Tcp => "tcp",
            Probe::Http { .. } => "http",
        };
        return Err(Refusal::UdpCheck { service: name.clone(), probe });
    }
    match &check.probe {
        Probe::Tcp => Ok(()),
        Probe::Http { path, host, expect } => check_http(name, path, host.as_deref(), *expect),
    }
}

fn check_http(
    service: &ServiceName,
    path: &str,
    host: Option<&str>,
    (low, high): (u16, u16),
) -> Result<(), Refusal> {
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::BadPath { service: service.clone(), path: path.to_owned() });
    }
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if let Some(host) = host.filter(|host| host.is_empty() || !host.bytes().all(in_host)) {
        return Err(Refusal::BadHost { service: service.clone(), host: host.to_owned() });
    }
    within(service, "expected status", u32::from(low), 100, 599)?;
    within(service, "highest expected status", u32::from(high), u32::from(low), 599)
}

fn within(service: &ServiceName, what: &'static str, value: u32, low: u32, high: u32) -> Result<(), Refusal> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let (value, range) = (value.to_string(), format!("{low} to {high}"));
    Err(Refusal::OutOfRange { service: service.clone(), what, value, range })
}

fn within_time(
    service: &ServiceName,
    what: &'static str,
    value: Duration,
    low: Duration,
    high: Duration,
) -> Result<(), Refusal> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let (value, range) =
        (duration::print(value), format!("{} to {}", duration::print(low), duration::print(high)));
    Err(Refusal::OutOfRange { service: service.clone(), what, value, range })
}

/// An address that one machine can have, and packets can bear: no group, no broadcast, not unspecified, not the
/// machine's own loopback, no IPv4 address in the clothes of an IPv6 one (RFC 4291, section 2.5.5.2).
fn is_one_machine(address: IpAddr) -> bool {
    let unfit = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    !(unfit || address.is_multicast() || address.is_unspecified() || address.is_loopback())
}

#[cfg(test)]
mod tests;
