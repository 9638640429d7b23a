//! Findings about VIPs and backends: who has the address, and whether packets get to who should.

use std::collections::BTreeMap;

use super::super::{
    facts::{Facts, Vip, Way, Who},
    finding::{Finding, Sheet},
};
use crate::model::{BackendName, Mac, NoNeighbour, Role};

pub(super) fn findings(vip: &Vip, facts: &Facts) -> Vec<Finding> {
    let mut sheet = Sheet::about(&vip.address);
    local(vip, facts, &mut sheet);
    owners(vip, &mut sheet);
    sheet.finish()
}

/// A VIP is on no interface of the director, unless that is a backend of its own.
fn local(vip: &Vip, facts: &Facts, sheet: &mut Sheet) {
    let serves_itself = facts
        .backends
        .iter()
        .find(|backend| backend.way == Ok(Way::Here) && backend.vips.contains(&vip.address));
    let prefix = if vip.address.is_ipv4() { 32 } else { 128 };
    let names: Vec<_> = vip.local.iter().cloned().collect();
    match (vip.local.is_empty(), serves_itself) {
        (true, None) => sheet.good("local address", "the VIP is on no interface here"),
        (true, Some(backend)) => sheet.breaks(
            "local address",
            "vip-not-held",
            format!("backend {} is this box, but the VIP is on no interface here: what it gets is dropped", backend.name),
            format!("ip address add {}/{prefix} dev lo", vip.address),
        ),
        (false, Some(backend)) if names == ["lo"] => {
            sheet.good("local address", format!("on lo, for backend {} is this box", backend.name));
        }
        (false, Some(backend)) => sheet.warning(
            "local address",
            "vip-not-on-lo",
            format!("backend {} is this box, but the VIP is on {}, whose kernel tells others so", backend.name, names.join(", ")),
            format!("ip address del {0}/{prefix} dev {1}; ip address add {0}/{prefix} dev lo", vip.address, names[0]),
        ),
        (false, None) => sheet.warning(
            "local address",
            "vip-local",
            format!(
                "the VIP is an address of this box, on {}: packets to ports without a service are left to the kernel, and what \
                 runs here sees itself instead of the backends",
                names.join(", ")
            ),
            format!("ip address del {}/{prefix} dev {}", vip.address, names[0]),
        ),
    }
}

/// Only a director answers for a VIP, and of several the one that is active.
fn owners(vip: &Vip, sheet: &mut Sheet) {
    for (interface, why) in &vip.unasked {
        sheet.note("owner", "unasked", format!("nobody could be asked on {interface}: {why}"));
    }
    let asked: Vec<_> = vip.owners.keys().map(String::as_str).collect();
    if asked.is_empty() {
        return;
    }
    let all: BTreeMap<&Mac, &Who> = vip.owners.values().flatten().collect();
    let mut others = Vec::new();
    let mut stolen = false;
    for (mac, who) in all {
        match who {
            Who::Backend(name) => {
                stolen = true;
                thief(vip, name, *mac, sheet);
            }
            Who::Director => others.push(format!("another director ({mac})")),
            Who::Stranger => others.push(format!("somebody at {mac}")),
        }
    }
    let (asked, others, address) = (asked.join(", "), (others.len(), others.join(" and ")), vip.address);
    match (vip.role, others) {
        (Role::Active, (0, _)) if !stolen => sheet.good("owner", format!("nobody else answers for it on {asked}")),
        (_, (0, _)) if stolen => {}
        (Role::Active, (_, others)) => sheet.breaks(
            "owner",
            "duplicate-owner",
            format!("{others} answers for it as well, on {asked}: clients go there or here by chance"),
            format!("take the address from that machine; if it is the active director, say so here: [vip.\"{address}\"] role = \"standby\""),
        ),
        (Role::Standby, (0, _)) => sheet.warning(
            "owner",
            "no-owner",
            format!("nobody answers for it on {asked}, and this director stands by"),
            "start the active director, or set role = \"active\" here",
        ),
        (Role::Standby, (1, other)) => sheet.good("owner", format!("{other} answers for it, this director stands by")),
        (Role::Standby, (_, others)) => sheet.breaks(
            "owner",
            "duplicate-owner",
            format!("{others} answer for it: clients go to one of them by chance"),
            "take the address from all of them but the active director",
        ),
    }
}

fn thief(vip: &Vip, name: &BackendName, mac: Mac, sheet: &mut Sheet) {
    let (how, address) = (if vip.address.is_ipv4() { "ARP" } else { "neighbour solicitations" }, vip.address);
    sheet.breaks(
        "owner",
        "backend-answers",
        format!("backend {name} ({mac}) answers {how} for it: it takes the VIP's traffic past the director"),
        format!("vip doctor backend --vip {address} >backend.sh, and on {name}: sh backend.sh --fix"),
    );
}

/// Whether backends are on the links of the director.
pub(super) fn of_backends(facts: &Facts) -> Vec<Finding> {
    let Some(config) = &facts.director.config else { return Vec::new() };
    let mut findings = Vec::new();
    let mut good = 0;
    for backend in &facts.backends {
        let mut sheet = Sheet::about(&backend.name);
        let address = backend.address;
        match &backend.way {
            Ok(Way::Here) => good += 1,
            Ok(Way::Out(name)) if config.interfaces.iter().chain(&config.egress_interfaces).any(|one| one == name) => {
                good += 1;
            }
            Ok(Way::Out(name)) => sheet.breaks(
                "way",
                "other-interface",
                format!("{address} is reached by {name}, which the director is not attached to"),
                format!("add {name:?} to egress-interfaces, or give the backend an address on another link"),
            ),
            Err(NoNeighbour::NotOnLink { gateway }) => sheet.breaks(
                "way",
                "not-on-link",
                format!("{address} is behind the gateway {gateway}: MACs alone are changed, so it must be on the link"),
                "give the director and the backend addresses of one network on one link",
            ),
            Err(why) => sheet.breaks(
                "way",
                "unreachable",
                format!("{address} can't be reached: {why}"),
                "give this box an address of the backend's network on the link to it",
            ),
        }
        findings.extend(sheet.finish());
    }
    if good > 0 {
        let mut sheet = Sheet::about("backends");
        sheet
            .good("way", format!("{good} of {} addresses are on the director's links", facts.backends.len()));
        findings.extend(sheet.finish());
    }
    findings
}
