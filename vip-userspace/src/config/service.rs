//! Reads `[service.NAME]`, and adds the services to the intent.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use toml::de::DeValue;

use super::{
    check, placing,
    problem::{Findings, Span},
    table::{Field, Table},
};
use crate::model::{
    Admin, BackendName, Intent, Member, Ports, Protocol, Refusal, Service, ServiceAddress, ServiceName, Ttl,
    service::{DEFAULT_SLOTS, DEFAULT_WEIGHT, MAX_SLOTS, MAX_WEIGHT},
    words::nearest,
};

pub(super) const KEYS: [&str; 7] = ["vip", "port", "protocol", "slots", "ttl", "members", "check"];

/// The keys of a member that is a table.
pub(super) const MEMBER_KEYS: [&str; 4] = ["backend", "weight", "backup", "admin"];

/// What the services of a file say of VIPs.
pub(super) struct Stated {
    vips: BTreeSet<IpAddr>,
    /// None of them was missing or wrong.
    all: bool,
}

impl Stated {
    /// Whether no service was meant to have this VIP.
    pub(super) fn none_has(&self, vip: IpAddr) -> bool {
        self.all && !self.vips.contains(&vip)
    }
}

/// A service as far as it could be read, and where its parts are.
struct Draft<'a> {
    table: Table<'a>,
    check_table: Option<Table<'a>>,
    service: Service,
    /// The VIP is as stated: it was neither missing nor wrong.
    vip_is_stated: bool,
    /// The ports and the protocol are, too.
    port_is_stated: bool,
    /// Where each of `service.members` is.
    members: Vec<Span>,
    /// What is wished of members.
    wishes: Vec<(BackendName, Admin)>,
}

/// Adds all services of the file. Members whose backend is one of `unsound` are left out.
pub(super) fn add_all(
    root: &Table<'_>,
    unsound: &BTreeSet<BackendName>,
    intent: &mut Intent,
    findings: &mut Findings<'_>,
) -> Stated {
    let mut stated = Stated { vips: BTreeSet::new(), all: true };
    for (name, span, field) in root.tables("service", "NAME", findings) {
        let name = name.parse::<ServiceName>().map_err(|error| findings.add(&span, error.to_string()));
        let draft = name.ok().and_then(|name| Draft::read(&name, &span, field, intent, unsound, findings));
        match &draft {
            Some(draft) if draft.vip_is_stated => stated.vips.extend([draft.service.address.vip]),
            _ => stated.all = false,
        }
        if let Some(draft) = draft {
            draft.add(&span, intent, findings);
        }
    }
    stated
}

impl<'a> Draft<'a> {
    fn read(
        name: &ServiceName,
        span: &Span,
        field: &'a Field<'a>,
        intent: &Intent,
        unsound: &BTreeSet<BackendName>,
        findings: &mut Findings<'_>,
    ) -> Option<Self> {
        let context = format!("service {name}");
        let mut table = Table::read(&context, span.clone(), field, findings)?;
        table.allow(&[&KEYS[..], &placing::KEYS[..]].concat(), findings);
        let vip = vip(&table, findings);
        let ports = ports(&table, findings);
        let (port_or_other, protocol) = ports.unwrap_or((Ports::One(1), Protocol::Tcp));
        let vip_or_other = vip.unwrap_or_else(|| unused_vip(intent, false));
        let (check_table, check) = match table.field("check") {
            Some(field) => check::read(&format!("{context}: check"), table.span_of("check"), field, findings),
            None => (None, None),
        };
        let members: Vec<_> = members(&table, findings)
            .into_iter()
            .filter(|(member, _, _)| !unsound.contains(&member.backend))
            .collect();
        let wishes = members.iter().map(|(member, admin, _)| (member.backend.clone(), *admin)).collect();
        let (members, spans) = members.into_iter().map(|(member, _, span)| (member, span)).unzip();
        let address = ServiceAddress { vip: vip_or_other, ports: port_or_other, protocol };
        let mut service = Service {
            slots: table.number("slots", 1..=MAX_SLOTS, findings).unwrap_or(DEFAULT_SLOTS),
            ttl: table.parsed::<Ttl>("ttl", findings).unwrap_or_default(),
            check,
            members,
            ..Service::new(name.clone(), address)
        };
        placing::read(&table, vip, &mut service, findings);
        let (vip_is_stated, port_is_stated) = (vip.is_some(), ports.is_some());
        Some(Self { table, check_table, service, vip_is_stated, port_is_stated, members: spans, wishes })
    }

    /// Adds the service. Each refusal is told, and its cause taken away, until what is left has no other.
    fn add(mut self, span: &Span, intent: &mut Intent, findings: &mut Findings<'_>) {
        while let Err(refusal) = intent.add_service(self.service.clone()) {
            // What follows from an address that nobody stated is nobody's fault.
            let is_told = match refusal {
                Refusal::AddressTaken { .. }
                | Refusal::AddressOverlaps { .. }
                | Refusal::TwoByAddresses { .. } => self.vip_is_stated && self.port_is_stated,
                Refusal::IdleTooShort { .. } => self.port_is_stated || self.table.has("window"),
                Refusal::WrongFamily { .. } => self.vip_is_stated,
                // A check that could not be read is told of by itself.
                Refusal::PanicNeedsCheck(_) => !self.table.has("check"),
                _ => true,
            };
            let message = match &refusal {
                Refusal::NoBackend(name) => match nearest(name.as_str(), names(intent)) {
                    Some(near) => format!("{refusal}: did you mean {near:?}?"),
                    None => refusal.to_string(),
                },
                _ => refusal.to_string(),
            };
            let cause = self.take_away(&refusal, intent);
            if is_told {
                findings.add(cause.as_ref().unwrap_or(span), message);
            }
            if cause.is_none() {
                break;
            }
        }
        for (backend, admin) in &self.wishes {
            // Of those that can't be members enough has been said.
            let _ = intent.set_admin(backend, Some(&self.service.name), *admin);
        }
    }

    /// Changes the service so that the cause of the refusal is gone; where that was, or `None` if it can't be done.
    fn take_away(&mut self, refusal: &Refusal, intent: &Intent) -> Option<Span> {
        match refusal {
            Refusal::AddressTaken { .. } | Refusal::BadVip(..) | Refusal::VipIsBackend { .. } => {
                let vip = &mut self.service.address.vip;
                *vip = unused_vip(intent, vip.is_ipv6());
                Some(self.table.span_of("vip"))
            }
            Refusal::AddressOverlaps { .. } => {
                let vip = &mut self.service.address.vip;
                *vip = unused_vip(intent, vip.is_ipv6());
                Some(self.table.span_of("port"))
            }
            Refusal::NoBackend(backend)
            | Refusal::MemberExists { backend, .. }
            | Refusal::WrongFamily { backend, .. } => {
                let at = self.service.members.iter().rposition(|member| member.backend == *backend)?;
                self.service.members.remove(at);
                Some(self.members.remove(at))
            }
            Refusal::CheckNeedsPort { .. } => {
                self.service.check = None;
                Some(self.table.span_of("check"))
            }
            _ => {
                if let Some(key) = placing::take_away(&mut self.service, refusal) {
                    return Some(self.table.span_of(key));
                }
                let key = check::take_away(self.service.check.as_mut()?, refusal)?;
                self.check_table.as_ref().map(|table| table.span_of(key))
            }
        }
    }
}

fn vip(table: &Table<'_>, findings: &mut Findings<'_>) -> Option<IpAddr> {
    table.require("vip", r#"state it, like vip = "10.200.0.1""#, findings);
    let text = table.text("vip", findings)?;
    let vip = text.parse().ok();
    if vip.is_none() {
        table.say(Some(&table.span_of("vip")), &format!("vip: {text:?} is no IP address"), findings);
    }
    vip
}

/// `port` and `protocol`.
fn ports(table: &Table<'_>, findings: &mut Findings<'_>) -> Option<(Ports, Protocol)> {
    let protocol = match table.has("protocol") {
        true => table.parsed("protocol", findings),
        false => Some(Protocol::Tcp),
    };
    if protocol == Some(Protocol::Any) && !table.has("port") {
        return Some((Ports::Any, Protocol::Any));
    }
    table.require("port", r#"state it, like port = 80, port = "8000-8999" or port = "*""#, findings);
    let field = table.field("port")?;
    let ports = match field.get_ref() {
        DeValue::Integer(_) => table.number("port", 1..=u16::MAX, findings).map(Ports::One),
        DeValue::String(_) => table.parsed("port", findings),
        _ => {
            table.mistyped("port", r#"a whole number, or a string like "8000-8999" or "*""#, field, findings)
        }
    };
    if protocol == Some(Protocol::Any) && ports.is_some_and(|ports| ports != Ports::Any) {
        table.say(Some(&field.span()), "any protocol has no port of its own: leave \"port\" out", findings);
        return None;
    }
    ports.zip(protocol)
}

/// `members`: each the name of a backend, or a table.
fn members(table: &Table<'_>, findings: &mut Findings<'_>) -> Vec<(Member, Admin, Span)> {
    let example = r#"["b1", { backend = "b2", weight = 50 }]"#;
    let mut members = Vec::new();
    for field in table.list("members", example, findings).into_iter().flatten() {
        let member = match field.get_ref().as_str() {
            Some(name) => match name.parse() {
                Ok(backend) => Some((Member::new(backend), Admin::Enabled)),
                Err(error) => {
                    table.say(Some(&field.span()), &format!("members: {error}"), findings);
                    None
                }
            },
            None if field.get_ref().is_table() => weighted(table, field, findings),
            None => table.mistyped("members", &format!("names and tables, like {example}"), field, findings),
        };
        members.extend(member.map(|(member, admin)| (member, admin, field.span())));
    }
    members
}

/// A member that is a table.
fn weighted(service: &Table<'_>, field: &Field<'_>, findings: &mut Findings<'_>) -> Option<(Member, Admin)> {
    let mut table = service.within("member", field, findings)?;
    table.allow(&MEMBER_KEYS, findings);
    table.require("backend", r#"state it, like { backend = "b1", weight = 50 }"#, findings);
    let weight = table.number("weight", 0..=MAX_WEIGHT, findings).unwrap_or(DEFAULT_WEIGHT);
    let backup = table.switch("backup", findings).unwrap_or_default();
    let admin = table.parsed("admin", findings).unwrap_or_default();
    Some((Member { weight, backup, ..Member::new(table.parsed("backend", findings)?) }, admin))
}

/// An address that stands in for one that can't be used, so that the rest of a service can be looked at: of those
/// kept for documentation (RFC 5737, RFC 3849), and nobody's in `intent`.
fn unused_vip(intent: &Intent, v6: bool) -> IpAddr {
    let candidate = |n: u32| match v6 {
        true => IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(n))),
        false => IpAddr::V4(Ipv4Addr::from(0xc000_0200 + n)),
    };
    let is_taken = |address: &IpAddr| {
        intent.services().values().any(|service| service.address.vip == *address)
            || intent.backends().values().any(|backend| backend.addresses().any(|own| own == *address))
    };
    (1..).map(candidate).find(|address| !is_taken(address)).unwrap_or_else(|| candidate(0))
}

fn names(intent: &Intent) -> impl Iterator<Item = &str> {
    intent.backends().keys().map(BackendName::as_str)
}
