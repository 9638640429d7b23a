//! One log line for each change, in the words of the vocabulary. Pure.

use std::{net::IpAddr, time::Duration};

use super::{Alarm, Transition, drains::Ended};
use crate::{
    control::protocol::{Caller, Change, ChangeAction, Command, Differences, DrainEnd},
    model::{
        Backend, Draining, Mac, Maintenance, Place, Service, ServiceName, Standing, World,
        capacity::OWN_ADDRESSES, duration,
    },
    net::Link,
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

/// The line that tells of somebody who answers for a VIP and should not.
pub(super) fn of_theft(vip: IpAddr, mac: Mac, world: &World) -> String {
    let is_its = |backend: &&Backend| {
        world.place(backend, vip).is_ok_and(|place| place.neighbour().is_some_and(|at| at.mac == mac))
    };
    match world.intent.backends().values().find(is_its) {
        Some(backend) => format!(
            "backend {} answers for {vip} with {mac}: packets go to it past the director; on it, keep the VIP on lo and set \
             net.ipv4.conf.all.arp_ignore=1 and arp_announce=2",
            backend.name
        ),
        None => format!("somebody with {mac} answers for {vip}: packets go there past the director"),
    }
}

/// The lines that tell of an interface that is not as it was; and whether that is bad.
pub(super) fn of_link(before: &Link, now: &Link) -> Vec<(bool, String)> {
    let name = &now.name;
    let mut lines = Vec::new();
    if before.name != *name {
        lines.push((
            true,
            format!("{} is called {name} now: the configuration names it by its old name", before.name),
        ));
    }
    if before.mtu != now.mtu {
        lines.push((false, format!("{name}: the MTU is {} now, it was {}", now.mtu, before.mtu)));
    }
    match (before.up, now.up) {
        (true, false) => lines.push((true, format!("{name}: the link is down"))),
        (false, true) => lines.push((false, format!("{name}: the link is up"))),
        _ => {}
    }
    lines
}

/// The lines that tell of a service whose quorum or panic is another than before; and whether that is bad.
pub(super) fn of_alarm(service: &Service, alarm: Alarm, before: Alarm) -> Vec<(bool, String)> {
    let (name, quorum) = (&service.name, service.quorum);
    let mut lines = Vec::new();
    if alarm.is_short != before.is_short {
        let (join, wait) = match service.members.iter().any(|member| member.backup) {
            true => (": its backups join in", ": its backups wait"),
            false => (", and it has no backups", ""),
        };
        lines.push(match alarm.is_short {
            true => (true, format!("service {name}: below its quorum of {quorum} eligible members{join}")),
            false => (false, format!("service {name}: its quorum of {quorum} is met{wait}")),
        });
    }
    if alarm.panics != before.panics {
        let threshold = service.panic_threshold.unwrap_or_default();
        lines.push(match alarm.panics {
            true => (
                true,
                format!(
                    "service {name}: PANIC: fewer than {threshold} % of its members are healthy: health is ignored, and \
                     members that are down get flows as well"
                ),
            ),
            false => (false, format!("service {name}: panic is over: health counts again")),
        });
    }
    lines
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
        Command::SetAdmin { backend, service, admin, timeout } => {
            format!("command: backend {backend} {admin}{}{}", within(service.as_ref()), at_most(*timeout))
        }
        Command::SetMaintenance { backend, maintenance: Maintenance::Off, .. } => {
            format!("command: backend {backend} is out of maintenance")
        }
        Command::SetMaintenance { backend, maintenance, timeout } => {
            format!("command: backend {backend} is in maintenance: {maintenance}{}", at_most(*timeout))
        }
        Command::SetWeight { backend, service, weight } => {
            format!("command: backend {backend} has weight {weight}{}", within(service.as_ref()))
        }
        Command::Reload { .. } => "command: reload".to_owned(),
        Command::Detach => "command: detach".to_owned(),
    }
}

/// Who asked for it, to be put behind a line.
pub(super) fn by(caller: Option<Caller>) -> String {
    caller.map_or_else(String::new, |caller| format!(" (by {caller})"))
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

/// The line that tells of addresses of this box that the tables have no room for.
pub(super) fn of_unlisted_addresses(more: usize) -> String {
    format!(
        "this box has more addresses than the tables have room for, {OWN_ADDRESSES} of each family: probes from {more} of \
         them that a backend sends back are not known as `bounced`"
    )
}

/// The line that tells of a drain that has come to its end.
pub(super) fn of_drain(drain: &Ended) -> String {
    let Draining { service, backend } = &drain.draining;
    let whose = match service {
        Some(service) => format!("service {service}: {backend}"),
        None => format!("maintenance of {backend}"),
    };
    let DrainEnd { timed_out, flows_left, unknown_slots } = drain.end;
    let then = if drain.then.is_some() { ": it is disabled now" } else { "" };
    if !timed_out {
        return format!("{whose}: drained: no flow is left{then}");
    }
    let left = flows_left.map_or_else(|| "an unknown number of".to_owned(), |left| left.to_string());
    let more = match unknown_slots {
        0 => String::new(),
        slots => format!(", and any that were silent in {slots} slots"),
    };
    format!("{whose}: the drain's time is over with {left} flows left{more}{then}")
}

fn at_most(timeout: Option<Duration>) -> String {
    timeout.map_or_else(String::new, |timeout| format!(", for {} at most", duration::print(timeout)))
}

fn from(service: Option<&ServiceName>) -> String {
    service.map_or_else(String::new, |service| format!(" from service {service}"))
}

fn within(service: Option<&ServiceName>) -> String {
    service.map_or_else(|| " in all its services".to_owned(), |service| format!(" in service {service}"))
}
