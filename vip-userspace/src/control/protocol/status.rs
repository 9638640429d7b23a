//! The status: everything that `vip status --json` prints. Its names are stable.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use vip_common::Reason;

use crate::model::{
    Admin, BackendName, Check, Health, Ineligible, Mac, Mode, NoNeighbour, ServiceAddress, ServiceName, Ttl,
};

/// All that is known of one instance.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
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
    /// Services, by name.
    pub services: Vec<ServiceStatus>,
    /// Backends, by name.
    pub backends: Vec<BackendStatus>,
    /// Reasons that packets met, in the order of [`Reason::ALL`]; also those that none met.
    pub reasons: Vec<ReasonStatus>,
}

/// An interface that the program is attached to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Totals {
    /// Packets.
    pub packets: u64,
    /// Bytes, with Ethernet headers.
    pub bytes: u64,
    /// Packets that open a flow: TCP SYNs.
    pub flows: u64,
}

/// A service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// Where clients find it.
    pub address: ServiceAddress,
    /// Slots of its ring.
    pub slots: u32,
    /// What happens to TTL and hop limit.
    pub ttl: Ttl,
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
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MemberStatus {
    /// The backend.
    pub backend: BackendName,
    /// Its id in the tables.
    pub id: u32,
    /// The backend's address for this service.
    pub address: Option<IpAddr>,
    /// Share of new flows.
    pub weight: Option<u32>,
    /// The operator's wish.
    pub admin: Option<Admin>,
    /// What probing says; absent where the service has no check.
    pub health: Option<Health>,
    /// Whether it gets new flows.
    pub eligible: bool,
    /// Why it does not.
    pub why_not: Option<Why<Ineligible>>,
    /// The MAC that its packets get.
    pub mac: Option<Mac>,
    /// Name of the interface that its packets leave by.
    pub interface: Option<String>,
    /// Slots that name it for new flows.
    pub slots: u32,
    /// The same as a part of all slots, 0 to 1.
    pub share: f64,
    /// What it got.
    #[serde(flatten)]
    pub totals: Totals,
    /// Whole seconds since it last became eligible or ceased to be.
    pub last_change_seconds: Option<u64>,
}

/// A backend.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Its name.
    pub name: BackendName,
    /// Its addresses, each with where it is on the link.
    pub addresses: Vec<NeighbourStatus>,
    /// The services that it is a member of.
    pub services: Vec<ServiceName>,
    /// What it got in all of them.
    #[serde(flatten)]
    pub totals: Totals,
}

/// One address of a backend, and where it is on the link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NeighbourStatus {
    /// The address.
    pub address: IpAddr,
    /// Its MAC, where it is known.
    pub mac: Option<Mac>,
    /// Name of the interface that leads to it.
    pub interface: Option<String>,
    /// Why it can't be reached.
    pub why_not: Option<Why<NoNeighbour>>,
}

/// How many packets met one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReasonStatus {
    /// Its name.
    pub reason: String,
    /// Packets.
    pub packets: u64,
    /// What it means.
    pub meaning: String,
}

/// A cause, for programs and in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
