//! Reads a configuration from its text, and says all that is wrong with it. Pure: it knows no file, and not what the
//! machine has. What services and backends must not be together is [`Intent`]'s to say; here it is given its line.

mod backend;
mod check;
mod control;
mod network;
mod placing;
mod probe;
mod problem;
mod service;
mod syntax;
mod table;
mod vip;
mod write;

use std::collections::BTreeSet;

use toml::{Spanned, de::DeTable};

pub use problem::{Problem, Problems};
pub use write::write;

use self::{problem::Findings, table::Table};
use crate::{
    model::{Access, AttachMode, Capacity, Intent, Mac},
    ring::RingKey,
};

const KEYS: [&str; 12] = [
    "interfaces",
    "egress-interfaces",
    "local-clients",
    "virtual-router",
    "peers",
    "mode",
    "seed",
    "capacity",
    "control",
    "vip",
    "service",
    "backend",
];

const CAPACITY_KEYS: [&str; 5] = ["slots", "members", "services", "flows", "fragments"];

/// The sizes that tables can have: 1 to this.
const LARGEST: Capacity =
    Capacity { slots: 1 << 27, members: 1 << 20, services: 1 << 20, flows: 1 << 24, fragments: 1 << 20 };

/// What a configuration file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Names of the interfaces that the director is attached to: one or more, each of its own.
    pub interfaces: Vec<String>,
    /// Names of further interfaces that lead to backends, and take no packets to VIPs: none of `interfaces`.
    pub egress_interfaces: Vec<String>,
    /// Whether programs of this box are clients of the VIPs as well.
    pub local_clients: bool,
    /// The virtual router (RFC 9568), 1 to 255, whose MACs count as each interface's own.
    pub virtual_router: Option<u8>,
    /// MACs of the other directors of the same VIPs.
    pub peers: BTreeSet<Mac>,
    /// How it is attached.
    pub mode: AttachMode,
    /// The secret that rings and flow hash are made with; `None` to have one made, and kept.
    pub seed: Option<RingKey>,
    /// Sizes of the tables; all services fit into them.
    pub capacity: Capacity,
    /// Who may use the control socket.
    pub access: Access,
    /// Services and backends.
    pub intent: Intent,
}

/// Reads a configuration.
///
/// ```
/// let config = vip_userspace::config::parse(
///     r#"
///     interfaces = ["eth0"]
///     [service.web]
///     vip = "10.200.0.1"
///     port = 80
///     members = ["b1"]
///     [backend.b1]
///     address = "10.0.0.11"
///     "#,
/// )?;
/// assert_eq!(config.intent.services().len(), 1);
/// # Ok::<(), vip_userspace::config::Problems>(())
/// ```
///
/// # Errors
/// Everything that is wrong with it, each with its line. Where it is no TOML, only that is told.
pub fn parse(text: &str) -> Result<Config, Problems> {
    let mut findings = Findings::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let readable = syntax::report(text, &errors, &mut findings);
    let config = if readable { read(document.get_ref(), &mut findings) } else { Config::empty() };
    findings.finish(config)
}

impl Config {
    /// What a file says that says nothing.
    pub(crate) fn empty() -> Self {
        Self {
            interfaces: Vec::new(),
            egress_interfaces: Vec::new(),
            local_clients: false,
            virtual_router: None,
            peers: BTreeSet::new(),
            mode: AttachMode::default(),
            seed: None,
            capacity: Capacity::default(),
            access: Access::default(),
            intent: Intent::default(),
        }
    }
}

fn read(document: &DeTable<'_>, findings: &mut Findings<'_>) -> Config {
    let mut root = Table::root(document);
    root.allow(&KEYS, findings);
    let interfaces = network::interfaces(&root, findings);
    let mut config = Config {
        egress_interfaces: network::egress_interfaces(&root, &interfaces, findings),
        interfaces,
        local_clients: root.switch("local-clients", findings).unwrap_or_default(),
        virtual_router: network::virtual_router(&root, findings),
        peers: network::peers(&root, findings),
        mode: root.parsed("mode", findings).unwrap_or_default(),
        seed: root.parsed("seed", findings),
        capacity: capacity(&root, findings),
        access: control::access(&root, findings),
        intent: Intent::default(),
    };
    let unsound = backend::add_all(&root, &mut config.intent, findings);
    let stated = service::add_all(&root, &unsound, &mut config.intent, findings);
    vip::set_all(&root, &stated, &mut config.intent, findings);
    check_room(&root, &config, findings);
    config
}

fn capacity(root: &Table<'_>, findings: &mut Findings<'_>) -> Capacity {
    let mut capacity = Capacity::default();
    let Some(field) = root.field("capacity") else { return capacity };
    let span = root.span_of("capacity");
    let Some(mut table) = Table::read("capacity", span, field, findings) else { return capacity };
    table.allow(&CAPACITY_KEYS, findings);
    for (key, size, largest) in [
        ("slots", &mut capacity.slots, LARGEST.slots),
        ("members", &mut capacity.members, LARGEST.members),
        ("services", &mut capacity.services, LARGEST.services),
        ("flows", &mut capacity.flows, LARGEST.flows),
        ("fragments", &mut capacity.fragments, LARGEST.fragments),
    ] {
        *size = table.number(key, 1..=largest, findings).unwrap_or(*size);
    }
    capacity
}

/// Says which tables are too small for all services together.
fn check_room(root: &Table<'_>, config: &Config, findings: &mut Findings<'_>) {
    let services = config.intent.services().values();
    let slots: u64 = services.clone().map(|service| u64::from(service.slots)).sum();
    let members: usize = services.clone().map(|service| service.members.len()).sum();
    let Capacity { slots: slot_room, members: member_room, services: service_room, .. } = config.capacity;
    for (key, what, wanted, room) in [
        ("slots", "slots are taken by the rings of all services", Some(slots), slot_room),
        ("members", "members are in all services together", u64::try_from(members).ok(), member_room),
        ("services", "services are stated", u64::try_from(services.len()).ok(), service_room),
    ] {
        if wanted.is_none_or(|wanted| wanted > u64::from(room)) {
            let wanted = wanted.unwrap_or(u64::MAX);
            let message = format!("{wanted} {what}, but capacity.{key} is {room}");
            let stated = root.field("capacity").and_then(|field| field.get_ref().as_table()?.get(key));
            root.say(stated.map(Spanned::span).as_ref(), &message, findings);
        }
    }
}

#[cfg(test)]
mod tests;
