//! How things look on a terminal: tables, colours and words. It prints nothing, and knows only values of the
//! protocol.

use anstyle::{AnsiColor, Style};
use vip_common::Reason;
use vip_userspace::{
    control::protocol::{
        BackendStatus, Event, FlowTableStatus, InterfaceStatus, News, ReasonStatus, Refused, ServiceStatus,
        Status,
    },
    model::Mode,
};

pub(crate) use self::{
    differences::{differences, reloaded},
    doctor::report,
    explain::explanation,
    flows::flows,
    trace::{TraceLines, differs, trace_end, trace_steps, trace_words},
};
use self::{
    service::{describe, eligible_style, service},
    table::{Cell, Side, Table},
    units::{bytes, number, time},
};

mod differences;
mod doctor;
pub(crate) mod drain;
mod explain;
mod flows;
mod service;
mod table;
#[cfg(test)]
mod tests;
mod trace;
mod units;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default();
const STRONG: Style = Style::new().bold();
const NONE: &str = "-";

/// A change: when it was, and what.
pub(crate) fn event(event: &Event) -> String {
    let time = i64::try_from(event.unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let time = time.map_or_else(String::new, |time| format!("{time:.3}"));
    let by = match event.news {
        News::Command { by: Some(by) } | News::Reloaded { by: Some(by), .. } => format!(" (by {by})"),
        _ => String::new(),
    };
    format!("{time}  {}{by}", event.words)
}

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
        parts.push(interfaces(&status.interfaces, status.inlet.as_ref()));
    }
    // At rest it holds nothing, and nothing has to be said of it.
    parts.extend(status.flow_table.filter(|table| *table != at_rest(table)).map(|table| flow_table(&table)));
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
    if let Some(claims) = claims(status) {
        text += &format!(
            "{WARNING}somebody else says that a VIP is his: {} packets (duplicate-vip). A backend that answers ARP for it \
             steals its traffic{WARNING:#}\n",
            number(claims)
        );
    }
    if status.unlisted_addresses > 0 {
        text += &format!(
            "{WARNING}the tables have no room for {} of this box's addresses: what comes back from them is not known as \
             bounced{WARNING:#}\n",
            status.unlisted_addresses
        );
    }
    if status.services.is_empty() {
        text += "no services\n";
    }
    text
}

/// Packets by which somebody else claimed a VIP, if there were any.
fn claims(status: &Status) -> Option<u64> {
    let mut reasons = status.reasons.iter();
    let claims = reasons.find(|reason| reason.reason == Reason::DuplicateVip.name())?;
    (claims.packets > 0).then_some(claims.packets)
}

/// A flow table of this size that nothing was ever written to.
fn at_rest(table: &FlowTableStatus) -> FlowTableStatus {
    FlowTableStatus { capacity: table.capacity, ..FlowTableStatus::default() }
}

fn flow_table(table: &FlowTableStatus) -> String {
    let warned = |count: u64, text: String| match count {
        0 => text,
        _ => format!("{WARNING}{text}{WARNING:#}"),
    };
    let FlowTableStatus { live, inserted, refused, deleted, evicted, capacity, tracked_slots } = *table;
    let [live, capacity, tracked, inserted, deleted] =
        [live, capacity, tracked_slots, inserted, deleted].map(number);
    format!(
        "flow table: {live} of {capacity} entries live, {tracked} slots remember; {inserted} inserted, {deleted} deleted, \
         {}, {}\n",
        warned(refused, format!("{} refused", number(refused))),
        warned(evicted, format!("about {} evicted", number(evicted)))
    )
}

fn interfaces(interfaces: &[InterfaceStatus], inlet: Option<&InterfaceStatus>) -> String {
    let mut table = Table::new(&[("INTERFACE", Side::Left), ("MODE", Side::Left), ("MAC", Side::Left)]);
    for interface in interfaces {
        let mode = match interface.mode {
            Mode::Native => Cell::styled("native", GOOD),
            Mode::Generic => Cell::styled("generic (slow)", WARNING),
        };
        table.row([Cell::plain(&interface.name), mode, Cell::or_none(interface.mac)]);
    }
    if let Some(inlet) = inlet {
        table.row([Cell::plain(&inlet.name), Cell::plain("local clients"), Cell::or_none(inlet.mac)]);
    }
    table.text(0)
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
            Cell::styled(format!("{eligible}/{total}"), eligible_style(service)),
            Cell::plain(service.slots),
            Cell::or_none(service.check.as_ref().map(describe)),
            Cell::plain(number(service.totals.packets)),
            Cell::plain(bytes(service.totals.bytes)),
            Cell::plain(number(service.totals.flows)),
        ]);
    }
    table.text(0)
}

/// A line for each backend that is in maintenance; `services` know how far their members are.
pub(crate) fn maintenance(backends: &[&BackendStatus], services: &[ServiceStatus]) -> String {
    let mut table = Table::new(&[
        ("BACKEND", Side::Left),
        ("MAINTENANCE", Side::Left),
        ("SERVICE", Side::Left),
        ("FLOWS LEFT", Side::Left),
    ]);
    for backend in backends {
        let its = |service: &&ServiceStatus| backend.services.contains(&service.name);
        let members: Vec<_> = services
            .iter()
            .filter(its)
            .flat_map(|service| service.members.iter().map(move |member| (&service.name, member)))
            .filter(|(_, member)| member.backend == backend.name)
            .map(|(service, member)| (Some(service), member.drain.as_ref().map(drain::left)))
            .collect();
        let rows = if members.is_empty() { vec![(None, None)] } else { members };
        for (at, (service, left)) in rows.into_iter().enumerate() {
            let first = |cell: Cell| if at == 0 { cell } else { Cell::plain("") };
            table.row([
                first(Cell::plain(&backend.name)),
                first(Cell::styled(backend.maintenance, WARNING)),
                Cell::or_none(service),
                Cell::or_none(left),
            ]);
        }
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
                None if address.here => Cell::styled("this box", GOOD),
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
