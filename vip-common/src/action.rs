//! What a packet gets, and why: the vocabulary that the decision, the counters and the operator share.

use crate::tables::MemberId;

/// What the shell does with a packet once [`direct()`](crate::direct()) has looked at it.
///
/// A plain record, not an enum with payloads: every field of it always has a value, so the compiler never
/// spills an undefined register, which the kernel's verifier refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(8))]
pub struct Action {
    // The order matters: of fields in a row that become constant together the compiler makes one store, which the verifier
    // wants aligned.
    /// Interface index of the way out, where it is redirected; else 0.
    pub egress: u32,
    /// Why; its counter is raised, unless it is [`Reason::Forwarded`].
    pub reason: Reason,
    /// The owner of the flow, where it got the packet; who sent it back, where it bounced; else [`MemberId::NOBODY`].
    pub member: MemberId,
    /// What happens to the frame.
    pub verb: Verb,
    /// The packet is forwarded and opens a flow: a TCP SYN without ACK, an SCTP INIT, an unknown datagram where tracked.
    pub opens: bool,
}

/// What happens to a frame. It has been rewritten already where it is to leave; it is untouched where it is
/// passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Left to the kernel, as it came.
    Pass,
    /// Thrown away.
    Drop,
    /// Out of the port it came in by (`XDP_TX`).
    Transmit,
    /// Out of another port (`XDP_REDIRECT`).
    Redirect,
}

impl Action {
    /// Leaves the packet to the kernel.
    #[must_use]
    #[inline(always)]
    pub const fn pass(reason: Reason) -> Self {
        Self { verb: Verb::Pass, reason, member: MemberId::NOBODY, egress: 0, opens: false }
    }

    /// Throws the packet away.
    #[must_use]
    #[inline(always)]
    pub const fn drop(reason: Reason) -> Self {
        Self { verb: Verb::Drop, ..Self::pass(reason) }
    }

    /// The frame is now an answer by the director itself.
    #[must_use]
    #[inline(always)]
    pub const fn answer(reason: Reason) -> Self {
        Self { verb: Verb::Transmit, ..Self::pass(reason) }
    }

    /// The frame is now addressed to `member`, and leaves by the port it came in by.
    #[must_use]
    #[inline(always)]
    pub const fn transmit(member: MemberId, opens: bool) -> Self {
        Self { verb: Verb::Transmit, reason: Reason::Forwarded, member, egress: 0, opens }
    }

    /// The frame is now addressed to `member`, and leaves by the interface with index `egress`.
    #[must_use]
    #[inline(always)]
    pub const fn redirect(member: MemberId, opens: bool, egress: u32) -> Self {
        Self { verb: Verb::Redirect, reason: Reason::Forwarded, member, egress, opens }
    }

    /// The packet came back from `member`, and is thrown away.
    #[must_use]
    #[inline(always)]
    pub const fn bounced(member: MemberId) -> Self {
        Self { member, ..Self::drop(Reason::Bounced) }
    }

    /// The packet is for `member`, which is this very box: left to the kernel.
    #[must_use]
    #[inline(always)]
    pub const fn local(member: MemberId) -> Self {
        Self { member, ..Self::pass(Reason::LocalMember) }
    }

    /// The same, for a reason that is counted beside the member.
    #[must_use]
    #[inline(always)]
    pub const fn because(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    /// True if the frame is on its way to `member`.
    #[must_use]
    #[inline(always)]
    pub const fn is_forwarded(&self) -> bool {
        self.member.0 != 0 && matches!(self.verb, Verb::Transmit | Verb::Redirect)
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why a packet was passed, dropped or answered. Each has a counter of its own.
        ///
        /// Its number is its index in the `REASONS` table and part of the pinned layout: add new ones at
        /// the end.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u32)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// All reasons, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name that operators see: `ttl-expired`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it means, in a sentence for operators.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

reasons! {
    /// To the member that owns its flow. Counted by member: this counter stays 0.
    Forwarded = "forwarded",
    /// The destination MAC is not the port's own: switches flood, and ports are promiscuous.
    NotForUs = "not-for-us",
    /// Neither IPv4, IPv6 nor ARP, behind up to two VLAN tags.
    NotIp = "not-ip",
    /// IP or ARP for an address that is no VIP.
    NoVip = "no-vip",
    /// A header is cut short, a length does not fit, or a version is wrong.
    Malformed = "malformed",
    /// TTL or hop limit 1 or less: the last guard against a ring of directors.
    TtlExpired = "ttl-expired",
    /// To a service without an eligible member.
    NoBackend = "no-backend",
    /// To a VIP, but to no service of it.
    UnknownPort = "unknown-port",
    /// To a VIP that is also a local address of the director, but to no service of it.
    LocalVip = "local-vip",
    /// An ARP request for a VIP, answered.
    ArpAnswered = "arp-answered",
    /// A neighbour solicitation for a VIP, answered.
    NeighbourAnswered = "neighbour-answered",
    /// ARP or an advertisement from somebody else who says that a VIP is his: two boxes think that they own it.
    DuplicateVip = "duplicate-vip",
    /// The port's driver left no room to grow the frame: for an answer, or for VLAN tags.
    NoRoom = "no-room",
    /// A table points nowhere: a slot to an unused member, a member to an unused egress. A bug if it lasts.
    BrokenTable = "broken-table",
    /// From an address to itself.
    Land = "land",
    /// From a group's address, or from none.
    BadSource = "bad-source",
    /// A member sent the packet back, as it lacks the VIP; or an address of the director's own is its source.
    Bounced = "bounced",
    /// An echo request for a VIP, answered.
    EchoAnswered = "echo-answered",
    /// An ICMP error about a packet without ports: to the member that the addresses say.
    QuoteWithoutPorts = "quote-without-ports",
    /// A first fragment that does not hold the whole transport header.
    TinyFragment = "tiny-fragment",
    /// A later fragment whose first one was not seen: to the member that the addresses say.
    FragmentBeforeFirst = "fragment-before-first",
    /// To a member that is this very box: left to the kernel.
    LocalMember = "local-member",
    /// From another director, which chose this box: left to the kernel.
    ChosenByPeer = "chosen-by-peer",
    /// From another director, and all members are directors: forwarded, it would go round.
    PeerLoop = "peer-loop",
    /// Of a flow whose member is dead.
    DeadMember = "dead-member",
    /// Of a flow whose member is dead: answered by a reset or an unreachable.
    ResetDeadMember = "reset-dead-member",
    /// To a service without an eligible member: answered by a reset or an unreachable.
    ResetNoBackend = "reset-no-backend",
    /// To a VIP, but to no service of it: answered by a reset or an unreachable.
    ResetUnknownPort = "reset-unknown-port",
    /// It would have been answered by a reset or an unreachable, but too many were sent already.
    ResetLimited = "reset-limited",
    /// An ARP request or solicitation for a VIP that another director answers for.
    Standby = "standby",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_in_the_order_of_their_counters() {
        for (at, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at, "{}", reason.name());
        }
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        for (at, reason) in Reason::ALL.iter().enumerate() {
            assert!(Reason::ALL[..at].iter().all(|other| other.name() != reason.name()));
        }
    }
}
