//! What a packet gets, and why: the vocabulary that the decision, the counters and the operator share.

use crate::tables::MemberId;

/// What the shell does with a packet once [`direct()`](crate::direct()) has looked at it.
///
/// The frame itself has been rewritten already where the action is [`Answer`](Action::Answer) or
/// [`Forward`](Action::Forward); it is untouched where the action is [`Pass`](Action::Pass).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Leave the packet to the kernel, as it came.
    Pass(Reason),
    /// Throw the packet away.
    Drop(Reason),
    /// The frame is now an answer by the director itself: out of the port it came in by.
    Answer(Reason),
    /// The frame is now addressed to the member that owns its flow.
    Forward {
        /// The owner of the flow.
        member: MemberId,
        /// How the frame leaves this box.
        way: Way,
        /// The packet opens a flow: a TCP SYN without ACK.
        opens: bool,
    },
}

/// How a forwarded frame leaves the director.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Out of the port it came in by (`XDP_TX`).
    Transmit,
    /// Out of another port, by its interface index (`XDP_REDIRECT`).
    Redirect(u32),
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
    /// The destination MAC is not the port's own: switches flood, and ports are promiscuous.
    NotForUs = "not-for-us",
    /// Neither IPv4, IPv6 nor ARP.
    NotIp = "not-ip",
    /// IP or ARP for an address that is no VIP.
    NoVip = "no-vip",
    /// A header is cut short, a length does not fit, or a version is wrong.
    Malformed = "malformed",
    /// TTL or hop limit 1: the last guard against a ring of directors.
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
    /// An ARP announcement of a VIP by somebody else: two boxes think that they own it.
    DuplicateVip = "duplicate-vip",
    /// A solicitation for a VIP that the port's driver left no room to answer.
    NoRoom = "no-room",
    /// An IP fragment to a VIP: left to the kernel.
    Fragment = "fragment",
    /// An ICMP message to a VIP: left to the kernel.
    Icmp = "icmp",
    /// An IPv6 packet to a VIP with extension headers before its payload: left to the kernel.
    ExtensionHeader = "extension-header",
    /// A table points nowhere: a slot to an unused member, a member to an unused egress. A bug if it lasts.
    BrokenTable = "broken-table",
}

impl Action {
    /// The reason that is counted for this action; none for a forwarded packet, which its member counts.
    #[must_use]
    #[inline(always)]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Pass(reason) | Self::Drop(reason) | Self::Answer(reason) => Some(reason),
            Self::Forward { .. } => None,
        }
    }
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
            assert!(
                Reason::ALL[..at]
                    .iter()
                    .all(|other| other.name() != reason.name())
            );
        }
    }
}
