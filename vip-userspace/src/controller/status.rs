//! The status: what is wanted, what is known and what was counted, in the words of the protocol.

use std::{collections::BTreeMap, time::Duration};

use vip_common::{
    MemberId,
    tables::{MemberCount, Slot},
};

use crate::{
    control::protocol::{
        BackendStatus, DrainStatus, FlowTableStatus, InterfaceStatus, MemberStatus, NeighbourStatus,
        ReasonStatus, ServiceStatus, Status, Totals, Why,
    },
    dataplane::{Counts, FlowCounts},
    model::{Backend, Cause, Health, Judgement, Member, MemberKey, Part, Place, Service, Standing, World},
    plan::{Numbers, Tables},
    ring::Ring,
};

/// All that a status is made from.
pub(super) struct Sources<'a> {
    pub(super) instance: &'a str,
    /// Process id and whole seconds since its start, where a controller runs.
    pub(super) controller: Option<(u32, u64)>,
    pub(super) interfaces: Vec<InterfaceStatus>,
    pub(super) inlet: Option<InterfaceStatus>,
    pub(super) world: &'a World,
    pub(super) numbers: &'a Numbers,
    pub(super) published: &'a Tables,
    pub(super) counts: &'a Counts,
    /// Entries of the flow table of each address family.
    pub(super) flow_entries: u32,
    /// Whole seconds since a member's eligibility changed.
    pub(super) ages: BTreeMap<MemberKey, u64>,
    /// How far the drains of members are.
    pub(super) drains: BTreeMap<MemberKey, DrainStatus>,
    /// Time since the controller's beginning.
    pub(super) now: Duration,
}

impl Sources<'_> {
    pub(super) fn status(self) -> Status {
        Status {
            instance: self.instance.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            controller: self.controller.is_some(),
            pid: self.controller.map(|(pid, _)| pid),
            uptime_seconds: self.controller.map(|(_, uptime)| uptime),
            layout: vip_common::tables::LAYOUT,
            services: self.world.intent.services().values().map(|service| self.service(service)).collect(),
            backends: self.world.intent.backends().values().map(|backend| self.backend(backend)).collect(),
            reasons: ReasonStatus::all(&self.counts.reasons),
            flow_table: Some(self.flow_table()),
            unlisted_addresses: self.world.own_addresses().1 as u64,
            interfaces: self.interfaces,
            inlet: self.inlet,
        }
    }

    fn service(&self, service: &Service) -> ServiceStatus {
        let owned = self.owned(service);
        let Judgement { standings, is_short, panics } = self.world.judge(service);
        let parts = self.world.parts(service, &standings, self.now);
        let members: Vec<_> = service
            .members
            .iter()
            .zip(standings.iter().zip(parts))
            .map(|(member, standing)| self.member(service, member, standing, &owned))
            .collect();
        ServiceStatus {
            name: service.name.clone(),
            address: service.address,
            slots: service.slots,
            ttl: service.ttl,
            scheduler: service.scheduler,
            affinity: service.affinity,
            on_dead: service.on_dead,
            window: service.window(),
            idle: service.idle(),
            fragments: service.fragments,
            no_backend: service.no_backend,
            role: self.world.intent.vip(service.address.vip).role,
            tracked_slots: count(self.slots(service).filter(Slot::is_tracked)),
            quorum: service.quorum,
            quorum_hysteresis: service.quorum_hysteresis,
            below_quorum: is_short,
            panic_threshold: service.panic_threshold,
            panics,
            slow_start: service.slow_start,
            check: service.check.clone(),
            eligible: count(members.iter().filter(|member| member.eligible)),
            total: count(members.iter()),
            totals: members.iter().fold(Totals::default(), |sum, member| sum.plus(member.totals)),
            members,
        }
    }

    fn member(
        &self,
        service: &Service,
        member: &Member,
        (standing, part): (&Standing, Part),
        owned: &BTreeMap<MemberId, u32>,
    ) -> MemberStatus {
        let key = (service.name.clone(), member.backend.clone());
        let id = self.numbers.member(&key).unwrap_or(MemberId::NOBODY);
        let backend = self.world.intent.backends().get(&member.backend);
        let vip = service.address.vip;
        let place = backend.and_then(|backend| self.world.place(backend, vip).ok());
        let neighbour = place.and_then(Place::neighbour);
        let slots = owned.get(&id).copied().unwrap_or_default();
        let checked = self.world.checked.get(&key);
        MemberStatus {
            backend: member.backend.clone(),
            id: id.0,
            address: backend.and_then(|backend| backend.address_for(vip)),
            weight: Some(member.weight),
            admin: Some(self.world.intent.own_admin(&service.name, &member.backend)),
            health: service.check.as_ref().map(|_| checked.map_or(Health::Unknown, |checked| checked.health)),
            eligible: standing.is_eligible(),
            alive: standing.is_alive(),
            here: place == Some(Place::Here),
            backup: member.backup,
            why_not: standing.why_not().cloned().map(Why::from),
            weight_part: f64::from(part.eighths()) / f64::from(Part::ALL.eighths()),
            ignored: checked
                .filter(|checked| standing.is_eligible() && checked.health == Health::Down)
                .map(|checked| Why::from(checked.cause.as_deref().cloned().unwrap_or(Cause::BeforeStart))),
            steals: backend.and_then(|backend| self.world.theft(backend, vip)).map(Why::from),
            mac: neighbour.map(|neighbour| neighbour.mac),
            interface: neighbour.and_then(|neighbour| self.interface(neighbour.ifindex)),
            slots,
            share: f64::from(slots) / f64::from(service.slots.max(1)),
            drain: self.drains.get(&key).copied(),
            totals: self.totals(id),
            last_change_seconds: self.ages.get(&key).copied(),
        }
    }

    fn backend(&self, backend: &Backend) -> BackendStatus {
        let services: Vec<_> =
            self.world.intent.services_of(&backend.name).map(|service| &service.name).collect();
        let ids = services
            .iter()
            .filter_map(|service| self.numbers.member(&((*service).clone(), backend.name.clone())));
        BackendStatus {
            name: backend.name.clone(),
            maintenance: self.world.intent.maintenance(&backend.name),
            addresses: backend.addresses().map(|address| self.address(backend, address)).collect(),
            totals: ids.fold(Totals::default(), |sum, id| sum.plus(self.totals(id))),
            services: services.into_iter().cloned().collect(),
        }
    }

    fn address(&self, backend: &Backend, address: std::net::IpAddr) -> NeighbourStatus {
        // For a VIP of the address's own family, that address is the one that counts.
        let place = self.world.place(backend, address);
        let neighbour = place.as_ref().ok().copied().and_then(Place::neighbour);
        NeighbourStatus {
            address,
            here: place == Ok(Place::Here),
            mac: neighbour.map(|neighbour| neighbour.mac),
            interface: neighbour.and_then(|neighbour| self.interface(neighbour.ifindex)),
            why_not: place.err().map(Why::from),
        }
    }

    /// How many slots of the service's ring name each member.
    fn owned(&self, service: &Service) -> BTreeMap<MemberId, u32> {
        let mut owned = BTreeMap::new();
        for slot in self.slots(service) {
            *owned.entry(slot.current).or_default() += 1;
        }
        owned
    }

    /// The slots of a service's ring.
    fn slots(&self, service: &Service) -> impl Iterator<Item = Slot> {
        let places = self.numbers.places_of(&service.name);
        let ring = places.and_then(|places| self.published.rings.get(&places.ring.first));
        ring.into_iter().flat_map(Ring::iter)
    }

    fn flow_table(&self) -> FlowTableStatus {
        let FlowCounts { live, deleted, evicted, inserted, refused } = self.counts.flows;
        let services = self.world.intent.services().values();
        let tracked = services.flat_map(|service| self.slots(service)).filter(Slot::is_tracked);
        FlowTableStatus {
            live,
            inserted,
            refused,
            deleted,
            evicted,
            capacity: 2 * u64::from(self.flow_entries),
            tracked_slots: tracked.count() as u64,
        }
    }

    fn totals(&self, id: MemberId) -> Totals {
        let MemberCount { packets, bytes, flows, bounced } =
            self.counts.members.get(&id).copied().unwrap_or_else(bytemuck::Zeroable::zeroed);
        Totals { packets, bytes, flows, bounced }
    }

    fn interface(&self, ifindex: u32) -> Option<String> {
        self.world.links.get(&ifindex).map(|link| link.name.clone())
    }
}

fn count<T>(things: impl Iterator<Item = T>) -> u32 {
    u32::try_from(things.count()).unwrap_or(u32::MAX)
}
