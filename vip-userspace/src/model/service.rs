//! Services and their members, as the operator states them.

use std::{net::IpAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Affinity, Answer, BackendName, Check, Fragments, OnDead, Probe, Protocol, Scheduler, ServiceAddress,
    ServiceName, Ttl,
};

/// Slots of a ring whose service does not say otherwise: a prime.
pub const DEFAULT_SLOTS: u32 = 16_381;
/// Slots of the largest ring: a prime.
pub const MAX_SLOTS: u32 = 262_139;
/// Weight of a member whose service does not say otherwise.
pub const DEFAULT_WEIGHT: u32 = 100;
/// Largest weight.
pub const MAX_WEIGHT: u32 = 1000;
/// Window of a service that does not say otherwise: a TCP connection with Linux's keepalive speaks within it
/// (`tcp_keepalive_time` + `tcp_keepalive_probes` × `tcp_keepalive_intvl`: 7,200 s + 9 × 75 s).
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(7900);
/// The same of a UDP service: Linux's own flow table forgets a UDP stream after it (`nf_conntrack_udp_timeout_stream`).
pub const DEFAULT_UDP_WINDOW: Duration = Duration::from_secs(120);
/// Longest window and idle time.
pub const MAX_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);

/// Largest quorum, and largest hysteresis of one.
pub const MAX_QUORUM: u32 = 1000;
/// Shortest slow start: what follows time is looked after once a second.
pub const MIN_SLOW_START: Duration = Duration::from_secs(1);
/// Longest slow start.
pub const MAX_SLOW_START: Duration = Duration::from_secs(24 * 3600);

/// A service: an address, and the backends that answer for it.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name, of its own among services.
    pub name: ServiceName,
    /// Where clients find it; of its own among services.
    pub address: ServiceAddress,
    /// Slots of its ring, 1 to [`MAX_SLOTS`]; fixed for its life.
    #[serde(default = "default_slots")]
    pub slots: u32,
    /// What happens to TTL and hop limit.
    #[serde(default)]
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
    /// How long a slot remembers after a change, 0 to [`MAX_WINDOW`]; see [`Service::window`].
    #[serde(default, with = "super::duration::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::model::duration::Text>")]
    pub window: Option<Duration>,
    /// How long a silent flow is remembered, the window to [`MAX_WINDOW`]; see [`Service::idle`].
    #[serde(default, with = "super::duration::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::model::duration::Text>")]
    pub idle: Option<Duration>,
    /// How fragments of a datagram find together.
    #[serde(default)]
    pub fragments: Fragments,
    /// What a packet gets while no member is eligible.
    #[serde(default)]
    pub no_backend: Answer,
    /// Members, backups not among them, that it needs: with fewer eligible ones its backups join in. 1 to
    /// [`MAX_QUORUM`].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub quorum: u32,
    /// Eligible members above the quorum that let the backups go again, 0 to [`MAX_QUORUM`]: so that one member that comes
    /// and goes does not bring the backups in and out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quorum_hysteresis: u32,
    /// Percentage of its members, 1 to 100: with fewer healthy ones their health is ignored. Never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_threshold: Option<u32>,
    /// In how long a member that comes up grows to its whole share, [`MIN_SLOW_START`] to
    /// [`MAX_SLOW_START`]; at once where absent.
    #[serde(default, with = "super::duration::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::model::duration::Text>")]
    pub slow_start: Option<Duration>,
    /// How its members are checked; not at all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Its members, each of another backend.
    #[serde(default)]
    pub members: Vec<Member>,
}

fn default_slots() -> u32 {
    DEFAULT_SLOTS
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_one(value: &u32) -> bool {
    *value == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl Service {
    /// A service without members and checks, with a default for all else.
    #[must_use]
    pub fn new(name: ServiceName, address: ServiceAddress) -> Self {
        Self {
            name,
            address,
            slots: DEFAULT_SLOTS,
            ttl: Ttl::default(),
            scheduler: Scheduler::default(),
            affinity: Affinity::default(),
            on_dead: OnDead::default(),
            window: None,
            idle: None,
            fragments: Fragments::default(),
            no_backend: Answer::default(),
            quorum: 1,
            quorum_hysteresis: 0,
            panic_threshold: None,
            slow_start: None,
            check: None,
            members: Vec::new(),
        }
    }

    /// How long a slot remembers after a change. By default [`DEFAULT_WINDOW`], for UDP [`DEFAULT_UDP_WINDOW`]; zero
    /// where each datagram stands alone.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window.unwrap_or_else(|| self.usual_window())
    }

    /// How long a silent flow is remembered. By default as long as a slot; where every flow is tracked, not less than
    /// the default window.
    #[must_use]
    pub fn idle(&self) -> Duration {
        let least = if self.tracks_every_flow() { self.usual_window() } else { Duration::ZERO };
        self.idle.unwrap_or_else(|| self.window().max(least))
    }

    fn usual_window(&self) -> Duration {
        match self.address.protocol {
            Protocol::Udp => DEFAULT_UDP_WINDOW,
            Protocol::Tcp | Protocol::Sctp | Protocol::Any => DEFAULT_WINDOW,
        }
    }

    /// Whether the ring alone can't place a flow even while nothing changes.
    #[must_use]
    pub const fn tracks_every_flow(&self) -> bool {
        self.scheduler.tracks_every_flow()
    }

    /// How many leading bits of the source make the flow; 0 where it is the 5-tuple.
    #[must_use]
    pub const fn source_bits(&self) -> u8 {
        match (self.affinity, self.address.vip) {
            (Affinity::Flow, _) => 0,
            (Affinity::Source { ipv4_prefix, .. }, IpAddr::V4(_)) => ipv4_prefix,
            (Affinity::Source { ipv6_prefix, .. }, IpAddr::V6(_)) => ipv6_prefix,
        }
    }

    /// How long it waits for members that are not known yet before it does without them: a second for their neighbours to be
    /// found, and then as long as their first probes take if they succeed.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let probes = self.check.as_ref().map(Check::recovery);
        Duration::from_secs(1) + probes.unwrap_or_default()
    }

    /// The port that its members are probed on, 0 where the probe needs none; `None` where it has no check, or nobody says
    /// which.
    #[must_use]
    pub fn checked_port(&self) -> Option<u16> {
        let check = self.check.as_ref()?;
        let stated = check.port.or(self.address.port());
        match check.probe {
            Probe::Ping => Some(0),
            Probe::Script(_) => stated.or(Some(0)),
            _ => stated,
        }
    }
}

/// A backend's part in a service.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The backend.
    pub backend: BackendName,
    /// Share of new flows, 0 to [`MAX_WEIGHT`]; 0 gets none.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// It gets new flows only while fewer members are eligible than the quorum asks for, backups not counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
}

impl Member {
    /// A member with the default weight.
    #[must_use]
    pub const fn new(backend: BackendName) -> Self {
        Self { backend, weight: DEFAULT_WEIGHT, backup: false }
    }
}

fn default_weight() -> u32 {
    DEFAULT_WEIGHT
}
