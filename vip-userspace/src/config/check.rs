//! Reads the `check` of a service.

use super::{
    problem::{Findings, Span},
    table::{Field, Table},
};
use crate::model::{Check, Probe, Refusal};

pub(super) const KEYS: [&str; 12] = [
    "probe",
    "http",
    "tcp",
    "host",
    "expect",
    "interval",
    "fast-interval",
    "down-interval",
    "timeout",
    "rise",
    "fall",
    "port",
];

/// The table, and what it says; `None` where that is too little.
pub(super) fn read<'a>(
    context: &str,
    span: Span,
    field: &'a Field<'a>,
    findings: &mut Findings<'_>,
) -> (Option<Table<'a>>, Option<Check>) {
    let Some(mut table) = Table::read(context, span, field, findings) else { return (None, None) };
    table.allow(&KEYS, findings);
    let probe = probe(&table, findings);
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
    match (refusal, &mut check.probe) {
        (Refusal::OutOfRange { what: "interval", .. }, _) => {
            check.interval = check.interval.clamp(Check::MIN_INTERVAL, Check::MAX_INTERVAL);
            Some("interval")
        }
        (Refusal::OutOfRange { what: "fast-interval", .. }, _) => {
            check.fast_interval = None;
            Some("fast-interval")
        }
        (Refusal::OutOfRange { what: "down-interval", .. }, _) => {
            check.down_interval = None;
            Some("down-interval")
        }
        (Refusal::OutOfRange { what: "timeout", .. }, _) => {
            check.timeout = check.interval;
            Some("timeout")
        }
        (Refusal::BadPath { .. }, Probe::Http { path, .. }) => {
            "/".clone_into(path);
            Some("http")
        }
        (Refusal::BadHost { .. }, Probe::Http { host, .. }) => {
            *host = None;
            Some("host")
        }
        (Refusal::OutOfRange { .. }, Probe::Http { expect, .. }) if *expect != Check::DEFAULT_EXPECT => {
            *expect = Check::DEFAULT_EXPECT;
            Some("expect")
        }
        _ => None,
    }
}

/// `http` with `host` and `expect`, or `tcp`.
fn probe(table: &Table<'_>, findings: &mut Findings<'_>) -> Option<Probe> {
    match (table.has("http"), table.has("tcp")) {
        (true, true) => {
            table.say(
                Some(&table.span_of("tcp")),
                "it has \"http\" and \"tcp\": one of them is enough",
                findings,
            );
            None
        }
        (true, false) => {
            let host = table.text("host", findings).map(str::to_owned);
            let expect = expect(table, findings).unwrap_or(Check::DEFAULT_EXPECT);
            let path = table.text("http", findings)?.to_owned();
            Some(Probe::Http { path, host, expect })
        }
        (false, is_tcp) => {
            if !is_tcp && !table.is_meant("tcp") {
                table.require("http", r#"state it, like http = "/health", or tcp = true"#, findings);
            } else if table.switch("tcp", findings) == Some(false) {
                let message = "tcp = false checks nothing: leave the whole check out";
                table.say(Some(&table.span_of("tcp")), message, findings);
            }
            for key in ["host", "expect"].into_iter().filter(|key| is_tcp && table.has(key)) {
                let message = format!("{key:?} needs \"http\": a TCP check sends no request");
                table.say(Some(&table.span_of(key)), &message, findings);
            }
            is_tcp.then_some(Probe::Tcp)
        }
    }
}

/// `expect`: a status, or a range of them.
fn expect(table: &Table<'_>, findings: &mut Findings<'_>) -> Option<(u16, u16)> {
    let field = table.field("expect")?;
    if field.get_ref().is_integer() {
        return table.number("expect", 100..=599, findings).map(|status| (status, status));
    }
    let text = table.text("expect", findings)?;
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let statuses = low.trim().parse().ok().zip(high.trim().parse().ok());
    if statuses.is_none() {
        let message =
            format!("expect: {text:?} is no status: write one, like 200, or a range, like \"200-399\"");
        table.say(Some(&field.span()), &message, findings);
    }
    statuses
}
