//! What a check must be by itself, and for its service.

use super::{
    super::{Check, Dns, Grpc, Http, Method, Ports, Probe, Protocol, Script, Service, ServiceName, Tls},
    Refusal,
    rules::{within, within_time},
};

/// Longest text that is looked for in a body, in bytes.
const MAX_TEXT: usize = 1024;

/// Longest name of a gRPC service, in bytes.
const MAX_GRPC: usize = 127;

/// What the check of a service must be.
pub(super) fn check(service: &Service, check: &Check) -> Result<(), Refusal> {
    let name = &service.name;
    within_time(name, "interval", check.interval, Check::MIN_INTERVAL, Check::MAX_INTERVAL)?;
    within_time(name, "fast-interval", check.fast_interval(), Check::MIN_INTERVAL, check.interval)?;
    within_time(name, "down-interval", check.down_interval(), check.interval, Check::MAX_INTERVAL)?;
    within_time(name, "timeout", check.timeout, Check::MIN_TIMEOUT, check.interval)?;
    within(name, "rise", check.rise, 1, Check::MAX_STREAK)?;
    within(name, "fall", check.fall, 1, Check::MAX_STREAK)?;
    port(service, check)?;
    match &check.probe {
        Probe::Tcp => Ok(()),
        Probe::Tls(its) => tls(name, its),
        Probe::Http(its) => http(name, its),
        Probe::Grpc(its) => grpc(name, its),
        Probe::Dns(its) => dns(name, its),
        Probe::Ping => match check.port {
            Some(port) => {
                Err(bad(name, "port", &port.to_string(), "leave it out with ping: it has no ports"))
            }
            None => Ok(()),
        },
        Probe::Script(its) => script(name, its),
    }
}

/// The service's own port will do where the probe speaks its protocol, and it has just one.
fn port(service: &Service, check: &Check) -> Result<(), Refusal> {
    let name = &service.name;
    if check.port == Some(0) {
        within(name, "check port", 0, 1, u32::from(u16::MAX))?;
    }
    let Some(needed) = check.probe.protocol().filter(|_| check.port.is_none()) else { return Ok(()) };
    let what = match (service.address.protocol, service.address.ports) {
        (its, Ports::One(_)) if its == needed => return Ok(()),
        (its, _) if its == needed => "a service of many ports",
        (Protocol::Tcp, _) => "a TCP service",
        (Protocol::Udp, _) => "a UDP service",
        (Protocol::Sctp, _) => "an SCTP service",
        (Protocol::Any, _) => "a service of any protocol",
    };
    Err(Refusal::CheckNeedsPort { service: name.clone(), what, probe: check.probe.kind() })
}

fn http(service: &ServiceName, http: &Http) -> Result<(), Refusal> {
    let Http { method, path, host, expect: (low, high), body, tls: its } = http;
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::BadPath { service: service.clone(), path: path.clone() });
    }
    self::host(service, host.as_deref())?;
    within(service, "expected status", u32::from(*low), 100, 599)?;
    within(service, "highest expected status", u32::from(*high), u32::from(*low), 599)?;
    if let Some(text) = body.as_ref().filter(|text| text.is_empty() || text.len() > MAX_TEXT) {
        return Err(bad(service, "body", text, "write a text of 1 to 1024 bytes"));
    }
    if let (Method::Head, Some(text)) = (method, body) {
        return Err(bad(service, "body", text, "leave it out with method HEAD: the answer has no body"));
    }
    its.as_ref().map_or(Ok(()), |its| tls(service, its))
}

fn grpc(service: &ServiceName, grpc: &Grpc) -> Result<(), Refusal> {
    let Grpc { service: asked, host: its, tls: secured } = grpc;
    if asked.len() > MAX_GRPC || !asked.bytes().all(|byte| byte.is_ascii_graphic()) {
        let advice = "write a gRPC service's name of up to 127 letters, or nothing for the whole server";
        return Err(bad(service, "grpc", asked, advice));
    }
    host(service, its.as_deref())?;
    secured.as_ref().map_or(Ok(()), |its| tls(service, its))
}

/// RFC 1035, section 2.3.4: labels of 1 to 63 bytes, 253 in all. The root is a name, too.
fn dns(service: &ServiceName, dns: &Dns) -> Result<(), Refusal> {
    let name = dns.name.strip_suffix('.').unwrap_or(&dns.name);
    let is_label =
        |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic());
    match dns.name == "." || (name.len() <= 253 && name.split('.').all(is_label)) {
        true => Ok(()),
        false => Err(bad(service, "dns", &dns.name, "write a DNS name, like www.example.org")),
    }
}

fn script(service: &ServiceName, script: &Script) -> Result<(), Refusal> {
    let Script { command, user } = script;
    let file = command.first().map_or("", String::as_str);
    if !file.starts_with('/') || command.iter().any(|word| word.contains('\0')) {
        return Err(bad(service, "script", file, FILE));
    }
    match user.as_ref().filter(|user| user.is_empty() || user.contains([':', '\n'])) {
        Some(user) => Err(bad(service, "user", user, "write the name of a user of this box")),
        None => Ok(()),
    }
}

/// A name for a header.
fn host(service: &ServiceName, host: Option<&str>) -> Result<(), Refusal> {
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    match host.filter(|host| host.is_empty() || !host.bytes().all(in_host)) {
        Some(host) => Err(Refusal::BadHost { service: service.clone(), host: host.to_owned() }),
        None => Ok(()),
    }
}

fn tls(service: &ServiceName, tls: &Tls) -> Result<(), Refusal> {
    let is_name =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if let Some(sni) = tls.sni.as_ref().filter(|sni| sni.is_empty() || !is_name(sni)) {
        return Err(bad(service, "sni", sni, "write a host name, like www.example.org"));
    }
    match &tls.ca {
        Some(path) if !path.starts_with('/') => Err(bad(service, "ca", path, FILE)),
        Some(path) if tls.insecure => {
            Err(bad(service, "ca", path, "leave it out with insecure: anybody is trusted"))
        }
        _ => Ok(()),
    }
}

/// What names a file, wherever the controller was started.
const FILE: &str = "write a path from the root on, like /etc/vip/file";

fn bad(service: &ServiceName, key: &'static str, value: &str, advice: &'static str) -> Refusal {
    Refusal::BadSetting { service: service.clone(), key, value: value.to_owned(), advice }
}
