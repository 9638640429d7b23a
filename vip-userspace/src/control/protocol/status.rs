//! The status: everything that `vip status --json` prints. Its names are stable.

use std::{fmt, net::IpAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vip_common::Reason;

use super::DrainStatus;
use crate::model::{
    Admin, Affinity, Answer, BackendName, Cause, Check, Fragments, Health, Ineligible, Mac, Maintenance,
    Mode, NoNeighbour, OnDead, Role, Scheduler, ServiceAddress, ServiceName, Ttl,
};

/// All that is known of one instance.
#[derive(Clone, PartialEq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Status {
    /// Name of the instance.
    pub instance: String,
    /// Version of the program that answers.
    pub version: String,
    /// Whether a controller answers; if not, all this is read from what is pinned, and what only a controller
    /// knows is absent.
    pub controller: bool,
    /// Process id of the controller.
    pub pid: Option<u32>,
    /// Whole seconds since the controller started.
    pub uptime_seconds: Option<u64>,
    /// Version of the layout of the pinned tables.
    pub layout: u32,
    /// Where the program is attached, by name.
    pub interfaces: Vec<InterfaceStatus>,
    /// Where the director takes in what local programs send to VIPs; absent where it does not.
    #[serde(default)]
    pub inlet: Option<InterfaceStatus>,
    /// Services, by name.
    pub services: Vec<ServiceStatus>,
    /// Backends, by name.
    pub backends: Vec<BackendStatus>,
    /// Reasons that packets met, in the order of [`Reason::ALL`]; also those that none met.
    pub reasons: Vec<ReasonStatus>,
    /// What the flow table holds; absent where it can't be read.
    #[serde(default)]
    pub flow_table: Option<FlowTableStatus>,
    /// Addresses of this box that the tables have no room for: what comes back from them is not known as `bounced`. 0 without
    /// a controller.
    #[serde(default)]
    pub unlisted_addresses: u64,
}

/// The flow table, of both address families together. Counts are since the tables were made, unless they say otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, JsonSchema, Serialize, Deserialize)]
pub struct FlowTableStatus {
    /// Entries of live flows at the last sweep.
    pub live: u64,
    /// Entries written.
    pub inserted: u64,
    /// Entries not written, for want of their service's allowance.
    pub refused: u64,
    /// Entries deleted by sweeps, since their flows were silent or their slots forgot.
    pub deleted: u64,
    /// Entries that the kernel pushed out for others: an estimate, what was inserted before the last sweep and was
    /// neither live nor deleted then.
    pub evicted: u64,
    /// Entries that it has room for.
    pub capacity: u64,
    /// Slots that remember now, of all services.
    pub tracked_slots: u64,
}

/// An interface that the program is attached to.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// How the program is attached.
    pub mode: Mode,
    /// Its MAC.
    pub mac: Option<Mac>,
}

/// What was forwarded, since the tables were made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Totals {
    /// Packets.
    pub packets: u64,
    /// Bytes, with Ethernet headers.
    pub bytes: u64,
    /// Packets that open a flow: TCP SYNs, SCTP INITs, and datagrams where they are tracked.
    pub flows: u64,
    /// Packets that came back: the backend lacks the VIP.
    #[serde(default)]
    pub bounced: u64,
}

/// A service.
#[derive(Clone, PartialEq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// Where clients find it.
    pub address: ServiceAddress,
    /// Slots of its ring.
    pub slots: u32,
    /// What happens to TTL and hop limit.
    pub ttl: Ttl,
    /// Who gets a new flow.
    #[serde(default)]
    pub scheduler: Scheduler,
    /// What packets belong together.
    #[serde(default)]
    pub affinity: Affinity,
    /// What packets get whose member is down.
    #[serde(default)]
    pub on_dead: OnDead,
    /// How long a slot remembers after a change.
    #[serde(with = "crate::model::duration", default)]
    #[schemars(with = "crate::model::duration::Text")]
    pub window: Duration,
    /// How long a silent flow is remembered.
    #[serde(with = "crate::model::duration", default)]
    #[schemars(with = "crate::model::duration::Text")]
    pub idle: Duration,
    /// How fragments of a datagram find together.
    #[serde(default)]
    pub fragments: Fragments,
    /// What a packet gets while no member is eligible.
    #[serde(default)]
    pub no_backend: Answer,
    /// Whether this director answers for the VIP.
    #[serde(default)]
    pub role: Role,
    /// Slots that remember now.
    #[serde(default)]
    pub tracked_slots: u32,
    /// Members, backups not among them, that it needs.
    #[serde(default)]
    pub quorum: u32,
    /// Eligible members above the quorum that let the backups go again.
    #[serde(default)]
    pub quorum_hysteresis: u32,
    /// Fewer are eligible: backups join in.
    #[serde(default)]
    pub below_quorum: bool,
    /// Percentage of healthy members below which health is ignored.
    #[serde(default)]
    pub panic_threshold: Option<u32>,
    /// Fewer are healthy: members that are down get flows as well.
    #[serde(default)]
    pub panics: bool,
    /// In how long a member that comes up grows to its whole share.
    #[serde(with = "crate::model::duration::optional", default)]
    #[schemars(with = "Option<crate::model::duration::Text>")]
    pub slow_start: Option<Duration>,
    /// How its members are checked.
    pub check: Option<Check>,
    /// Number of members that get new flows.
    pub eligible: u32,
    /// Number of members.
    pub total: u32,
    /// What its members got.
    #[serde(flatten)]
    pub totals: Totals,
    /// Its members, in the order that they were stated.
    pub members: Vec<MemberStatus>,
}

/// A backend's part in a service.
#[derive(Clone, PartialEq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct MemberStatus {
    /// The backend.
    pub backend: BackendName,
    /// Its id in the tables.
    pub id: u32,
    /// The backend's address for this service.
    pub address: Option<IpAddr>,
    /// Share of new flows.
    pub weight: Option<u32>,
    /// The operator's wish for it, whatever the maintenance of its backend makes of it.
    pub admin: Option<Admin>,
    /// What probing says; absent where the service has no check.
    pub health: Option<Health>,
    /// Whether it gets new flows.
    pub eligible: bool,
    /// Whether it keeps the flows that it has.
    #[serde(default)]
    pub alive: bool,
    /// It is this very box.
    #[serde(default)]
    pub here: bool,
    /// It gets new flows only while fewer members are eligible than the quorum asks for.
    #[serde(default)]
    pub backup: bool,
    /// Why it gets no new flows.
    pub why_not: Option<Why<Ineligible>>,
    /// What part of its weight counts now, 0 to 1: less than 1 while it starts slowly, 0 while it is not eligible.
    #[serde(default)]
    pub weight_part: f64,
    /// What its last probe met, where it is down and gets flows nevertheless.
    #[serde(default)]
    pub ignored: Option<Why<Cause>>,
    /// What it does to others: it answers for the VIP.
    #[serde(default)]
    pub steals: Option<Why<Cause>>,
    /// The MAC that its packets get.
    pub mac: Option<Mac>,
    /// Name of the interface that its packets leave by.
    pub interface: Option<String>,
    /// Slots that name it for new flows.
    pub slots: u32,
    /// The same as a part of all slots, 0 to 1.
    pub share: f64,
    /// How far its drain is; absent where it does not drain.
    #[serde(default)]
    pub drain: Option<DrainStatus>,
    /// What it got.
    #[serde(flatten)]
    pub totals: Totals,
    /// Whole seconds since it last became eligible or ceased to be.
    pub last_change_seconds: Option<u64>,
}

/// A backend.
#[derive(Clone, PartialEq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Its name.
    pub name: BackendName,
    /// The operator's wish for all of it.
    #[serde(default)]
    pub maintenance: Maintenance,
    /// Its addresses, each with where it is on the link.
    pub addresses: Vec<NeighbourStatus>,
    /// The services that it is a member of.
    pub services: Vec<ServiceName>,
    /// What it got in all of them.
    #[serde(flatten)]
    pub totals: Totals,
}

/// One address of a backend, and where it is on the link.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct NeighbourStatus {
    /// The address.
    pub address: IpAddr,
    /// It is this very box's.
    #[serde(default)]
    pub here: bool,
    /// Its MAC, where it is known.
    pub mac: Option<Mac>,
    /// Name of the interface that leads to it.
    pub interface: Option<String>,
    /// Why it can't be reached.
    pub why_not: Option<Why<NoNeighbour>>,
}

/// How many packets met one reason.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct ReasonStatus {
    /// Its name.
    pub reason: String,
    /// Packets.
    pub packets: u64,
    /// What it means.
    pub meaning: String,
}

/// A cause, for programs and in words.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Why<T> {
    /// The cause.
    #[serde(flatten)]
    pub cause: T,
    /// The same in words.
    pub words: String,
}

impl<T: fmt::Display> From<T> for Why<T> {
    fn from(cause: T) -> Self {
        Self { words: cause.to_string(), cause }
    }
}

impl Totals {
    /// The sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets.saturating_add(other.packets),
            bytes: self.bytes.saturating_add(other.bytes),
            flows: self.flows.saturating_add(other.flows),
            bounced: self.bounced.saturating_add(other.bounced),
        }
    }
}

impl ReasonStatus {
    /// Names the counters of the `REASONS` table; a missing one counts as 0.
    #[must_use]
    pub fn all(packets: &[u64]) -> Vec<Self> {
        let counts = packets.iter().copied().chain(std::iter::repeat(0));
        Reason::ALL
            .iter()
            .zip(counts)
            .map(|(reason, packets)| Self {
                reason: reason.name().to_owned(),
                packets,
                meaning: reason.meaning().trim().to_owned(),
            })
            .collect()
    }
}
