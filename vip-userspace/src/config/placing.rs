//! Reads the keys of a service that say how it places flows.

use std::net::IpAddr;

use super::{problem::Findings, table::Table};
use crate::model::{
    Affinity, AffinityKind, Refusal, Service,
    service::{MAX_QUORUM, MAX_WINDOW},
};

/// The keys that are read here.
pub(super) const KEYS: [&str; 12] = [
    "scheduler",
    "affinity",
    "affinity-prefix",
    "on-dead",
    "window",
    "idle",
    "fragments",
    "no-backend",
    "quorum",
    "quorum-hysteresis",
    "panic-threshold",
    "slow-start",
];

/// Reads them into `service`. `vip` is its VIP, where one is stated.
pub(super) fn read(
    table: &Table<'_>,
    vip: Option<IpAddr>,
    service: &mut Service,
    findings: &mut Findings<'_>,
) {
    service.scheduler = table.parsed("scheduler", findings).unwrap_or_default();
    service.affinity = affinity(table, vip, findings);
    service.on_dead = table.parsed("on-dead", findings).unwrap_or_default();
    service.window = table.duration("window", findings);
    service.idle = table.duration("idle", findings);
    if table.has("window") && service.window.is_none() {
        // There is nothing that it could be too short for.
        service.idle = None;
    }
    service.fragments = table.parsed("fragments", findings).unwrap_or_default();
    service.no_backend = table.parsed("no-backend", findings).unwrap_or_default();
    service.quorum = table.number("quorum", 1..=MAX_QUORUM, findings).unwrap_or(1);
    service.quorum_hysteresis = table.number("quorum-hysteresis", 0..=MAX_QUORUM, findings).unwrap_or(0);
    service.panic_threshold = table.number("panic-threshold", 1..=100, findings);
    service.slow_start = table.duration("slow-start", findings);
}

/// `affinity` and `affinity-prefix`.
fn affinity(table: &Table<'_>, vip: Option<IpAddr>, findings: &mut Findings<'_>) -> Affinity {
    let kind = table.parsed::<AffinityKind>("affinity", findings);
    let bits = if vip.is_some_and(|vip| vip.is_ipv4()) { 32 } else { 128 };
    let prefix = table.number("affinity-prefix", 1..=bits, findings);
    let is_source = kind == Some(AffinityKind::Source);
    // A kind that could not be read may have been meant to be this one.
    let may_be_source =
        is_source || (kind.is_none() && (table.has("affinity") || table.is_meant("affinity")));
    if table.has("affinity-prefix") && !may_be_source {
        let message = r#""affinity-prefix" needs affinity = "source""#;
        table.say(Some(&table.span_of("affinity-prefix")), message, findings);
    }
    match (kind, vip) {
        (Some(kind), Some(vip)) => Affinity::new(kind, vip, prefix),
        _ => Affinity::default(),
    }
}

/// Changes the service so that the cause of the refusal is gone; the key of that, or `None` if it is none of these.
pub(super) fn take_away(service: &mut Service, refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::OutOfRange { what: "window", .. } => {
            service.window = Some(MAX_WINDOW);
            Some("window")
        }
        Refusal::OutOfRange { what: "idle", .. } | Refusal::IdleTooShort { .. } => {
            service.idle = None;
            Some("idle")
        }
        Refusal::OnDeadNeedsWindow { .. } => {
            service.on_dead = Default::default();
            Some("on-dead")
        }
        Refusal::OutOfRange { what: "slow-start", .. } => {
            service.slow_start = None;
            Some("slow-start")
        }
        Refusal::PanicNeedsCheck(_) => {
            service.panic_threshold = None;
            Some("panic-threshold")
        }
        Refusal::TwoByAddresses { .. } => {
            service.fragments = Default::default();
            Some("fragments")
        }
        _ => None,
    }
}
