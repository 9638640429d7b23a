//! The intent, and all that is known of the world it is to hold in: health, neighbours, links.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Backend, BackendName, Health, Ineligible, Intent, Mac, Member, Neighbour, NoNeighbour, Service,
    ServiceName, eligibility::eligible,
};

/// A member: a backend's part in one service.
pub type MemberKey = (ServiceName, BackendName);

/// What the last probes said of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// Up, down, or not known yet.
    pub health: Health,
    /// What the last failed probe met; empty if there was none.
    pub cause: String,
}

/// An interface of this box.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its own MAC.
    pub mac: Mac,
    /// The director is attached to it.
    pub is_port: bool,
}

/// Intent and knowledge. What is wanted in the tables follows from it.
#[derive(Clone, Default, Debug)]
pub struct World {
    /// What the operator wants.
    pub intent: Intent,
    /// Verdicts by member; members without a probe's result have none.
    pub checked: BTreeMap<MemberKey, Checked>,
    /// Where backends are, by address.
    pub neighbours: BTreeMap<IpAddr, Result<Neighbour, NoNeighbour>>,
    /// Interfaces, by index.
    pub links: BTreeMap<u32, Link>,
    /// Addresses of this box.
    pub local: BTreeSet<IpAddr>,
}

impl World {
    /// Whether a member gets new flows: where to send them, or why not.
    ///
    /// # Errors
    /// Why not.
    pub fn eligibility(&self, service: &Service, member: &Member) -> Result<Neighbour, Ineligible> {
        let key = (service.name.clone(), member.backend.clone());
        let neighbour = match self.intent.backends().get(&member.backend) {
            Some(backend) => self.neighbour(backend, service.address.vip),
            None => Err(NoNeighbour::Pending),
        };
        let checked = self.checked.get(&key);
        let health =
            service.check.as_ref().map(|_| checked.map_or(Health::Unknown, |checked| checked.health));
        let cause = checked.map_or("", |checked| &checked.cause);
        let admin = self.intent.admin(&service.name, &member.backend);
        eligible(admin, member.weight, &neighbour, health, cause)
    }

    /// Where a backend is, for packets to `vip`. A MAC in the intent overrides the kernel's.
    ///
    /// # Errors
    /// Why that is not known, or not to be used.
    pub fn neighbour(&self, backend: &Backend, vip: IpAddr) -> Result<Neighbour, NoNeighbour> {
        let known = backend
            .address_for(vip)
            .and_then(|address| self.neighbours.get(&address).cloned())
            .unwrap_or(Err(NoNeighbour::Pending));
        let found = match (backend.mac, known) {
            (None, known) => known?,
            (Some(mac), Ok(known)) => Neighbour { mac, ..known },
            (Some(mac), Err(unknown)) => self.way_without_neighbour(mac, unknown)?,
        };
        match self.links.get(&found.ifindex) {
            Some(link) if link.is_port => Ok(found),
            Some(link) => Err(NoNeighbour::NotAPort { interface: link.name.clone() }),
            None => Err(NoNeighbour::NotAPort { interface: format!("interface {}", found.ifindex) }),
        }
    }

    /// With a stated MAC nobody need answer for the address: the interface that its route names will do.
    fn way_without_neighbour(&self, mac: Mac, unknown: NoNeighbour) -> Result<Neighbour, NoNeighbour> {
        let NoNeighbour::NoMac { interface } = &unknown else {
            return Err(unknown);
        };
        let link = self.links.iter().find(|(_, link)| link.name == *interface);
        link.map(|(ifindex, _)| Neighbour { mac, ifindex: *ifindex }).ok_or(unknown)
    }

    /// The addresses whose neighbours matter: those of all backends.
    #[must_use]
    pub fn watched(&self) -> BTreeSet<IpAddr> {
        self.intent.backends().values().flat_map(Backend::addresses).collect()
    }

    /// The VIPs of all services.
    #[must_use]
    pub fn vips(&self) -> BTreeSet<IpAddr> {
        self.intent.services().values().map(|service| service.address.vip).collect()
    }

    /// Forgets what is known of members and addresses that are no more.
    pub fn forget_the_gone(&mut self) {
        let services = self.intent.services();
        self.checked.retain(|(service, backend), _| {
            services.get(service).is_some_and(|service| {
                service.check.is_some() && service.members.iter().any(|member| member.backend == *backend)
            })
        });
        let watched = self.watched();
        self.neighbours.retain(|address, _| watched.contains(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Neighbour = Neighbour { mac: Mac([2, 0, 0, 0, 0, 1]), ifindex: 3 };

    fn backend(mac: Option<Mac>) -> Backend {
        let ipv4 = Some([10, 0, 0, 1].into());
        Backend { name: "b1".parse().expect("a name"), ipv4, ipv6: None, mac }
    }

    fn world(known: Result<Neighbour, NoNeighbour>, is_port: bool) -> World {
        let link = Link { name: "eth0".into(), mac: Mac([2; 6]), is_port };
        World {
            neighbours: [([10, 0, 0, 1].into(), known)].into(),
            links: [(3, link)].into(),
            ..World::default()
        }
    }

    #[test]
    fn a_backend_is_where_the_kernel_says_if_that_is_a_port() {
        let vip = [10, 200, 0, 1].into();
        assert_eq!(world(Ok(HERE), true).neighbour(&backend(None), vip), Ok(HERE));
        let not_a_port = Err(NoNeighbour::NotAPort { interface: "eth0".into() });
        assert_eq!(world(Ok(HERE), false).neighbour(&backend(None), vip), not_a_port);
        assert_eq!(World::default().neighbour(&backend(None), vip), Err(NoNeighbour::Pending));
    }

    #[test]
    fn a_stated_mac_overrides_the_kernel_and_stands_in_where_nobody_answers() {
        let (vip, mac) = ([10, 200, 0, 1].into(), Mac([6; 6]));
        let stated = Ok(Neighbour { mac, ..HERE });
        assert_eq!(world(Ok(HERE), true).neighbour(&backend(Some(mac)), vip), stated);
        let silent = NoNeighbour::NoMac { interface: "eth0".into() };
        assert_eq!(world(Err(silent), true).neighbour(&backend(Some(mac)), vip), stated);
        let gateway = NoNeighbour::NotOnLink { gateway: [10, 0, 0, 254].into() };
        assert_eq!(world(Err(gateway.clone()), true).neighbour(&backend(Some(mac)), vip), Err(gateway));
    }
}
