//! The intent, and all that is known of the world it is to hold in: health, neighbours, links.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Backend, BackendName, Cause, Health, Ineligible, Intent, Mac, Member, Neighbour, NoNeighbour, Place,
    Service, ServiceName, Standing, eligibility::standing,
};

/// A member: a backend's part in one service.
pub type MemberKey = (ServiceName, BackendName);

/// What the last probes said of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// Up, down, or not known yet.
    pub health: Health,
    /// What the last failed probe met; empty if there was none.
    pub cause: Option<Cause>,
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
    /// It is a way out that the configuration names for that alone.
    pub is_egress: bool,
}

/// Intent and knowledge. What is wanted in the tables follows from it.
#[derive(Clone, Default, Debug)]
pub struct World {
    /// What the operator wants.
    pub intent: Intent,
    /// Verdicts by member; members without a probe's result have none.
    pub checked: BTreeMap<MemberKey, Checked>,
    /// Where backends are, by address.
    pub neighbours: BTreeMap<IpAddr, Result<Place, NoNeighbour>>,
    /// Interfaces, by index.
    pub links: BTreeMap<u32, Link>,
    /// Addresses of this box.
    pub local: BTreeSet<IpAddr>,
    /// MACs of the other directors of the same VIPs.
    pub peers: BTreeSet<Mac>,
    /// The virtual router (RFC 9568) whose MACs count as each port's own.
    pub virtual_router: Option<u8>,
}

impl World {
    /// What flows each member of a service gets, in the order of its members.
    #[must_use]
    pub fn standings(&self, service: &Service) -> Vec<Standing> {
        let own: Vec<_> = service.members.iter().map(|member| self.own_standing(service, member)).collect();
        let regular = |(member, standing): (&Member, &Standing)| !member.backup && standing.is_eligible();
        let backups_wait = service.members.iter().zip(&own).any(regular);
        let wait = |(member, standing): (&Member, Standing)| match standing {
            Standing::Eligible(place) if member.backup && backups_wait => {
                Standing::Draining(place, Ineligible::Backup)
            }
            standing => standing,
        };
        service.members.iter().zip(own).map(wait).collect()
    }

    /// What flows one member gets; for all of a service, [`World::standings`] is cheaper.
    #[must_use]
    pub fn standing(&self, service: &Service, member: &Member) -> Standing {
        let own = self.own_standing(service, member);
        let is_needed = || {
            let mut regular = service.members.iter().filter(|other| !other.backup);
            !regular.any(|other| self.own_standing(service, other).is_eligible())
        };
        match own {
            Standing::Eligible(place) if member.backup && !is_needed() => {
                Standing::Draining(place, Ineligible::Backup)
            }
            own => own,
        }
    }

    /// The same, whether or not it is a backup.
    fn own_standing(&self, service: &Service, member: &Member) -> Standing {
        let key = (service.name.clone(), member.backend.clone());
        let place = match self.intent.backends().get(&member.backend) {
            Some(backend) => self.place(backend, service.address.vip),
            None => Err(NoNeighbour::Pending),
        };
        let checked = self.checked.get(&key);
        let health =
            service.check.as_ref().map(|_| checked.map_or(Health::Unknown, |checked| checked.health));
        let cause = checked.and_then(|checked| checked.cause.as_ref());
        let admin = self.intent.admin(&service.name, &member.backend);
        standing(admin, member.weight, place, health, cause)
    }

    /// Where a backend is, for packets to `vip`. A MAC in the intent overrides the kernel's.
    ///
    /// # Errors
    /// Why that is not known, or not to be used.
    pub fn place(&self, backend: &Backend, vip: IpAddr) -> Result<Place, NoNeighbour> {
        let known = backend
            .address_for(vip)
            .and_then(|address| self.neighbours.get(&address).cloned())
            .unwrap_or(Err(NoNeighbour::Pending));
        let found = match (backend.mac, known) {
            (_, Ok(Place::Here)) => return Ok(Place::Here),
            (None, Ok(Place::Link(known))) => known,
            (None, Err(unknown)) => return Err(unknown),
            (Some(mac), Ok(Place::Link(known))) => Neighbour { mac, ..known },
            (Some(mac), Err(unknown)) => self.way_without_neighbour(mac, unknown)?,
        };
        match self.links.get(&found.ifindex) {
            Some(link) if link.is_port || link.is_egress => Ok(Place::Link(found)),
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

    const THERE: Neighbour = Neighbour { mac: Mac([2, 0, 0, 0, 0, 1]), ifindex: 3 };
    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 200, 0, 1));

    fn backend(mac: Option<Mac>) -> Backend {
        Backend { ipv4: Some([10, 0, 0, 1].into()), mac, ..Backend::new("b1".parse().expect("a name")) }
    }

    fn world(known: Result<Place, NoNeighbour>, is_port: bool, is_egress: bool) -> World {
        let link = Link { name: "eth0".into(), mac: Mac([2; 6]), is_port, is_egress };
        World {
            neighbours: [([10, 0, 0, 1].into(), known)].into(),
            links: [(3, link)].into(),
            ..World::default()
        }
    }

    #[test]
    fn a_backend_is_where_the_kernel_says_if_that_is_a_way_out() {
        let there = Place::Link(THERE);
        assert_eq!(world(Ok(there), true, false).place(&backend(None), VIP), Ok(there));
        assert_eq!(world(Ok(there), false, true).place(&backend(None), VIP), Ok(there));
        let not_a_port = Err(NoNeighbour::NotAPort { interface: "eth0".into() });
        assert_eq!(world(Ok(there), false, false).place(&backend(None), VIP), not_a_port);
        assert_eq!(World::default().place(&backend(None), VIP), Err(NoNeighbour::Pending));
    }

    #[test]
    fn a_stated_mac_overrides_the_kernel_and_stands_in_where_nobody_answers() {
        let mac = Mac([6; 6]);
        let stated = Ok(Place::Link(Neighbour { mac, ..THERE }));
        let place = |known| world(known, true, false).place(&backend(Some(mac)), VIP);
        assert_eq!(place(Ok(Place::Link(THERE))), stated);
        assert_eq!(place(Err(NoNeighbour::NoMac { interface: "eth0".into() })), stated);
        let gateway = NoNeighbour::NotOnLink { gateway: [10, 0, 0, 254].into() };
        assert_eq!(place(Err(gateway.clone())), Err(gateway));
    }

    #[test]
    fn a_backend_with_an_address_of_this_box_is_here_on_whatever_interface() {
        assert_eq!(world(Ok(Place::Here), false, false).place(&backend(None), VIP), Ok(Place::Here));
        assert_eq!(
            world(Ok(Place::Here), true, false).place(&backend(Some(Mac([6; 6]))), VIP),
            Ok(Place::Here)
        );
    }

    /// Service web without a check: members b1 and b2, and their backup b3.
    fn with_a_backup() -> World {
        let mut world = world(Ok(Place::Here), true, false);
        let mut service =
            Service::new("web".parse().expect("a name"), "10.200.0.1:80".parse().expect("an address"));
        for n in 1..=3 {
            let name: BackendName = format!("b{n}").parse().expect("a name");
            let backend = Backend { ipv4: Some([10, 0, 0, n].into()), ..Backend::new(name.clone()) };
            world.intent.add_backend(backend).expect("a backend");
            world.neighbours.insert([10, 0, 0, n].into(), Ok(Place::Here));
            service.members.push(Member { backup: n == 3, ..Member::new(name) });
        }
        world.intent.add_service(service).expect("a service");
        world
    }

    #[test]
    fn a_backup_gets_new_flows_only_while_nobody_else_does() {
        let mut world = with_a_backup();
        let standing_of_b3 = |world: &World| {
            let service = &world.intent.services().values().next().expect("a service");
            let standings = world.standings(service);
            let alone: Vec<_> =
                service.members.iter().map(|member| world.standing(service, member)).collect();
            assert_eq!(standings, alone);
            standings[2].clone()
        };
        let waits = Standing::Draining(Place::Here, Ineligible::Backup);
        assert_eq!(standing_of_b3(&world), waits);
        let [b1, b2] = ["b1", "b2"].map(|name| name.parse().expect("a name"));
        world.intent.set_admin(&b1, None, crate::model::Admin::Disabled).expect("a member");
        assert_eq!(standing_of_b3(&world), waits);
        world.intent.set_weight(&b2, None, 0).expect("a member");
        assert_eq!(standing_of_b3(&world), Standing::Eligible(Place::Here));
        world.intent.set_weight(&b2, None, 1).expect("a member");
        assert_eq!(standing_of_b3(&world), waits);
    }
}
