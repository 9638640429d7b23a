//! Reads what a check's probe does: of a few kinds one, each with keys that others do not know.

use super::{problem::Findings, table::Table};
use crate::model::{Check, Dns, Grpc, Http, Method, Probe, Refusal, Script, Tls};

/// The kinds; a check states one.
const KINDS: [&str; 9] = ["http", "https", "tcp", "tls", "grpc", "grpcs", "dns", "ping", "script"];
/// Keys that not all kinds know, and those that do.
const OPTIONS: [(&str, &[&str]); 10] = [
    ("method", &["http", "https"]),
    ("host", &["http", "https", "grpc", "grpcs"]),
    ("expect", &["http", "https"]),
    ("body", &["http", "https"]),
    ("sni", &["https", "grpcs", "tls"]),
    ("ca", &["https", "grpcs", "tls"]),
    ("insecure", &["https", "grpcs", "tls"]),
    ("record", &["dns"]),
    ("rcode", &["dns"]),
    ("user", &["script"]),
];

/// The keys that are read here.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().chain(OPTIONS.into_iter().map(|(key, _)| key))
}

/// The probe that the check's table states.
pub(super) fn read(table: &Table<'_>, findings: &mut Findings<'_>) -> Option<Probe> {
    let stated: Vec<_> = KINDS.into_iter().filter(|kind| table.has(kind)).collect();
    let kind = match stated[..] {
        [] => {
            if !KINDS.into_iter().any(|kind| table.is_meant(kind)) {
                table.require("http", r#"state it, like http = "/health", or tcp = true"#, findings);
            }
            return None;
        }
        [kind] => kind,
        [one, other, ..] => {
            let message = format!("it has {one:?} and {other:?}: one of them is enough");
            table.say(Some(&table.span_of(other)), &message, findings);
            return None;
        }
    };
    for (key, kinds) in OPTIONS.into_iter().filter(|(key, kinds)| table.has(key) && !kinds.contains(&kind)) {
        let message = format!("{key:?} needs {}: a check by {kind} knows no such thing", one_of(kinds));
        table.say(Some(&table.span_of(key)), &message, findings);
    }
    of_kind(kind, table, findings)
}

fn of_kind(kind: &'static str, table: &Table<'_>, findings: &mut Findings<'_>) -> Option<Probe> {
    match kind {
        "http" | "https" => {
            let tls = (kind == "https").then(|| tls(table, findings));
            let http = Http {
                method: table.parsed::<Method>("method", findings).unwrap_or_default(),
                host: text(table, "host", findings),
                expect: expect(table, findings).unwrap_or(Check::DEFAULT_EXPECT),
                body: text(table, "body", findings),
                tls,
                ..Http::get(table.text(kind, findings)?)
            };
            Some(Probe::Http(http))
        }
        "grpc" | "grpcs" => {
            let tls = (kind == "grpcs").then(|| tls(table, findings));
            let host = text(table, "host", findings);
            Some(Probe::Grpc(Grpc { service: text(table, kind, findings)?, host, tls }))
        }
        "dns" => {
            let record = table.parsed("record", findings).unwrap_or_default();
            let rcode = table.parsed("rcode", findings).unwrap_or_default();
            Some(Probe::Dns(Dns { name: text(table, kind, findings)?, record, rcode }))
        }
        "tls" => {
            let tls = tls(table, findings);
            is_on(kind, table, findings).then_some(Probe::Tls(tls))
        }
        "script" => {
            let user = text(table, "user", findings);
            Some(Probe::Script(Script { command: command(table, findings)?, user }))
        }
        "ping" => is_on(kind, table, findings).then_some(Probe::Ping),
        _ => is_on(kind, table, findings).then_some(Probe::Tcp),
    }
}

/// Whether a kind that has nothing else to say is stated by true.
fn is_on(kind: &str, table: &Table<'_>, findings: &mut Findings<'_>) -> bool {
    let is_on = table.switch(kind, findings);
    if is_on == Some(false) {
        let message = format!("{kind} = false checks nothing: leave the whole check out");
        table.say(Some(&table.span_of(kind)), &message, findings);
    }
    is_on == Some(true)
}

/// `script`: a file, or a list of it and its arguments.
fn command(table: &Table<'_>, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let example = r#"["/usr/local/bin/check", "--fast"]"#;
    let field = table.field("script")?;
    if let Some(file) = field.get_ref().as_str() {
        return Some(vec![file.to_owned()]);
    }
    let words = table.list("script", example, findings)?;
    let texts: Option<Vec<_>> = words.iter().map(|word| word.get_ref().as_str().map(str::to_owned)).collect();
    match texts {
        Some(texts) if !texts.is_empty() => Some(texts),
        _ => {
            let message = format!("script is a file and its arguments, like {example}");
            table.say(Some(&field.span()), &message, findings);
            None
        }
    }
}

fn tls(table: &Table<'_>, findings: &mut Findings<'_>) -> Tls {
    Tls {
        sni: text(table, "sni", findings),
        ca: text(table, "ca", findings),
        insecure: table.switch("insecure", findings).unwrap_or_default(),
    }
}

/// Changes the probe so that the cause of the refusal is gone; the key of that, or `None` if it is not the probe's.
pub(super) fn take_away(probe: &mut Probe, refusal: &Refusal) -> Option<&'static str> {
    match (refusal, probe) {
        (Refusal::BadPath { .. }, Probe::Http(http)) => {
            "/".clone_into(&mut http.path);
            Some(if http.tls.is_some() { "https" } else { "http" })
        }
        (Refusal::BadHost { .. }, Probe::Http(Http { host, .. }) | Probe::Grpc(Grpc { host, .. })) => {
            *host = None;
            Some("host")
        }
        (Refusal::OutOfRange { .. }, Probe::Http(http)) if http.expect != Check::DEFAULT_EXPECT => {
            http.expect = Check::DEFAULT_EXPECT;
            Some("expect")
        }
        (Refusal::BadSetting { key, .. }, probe) => {
            match (*key, probe) {
                ("body", Probe::Http(http)) => http.body = None,
                ("grpc", Probe::Grpc(grpc)) => {
                    grpc.service = String::new();
                    return Some(if grpc.tls.is_some() { "grpcs" } else { "grpc" });
                }
                ("script", Probe::Script(script)) => script.command = vec!["/".to_owned()],
                ("user", Probe::Script(script)) => script.user = None,
                ("dns", Probe::Dns(dns)) => ".".clone_into(&mut dns.name),
                ("sni", probe) => probe.tls_mut()?.sni = None,
                ("ca", probe) => probe.tls_mut()?.ca = None,
                _ => return None,
            }
            Some(key)
        }
        _ => None,
    }
}

fn text(table: &Table<'_>, key: &str, findings: &mut Findings<'_>) -> Option<String> {
    table.text(key, findings).map(str::to_owned)
}

/// `"a"`, `"a" or "b"`, `"a", "b" or "c"`.
fn one_of(kinds: &[&str]) -> String {
    match kinds {
        [] => String::new(),
        [one] => format!("{one:?}"),
        [some @ .., last] => {
            let some: Vec<_> = some.iter().map(|kind| format!("{kind:?}")).collect();
            format!("{} or {last:?}", some.join(", "))
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
