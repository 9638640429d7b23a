//! How a service and its members look.

use std::time::Duration;

use anstyle::Style;
use vip_userspace::{
    control::protocol::{MemberStatus, ServiceStatus},
    model::{
        Affinity, Answer, Check, Fragments, Health, Ineligible, OnDead, Probe, Role, Scheduler, Ttl, duration,
    },
};

use super::{
    BAD, GOOD, STRONG, WARNING, drain,
    table::{Cell, Side, Table},
    units::{bytes, number, percent, time},
};

/// A service with its members.
pub(super) fn service(service: &ServiceStatus) -> String {
    let ServiceStatus { name, address, eligible, total, slots, .. } = service;
    let color = eligible_style(service);
    let check = service.check.as_ref().map_or_else(|| "no check".to_owned(), describe);
    let mut text = format!(
        "{STRONG}{name}{STRONG:#} {address}, {color}{eligible} of {total} eligible{color:#}, {slots} slots, {check}"
    );
    for unusual in unusual(service) {
        text += &format!(", {unusual}");
    }
    text + "\n" + &alarms(service) + &members(&service.members)
}

/// What has gone so far that the service is no longer what it should be, a line each.
fn alarms(service: &ServiceStatus) -> String {
    let mut text = String::new();
    if service.panics {
        text += &format!(
            "  {BAD}PANIC: fewer than {} % of its members are healthy, so health is ignored: members that are down get flows \
             as well{BAD:#}\n",
            service.panic_threshold.unwrap_or_default()
        );
    }
    if service.below_quorum && service.quorum > 1 {
        let helps = match service.members.iter().any(|member| member.backup) {
            true => "its backups join in",
            false => "and it has no backups",
        };
        text += &format!(
            "  {WARNING}below its quorum of {} eligible members: {helps}{WARNING:#}\n",
            service.quorum
        );
    }
    text
}

/// What differs from how most services are, in a few words each.
fn unusual(service: &ServiceStatus) -> Vec<String> {
    let mut said = Vec::new();
    if service.scheduler != Scheduler::default() {
        said.push(service.scheduler.to_string());
    }
    if let Affinity::Source { ipv4_prefix, ipv6_prefix } = service.affinity {
        let (prefix, all) =
            if service.address.vip.is_ipv4() { (ipv4_prefix, 32) } else { (ipv6_prefix, 128) };
        said.push(if prefix == all { "by source".to_owned() } else { format!("by source /{prefix}") });
    }
    if service.ttl == Ttl::Keep {
        said.push("ttl kept".to_owned());
    }
    if service.on_dead != OnDead::default() {
        said.push(format!("on-dead {}", service.on_dead));
    }
    if service.fragments == Fragments::Addresses {
        said.push("placed by addresses".to_owned());
    }
    if service.no_backend != Answer::default() {
        said.push(format!("no-backend {}", service.no_backend));
    }
    if service.quorum > 1 {
        said.push(match service.quorum_hysteresis {
            0 => format!("quorum {}", service.quorum),
            more => format!("quorum {}+{more}", service.quorum),
        });
    }
    if let Some(threshold) = service.panic_threshold {
        said.push(format!("panic below {threshold} %"));
    }
    if let Some(over) = service.slow_start {
        said.push(format!("slow start {}", duration::print(over)));
    }
    if service.role == Role::Standby {
        said.push(format!("{WARNING}standby{WARNING:#}"));
    }
    if service.tracked_slots > 0 {
        said.push(format!("{} slots remember", service.tracked_slots));
    }
    said
}

fn members(members: &[MemberStatus]) -> String {
    let mut table = Table::new(&[
        ("MEMBER", Side::Left),
        ("ADDRESS", Side::Left),
        ("WEIGHT", Side::Right),
        ("STATE", Side::Left),
        ("FOR", Side::Right),
        ("SLOTS", Side::Right),
        ("PACKETS", Side::Right),
        ("BYTES", Side::Right),
        ("FLOWS", Side::Right),
        ("BOUNCED", Side::Right),
        ("WHY NOT", Side::Left),
    ]);
    for member in members {
        let backup = if member.backup { " (backup)" } else { "" };
        let bounced = match member.totals.bounced {
            0 => Cell::plain(""),
            bounced => Cell::styled(number(bounced), BAD),
        };
        table.row([
            Cell::plain(format!("{}{backup}", member.backend)),
            Cell::or_none(member.address),
            Cell::or_none(member.weight),
            state(member),
            Cell::or_none(member.last_change_seconds.map(time)),
            Cell::plain(percent(member.share)),
            Cell::plain(number(member.totals.packets)),
            Cell::plain(bytes(member.totals.bytes)),
            Cell::plain(number(member.totals.flows)),
            bounced,
            Cell::plain(why_not(member)),
        ]);
    }
    table.text(2)
}

/// One word for what a member is.
fn state(member: &MemberStatus) -> Cell {
    match member.why_not.as_ref().map(|why| &why.cause) {
        None if member.eligible && member.steals.is_some() => Cell::styled("up, steals", BAD),
        None if member.eligible && member.health == Some(Health::Up) => Cell::styled("up", GOOD),
        None if member.ignored.is_some() => Cell::styled("down, kept", BAD),
        None if member.eligible => Cell::styled("eligible", GOOD),
        None => Cell::styled("out", BAD),
        Some(Ineligible::Disabled) => Cell::styled("disabled", WARNING),
        Some(Ineligible::Draining) => Cell::styled("draining", WARNING),
        Some(Ineligible::Maintenance) => Cell::styled("maintenance", WARNING),
        Some(Ineligible::WeightZero) => Cell::styled("weight-0", WARNING),
        Some(Ineligible::Backup) => Cell::styled("waiting", GOOD),
        Some(Ineligible::NotProbed) => Cell::styled("not-probed", WARNING),
        Some(Ineligible::NoNeighbour(_)) => Cell::styled("no-neighbour", BAD),
        Some(Ineligible::Down(_)) => Cell::styled("down", BAD),
    }
}

/// What the word of [`state`] leaves open.
fn why_not(member: &MemberStatus) -> String {
    let cause = member.why_not.as_ref().map(|why| &why.cause);
    if let (Some(Ineligible::Draining | Ineligible::Maintenance), Some(drain)) = (cause, &member.drain) {
        return drain::left(drain);
    }
    match cause {
        Some(Ineligible::Down(cause)) => cause.to_string(),
        Some(Ineligible::NoNeighbour(cause)) => cause.to_string(),
        None if member.ignored.is_some() => {
            member.ignored.as_ref().map(|why| why.words.clone()).unwrap_or_default()
        }
        _ if member.steals.is_some() => {
            member.steals.as_ref().map(|why| why.words.clone()).unwrap_or_default()
        }
        _ if member.totals.bounced > 0 => "it sends packets back: does it have the VIP?".to_owned(),
        None if member.eligible && member.weight_part > 0.0 && member.weight_part < 1.0 => {
            format!("slow start: {} of its weight so far", percent(member.weight_part))
        }
        _ => String::new(),
    }
}

/// None is bad, all are good, some are a warning. A backup that waits is no fault.
pub(super) fn eligible_style(service: &ServiceStatus) -> Style {
    let waits = |member: &&MemberStatus| {
        matches!(member.why_not.as_ref().map(|why| &why.cause), Some(Ineligible::Backup))
    };
    let waiting = service.members.iter().filter(waits).count();
    match service.eligible {
        _ if service.panics => BAD,
        0 => BAD,
        some if some as usize + waiting == service.total as usize => GOOD,
        _ => WARNING,
    }
}

/// A check in a few words.
pub(super) fn describe(check: &Check) -> String {
    let kind = check.probe.kind();
    let probe = match &check.probe {
        Probe::Tcp | Probe::Tls(_) | Probe::Ping => kind.to_owned(),
        Probe::Script(script) => format!("{kind} {}", script.command.join(" ")),
        Probe::Http(http) => format!("{kind} {}", http.path),
        Probe::Grpc(grpc) => format!("{kind} {}", grpc.service).trim_end().to_owned(),
        Probe::Dns(dns) => format!("{kind} {} {}", dns.name, dns.record),
    };
    let port = check.port.map(|port| format!(" on port {port}")).unwrap_or_default();
    let other = |name: &str, interval: Option<Duration>| {
        interval.map(|interval| format!(", {name} {}", duration::print(interval))).unwrap_or_default()
    };
    let (fast, down) = (other("fast", check.fast_interval), other("down", check.down_interval));
    format!("{probe}{port} every {}{fast}{down}", duration::print(check.interval))
}
