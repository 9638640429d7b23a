//! The entries that packets find: of services, and of VIPs for what says of no port or is to no service.

use std::{collections::BTreeMap, net::IpAddr};

use bytemuck::Zeroable as _;
use vip_common::tables::{OnDead as OnDeadEntry, Service as ServiceEntry};

use super::{Tables, whole::Contribution};
use crate::{
    model::{Answer, Echo, Fragments, Ports, Protocol, Role, Service, Ttl, World},
    plan::{addresses, numbers::Places},
};

/// The services, collected by VIP.
#[derive(Default)]
pub(super) struct Entries<'a>(BTreeMap<IpAddr, Vec<One<'a>>>);

struct One<'a> {
    service: &'a Service,
    entry: ServiceEntry,
    has_eligible: bool,
}

impl<'a> Entries<'a> {
    /// Adds a service whose slots are at `places`; `turns` is the number of its turns, where new flows go in turn.
    pub(super) fn add(
        &mut self,
        service: &'a Service,
        contribution: &Contribution,
        (places, turns): (Places, Option<u32>),
        has_peers: bool,
    ) {
        let flags = [
            (service.ttl == Ttl::Keep, ServiceEntry::KEEP_TTL),
            (service.fragments == Fragments::Addresses, ServiceEntry::BY_ADDRESSES),
            (service.no_backend == Answer::Reset, ServiceEntry::RESETS),
            (has_peers, ServiceEntry::PEERS),
            (contribution.is_here, ServiceEntry::HERE),
        ];
        let mut entry = ServiceEntry {
            ring_first: places.ring.first,
            ring_size: places.ring.size,
            id: places.id,
            flags: united(flags),
            source_bits: service.source_bits(),
            on_dead: OnDeadEntry::from(service.on_dead) as u8,
            ..ServiceEntry::zeroed()
        };
        if let (Some(first), Some(turns)) = (places.turns, turns) {
            (entry.turns_first, entry.turns_size) = (first, turns);
            entry.flags |= ServiceEntry::TAKES_TURNS;
        }
        if has_peers {
            // Without a director among the members the service's own ring spares them all.
            entry.peers_first = places.peers.unwrap_or(places.ring.first);
        }
        let has_eligible = contribution.has_eligible;
        self.0.entry(service.address.vip).or_default().push(One { service, entry, has_eligible });
    }

    /// Enters them all.
    pub(super) fn enter(self, world: &World, tables: &mut Tables) {
        for (vip, mut services) in self.0 {
            services.sort_by_key(|one| rank(one.service));
            for one in &services {
                addresses::put(tables, &one.service.address, one.entry);
            }
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                if let Some(one) = without_ports(&services, protocol) {
                    addresses::put_portless(tables, vip, protocol.number(), one.entry);
                }
            }
            if let Some(first) = services.first() {
                // What is placed by it has no port, so no turn. It goes round among directors as any other packet may.
                let of_ring = first.entry.flags & OF_RING;
                let flags = vip_flags(world, vip, &services) | of_ring;
                let entry = ServiceEntry { flags, turns_first: 0, turns_size: 0, ..first.entry };
                addresses::put_portless(tables, vip, 0, entry);
            }
        }
    }
}

/// What a VIP's own entry has from the service whose ring it has.
const OF_RING: u32 = ServiceEntry::BY_ADDRESSES | ServiceEntry::PEERS | ServiceEntry::HERE;

/// Whose ring a VIP has: that of one which places by addresses first, as later fragments over IPv6 may not even say their
/// protocol; then that of any protocol, then by protocol and port.
fn rank(service: &Service) -> (bool, bool, u8, Ports) {
    let protocol = service.address.protocol;
    let by_addresses = service.fragments == Fragments::Addresses;
    (!by_addresses, protocol != Protocol::Any, protocol.number(), service.address.ports)
}

/// The service that gets packets of a protocol that do not say their port, which are later fragments: of those (in the
/// order of their ports) that do without ports anyway the first, else the first of one port, else of a range. One of any
/// port is found among the services of many ports, and goes before a range; so is one of any protocol, and goes before all
/// where it does without ports and they don't.
fn without_ports<'a, 'b>(services: &'b [One<'a>], protocol: Protocol) -> Option<&'b One<'a>> {
    let by_addresses = |one: &&One<'_>| one.service.fragments == Fragments::Addresses;
    let of_any_protocol = services.iter().find(|one| one.service.address.protocol == Protocol::Any);
    let services = || services.iter().filter(|one| one.service.address.protocol == protocol);
    let has = |ports: fn(Ports) -> bool| services().find(|one| ports(one.service.address.ports));
    let any = has(|ports| ports == Ports::Any);
    services()
        .find(by_addresses)
        .or_else(|| of_any_protocol.filter(by_addresses))
        .or_else(|| has(|ports| matches!(ports, Ports::One(_))))
        .or_else(|| has(|ports| matches!(ports, Ports::Range(..))).filter(|_| any.is_none()))
        .filter(|one| one.service.address.ports != Ports::Any)
}

fn vip_flags(world: &World, vip: IpAddr, services: &[One<'_>]) -> u32 {
    let settings = world.intent.vip(vip);
    let is_wide = |one: &One<'_>| one.service.address.port().is_none();
    united([
        (services.iter().all(|one| one.service.ttl == Ttl::Keep), ServiceEntry::KEEP_TTL),
        (world.local.contains(&vip), ServiceEntry::LOCAL),
        (settings.role == Role::Standby, ServiceEntry::STANDBY),
        (services.iter().any(|one| one.has_eligible), ServiceEntry::ANSWERS_ECHO),
        (settings.echo == Echo::Backend, ServiceEntry::FORWARDS_ECHO),
        (settings.unknown_port == Answer::Reset, ServiceEntry::RESETS),
        (services.iter().any(is_wide), ServiceEntry::WIDE),
    ])
}

fn united<const N: usize>(flags: [(bool, u32); N]) -> u32 {
    flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, flag)| all | flag)
}
