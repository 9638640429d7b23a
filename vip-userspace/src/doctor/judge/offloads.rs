//! Findings about what is done to frames before the program sees them: merging, and taking VLAN tags off.

use super::super::{
    facts::{Facts, Interface, Offloads, Part},
    finding::Sheet,
};

/// The kernel's names (net/ethtool/common.c, `netdev_features_strings`).
const LRO: &str = "rx-lro";
const GRO_HARDWARE: &str = "rx-gro-hw";
const GRO: &str = "rx-gro";
const TAKES_TAGS: &str = "rx-vlan-hw-parse";
const FILTERS_TAGS: &str = "rx-vlan-filter";

pub(super) fn findings(interface: &Interface, facts: &Facts, sheet: &mut Sheet) {
    let offloads = match &interface.offloads {
        Ok(offloads) => offloads,
        Err(why) => return sheet.unknown("offloads", why),
    };
    merging(interface, offloads, sheet);
    tags(interface, offloads, facts, sheet);
}

fn merging(interface: &Interface, offloads: &Offloads, sheet: &mut Sheet) {
    let attached = interface.program.as_ref().is_some_and(|program| program.is_ours);
    for (check, feature, code, option) in
        [("lro", LRO, "lro", "lro"), ("gro in hardware", GRO_HARDWARE, "gro-hw", "rx-gro-hw")]
    {
        if !offloads.on.contains(feature) {
            sheet.good(check, "off");
            continue;
        }
        let fixed = !offloads.changeable.contains(feature);
        let remedy = match fixed {
            true => "the driver does not let it be turned off: take another NIC".to_owned(),
            false => format!("ethtool -K {} {option} off", interface.name),
        };
        if attached {
            let words = "on: the NIC merges packets before the program sees them, and what is longer than the MTU is lost";
            sheet.breaks(check, code, words, remedy);
        } else {
            let words = "on: packets that are merged are too long to be forwarded; many drivers refuse the program until it \
                         is off";
            sheet.warning(check, code, words, remedy);
        }
    }
    let gro = if offloads.on.contains(GRO) { "on" } else { "off" };
    sheet.good("gro", format!("{gro}: it merges behind the program, or not at all where that is generic"));
}

fn tags(interface: &Interface, offloads: &Offloads, facts: &Facts, sheet: &mut Sheet) {
    let name = &interface.name;
    let used = facts.backends.iter().any(|backend| backend.tags > 0);
    let attached = interface.program.as_ref().is_some_and(|program| program.is_ours);
    let fixed = !offloads.changeable.contains(TAKES_TAGS);
    let remedy = match fixed {
        true => "the driver does not let it be turned off: take another NIC where VLANs are used".to_owned(),
        false => format!("ethtool -K {name} rxvlan off"),
    };
    let words =
        "on: the NIC takes tags off before the program sees them, so a tagged frame leaves in another VLAN";
    match offloads.on.contains(TAKES_TAGS) {
        false => sheet.good("vlan offload", "off"),
        true if interface.part == Part::Egress => {
            sheet.good("vlan offload", "on: nothing is forwarded that comes in here");
        }
        true if !attached && !fixed => {
            sheet.note("vlan offload", "rxvlan", "on: `vip run` turns it off while it is attached");
        }
        true if used => sheet.breaks("vlan offload", "rxvlan", words, remedy),
        true => sheet.warning("vlan offload", "rxvlan", words, remedy),
    }
    if used && offloads.on.contains(FILTERS_TAGS) && interface.part != Part::Egress {
        sheet.advise(
            "vlan filter",
            "vlan-filter",
            "on: the NIC drops frames of VLANs that no device of this box is in",
            format!("ethtool -K {name} rx-vlan-filter off"),
        );
    }
}
