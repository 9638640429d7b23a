//! What is remembered: flows of slots that change, and first fragments.

use super::{MemberId, Tables, layout};

/// A tick of the flow table's clock is 2³⁰ ns, a little more than a second.
pub const TICK_BITS: u32 = 30;
/// Ticks for which a SYN waits for the segment that continues it.
pub const PENDING_TICKS: u32 = 64;
/// `seen` is as exact as the idle time shifted by so many bits: a 16th. Entries live so much longer, never shorter.
const SEEN_SHIFT: u32 = 4;
/// How long a first fragment is remembered, in ns: 2 s.
pub const FRAGMENT_LIFE: u64 = 2_000_000_000;
/// Resets and unreachables that a CPU sends in a tick.
pub const ANSWERS_A_TICK: u32 = 1000;

/// The tick of a time in ns. Ticks wrap around after 146 years.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "ticks wrap around")]
pub const fn tick(nanoseconds: u64) -> u32 {
    (nanoseconds >> TICK_BITS) as u32
}

layout! {
    /// A flow over IPv4: key of `FLOWS4`. The service says the VIP. Where sources take turns, the flow is
    /// the source, and ports are 0; with fragments by addresses ports are 0, too.
    FlowId4[12] {
        /// Client address; where sources take turns, its leading bits.
        source: [u8; 4],
        /// Client port, network order.
        source_port: [u8; 2],
        /// Service port, network order.
        port: [u8; 2],
        /// Service id (upper 24 bits) and IP protocol number; where sources take turns, the latter is 0.
        scope: u32,
    }
}

layout! {
    /// A flow over IPv6: key of `FLOWS6`, as [`FlowId4`].
    FlowId6[24] {
        /// Client address; where sources take turns, its leading bits.
        source: [u8; 16],
        /// Client port, network order.
        source_port: [u8; 2],
        /// Service port, network order.
        port: [u8; 2],
        /// Service id (upper 24 bits) and IP protocol number; where sources take turns, the latter is 0.
        scope: u32,
    }
}

layout! {
    /// Where a flow lives: value of `FLOWS4` and `FLOWS6`.
    FlowEntry[24] {
        /// The member, if it still is of that generation.
        member: MemberId,
        /// Generation of the member when this was written.
        generation: u32,
        /// Index of the flow's slot in `RINGS`.
        slot: u32,
        /// Sequence number of the SYN, while pending.
        sequence: u32,
        /// [`tick`] of its last packet.
        seen: u32,
        /// A [`FlowState`].
        state: u32,
    }
}

/// How far a flow is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum FlowState {
    /// A SYN was seen, and nothing that continues it: anybody may have sent it.
    Pending = 1,
    /// It lives.
    Firm = 2,
    /// It lives, and its last segment was a FIN or a RST.
    Closing = 3,
}

impl FlowEntry {
    /// True once something has continued the SYN.
    #[inline(always)]
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        self.state == FlowState::Pending as u32
    }

    /// True if `seen` should be written anew at tick `now`: written at every packet it would cost a line of memory each.
    #[inline(always)]
    #[must_use]
    pub const fn is_stale(&self, now: u32, idle: u32) -> bool {
        now.wrapping_sub(self.seen) > idle >> SEEN_SHIFT
    }

    /// True if it has been silent for more than `idle` ticks (a pending one: [`PENDING_TICKS`]) at tick `now`.
    #[inline(always)]
    #[must_use]
    pub const fn is_over(&self, now: u32, idle: u32) -> bool {
        let limit = if self.is_pending() { PENDING_TICKS } else { idle.saturating_add(idle >> SEEN_SHIFT) };
        // Another CPU's clock may be a little ahead: a packet from the future was seen just now.
        let silent = now.wrapping_sub(self.seen).cast_signed();
        silent > limit.cast_signed()
    }
}

/// What becomes of an entry of the flow table when it is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Nobody will ask for it again: it is deleted.
    Over,
    /// It stays.
    Kept,
    /// It stays, and its slot must remember: the flow lives elsewhere than where the slot's new flows go.
    Held,
}

impl FlowEntry {
    /// The fate of this entry at tick `now`: rules 12 and 13 of slots that remember.
    #[inline(always)]
    #[must_use]
    pub fn fate<T: Tables>(&self, tables: &T, service: u32, now: u32) -> Fate {
        let (Some(terms), Some(slot)) = (tables.terms(service), tables.slot(self.slot)) else {
            return Fate::Over;
        };
        let same = tables.generation(self.member).is_some_and(|now| now == self.generation);
        let is_asked_for = slot.is_tracked() || terms.always != 0;
        if !same || !is_asked_for || self.is_over(now, terms.idle) {
            return Fate::Over;
        }
        // The dead hold nothing: their flows are lost, or last until the window ends. What they leave must not be met when
        // the slot is tracked again.
        let alive = tables.member(self.member).is_some_and(|member| member.is_alive());
        match (alive, slot.current == self.member) {
            (true, true) => Fate::Kept,
            (true, false) => Fate::Held,
            (false, _) if slot.current == slot.settled() && terms.always == 0 => Fate::Over,
            (false, _) => Fate::Kept,
        }
    }
}

layout! {
    /// A service's part of the flow table: value of `TERMS`, two words.
    Terms[16] {
        /// Number of the period for which `allowance` holds.
        period: u32,
        /// Entries that each CPU may write in that period.
        allowance: u32,
        /// Ticks after which a silent flow is forgotten.
        idle: u32,
        /// 1 where every flow of the service is tracked, whatever its slot says; else 0.
        always: u32,
    }
}

layout! {
    /// A fragmented datagram: key of `FRAGMENTS`. IPv4 addresses fill the first 4 bytes, and zeros follow.
    FragmentId[40] {
        /// Source address.
        source: [u8; 16],
        /// The VIP.
        destination: [u8; 16],
        /// Identification; of IPv4 the first 2 bytes.
        id: [u8; 4],
        /// IP protocol number; of IPv6 0.
        protocol: u8,
        /// IP version, 4 or 6.
        version: u8,
        /// Hashed as key bytes: 0.
        zero: [u8; 2],
    }
}

layout! {
    /// Where the first fragment of a datagram went, and what of its service matters to the later ones: value of `FRAGMENTS`.
    FragmentOwner[24] {
        /// The member; nobody: it was left to the kernel.
        member: MemberId,
        /// The member's generation then.
        generation: u32,
        /// When, in ns.
        at: u64,
        /// The service's flags. Where another director sent the fragment, without [`Service::PEERS`](super::Service::PEERS)
        /// and [`Service::LOCAL`](super::Service::LOCAL): that has been decided.
        flags: u32,
        /// The service's [`OnDead`](super::OnDead).
        on_dead: u8,
        /// 1; 0 where no fragment was seen.
        seen: u8,
        /// Not used: 0.
        zero: [u8; 2],
    }
}

impl FragmentOwner {
    /// No first fragment was seen.
    pub const UNSEEN: Self =
        Self { member: MemberId::NOBODY, generation: 0, at: 0, flags: 0, on_dead: 0, seen: 0, zero: [0; 2] };

    /// True if there is one, and at the time `now`, in ns, it is not too long ago.
    #[inline(always)]
    #[must_use]
    pub const fn counts_at(&self, now: u64) -> bool {
        self.seen != 0 && now.wrapping_sub(self.at).cast_signed() <= FRAGMENT_LIFE.cast_signed()
    }

    /// True if a flag of its service is set.
    #[inline(always)]
    #[must_use]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}
