//! How members are checked, as the operator states it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::words::words;

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
    /// Where the probes go.
    #[serde(default)]
    pub target: Target,
}

words! {
    /// Where a check's probes go.
    Target is a "place to probe" {
        /// To the VIP, through that very backend.
        Vip = "vip",
        /// To the backend's own address.
        Address = "address",
    }
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
