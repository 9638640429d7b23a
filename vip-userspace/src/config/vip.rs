//! Reads `[vip."ADDRESS"]`, and adds the settings to the intent.

use std::{collections::BTreeSet, net::IpAddr};

use super::{problem::Findings, service::Stated, table::Table};
use crate::model::{Intent, VipSettings};

pub(super) const KEYS: [&str; 3] = ["role", "echo", "unknown-port"];

/// Adds the settings of all VIPs of the file. `stated` is what its services say of VIPs.
pub(super) fn set_all(root: &Table<'_>, stated: &Stated, intent: &mut Intent, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (text, span, field) in root.tables("vip", "\"ADDRESS\"", findings) {
        let Ok(vip) = text.parse::<IpAddr>() else {
            findings.add(
                &span,
                format!("[vip]: {text:?} is no IP address (it needs quotes: [vip.\"10.200.0.1\"])"),
            );
            continue;
        };
        let Some(mut table) = Table::read(&format!("vip {vip}"), span.clone(), field, findings) else {
            continue;
        };
        table.allow(&KEYS, findings);
        let settings = VipSettings {
            role: table.parsed("role", findings).unwrap_or_default(),
            echo: table.parsed("echo", findings).unwrap_or_default(),
            unknown_port: table.parsed("unknown-port", findings).unwrap_or_default(),
        };
        if !seen.insert(vip) {
            table.say(Some(&span), "it is stated a second time, in other letters", findings);
        } else if let Err(refusal) = intent.set_vip(vip, settings)
            && stated.none_has(vip)
        {
            findings.add(&span, refusal.to_string());
        }
    }
}
