//! Ports, slots, members, ways out: who a packet goes to, and how it gets there.

use bytemuck::{Pod, Zeroable};

use super::layout;
use crate::headers::Mac;

/// A member's number in [`Slot`]s and `MEMBERS`; 0 is nobody. Below 2³⁰.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Pod, Zeroable)]
pub struct MemberId(pub u32);

impl MemberId {
    /// The id of a slot that nobody owns.
    pub const NOBODY: Self = Self(0);
    /// An id that no table has: what a broken table leads to.
    pub(crate) const LOST: Self = Self(u32::MAX);
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
        /// Its virtual router id (RFC 9568), whose MACs count as its own; 0: none.
        router: u8,
        /// [`Port::INLET`], or 0.
        flags: u8,
    }
}

impl Port {
    /// In `flags`: what comes in there is sent by programs of this box, so its own addresses are no sign that a packet has
    /// come back.
    pub const INLET: u8 = 1;

    /// True for a port that takes in what this box itself sends.
    #[inline(always)]
    #[must_use]
    pub const fn is_inlet(&self) -> bool {
        self.flags & Self::INLET != 0
    }

    /// True for the port's own MAC and those of its virtual router (RFC 9568, section 7.3).
    #[inline(always)]
    pub(crate) fn owns(&self, mac: Mac) -> bool {
        mac == self.mac
            || (self.router != 0
                && (mac == [0, 0, 0x5e, 0, 1, self.router] || mac == [0, 0, 0x5e, 0, 2, self.router]))
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
    /// How a member is reached, one word. All zero: unused.
    Member[8] {
        /// The backend's MAC, as the egress reaches it.
        mac: Mac,
        /// The way out.
        egress: EgressId,
        /// [`Member::UP`], [`Member::DOWN`], [`Member::DRAINING`], [`Member::HERE`], or 0: unused.
        state: u8,
    }
}

layout! {
    /// A member, two words: value of `MEMBERS`.
    MemberEntry[16] {
        /// How it is reached.
        member: Member,
        /// Raised at every return from down, removal and reuse: a flow of an older one is nobody's.
        generation: u32,
        /// Not used: 0.
        zero: u32,
    }
}

impl MemberEntry {
    /// A member of a generation.
    #[must_use]
    pub const fn new(member: Member, generation: u32) -> Self {
        Self { member, generation, zero: 0 }
    }
}

impl Member {
    /// `state` of a member that gets new flows.
    pub const UP: u8 = 1;
    /// `state` of a member that answers nothing.
    pub const DOWN: u8 = 2;
    /// `state` of a member that keeps its flows and gets no new ones.
    pub const DRAINING: u8 = 3;
    /// `state` of a member that is this very box.
    pub const HERE: u8 = 4;

    /// True for a member that answers.
    #[inline(always)]
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        !matches!(self.state, 0 | Self::DOWN)
    }

    /// True for a member that gets new flows.
    #[inline(always)]
    #[must_use]
    pub const fn is_eligible(&self) -> bool {
        matches!(self.state, Self::UP | Self::HERE)
    }
}

layout! {
    /// A way out of the director: value of `EGRESSES`. Never changed while a member names it, but for its MAC.
    Egress[16] {
        /// Interface index; 0: unused.
        ifindex: u32,
        /// The interface's own MAC.
        mac: Mac,
        /// Number of VLAN tags that its frames have, 0 to 2, or [`Egress::AS_IT_CAME`].
        tags: u8,
        /// Not used: 0.
        zero: u8,
        /// VLAN ids, outermost first, in network order.
        vlans: [[u8; 2]; 2],
    }
}

impl Egress {
    /// `tags` of an egress that leaves a frame's VLAN tags alone.
    pub const AS_IT_CAME: u8 = 0xff;

    /// An egress that leaves a frame's VLAN tags alone.
    #[must_use]
    pub const fn untouched(ifindex: u32, mac: Mac) -> Self {
        Self { ifindex, mac, tags: Self::AS_IT_CAME, zero: 0, vlans: [[0; 2]; 2] }
    }
}

layout! {
    /// A MAC: key of `STATIONS`.
    StationKey[8] {
        /// The MAC.
        mac: Mac,
        /// Hashed as key bytes, so it must be a field: 0.
        zero: [u8; 2],
    }
}

impl StationKey {
    /// The key of a MAC.
    #[inline(always)]
    #[must_use]
    pub const fn new(mac: Mac) -> Self {
        Self { mac, zero: [0; 2] }
    }
}

layout! {
    /// Whose a MAC is: value of `STATIONS`.
    Station[8] {
        /// A member of the backend with this MAC, for its count of bounced packets; or nobody.
        member: MemberId,
        /// [`Station::DIRECTOR`].
        flags: u32,
    }
}

impl Station {
    /// Another director of the same VIPs.
    pub const DIRECTOR: u32 = 1;
}
