//! Backends, as the operator states them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{BackendName, Mac};

/// A machine that serves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its name, of its own among backends.
    pub name: BackendName,
    /// Its IPv4 address on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Addr>,
    /// Its MAC, where the kernel is not to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
}

impl Backend {
    /// Its addresses: one or two.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.ipv4.map(IpAddr::V4).into_iter().chain(self.ipv6.map(IpAddr::V6))
    }

    /// The address that stands for it in a service of `vip`: of the same family, or else the other one.
    #[must_use]
    pub fn address_for(&self, vip: IpAddr) -> Option<IpAddr> {
        let (first, second) = (self.ipv4.map(IpAddr::V4), self.ipv6.map(IpAddr::V6));
        if vip.is_ipv4() { first.or(second) } else { second.or(first) }
    }
}

/// The operator's wish for a member.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// It gets flows, if it can.
    #[default]
    Enabled,
    /// It gets none.
    Disabled,
}
