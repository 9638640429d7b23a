//! What the tracing program and its user agree on: which packets are wanted, and what is told of each. It decides nothing
//! about a packet, and changes none.

use crate::{
    Action, Frame, Verb,
    family::{V4, V6},
    headers::{
        Arp, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, Ethernet,
        ICMP, ICMPV6, Vlan,
    },
    packet::{self, Layout, MAX_EXTENSIONS},
    tables::{MemberId, layout},
};

#[cfg(test)]
mod tests;

/// Bytes of a frame's head that are told.
pub const HEAD_LEN: usize = 256;

/// Names of the tracing program's own maps.
pub mod names {
    /// The one [`WantedPackets`](super::WantedPackets).
    pub const TRACE_WANTED: &str = "TRACE_WANTED";
    /// The one [`TraceCount`](super::TraceCount), per CPU.
    pub const TRACE_COUNTS: &str = "TRACE_COUNTS";
    /// Where the head of the packet is kept until it is decided about, per CPU.
    pub const TRACE_HEAD: &str = "TRACE_HEAD";
    /// [`TracedPacket`](super::TracedPacket)s, as they come.
    pub const TRACES: &str = "TRACES";
}

layout! {
    /// Which packets are wanted: what is zero is not asked for. Addresses are IPv6 ones, or IPv4 ones mapped into those
    /// (RFC 4291, section 2.5.5.2).
    WantedPackets[88] {
        /// Destination address.
        destination: [u8; 16],
        /// Source address.
        source: [u8; 16],
        /// When it is over, by the coarse clock since the machine started, in ns.
        until: u64,
        /// One bit for each [`Reason`](crate::Reason) that is wanted, by its number. With `outcomes` 0 as well: any.
        reasons: u64,
        /// One bit for each [outcome](outcome) that is wanted, for whatever reason.
        outcomes: u32,
        /// Index of the interface.
        ingress: u32,
        /// One in so many of them is told; at least 1.
        every: u32,
        /// So many are told in a [tick](crate::tables::tick) on each CPU, at most.
        allowance: u32,
        /// IP protocol number; 1 stands for ICMPv6 as well.
        protocol: u32,
        /// One bit for each of [`OF_DESTINATION`] and its kind that is asked for.
        asks: u32,
        /// Destination port, in network order.
        destination_port: [u8; 2],
        /// Source port, in network order.
        source_port: [u8; 2],
        /// Not used.
        zero: [u8; 12],
    }
}

/// The destination address is asked for.
pub const OF_DESTINATION: u32 = 1;
/// The source address is asked for.
pub const OF_SOURCE: u32 = 1 << 1;
/// The destination port is asked for.
pub const OF_DESTINATION_PORT: u32 = 1 << 2;
/// The source port is asked for.
pub const OF_SOURCE_PORT: u32 = 1 << 3;
/// The protocol is asked for.
pub const OF_PROTOCOL: u32 = 1 << 4;

layout! {
    /// What the tracing program counts, on each CPU.
    TraceCount[40] {
        /// Packets that were wanted.
        seen: u64,
        /// Such as were not told, for the allowance was used up.
        limited: u64,
        /// Such as were not told, for nobody had read the ones before.
        lost: u64,
        /// The tick of `told`.
        tick: u32,
        /// How many were told in that tick.
        told: u32,
        /// How many are left out before the next one that is told.
        skip: u32,
        /// Not used.
        zero: u32,
    }
}

layout! {
    /// One packet, and what it got.
    TracedPacket[296] {
        /// When, since the machine started, in ns.
        time: u64,
        /// Index of the interface that it came in by.
        ingress: u32,
        /// Length of the frame, in bytes.
        len: u32,
        /// How many bytes of `head` are the frame's.
        head_len: u32,
        /// Number of the [`Reason`](crate::Reason).
        reason: u32,
        /// Id of the member; 0 for none.
        member: u32,
        /// Its [outcome](outcome).
        outcome: u32,
        /// Index of the interface that it leaves by, if it is another one.
        egress: u32,
        /// Not used.
        zero: u32,
        /// The beginning of the frame as it came.
        head: [u8; HEAD_LEN],
    }
}

/// Left to the kernel.
pub const PASSED: u32 = 1;
/// Thrown away.
pub const DROPPED: u32 = 1 << 1;
/// On its way to a member.
pub const FORWARDED: u32 = 1 << 2;
/// Answered by the director itself.
pub const ANSWERED: u32 = 1 << 3;

/// What became of a packet: one of [`PASSED`] and its kind.
#[must_use]
#[inline(always)]
pub const fn outcome(action: &Action) -> u32 {
    match action.verb {
        Verb::Pass => PASSED,
        Verb::Drop => DROPPED,
        Verb::Transmit | Verb::Redirect if action.member.0 == MemberId::NOBODY.0 => ANSWERED,
        Verb::Transmit | Verb::Redirect => FORWARDED,
    }
}

/// From where to where a packet goes, as far as that can be read. Of ARP the addresses are those of sender and target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// Source address; zero if there is none.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Source port; zero if there is none.
    pub source_port: [u8; 2],
    /// Destination port.
    pub destination_port: [u8; 2],
    /// IP protocol number; of ARP, and where it is not known, 0.
    pub protocol: u8,
}

impl Ends {
    /// Nothing that could be read.
    const NONE: Self = Self {
        source: [0; 16],
        destination: [0; 16],
        source_port: [0; 2],
        destination_port: [0; 2],
        protocol: 0,
    };

    /// Reads those of a frame, behind up to two VLAN tags.
    #[must_use]
    #[inline(always)]
    pub fn of<F: Frame>(frame: &F) -> Self {
        let Some((at, ethertype)) = network(frame) else { return Self::NONE };
        let ends = match ethertype {
            ETHERTYPE_IPV4 => Self::of_ip::<V4, F>(frame, at, mapped),
            ETHERTYPE_IPV6 => Self::of_ip::<V6, F>(frame, at, |address| address),
            ETHERTYPE_ARP => frame.read::<Arp>(at).map(|arp| Self {
                source: mapped(arp.sender),
                destination: mapped(arp.target),
                ..Self::NONE
            }),
            _ => None,
        };
        match ends {
            Some(ends) => ends,
            None => Self::NONE,
        }
    }

    #[inline(always)]
    fn of_ip<I: Layout, F: Frame>(
        frame: &F,
        at: usize,
        wide: impl Fn(I::Address) -> [u8; 16],
    ) -> Option<Self> {
        let header = frame.read::<I::Header>(at)?;
        if !I::is_version(&header) {
            return None;
        }
        let mut packet = packet::read::<I>(at, &header)?;
        for _ in 0..MAX_EXTENSIONS {
            if !I::EXTENDS || !packet.is_extended() || packet.look_behind(frame).is_none() {
                break;
            }
        }
        packet.read_ports(frame);
        Some(Self {
            source: wide(packet.flow.source),
            destination: wide(packet.flow.destination),
            source_port: packet.flow.source_port,
            destination_port: packet.flow.destination_port,
            protocol: packet.flow.protocol,
        })
    }
}

/// Where the network header starts, and its EtherType.
#[inline(always)]
fn network<F: Frame>(frame: &F) -> Option<(usize, [u8; 2])> {
    let ethernet = frame.read::<Ethernet>(0)?;
    let is_tag = |ethertype| ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN;
    let first = size_of::<Ethernet>();
    if !is_tag(ethernet.ethertype) {
        return Some((first, ethernet.ethertype));
    }
    let outer = frame.read::<Vlan>(first)?;
    let second = first + size_of::<Vlan>();
    if !is_tag(outer.ethertype) {
        return Some((second, outer.ethertype));
    }
    let inner = frame.read::<Vlan>(second)?;
    Some((second + size_of::<Vlan>(), inner.ethertype))
}

/// An IPv4 address as an IPv6 one.
#[must_use]
#[inline(always)]
pub const fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// ICMP by one number, whatever its family.
#[inline(always)]
const fn without_family(protocol: u8) -> u8 {
    if protocol == ICMPV6 { ICMP } else { protocol }
}

impl WantedPackets {
    /// True for a packet that came in by this interface, if its reason is wanted as well.
    #[must_use]
    #[inline(always)]
    pub fn is_about<F: Frame>(&self, frame: &F) -> bool {
        if self.ingress != 0 && self.ingress != frame.ingress() {
            return false;
        }
        if self.asks == 0 {
            return true;
        }
        let ends = Ends::of(frame);
        let asks = |bit| self.asks & bit != 0;
        !(asks(OF_DESTINATION) && self.destination != ends.destination
            || asks(OF_SOURCE) && self.source != ends.source
            || asks(OF_DESTINATION_PORT) && self.destination_port != ends.destination_port
            || asks(OF_SOURCE_PORT) && self.source_port != ends.source_port
            || asks(OF_PROTOCOL) && self.protocol != u32::from(without_family(ends.protocol)))
    }

    /// True if what a packet gets matters to whether it is wanted.
    #[must_use]
    #[inline(always)]
    pub const fn is_by_outcome(&self) -> bool {
        self.reasons != 0 || self.outcomes != 0
    }

    /// True if a packet that got this is wanted.
    #[must_use]
    #[inline(always)]
    pub const fn takes(&self, reason: u32, outcome: u32) -> bool {
        !self.is_by_outcome() || self.outcomes & outcome != 0 || self.reasons >> (reason & 63) & 1 != 0
    }
}

impl TraceCount {
    /// True if the next packet that is wanted is to be told, for all that is known before.
    #[must_use]
    #[inline(always)]
    pub const fn would_tell(&self, wanted: &WantedPackets, tick: u32) -> bool {
        self.skip == 0 && (self.tick != tick || self.told < wanted.allowance)
    }

    /// Counts a packet that is wanted. True if it is to be told.
    #[inline(always)]
    pub const fn tells(&mut self, wanted: &WantedPackets, tick: u32) -> bool {
        self.seen += 1;
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.skip = wanted.every.saturating_sub(1);
        if self.tick != tick {
            self.tick = tick;
            self.told = 0;
        }
        if self.told >= wanted.allowance {
            self.limited += 1;
            return false;
        }
        self.told += 1;
        true
    }
}
