//! Backends, as the operator states them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackendName, Mac, words::words};

/// A machine that serves.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
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
    /// Ids of the VLAN tags that frames to it have, outermost first: none, one or two, each 1 to [`MAX_VLAN`]. Where
    /// absent, frames keep the tags that they came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlans: Option<Vec<u16>>,
    /// It is itself a director of the same VIPs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub director: bool,
}

/// Largest VLAN id (IEEE 802.1Q: 0 and 4095 are none).
pub const MAX_VLAN: u16 = 4094;
/// Most VLAN tags that a frame to a backend has.
pub const MAX_TAGS: usize = 2;

impl Backend {
    /// A backend without an address yet.
    #[must_use]
    pub const fn new(name: BackendName) -> Self {
        Self { name, ipv4: None, ipv6: None, mac: None, vlans: None, director: false }
    }

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

words! {
    /// The operator's wish for a member.
    Admin is a "wish for a backend" {
        /// It gets flows, if it can.
        Enabled = "enabled",
        /// It keeps the flows that it has, and gets no new ones.
        Draining = "draining",
        /// It is out, as if it were dead.
        Disabled = "disabled",
    }
}

words! {
    /// The operator's wish for a whole backend, over all services that it is or will be a member of. It goes before what is
    /// wished for a single member, and leaves that as it is.
    Maintenance is a "kind of maintenance" {
        /// None: its members are what is wished for each.
        Off = "off",
        /// They keep the flows that they have, and get no new ones.
        Draining = "draining",
        /// They are out, as if they were dead.
        Disabled = "disabled",
    }
}

impl Maintenance {
    /// What it makes of a member that is otherwise enabled.
    #[must_use]
    pub const fn admin(self) -> Admin {
        match self {
            Self::Off => Admin::Enabled,
            Self::Draining => Admin::Draining,
            Self::Disabled => Admin::Disabled,
        }
    }
}
