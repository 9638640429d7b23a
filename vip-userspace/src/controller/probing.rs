//! What the checks are to probe and where the backends are, from the world. Pure: it makes no probe and asks nobody.

use std::net::SocketAddr;

use vip_common::tables::probe_mark;

use crate::{
    health::{CheckId, CheckSpec, Exit, Exits, Way},
    model::{Check, Health, Member, Place, Service, Shared, Target, World},
    plan::Numbers,
};

/// The checks that the intent asks for: of each member with an address of the VIP's family.
pub(super) fn wanted_checks(world: &World, numbers: &Numbers) -> impl Iterator<Item = (CheckId, CheckSpec)> {
    world.intent.services().values().flat_map(move |service| {
        let check = service.check.clone().map(Shared::new);
        let wanted = move |member| wanted_check(world, numbers, service, check.as_ref()?, member);
        service.members.iter().filter_map(wanted)
    })
}

fn wanted_check(
    world: &World,
    numbers: &Numbers,
    service: &Service,
    check: &Shared<Check>,
    member: &Member,
) -> Option<(CheckId, CheckSpec)> {
    let port = service.checked_port()?;
    let (vip, key) = (service.address.vip, (service.name.clone(), member.backend.clone()));
    let address = world.intent.backends().get(&member.backend)?.address_for(vip)?;
    let (address, way) = match check.target {
        Target::Address => (address, Way::Routed),
        Target::Vip => {
            let mark = probe_mark(numbers.member(&key)?)?;
            (vip, Way::Through { backend: member.backend.clone(), address, mark })
        }
    };
    let adopted = world.checked.get(&key).map(|checked| checked.health);
    let adopted = adopted.filter(|health| *health != Health::Unknown);
    let id = CheckId { service: key.0, backend: key.1 };
    Some((id, CheckSpec { check: check.clone(), target: SocketAddr::new(address, port), way, adopted }))
}

/// Where the backends are now. One that is not found any more is where it was in `before`: probes tell of it, too.
pub(super) fn exits(world: &World, before: &Exits) -> Exits {
    let mut exits = Exits::new();
    for backend in world.intent.backends().values() {
        for address in backend.addresses() {
            let key = (backend.name.clone(), address.is_ipv6());
            let exit = match world.place(backend, address) {
                Ok(Place::Here) => Some(Exit::Here),
                Ok(Place::Link(neighbour)) => {
                    let link = world.links.get(&neighbour.ifindex);
                    link.map(|link| Exit::Interface(link.name.clone()))
                }
                Err(_) => before.get(&key).cloned(),
            };
            exits.extend(exit.map(|exit| (key, exit)));
        }
    }
    exits
}
