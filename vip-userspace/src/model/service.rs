//! Services, their members and their checks, as the operator states them.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{BackendName, ServiceAddress, ServiceName};

/// Slots of a ring whose service does not say otherwise: a prime.
pub const DEFAULT_SLOTS: u32 = 16_381;
/// Slots of the largest ring: a prime.
pub const MAX_SLOTS: u32 = 262_139;
/// Weight of a member whose service does not say otherwise.
pub const DEFAULT_WEIGHT: u32 = 100;
/// Largest weight.
pub const MAX_WEIGHT: u32 = 1000;

/// A service: an address, and the backends that answer for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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

/// A backend's part in a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The backend.
    pub backend: BackendName,
    /// Share of new flows, 0 to [`MAX_WEIGHT`]; 0 gets none.
    #[serde(default = "default_weight")]
    pub weight: u32,
}

fn default_weight() -> u32 {
    DEFAULT_WEIGHT
}

/// What happens to the TTL (hop limit) of a forwarded packet.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ttl {
    /// One less; a packet with 1 is dropped.
    #[default]
    Decrease,
    /// Left alone: a ring of directors would pass a packet round for ever.
    Keep,
}

/// A text that is none of the ways to treat TTLs.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no treatment of TTLs: decrease or keep")]
pub struct BadTtl(String);

impl FromStr for Ttl {
    type Err = BadTtl;

    fn from_str(text: &str) -> Result<Self, BadTtl> {
        match text {
            "decrease" => Ok(Self::Decrease),
            "keep" => Ok(Self::Keep),
            _ => Err(BadTtl(text.to_owned())),
        }
    }
}

/// How a member is checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What one probe does.
    pub probe: Probe,
    /// Time from one probe's start to the next, [`Check::MIN_INTERVAL`] to [`Check::MAX_INTERVAL`].
    #[serde(with = "super::duration")]
    pub interval: Duration,
    /// Time that a probe has to succeed, [`Check::MIN_TIMEOUT`] to `interval`.
    #[serde(with = "super::duration")]
    pub timeout: Duration,
    /// Successes in a row that take a member in, 1 to [`Check::MAX_STREAK`].
    pub rise: u32,
    /// Failures in a row that take a member out, 1 to [`Check::MAX_STREAK`].
    pub fall: u32,
    /// Port that is probed; the service's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What one probe does.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Probe {
    /// A TCP connection is accepted.
    Tcp,
    /// An HTTP/1.1 GET over TCP is answered with one of the expected statuses.
    Http {
        /// Path of the request, from its `/` on.
        path: String,
        /// Host header; the probed address where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// Lowest and highest status that count as success.
        expect: (u16, u16),
    },
}

impl Check {
    /// Interval of a check that does not say otherwise.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
    /// Timeout of a check that does not say otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(500);
    /// Rise of a check that does not say otherwise.
    pub const DEFAULT_RISE: u32 = 2;
    /// Fall of a check that does not say otherwise.
    pub const DEFAULT_FALL: u32 = 3;
    /// Statuses that an HTTP check expects if it does not say otherwise.
    pub const DEFAULT_EXPECT: (u16, u16) = (200, 399);
    /// Shortest interval.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(10);
    /// Longest interval.
    pub const MAX_INTERVAL: Duration = Duration::from_secs(3600);
    /// Shortest timeout.
    pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
    /// Longest rise and fall.
    pub const MAX_STREAK: u32 = 100;

    /// The time after which a backend that dies gets no new flow: `interval × fall + timeout`.
    #[must_use]
    pub fn detection(&self) -> Duration {
        self.interval * self.fall + self.timeout
    }
}
