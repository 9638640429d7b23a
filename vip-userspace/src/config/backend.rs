//! Reads `[backend.NAME]`, and adds the backends to the intent.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    problem::{Findings, Span},
    table::{Field, Table},
};
use crate::model::{Backend, BackendName, Intent, Refusal, backend::MAX_VLAN};

pub(super) const KEYS: [&str; 5] = ["address", "mac", "vlans", "director", "maintenance"];
const EXAMPLE: &str = r#"address = "10.0.0.11" or address = ["10.0.0.11", "fd00::11"]"#;

/// Adds all backends of the file. Returns the names of those with which something is wrong: what else refers to them
/// is not to be blamed.
pub(super) fn add_all(
    root: &Table<'_>,
    intent: &mut Intent,
    findings: &mut Findings<'_>,
) -> BTreeSet<BackendName> {
    let mut unsound = BTreeSet::new();
    for (name, span, field) in root.tables("backend", "NAME", findings) {
        match name.parse::<BackendName>() {
            Err(error) => findings.add(&span, error.to_string()),
            Ok(name) => {
                let before = findings.count();
                add(&name, span, field, intent, findings);
                if findings.count() != before {
                    unsound.insert(name);
                }
            }
        }
    }
    unsound
}

fn add(name: &BackendName, span: Span, field: &Field<'_>, intent: &mut Intent, findings: &mut Findings<'_>) {
    let Some(mut table) = Table::read(&format!("backend {name}"), span.clone(), field, findings) else {
        return;
    };
    table.allow(&KEYS, findings);
    table.require("address", &format!("state it, like {EXAMPLE}"), findings);
    let mac = table.parsed("mac", findings);
    let vlans = vlans(&table, findings);
    let director = table.switch("director", findings).unwrap_or_default();
    let maintenance = table.parsed("maintenance", findings).unwrap_or_default();
    let mut backend = Backend { mac, vlans, director, ..Backend::new(name.clone()) };
    let mut spans: Vec<(IpAddr, Span)> = Vec::new();
    for (address, span) in addresses(&table, findings) {
        let taken = spans.iter().any(|(other, _)| other.is_ipv4() == address.is_ipv4());
        if taken {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            let message =
                format!("{address} is its second {family} address: it has one of each family at most");
            table.say(Some(&span), &message, findings);
            continue;
        }
        match address {
            IpAddr::V4(v4) => backend.ipv4 = Some(v4),
            IpAddr::V6(v6) => backend.ipv6 = Some(v6),
        }
        spans.push((address, span));
    }
    // Each refusal is told, and its cause taken away, until what is left has no other.
    while backend.addresses().next().is_some() {
        let added = intent.add_backend(backend.clone());
        let Err(refusal) = added.and_then(|()| intent.set_maintenance(name, maintenance)) else { break };
        let cause = match &refusal {
            Refusal::BadBackendAddress(_, address)
            | Refusal::BackendAddressTaken { address, .. }
            | Refusal::VipIsBackend { address, .. } => {
                backend.ipv4 = backend.ipv4.filter(|v4| IpAddr::V4(*v4) != *address);
                backend.ipv6 = backend.ipv6.filter(|v6| IpAddr::V6(*v6) != *address);
                spans.iter().find(|(other, _)| other == address).map(|(_, span)| span.clone())
            }
            Refusal::TooManyTags(..) => backend.vlans.take().map(|_| table.span_of("vlans")),
            Refusal::BadMac(..) => backend.mac.take().map(|_| table.span_of("mac")),
            _ => None,
        };
        findings.add(cause.as_ref().unwrap_or(&span), refusal.to_string());
        if cause.is_none() {
            break;
        }
    }
}

/// `vlans`: a list of ids.
fn vlans(table: &Table<'_>, findings: &mut Findings<'_>) -> Option<Vec<u16>> {
    let list = table.list("vlans", "[100] or [], which is untagged", findings)?;
    let id = |field| table.number_at("vlans", field, 1..=MAX_VLAN, findings);
    Some(list.iter().filter_map(id).collect())
}

/// `address`: one, or a list of them.
fn addresses(table: &Table<'_>, findings: &mut Findings<'_>) -> Vec<(IpAddr, Span)> {
    let Some(field) = table.field("address") else { return Vec::new() };
    let fields = match field.get_ref().as_array() {
        Some(list) => list.iter().collect(),
        None => vec![field],
    };
    if fields.is_empty() {
        table.say(
            Some(&field.span()),
            &format!("\"address\" is empty: give it one, like {EXAMPLE}"),
            findings,
        );
    }
    let mut addresses = Vec::new();
    for field in fields {
        let Some(text) = field.get_ref().as_str() else {
            table.mistyped::<()>("address", "one string, or a list of them", field, findings);
            continue;
        };
        match text.parse() {
            Ok(address) => addresses.push((address, field.span())),
            Err(_) => {
                table.say(Some(&field.span()), &format!("address: {text:?} is no IP address"), findings);
            }
        }
    }
    addresses
}
