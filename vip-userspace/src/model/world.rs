//! The intent, and all that is known of the world it is to hold in: health, neighbours, links.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use imbl::OrdMap;

use super::{
    Admin, Backend, BackendName, Cause, Drains, Health, Ineligible, Intent, Mac, Maintenance, Member,
    Neighbour, NoNeighbour, Part, Place, Service, ServiceName, Shared, Standing,
    capacity::OWN_ADDRESSES,
    course::{Course, is_short, panics},
    eligibility::standing,
};

/// A member: a backend's part in one service.
pub type MemberKey = (ServiceName, BackendName);

/// What the last probes said of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// Up, down, or not known yet.
    pub health: Health,
    /// What the last failed probe met; empty if there was none.
    pub cause: Option<Box<Cause>>,
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
    /// The director is attached to it for what local programs send: it leads nowhere.
    pub is_inlet: bool,
    /// It is switched on and has a carrier.
    pub is_up: bool,
}

impl Link {
    /// The director's program is on it.
    #[must_use]
    pub const fn is_attached(&self) -> bool {
        self.is_port || self.is_egress || self.is_inlet
    }
}

/// How the members of a service stand.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Judgement {
    /// What flows each member gets, in their order.
    pub standings: Vec<Standing>,
    /// Fewer members are eligible than the quorum asks for, or not yet as many as its hysteresis does: backups join in.
    pub is_short: bool,
    /// Fewer members are healthy than the panic threshold asks for: their health is ignored.
    pub panics: bool,
}

/// Intent and knowledge. What is wanted in the tables follows from it. Copies are cheap: what there is much of is shared.
#[derive(Clone, Default, Debug)]
pub struct World {
    /// What the operator wants.
    pub intent: Shared<Intent>,
    /// Verdicts by member; members without a probe's result have none.
    pub checked: OrdMap<MemberKey, Checked>,
    /// The drains that go on.
    pub drains: Drains,
    /// What has been of each service.
    pub courses: BTreeMap<ServiceName, Course>,
    /// Where backends are, by address.
    pub neighbours: BTreeMap<IpAddr, Result<Place, NoNeighbour>>,
    /// The interface that last led to a backend, by address.
    pub last_ways: BTreeMap<IpAddr, u32>,
    /// Who answers for VIPs, by MAC; nobody but directors should.
    pub owners: BTreeMap<IpAddr, BTreeSet<Mac>>,
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
        self.judge(service).standings
    }

    /// What flows each member of a service gets, and what became of its quorum and of its panic threshold.
    #[must_use]
    pub fn judge(&self, service: &Service) -> Judgement {
        self.judge_after(service, self.courses.get(&service.name).is_some_and(|course| course.is_short))
    }

    /// The same for a service whose quorum `was_short` before.
    fn judge_after(&self, service: &Service, was_short: bool) -> Judgement {
        let mut standings: Vec<_> =
            service.members.iter().map(|member| self.own_standing(service, member, true)).collect();
        let members = || service.members.iter().zip(&standings).filter(|(member, _)| !member.backup);
        let regular = members().count();
        let eligible = members().filter(|(_, standing)| standing.is_eligible()).count();
        // Who is to get flows is healthy as long as nobody knows better.
        let wanted = || members().filter(|(member, _)| self.is_wanted(service, member));
        let healthy =
            wanted().filter(|(_, standing)| standing.is_eligible() || standing.is_unknown()).count();
        let is_short = is_short(service, eligible, regular, was_short);
        let panics = panics(service, healthy, wanted().count());
        for (member, standing) in service.members.iter().zip(&mut standings) {
            match (member.backup, &*standing) {
                (false, Standing::Down(Ineligible::Down { .. })) if panics => {
                    *standing = self.own_standing(service, member, false);
                }
                (true, Standing::Eligible(place)) if !is_short => {
                    *standing = Standing::Draining(*place, Ineligible::Backup);
                }
                _ => {}
            }
        }
        Judgement { standings, is_short, panics }
    }

    /// How much of its weight each member of a service has at `now`, if they stand like this.
    #[must_use]
    pub fn parts(&self, service: &Service, standings: &[Standing], now: Duration) -> Vec<Part> {
        let eligible: Vec<_> = standings.iter().map(Standing::is_eligible).collect();
        match self.courses.get(&service.name) {
            Some(course) => course.parts(service, &eligible, now),
            None => eligible.into_iter().map(Part::of).collect(),
        }
    }

    /// Notes what is at `now`, as far as it matters for what will be: who has come up, which quorums are short.
    pub fn note(&mut self, now: Duration) {
        let mut courses = std::mem::take(&mut self.courses);
        courses.retain(|name, _| self.intent.services().contains_key(name));
        // Of most services nothing need be remembered.
        let matters = |service: &&Service| service.slow_start.is_some() || service.quorum_hysteresis > 0;
        for service in self.intent.services().values().filter(matters) {
            let name = &service.name;
            let course = courses.entry(name.clone()).or_default();
            let Judgement { standings, is_short, .. } = self.judge_after(service, course.is_short);
            let eligible: Vec<_> = standings.iter().map(Standing::is_eligible).collect();
            course.note(service, &eligible, is_short, now);
        }
        self.courses = courses;
    }

    /// An earlier controller left the quorum of a service short.
    pub fn adopt_shortage(&mut self, service: &ServiceName) {
        self.courses.insert(service.clone(), Course::adopted(true));
    }

    fn is_wanted(&self, service: &Service, member: &Member) -> bool {
        member.weight > 0 && self.intent.admin(&service.name, &member.backend) == Admin::Enabled
    }

    /// What flows a member gets by what concerns it alone, with or without a look at its health.
    fn own_standing(&self, service: &Service, member: &Member, looks_at_health: bool) -> Standing {
        let key = (service.name.clone(), member.backend.clone());
        let place = match self.intent.backends().get(&member.backend) {
            Some(backend) => self.place(backend, service.address.vip),
            None => Err(NoNeighbour::Pending),
        };
        let checked = self.checked.get(&key);
        let health =
            service.check.as_ref().map(|_| checked.map_or(Health::Unknown, |checked| checked.health));
        let cause = checked.and_then(|checked| checked.cause.as_deref());
        let admin = self.intent.admin(&service.name, &member.backend);
        let standing = standing(admin, member.weight, place, health.filter(|_| looks_at_health), cause);
        let maintenance = self.intent.maintenance(&member.backend);
        let is_its = maintenance != Maintenance::Off && maintenance.admin() == admin;
        if is_its { standing.by_maintenance() } else { standing }
    }

    /// Where a backend is, for packets to `vip`. A MAC in the intent overrides the kernel's.
    ///
    /// # Errors
    /// Why that is not known, or not to be used.
    pub fn place(&self, backend: &Backend, vip: IpAddr) -> Result<Place, NoNeighbour> {
        let known = match backend.address_for(vip) {
            Some(address) => self.neighbour(address),
            None => Err(NoNeighbour::Pending),
        };
        let found = match (backend.mac, known) {
            (_, Ok(Place::Here)) => return Ok(Place::Here),
            (None, Ok(Place::Link(known))) => known,
            (None, Err(unknown)) => return Err(unknown),
            (Some(mac), Ok(Place::Link(known))) => Neighbour { mac, ..known },
            (Some(mac), Err(unknown)) => self.way_without_neighbour(mac, unknown)?,
        };
        match self.links.get(&found.ifindex) {
            Some(link) if !link.is_up => Err(NoNeighbour::NoLink { interface: link.name.clone() }),
            Some(link) if link.is_port || link.is_egress => Ok(Place::Link(found)),
            Some(link) => Err(NoNeighbour::NotAPort { interface: link.name.clone() }),
            None => Err(NoNeighbour::NotAPort { interface: format!("interface {}", found.ifindex) }),
        }
    }

    /// Where an address is. With its link, the kernel takes away what it knew of it.
    fn neighbour(&self, address: IpAddr) -> Result<Place, NoNeighbour> {
        let known = self.neighbours.get(&address).cloned().unwrap_or(Err(NoNeighbour::Pending));
        let last = self.last_ways.get(&address).and_then(|ifindex| self.links.get(ifindex));
        match (known, last) {
            (Err(_), Some(link)) if !link.is_up => Err(NoNeighbour::NoLink { interface: link.name.clone() }),
            (known, _) => known,
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

    /// The MACs of others than directors that answer for `vip`.
    pub fn thieves(&self, vip: IpAddr) -> impl Iterator<Item = Mac> {
        let is_ours = |mac: &Mac| self.links.values().any(|link| link.mac == *mac);
        let is_router = |mac: &Mac| {
            self.virtual_router.is_some_and(|id| matches!(mac.0, [0, 0, 0x5e, 0, 1 | 2, its] if its == id))
        };
        let answering = self.owners.get(&vip).into_iter().flatten().copied();
        answering.filter(move |mac| !is_ours(mac) && !is_router(mac) && !self.peers.contains(mac))
    }

    /// What is to be said of a backend that answers for `vip` itself: packets go to it past the director.
    #[must_use]
    pub fn theft(&self, backend: &Backend, vip: IpAddr) -> Option<Cause> {
        let its = self.place(backend, vip).ok()?.neighbour()?.mac;
        self.thieves(vip).find(|mac| *mac == its).map(|mac| Cause::StealsVip { vip, mac })
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

    /// The addresses of this box that packets come back from, for the tables, and how many more there is no room for: all but
    /// VIPs and loopback, and of each family so many.
    #[must_use]
    pub fn own_addresses(&self) -> (Vec<IpAddr>, usize) {
        let vips = self.vips();
        let own = self.local.iter().filter(|address| !vips.contains(address) && !address.is_loopback());
        let (ipv4, ipv6): (Vec<IpAddr>, Vec<IpAddr>) = own.copied().partition(IpAddr::is_ipv4);
        let all = ipv4.len() + ipv6.len();
        let listed: Vec<_> = [ipv4, ipv6]
            .into_iter()
            .flat_map(|family| family.into_iter().take(OWN_ADDRESSES as usize))
            .collect();
        let more = all - listed.len();
        (listed, more)
    }

    /// Forgets what is known of members and addresses that are no more.
    pub fn forget_the_gone(&mut self) {
        let services = self.intent.services();
        let is_checked = |(service, backend): &MemberKey| {
            services.get(service).is_some_and(|service| service.check.is_some())
                && self.intent.is_member(service, backend)
        };
        let gone: Vec<_> = self.checked.keys().filter(|key| !is_checked(key)).cloned().collect();
        for key in gone {
            self.checked.remove(&key);
        }
        let watched = self.watched();
        self.neighbours.retain(|address, _| watched.contains(address));
        self.last_ways.retain(|address, _| watched.contains(address));
        let vips = self.vips();
        self.owners.retain(|vip, _| vips.contains(vip));
    }
}

mod touched;

pub use touched::Touched;

#[cfg(test)]
mod tests;
