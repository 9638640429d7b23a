//! The tables that the controller publishes and the decision reads: their layouts, and how they are read.
//!
//! ```text
//! PORTS[ifindex] ── own MAC                      VIPS: one bit an address, by its hash
//! SERVICES4/6[(VIP, port, protocol)] ── ring, flags       RINGS[first + slot] ── Slot
//! MEMBERS[member id] ── MAC, egress, state               EGRESSES[egress id] ── ifindex, own MAC
//! ```
//!
//! Fields that must agree share one aligned 8-byte word, which readers load and writers store in one piece.

use bytemuck::{Pod, Zeroable};

use crate::{hash::FlowKey, headers::Mac};

/// Version of all layouts in this module and of the tables' meaning; part of the path of the pins.
pub const LAYOUT: u32 = 1;

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
    /// [`Slot`](super::Slot)s of every ring.
    pub const RINGS: &str = "RINGS";
    /// [`Member`](super::Member) by member id.
    pub const MEMBERS: &str = "MEMBERS";
    /// [`Egress`](super::Egress) by egress id.
    pub const EGRESSES: &str = "EGRESSES";
    /// The one [`FlowKey`](super::FlowKey).
    pub const FLOW_KEY: &str = "FLOW_KEY";
    /// [`MemberCount`](super::MemberCount) by member id, per CPU.
    pub const MEMBER_COUNTS: &str = "MEMBER_COUNTS";
    /// Packets by [`Reason`](crate::Reason), per CPU.
    pub const REASON_COUNTS: &str = "REASON_COUNTS";
}

macro_rules! layout {
    ($(#[$meta:meta])* $name:ident[$size:literal] { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)+ }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Pod, Zeroable)]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty,)+ }
        const _: () = assert!(size_of::<$name>() == $size);
    };
}

/// A member's number in [`Slot`]s and `MEMBERS`; 0 is nobody.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Pod, Zeroable)]
pub struct MemberId(pub u32);

impl MemberId {
    /// The id of a slot that nobody owns.
    pub const NOBODY: Self = Self(0);
}

/// An egress's number in `EGRESSES`; 0 is none.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Pod, Zeroable)]
pub struct EgressId(pub u8);

impl EgressId {
    /// No egress.
    pub const NONE: Self = Self(0);
}

layout! {
    /// A port of the director: value of `PORTS`, one word. All zero: no port.
    Port[8] {
        /// The port's own MAC.
        mac: Mac,
        /// Not used: 0.
        zero: [u8; 2],
    }
}

layout! {
    /// An IPv4 service as clients address it: key of `SERVICES4`. Port 0 with protocol 0 is the VIP itself.
    ServiceKey4[8] {
        /// The VIP.
        vip: [u8; 4],
        /// Port, network order.
        port: [u8; 2],
        /// IP protocol number.
        protocol: u8,
        /// Hashed as a key byte, so it must be a field: 0.
        zero: u8,
    }
}

layout! {
    /// An IPv6 service as clients address it: key of `SERVICES6`. Port 0 with protocol 0 is the VIP itself.
    ServiceKey6[20] {
        /// The VIP.
        vip: [u8; 16],
        /// Port, network order.
        port: [u8; 2],
        /// IP protocol number.
        protocol: u8,
        /// Hashed as a key byte, so it must be a field: 0.
        zero: u8,
    }
}

impl ServiceKey4 {
    /// The key of the VIP's own entry: for all that is to no service of it.
    #[inline(always)]
    #[must_use]
    pub const fn vip(vip: [u8; 4]) -> Self {
        Self { vip, port: [0; 2], protocol: 0, zero: 0 }
    }
}

impl ServiceKey6 {
    /// The key of the VIP's own entry: for all that is to no service of it.
    #[inline(always)]
    #[must_use]
    pub const fn vip(vip: [u8; 16]) -> Self {
        Self { vip, port: [0; 2], protocol: 0, zero: 0 }
    }
}

layout! {
    /// A service's ring and flags: value of `SERVICES4` and `SERVICES6`. A VIP's own entry has no ring.
    Service[16] {
        /// Index of the ring's first slot in `RINGS`.
        ring_first: u32,
        /// Number of slots; 0 drops all.
        ring_size: u32,
        /// [`Service::KEEP_TTL`], [`Service::LOCAL`].
        flags: u32,
        /// Number of the service, for whoever reads the tables.
        id: u32,
    }
}

impl Service {
    /// Leave TTL and hop limit alone.
    pub const KEEP_TTL: u32 = 1;
    /// The VIP is also a local address of the director: what no service takes is left to the kernel.
    pub const LOCAL: u32 = 2;

    #[inline(always)]
    pub(crate) const fn keeps_ttl(&self) -> bool {
        self.flags & Self::KEEP_TTL != 0
    }

    #[inline(always)]
    pub(crate) const fn is_local(&self) -> bool {
        self.flags & Self::LOCAL != 0
    }
}

layout! {
    /// One slot of a ring, one word. While nothing changes both members are the same, and nothing is tracked.
    Slot[8] {
        /// Owner of new flows.
        current: MemberId,
        /// Owner of older flows, and [`Slot::TRACKED`].
        settled: u32,
    }
}

impl Slot {
    /// The bit of `settled` that says: flows of this slot are looked up in the flow table, and written there.
    pub const TRACKED: u32 = 1 << 31;

    /// A slot of which all flows belong to `member`.
    #[inline(always)]
    #[must_use]
    pub const fn of(member: MemberId) -> Self {
        Self { current: member, settled: member.0 }
    }

    /// A slot that remembers: new flows to `current`, older ones to `settled` unless the flow table says otherwise.
    #[inline(always)]
    #[must_use]
    pub const fn tracked(current: MemberId, settled: MemberId) -> Self {
        Self { current, settled: settled.0 | Self::TRACKED }
    }

    /// Owner of older flows.
    #[inline(always)]
    #[must_use]
    pub const fn settled(&self) -> MemberId {
        MemberId(self.settled & !Self::TRACKED)
    }

    /// True while the flow table is read and written.
    #[inline(always)]
    #[must_use]
    pub const fn is_tracked(&self) -> bool {
        self.settled & Self::TRACKED != 0
    }
}

layout! {
    /// A member, one word: value of `MEMBERS`. All zero: unused.
    Member[8] {
        /// The backend's MAC, as the egress reaches it.
        mac: Mac,
        /// The way out.
        egress: EgressId,
        /// [`Member::UP`], [`Member::DOWN`], or 0: unused.
        state: u8,
    }
}

impl Member {
    /// `state` of a member that answers.
    pub const UP: u8 = 1;
    /// `state` of a member that does not.
    pub const DOWN: u8 = 2;
}

layout! {
    /// A way out of the director: value of `EGRESSES`. Never changed while a member names it, but for its MAC.
    Egress[16] {
        /// Interface index; 0: unused.
        ifindex: u32,
        /// The interface's own MAC.
        mac: Mac,
        /// Not used: 0.
        zero: [u8; 6],
    }
}

layout! {
    /// What went to a member: value of `MEMBER_COUNTS`, one for each CPU.
    MemberCount[24] {
        /// Packets forwarded.
        packets: u64,
        /// Bytes forwarded, Ethernet header included.
        bytes: u64,
        /// Packets that open a flow: TCP SYNs.
        flows: u64,
    }
}

/// Number of bits in `VIPS`.
pub const VIP_BITS: u32 = 1 << 16;
/// Number of 64-bit words in `VIPS`.
pub const VIP_WORDS: u32 = VIP_BITS / 64;

/// The bit of `VIPS` that stands for an IPv4 address: below [`VIP_BITS`]. Other addresses may share it.
#[inline(always)]
#[must_use]
pub const fn vip_bit4(address: [u8; 4]) -> u32 {
    u32::from_le_bytes(address).wrapping_mul(0x9e37_79b1) >> 16
}

/// The bit of `VIPS` that stands for an IPv6 address: below [`VIP_BITS`]. Other addresses may share it.
#[inline(always)]
#[must_use]
pub fn vip_bit6(address: [u8; 16]) -> u32 {
    let [network, host] = bytemuck::cast::<_, [[u8; 8]; 2]>(address).map(u64::from_le_bytes);
    let mixed = network.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ host;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u32
}

/// How the decision reads what the controller published.
pub trait Tables {
    /// The port with interface index `ifindex`.
    fn port(&self, ifindex: u32) -> Option<Port>;
    /// One bit of `VIPS`, by [`vip_bit4`] or [`vip_bit6`].
    fn may_be_vip(&self, bit: u32) -> bool;
    /// An IPv4 service, or a VIP's own entry.
    fn service4(&self, key: &ServiceKey4) -> Option<&Service>;
    /// An IPv6 service, or a VIP's own entry.
    fn service6(&self, key: &ServiceKey6) -> Option<&Service>;
    /// The secret of the flow hash.
    fn flow_key(&self) -> Option<&FlowKey>;
    /// One slot, by its index in `RINGS`.
    fn slot(&self, index: u32) -> Option<Slot>;
    /// A member, by its id.
    fn member(&self, id: MemberId) -> Option<Member>;
    /// A way out, by its id.
    fn egress(&self, id: EgressId) -> Option<&Egress>;
}

/// What packets get whose member is down: the service's `on-dead`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum OnDead {
    /// Their slots have moved: they go to others.
    Move = 0,
    /// A reset.
    Reset = 1,
    /// Nothing.
    Drop = 2,
    /// Still that member.
    Keep = 3,
}
