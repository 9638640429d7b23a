//! One log line for each change, in the words of the vocabulary. Pure.

use super::Transition;
use crate::{
    control::protocol::Command,
    model::{Place, ServiceName, Standing, World},
};

/// The line that tells of a member whose standing is another.
pub(super) fn of_transition(transition: &Transition, world: &World) -> String {
    let (service, backend) = &transition.member;
    match &transition.now {
        Standing::Eligible(Place::Here) => format!("service {service}: {backend} in: it is this box"),
        Standing::Eligible(Place::Link(neighbour)) => {
            let link = world.links.get(&neighbour.ifindex);
            let interface = link.map_or_else(|| neighbour.ifindex.to_string(), |link| link.name.clone());
            format!("service {service}: {backend} in: {} on {interface}", neighbour.mac)
        }
        Standing::Draining(_, why) => format!("service {service}: {backend} keeps its flows: {why}"),
        Standing::Down(why) => format!("service {service}: {backend} out: {why}"),
    }
}

/// The line that tells of a command that was carried out.
pub(super) fn of_command(command: &Command) -> String {
    match command {
        Command::AddService { service } => {
            format!(
                "command: service {} added: {}, {} members",
                service.name,
                service.address,
                service.members.len()
            )
        }
        Command::RemoveService { name } => format!("command: service {name} removed"),
        Command::AddBackend { backend, services } => {
            let services: Vec<_> = services.iter().map(|membership| membership.service.as_str()).collect();
            match services.as_slice() {
                [] => format!("command: backend {} added", backend.name),
                _ => format!("command: backend {} added to {}", backend.name, services.join(", ")),
            }
        }
        Command::RemoveBackend { name, service } => {
            format!("command: backend {name} removed{}", from(service.as_ref()))
        }
        Command::SetAdmin { backend, service, admin } => {
            format!("command: backend {backend} {admin}{}", within(service.as_ref()))
        }
        Command::SetWeight { backend, service, weight } => {
            format!("command: backend {backend} has weight {weight}{}", within(service.as_ref()))
        }
        Command::Detach => "command: detach".to_owned(),
    }
}

/// The line that tells of flows that could not be tracked.
pub(super) fn of_refusals(service: &ServiceName, flows: u64) -> String {
    format!(
        "service {service}: {flows} flows were not written to the flow table, for its share is used up: they stay where \
         the ring has them, and may move when its slots settle. Raise `capacity.flows`, or find who floods it"
    )
}

fn from(service: Option<&ServiceName>) -> String {
    service.map_or_else(String::new, |service| format!(" from service {service}"))
}

fn within(service: Option<&ServiceName>) -> String {
    service.map_or_else(|| " in all its services".to_owned(), |service| format!(" in service {service}"))
}
