//! How members are checked, as the operator states it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Probe, words::words};

/// How a member is checked.
#[derive(Clone, PartialEq, Eq, Hash, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What one probe does.
    pub probe: Probe,
    /// Time from one probe's start to the next, [`Check::MIN_INTERVAL`] to [`Check::MAX_INTERVAL`].
    #[serde(with = "super::duration")]
    #[schemars(with = "crate::model::duration::Text")]
    pub interval: Duration,
    /// The same while the last probe speaks against the member's health, [`Check::MIN_INTERVAL`] to `interval`, which it is
    /// where absent.
    #[serde(default, with = "super::duration::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::model::duration::Text>")]
    pub fast_interval: Option<Duration>,
    /// The same while the member is down, `interval` to [`Check::MAX_INTERVAL`]; `interval` where absent.
    #[serde(default, with = "super::duration::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::model::duration::Text>")]
    pub down_interval: Option<Duration>,
    /// Time that a probe has to succeed, [`Check::MIN_TIMEOUT`] to `interval`.
    #[serde(with = "super::duration")]
    #[schemars(with = "crate::model::duration::Text")]
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

    /// A check that does not say otherwise.
    #[must_use]
    pub const fn new(probe: Probe) -> Self {
        Self {
            probe,
            interval: Self::DEFAULT_INTERVAL,
            fast_interval: None,
            down_interval: None,
            timeout: Self::DEFAULT_TIMEOUT,
            rise: Self::DEFAULT_RISE,
            fall: Self::DEFAULT_FALL,
            port: None,
            target: Target::Vip,
        }
    }

    /// Time from one probe to the next while the last one speaks against the member's health.
    #[must_use]
    pub fn fast_interval(&self) -> Duration {
        self.fast_interval.unwrap_or(self.interval)
    }

    /// Time from one probe to the next while the member is down.
    #[must_use]
    pub fn down_interval(&self) -> Duration {
        self.down_interval.unwrap_or(self.interval)
    }

    /// The time after which a backend that dies gets no new flow: `interval × fall + timeout`, or less with a fast
    /// interval, which holds from the first failure on. A probe that takes longer than that holds up the next one.
    #[must_use]
    pub fn detection(&self) -> Duration {
        self.interval + self.fast_interval().max(self.timeout) * self.fall.saturating_sub(1) + self.timeout
    }

    /// The most that a member which works takes to come up: `interval × rise + timeout`, or less with a fast interval.
    #[must_use]
    pub fn recovery(&self) -> Duration {
        self.down_interval()
            + self.fast_interval().max(self.timeout) * self.rise.saturating_sub(1)
            + self.timeout
    }
}
