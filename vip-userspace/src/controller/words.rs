//! One log line for each change, in the words of the vocabulary. Pure.

use super::Transition;
use crate::{
    control::protocol::{Change, ChangeAction, Command, Differences},
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
        Command::Reload { .. } => "command: reload".to_owned(),
        Command::Detach => "command: detach".to_owned(),
    }
}

/// A wish by command, for those who ask what holds.
pub(super) fn of_wish(wish: &Command) -> String {
    let line = of_command(wish);
    line.strip_prefix("command: ").unwrap_or(&line).to_owned()
}

/// The lines that tell what a reload has changed: no more than people read.
pub(super) fn of_differences(differences: &Differences) -> Vec<String> {
    const MOST: usize = 40;
    let mut lines: Vec<_> = differences.changes.iter().take(MOST).map(of_change).collect();
    if differences.changes.len() > MOST {
        lines.push(format!("reload: … and {} more changes", differences.changes.len() - MOST));
    }
    lines
}

fn of_change(change: &Change) -> String {
    let Change { action, thing, name, key, before, after, .. } = change;
    let thing = thing.word();
    let note = |value: &Option<String>| value.as_ref().map_or_else(String::new, |value| format!(": {value}"));
    match action {
        ChangeAction::Added => format!("reload: {thing} {name} added{}", note(after)),
        ChangeAction::Removed => format!("reload: {thing} {name} removed{}", note(before)),
        ChangeAction::Changed => {
            let key = key.as_ref().map_or_else(String::new, |key| format!(": {key}"));
            let values = match (before, after) {
                (None, None) => String::new(),
                (before, after) => {
                    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
                    format!(" {} → {}", value(before), value(after))
                }
            };
            format!("reload: {thing} {name} changed{key}{values}")
        }
    }
}

/// The line that tells of entries of a table that somebody else has changed.
pub(super) fn of_strays(table: &str, entries: usize) -> String {
    let (entries, them) = if entries == 1 {
        ("1 entry".to_owned(), "it is")
    } else {
        (format!("{entries} entries"), "they are")
    };
    format!(
        "table {table}: somebody else has changed {entries}, and {them} put right. Nothing but this controller may write \
         to the pinned tables"
    )
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
