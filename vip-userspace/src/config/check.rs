//! Reads the `check` of a service.

use super::{
    probe,
    problem::{Findings, Span},
    table::{Field, Table},
};
use crate::model::{Check, Refusal};

/// Keys that every check knows; its probe has more.
const KEYS: [&str; 8] =
    ["probe", "interval", "fast-interval", "down-interval", "timeout", "rise", "fall", "port"];

/// All keys of a check.
pub(super) fn keys() -> Vec<&'static str> {
    probe::keys().chain(KEYS).collect()
}

/// The table, and what it says; `None` where that is too little.
pub(super) fn read<'a>(
    context: &str,
    span: Span,
    field: &'a Field<'a>,
    findings: &mut Findings<'_>,
) -> (Option<Table<'a>>, Option<Check>) {
    let Some(mut table) = Table::read(context, span, field, findings) else { return (None, None) };
    table.allow(&keys(), findings);
    let probe = probe::read(&table, findings);
    let interval = table.duration("interval", findings).unwrap_or(Check::DEFAULT_INTERVAL);
    let fast_interval = table.duration("fast-interval", findings);
    let down_interval = table.duration("down-interval", findings);
    let timeout = table.duration("timeout", findings).unwrap_or(Check::DEFAULT_TIMEOUT.min(interval));
    let mut streak = |key| table.number(key, 1..=Check::MAX_STREAK, findings);
    let rise = streak("rise").unwrap_or(Check::DEFAULT_RISE);
    let fall = streak("fall").unwrap_or(Check::DEFAULT_FALL);
    let port = table.number("port", 1..=u16::MAX, findings);
    let target = table.parsed("probe", findings).unwrap_or_default();
    let check = probe.map(|probe| Check {
        probe,
        interval,
        fast_interval,
        down_interval,
        timeout,
        rise,
        fall,
        port,
        target,
    });
    (Some(table), check)
}

/// Changes the check so that the cause of the refusal is gone; the key of that, or `None` if it is not the check's.
pub(super) fn take_away(check: &mut Check, refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::OutOfRange { what: "interval", .. } => {
            check.interval = check.interval.clamp(Check::MIN_INTERVAL, Check::MAX_INTERVAL);
            Some("interval")
        }
        Refusal::OutOfRange { what: "fast-interval", .. } => {
            check.fast_interval = None;
            Some("fast-interval")
        }
        Refusal::OutOfRange { what: "down-interval", .. } => {
            check.down_interval = None;
            Some("down-interval")
        }
        Refusal::OutOfRange { what: "timeout", .. } => {
            check.timeout = check.interval;
            Some("timeout")
        }
        Refusal::BadSetting { key: "port", .. } => {
            check.port = None;
            Some("port")
        }
        _ => probe::take_away(&mut check.probe, refusal),
    }
}
