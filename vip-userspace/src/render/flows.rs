//! How tracked flows look: a line each.

use std::net::IpAddr;

use anstyle::Style;
use vip_userspace::control::protocol::{FlowList, FlowState, TrackedFlow};

use super::{
    WARNING,
    table::{Cell, Side, Table},
    units::time,
};

/// A line for each flow, and how many more there are.
pub(crate) fn flows(list: &FlowList) -> String {
    if list.flows.is_empty() {
        return match list.more {
            0 => "no flow is tracked: the ring alone places all packets\n".to_owned(),
            more => format!("{more} flows\n"),
        };
    }
    let mut table = Table::new(&[
        ("SERVICE", Side::Left),
        ("CLIENT", Side::Left),
        ("VIP", Side::Left),
        ("BACKEND", Side::Left),
        ("STATE", Side::Left),
        ("SILENT AT MOST", Side::Right),
        ("SLOT", Side::Right),
    ]);
    for flow in &list.flows {
        let style = if flow.state == FlowState::Firm { Style::new() } else { WARNING };
        let backend =
            flow.backend.as_ref().map_or_else(|| format!("member {}", flow.member), ToString::to_string);
        table.row([
            Cell::or_none(flow.service.as_ref()),
            Cell::plain(end(flow.client, flow.client_port)),
            Cell::or_none(flow.vip.map(|vip| address(vip, flow))),
            Cell::plain(backend),
            Cell::styled(flow.state.name(), style),
            Cell::plain(time(flow.silent_seconds)),
            Cell::plain(flow.slot),
        ]);
    }
    let mut text = table.text(0);
    if list.more > 0 {
        text += &format!("… and {} more: --limit shows them\n", list.more);
    }
    text
}

fn address(vip: IpAddr, flow: &TrackedFlow) -> String {
    let protocol = flow.protocol.as_ref().map(|protocol| format!("/{protocol}"));
    end(vip, flow.port) + &protocol.unwrap_or_default()
}

/// An address with its port, if it has one.
fn end(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (_, None) => address.to_string(),
        (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
    }
}
