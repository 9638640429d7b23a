//! The tables that the controller publishes and the decision reads: their layouts, and how they are read.
//!
//! ```text
//! PORTS[ifindex] ── own MAC                 VIPS: one bit an address, by its hash
//! SERVICES4/6[(VIP, port, protocol)] ─┬─ ring, flags      RINGS[first + slot] ── Slot
//! WIDE4/6[VIP, protocol, port prefix] ┘                   MEMBERS[member id] ── MAC, egress, state, generation
//! EGRESSES[egress id] ── ifindex, own MAC, VLAN tags      STATIONS[MAC] ── whose it is
//!
//! FLOWS4/6[flow] ── member: where slots remember          TERMS[service id] ── idle time, allowance
//! FRAGMENTS[datagram] ── member of the first fragment
//! ```
//!
//! Fields that must agree share one aligned 8-byte word, which readers load and writers store in one piece.

mod access;
mod counts;
mod flows;
mod members;
mod probes;
mod services;

pub use access::{Entry, Tables};
pub use counts::{InsertCount, MemberCount, REASON_ENTRIES, Sweep};
pub use flows::{
    ANSWERS_A_TICK, FRAGMENT_LIFE, Fate, FlowEntry, FlowId4, FlowId6, FlowState, FragmentId, FragmentOwner,
    PENDING_TICKS, TICK_BITS, Terms, tick,
};
pub use members::{Egress, EgressId, Member, MemberEntry, MemberId, Port, Slot, Station, StationKey};
pub use probes::{PROBE_MARK, PROBE_MASK, probe_mark, probed};
pub use services::{
    OWN_BITS, OnDead, Service, ServiceKey4, ServiceKey6, VIP_BITS, VIP_WORDS, WideKey4, WideKey6, own_bit4,
    own_bit6, vip_bit4, vip_bit6,
};

/// Version of all layouts in this module and of the tables' meaning; part of the path of the pins.
pub const LAYOUT: u32 = 3;

/// The name of each table in the kernel, at most 15 bytes.
pub mod names {
    /// [`Port`](super::Port) by interface index.
    pub const PORTS: &str = "PORTS";
    /// Bits of the cheap test for VIPs, see [`vip_bit4`](super::vip_bit4).
    pub const VIPS: &str = "VIPS";
    /// [`Service`](super::Service) by [`ServiceKey4`](super::ServiceKey4).
    pub const SERVICES4: &str = "SERVICES4";
    /// [`Service`](super::Service) by [`ServiceKey6`](super::ServiceKey6).
    pub const SERVICES6: &str = "SERVICES6";
    /// [`Service`](super::Service) by [`WideKey4`](super::WideKey4), the longest prefix of it that is there.
    pub const WIDE4: &str = "WIDE4";
    /// [`Service`](super::Service) by [`WideKey6`](super::WideKey6), the longest prefix of it that is there.
    pub const WIDE6: &str = "WIDE6";
    /// [`Slot`](super::Slot)s of every ring, and the turns of services that go round.
    pub const RINGS: &str = "RINGS";
    /// [`MemberEntry`](super::MemberEntry) by member id.
    pub const MEMBERS: &str = "MEMBERS";
    /// [`Egress`](super::Egress) by egress id.
    pub const EGRESSES: &str = "EGRESSES";
    /// [`Station`](super::Station) by [`StationKey`](super::StationKey).
    pub const STATIONS: &str = "STATIONS";
    /// The one [`FlowKey`](crate::FlowKey).
    pub const FLOW_KEY: &str = "FLOW_KEY";
    /// [`FlowEntry`](super::FlowEntry) by [`FlowId4`](super::FlowId4).
    pub const FLOWS4: &str = "FLOWS4";
    /// [`FlowEntry`](super::FlowEntry) by [`FlowId6`](super::FlowId6).
    pub const FLOWS6: &str = "FLOWS6";
    /// [`Terms`](super::Terms) by service id.
    pub const TERMS: &str = "TERMS";
    /// [`FragmentOwner`](super::FragmentOwner) by [`FragmentId`](super::FragmentId).
    pub const FRAGMENTS: &str = "FRAGMENTS";
    /// The next turn by service id, per CPU.
    pub const TURNS: &str = "TURNS";
    /// [`InsertCount`](super::InsertCount) by service id, per CPU.
    pub const INSERTS: &str = "INSERTS";
    /// Resets and unreachables sent in a tick: the tick and their number in one word, per CPU.
    pub const ANSWERS: &str = "ANSWERS";
    /// [`MemberCount`](super::MemberCount) by member id, per CPU.
    pub const MEMBER_COUNTS: &str = "MEMBER_COUNTS";
    /// Packets by [`Reason`](crate::Reason), per CPU.
    pub const REASON_COUNTS: &str = "REASON_COUNTS";
    /// The one [`Sweep`](super::Sweep): what the sweeper found.
    pub const SWEEP: &str = "SWEEP";
    /// One bit for each slot of `RINGS`, set by the sweeper: a live flow of it lives elsewhere than at `current`.
    pub const HELD: &str = "HELD";
    /// Live flows by member id, counted by the sweeper.
    pub const MEMBER_FLOWS: &str = "MEMBER_FLOWS";
}

macro_rules! layout {
    ($(#[$meta:meta])* $name:ident[$size:literal] { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)+ }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, bytemuck::Pod, bytemuck::Zeroable,
        )]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty,)+ }
        const _: () = assert!(size_of::<$name>() == $size);
    };
}
pub(crate) use layout;
