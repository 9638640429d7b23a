//! Reads what the file says of the director's network: its interfaces, and the other directors.

use std::collections::BTreeSet;

use super::{problem::Findings, table::Table};
use crate::model::Mac;

/// Longest name of an interface, in bytes: `IFNAMSIZ` less its final zero.
const MAX_INTERFACE_NAME: usize = 15;

/// `interfaces`: at least one.
pub(super) fn interfaces(root: &Table<'_>, findings: &mut Findings<'_>) -> Vec<String> {
    let advice = r#"the director is attached to at least one, like interfaces = ["eth0"]"#;
    root.require("interfaces", advice, findings);
    if root
        .field("interfaces")
        .and_then(|field| field.get_ref().as_array())
        .is_some_and(|list| list.is_empty())
    {
        root.say(Some(&root.span_of("interfaces")), &format!("\"interfaces\" is empty: {advice}"), findings);
    }
    names(root, "interfaces", r#"["eth0"]"#, &[], findings)
}

/// `egress-interfaces`: none of `interfaces`, which lead to backends as well.
pub(super) fn egress_interfaces(
    root: &Table<'_>,
    interfaces: &[String],
    findings: &mut Findings<'_>,
) -> Vec<String> {
    names(root, "egress-interfaces", r#"["eth1"]"#, interfaces, findings)
}

fn names(
    root: &Table<'_>,
    key: &str,
    example: &str,
    others: &[String],
    findings: &mut Findings<'_>,
) -> Vec<String> {
    let mut interfaces: Vec<String> = Vec::new();
    for field in root.list(key, example, findings).into_iter().flatten() {
        let Some(name) = field.get_ref().as_str() else {
            root.mistyped::<()>(key, "names", field, findings);
            continue;
        };
        let wrong = if !is_interface_name(name) {
            format!(
                "{name:?} is no name of an interface: it has 1 to {MAX_INTERFACE_NAME} bytes, no blanks, no '/' and no ':'"
            )
        } else if interfaces.iter().any(|other| other == name) {
            format!("interface {name} is stated twice")
        } else if others.iter().any(|other| other == name) {
            format!("interface {name} is one of \"interfaces\": those lead to backends as well")
        } else {
            interfaces.push(name.to_owned());
            continue;
        };
        root.say(Some(&field.span()), &wrong, findings);
    }
    interfaces
}

/// Whether the kernel would take it as a name: `dev_valid_name` in net/core/dev.c.
fn is_interface_name(name: &str) -> bool {
    (1..=MAX_INTERFACE_NAME).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':'))
}

/// `virtual-router`: an id of VRRP.
pub(super) fn virtual_router(root: &Table<'_>, findings: &mut Findings<'_>) -> Option<u8> {
    root.number("virtual-router", 1..=u8::MAX, findings)
}

/// `peers`: the MACs of other directors.
pub(super) fn peers(root: &Table<'_>, findings: &mut Findings<'_>) -> BTreeSet<Mac> {
    let mut peers = BTreeSet::new();
    for field in root.list("peers", r#"["02:00:00:00:00:09"]"#, findings).into_iter().flatten() {
        let Some(text) = field.get_ref().as_str() else {
            root.mistyped::<()>("peers", "MAC addresses", field, findings);
            continue;
        };
        let wrong = match text.parse::<Mac>() {
            Err(error) => format!("peers: {error}"),
            Ok(mac) if !mac.is_unicast() => format!("peers: the MAC {mac} is not that of one NIC"),
            Ok(mac) if !peers.insert(mac) => format!("peers: {mac} is stated twice"),
            Ok(_) => continue,
        };
        root.say(Some(&field.span()), &wrong, findings);
    }
    peers
}
