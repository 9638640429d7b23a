//! How much the tables hold: fixed when they are made.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Addresses of this box that the tables have room for, of each family.
pub const OWN_ADDRESSES: u32 = 256;

/// Sizes of the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Capacity {
    /// Slots of all rings together; 8 bytes each.
    pub slots: u32,
    /// Members of all services together; 8 bytes each, and 24 a CPU for their counters.
    pub members: u32,
    /// Services, and as many VIPs, of each address family.
    pub services: u32,
    /// Entries of the flow table, of each address family.
    pub flows: u32,
    /// Fragmented datagrams whose first fragment is remembered.
    pub fragments: u32,
}

impl Default for Capacity {
    /// 128 services with rings of the default size: 16 MiB; and 262,144 flows of each family.
    fn default() -> Self {
        Self { slots: 1 << 21, members: 4096, services: 1024, flows: 1 << 18, fragments: 1 << 14 }
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slots, members, services, flows, fragments } = self;
        write!(
            f,
            "{slots} slots, {members} members, {services} services, {flows} flows and {fragments} fragments"
        )
    }
}

impl Capacity {
    /// Entries of `MEMBERS`: id 0 is nobody.
    #[must_use]
    pub const fn member_entries(self) -> u32 {
        self.members.saturating_add(1)
    }

    /// Entries of `SERVICES4` and of `SERVICES6`: of each service its own, its VIP's, and its VIP's for packets of its
    /// protocol without ports; and the addresses of this box.
    #[must_use]
    pub const fn service_entries(self) -> u32 {
        self.services.saturating_mul(3).saturating_add(OWN_ADDRESSES)
    }

    /// Entries of `WIDE4` and of `WIDE6`: a range of ports has 30 at most.
    #[must_use]
    pub const fn wide_entries(self) -> u32 {
        self.services.saturating_mul(32)
    }

    /// Entries of tables by a service's number, which is 1 or more.
    #[must_use]
    pub const fn service_numbers(self) -> u32 {
        self.services.saturating_add(1)
    }
}
