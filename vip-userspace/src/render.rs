//! How things look on a terminal: tables, colours and words. It prints nothing, and knows only values of the
//! protocol.

use anstyle::{AnsiColor, Style};
use vip_userspace::{
    control::protocol::{
        BackendStatus, InterfaceStatus, MemberStatus, ReasonStatus, Refused, ServiceStatus, Status,
    },
    model::{Check, Health, Ineligible, Mode, Probe, Ttl, duration},
};

use self::{
    table::{Cell, Side, Table},
    units::{bytes, number, percent, time},
};

mod table;
#[cfg(test)]
mod tests;
mod units;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default();
const STRONG: Style = Style::new().bold();
const NONE: &str = "-";

/// A refusal, with what helps.
pub(crate) fn refusal(refused: &Refused) -> String {
    let mut text = format!("{BAD}error:{BAD:#} {}\n", refused.message);
    if let Some(remedy) = &refused.remedy {
        text += &format!("{STRONG}help:{STRONG:#} {remedy}\n");
    }
    text
}

/// All that is known.
pub(crate) fn status(status: &Status) -> String {
    let mut parts = vec![head(status)];
    if !status.interfaces.is_empty() {
        parts.push(interfaces(&status.interfaces));
    }
    parts.extend(status.services.iter().map(service));
    let met: Vec<_> = status.reasons.iter().filter(|reason| reason.packets > 0).collect();
    if !met.is_empty() {
        parts.push(reasons(&met));
    }
    parts.join("\n")
}

fn head(status: &Status) -> String {
    let controller = match (status.pid, status.uptime_seconds) {
        (Some(pid), Some(uptime)) => format!("controller {pid}, up {}", time(uptime)),
        _ => format!("{WARNING}no controller{WARNING:#}"),
    };
    let mut text = format!(
        "{STRONG}instance {}{STRONG:#}, {controller}, vip {}, layout {}\n",
        status.instance, status.version, status.layout
    );
    if status.interfaces.is_empty() {
        text += &format!("{BAD}attached to no interface: nothing is forwarded{BAD:#}\n");
    }
    if status.services.is_empty() {
        text += "no services\n";
    }
    text
}

fn interfaces(interfaces: &[InterfaceStatus]) -> String {
    let mut table = Table::new(&[("INTERFACE", Side::Left), ("MODE", Side::Left), ("MAC", Side::Left)]);
    for interface in interfaces {
        let mode = match interface.mode {
            Mode::Native => Cell::styled("native", GOOD),
            Mode::Generic => Cell::styled("generic (slow)", WARNING),
        };
        table.row([Cell::plain(&interface.name), mode, Cell::or_none(interface.mac)]);
    }
    table.text(0)
}

fn service(service: &ServiceStatus) -> String {
    let ServiceStatus { name, address, eligible, total, slots, .. } = service;
    let color = eligible_style(*eligible, *total);
    let check = service.check.as_ref().map_or_else(|| "no check".to_owned(), describe);
    let ttl = match service.ttl {
        Ttl::Decrease => "",
        Ttl::Keep => ", ttl kept",
    };
    let text = format!(
        "{STRONG}{name}{STRONG:#} {address}, {color}{eligible} of {total} eligible{color:#}, {slots} slots, {check}{ttl}\n"
    );
    text + &members(&service.members)
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
        ("WHY NOT", Side::Left),
    ]);
    for member in members {
        table.row([
            Cell::plain(&member.backend),
            Cell::or_none(member.address),
            Cell::or_none(member.weight),
            state(member),
            Cell::or_none(member.last_change_seconds.map(time)),
            Cell::plain(percent(member.share)),
            Cell::plain(number(member.totals.packets)),
            Cell::plain(bytes(member.totals.bytes)),
            Cell::plain(number(member.totals.flows)),
            Cell::plain(why_not(member)),
        ]);
    }
    table.text(2)
}

/// One word for what a member is.
fn state(member: &MemberStatus) -> Cell {
    match member.why_not.as_ref().map(|why| &why.cause) {
        None if member.eligible && member.health == Some(Health::Up) => Cell::styled("up", GOOD),
        None if member.eligible => Cell::styled("eligible", GOOD),
        None => Cell::styled("out", BAD),
        Some(Ineligible::Disabled) => Cell::styled("disabled", WARNING),
        Some(Ineligible::Draining) => Cell::styled("draining", WARNING),
        Some(Ineligible::Backup) => Cell::styled("backup", GOOD),
        Some(Ineligible::WeightZero) => Cell::styled("weight-0", WARNING),
        Some(Ineligible::NotProbed) => Cell::styled("not-probed", WARNING),
        Some(Ineligible::NoNeighbour(_)) => Cell::styled("no-neighbour", BAD),
        Some(Ineligible::Down { .. }) => Cell::styled("down", BAD),
    }
}

/// What the word of [`state`] leaves open.
fn why_not(member: &MemberStatus) -> String {
    match member.why_not.as_ref().map(|why| &why.cause) {
        Some(Ineligible::Down { cause }) => cause.clone(),
        Some(Ineligible::NoNeighbour(cause)) => cause.to_string(),
        Some(
            Ineligible::Disabled
            | Ineligible::Draining
            | Ineligible::Backup
            | Ineligible::WeightZero
            | Ineligible::NotProbed,
        )
        | None => String::new(),
    }
}

fn reasons(reasons: &[&ReasonStatus]) -> String {
    let mut table = Table::new(&[("REASON", Side::Left), ("PACKETS", Side::Right), ("MEANING", Side::Left)]);
    for reason in reasons {
        let (packets, meaning) = (number(reason.packets), &reason.meaning);
        table.row([Cell::plain(&reason.reason), Cell::plain(packets), Cell::plain(meaning)]);
    }
    table.text(0)
}

/// A line for each service.
pub(crate) fn services(services: &[ServiceStatus]) -> String {
    let mut table = Table::new(&[
        ("SERVICE", Side::Left),
        ("ADDRESS", Side::Left),
        ("ELIGIBLE", Side::Right),
        ("SLOTS", Side::Right),
        ("CHECK", Side::Left),
        ("PACKETS", Side::Right),
        ("BYTES", Side::Right),
        ("FLOWS", Side::Right),
    ]);
    for service in services {
        let (eligible, total) = (service.eligible, service.total);
        table.row([
            Cell::plain(&service.name),
            Cell::plain(service.address),
            Cell::styled(format!("{eligible}/{total}"), eligible_style(eligible, total)),
            Cell::plain(service.slots),
            Cell::or_none(service.check.as_ref().map(describe)),
            Cell::plain(number(service.totals.packets)),
            Cell::plain(bytes(service.totals.bytes)),
            Cell::plain(number(service.totals.flows)),
        ]);
    }
    table.text(0)
}

/// A line for each address of each backend.
pub(crate) fn backends(backends: &[BackendStatus]) -> String {
    let mut table = Table::new(&[
        ("BACKEND", Side::Left),
        ("ADDRESS", Side::Left),
        ("MAC", Side::Left),
        ("INTERFACE", Side::Left),
        ("SERVICES", Side::Left),
        ("PACKETS", Side::Right),
        ("BYTES", Side::Right),
        ("FLOWS", Side::Right),
        ("NEIGHBOUR", Side::Left),
    ]);
    for backend in backends {
        let services: Vec<_> = backend.services.iter().map(ToString::to_string).collect();
        let services = (!services.is_empty()).then(|| services.join(","));
        for (at, address) in backend.addresses.iter().enumerate() {
            let first = |cell: Cell| if at == 0 { cell } else { Cell::plain("") };
            let neighbour = match &address.why_not {
                None => Cell::styled("found", GOOD),
                Some(why) => Cell::styled(&why.words, BAD),
            };
            table.row([
                first(Cell::plain(&backend.name)),
                Cell::plain(address.address),
                Cell::or_none(address.mac),
                Cell::or_none(address.interface.as_ref()),
                first(Cell::or_none(services.as_ref())),
                first(Cell::plain(number(backend.totals.packets))),
                first(Cell::plain(bytes(backend.totals.bytes))),
                first(Cell::plain(number(backend.totals.flows))),
                neighbour,
            ]);
        }
    }
    table.text(0)
}

/// None is bad, all are good, some are a warning.
fn eligible_style(eligible: u32, total: u32) -> Style {
    match eligible {
        0 => BAD,
        some if some == total => GOOD,
        _ => WARNING,
    }
}

/// A check in a few words.
fn describe(check: &Check) -> String {
    let probe = match &check.probe {
        Probe::Tcp => "tcp".to_owned(),
        Probe::Http { path, .. } => format!("http {path}"),
    };
    let port = check.port.map(|port| format!(" on port {port}")).unwrap_or_default();
    format!("{probe}{port} every {}", duration::print(check.interval))
}
