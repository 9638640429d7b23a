//! How the decision reaches the tables: implemented by the kernel's shell and, in memory, for the host.

use super::{
    Egress, EgressId, FlowEntry, FlowId4, FlowId6, FlowState, FragmentId, FragmentOwner, Member, MemberId,
    Port, Service, ServiceKey4, ServiceKey6, Slot, Station, Terms, WideKey4, WideKey6,
};
use crate::{
    FlowKey,
    family::{V4, V6},
    headers::Mac,
    owner::{Found, Place, found, placed},
};

/// What the controller published, and what packets left behind.
///
/// Values larger than a word are returned by reference, not as copies in an `Option`: the compiler would spill bytes
/// of a missing copy that have no value, which the kernel's verifier refuses.
pub trait Tables {
    /// One entry of the flow table, open: other CPUs may change it at the same time.
    type Entry<'a>: Entry
    where
        Self: 'a;

    /// The port with interface index `ifindex`.
    fn port(&self, ifindex: u32) -> Option<Port>;
    /// One bit of `VIPS`, by [`vip_bit4`](super::vip_bit4) or one of its kind.
    fn may_be_vip(&self, bit: u32) -> bool;
    /// An IPv4 service, a VIP's own entry, or the mark of an address of the director itself.
    fn service4(&self, key: &ServiceKey4) -> Option<&Service>;
    /// An IPv6 service, a VIP's own entry, or the mark of an address of the director itself.
    fn service6(&self, key: &ServiceKey6) -> Option<&Service>;
    /// The IPv4 service of many ports with the longest prefix of `key`.
    fn wide4(&self, key: &WideKey4) -> Option<&Service>;
    /// The IPv6 service of many ports with the longest prefix of `key`.
    fn wide6(&self, key: &WideKey6) -> Option<&Service>;
    /// The secret of the flow hash.
    fn flow_key(&self) -> Option<&FlowKey>;
    /// One slot, by its index in `RINGS`.
    fn slot(&self, index: u32) -> Option<Slot>;
    /// The next turn, below `turns`, of this CPU in a service.
    fn turn(&self, service: u32, turns: u32) -> u32;
    /// How a member is reached, by its id.
    fn member(&self, id: MemberId) -> Option<Member>;
    /// The generation of a member, by its id.
    fn generation(&self, id: MemberId) -> Option<u32>;
    /// A way out, by its id.
    fn egress(&self, id: EgressId) -> Option<&Egress>;
    /// Whose a MAC is.
    fn station(&self, mac: Mac) -> Option<&Station>;

    /// Time since the machine started, in ns, as exact as the system's tick.
    fn clock(&self) -> u64;
    /// The terms of a service.
    fn terms(&self, service: u32) -> Option<&Terms>;
    /// Takes one entry off the allowance of this CPU for a service, and counts it; false, and counted so, if none is
    /// left.
    fn may_insert(&self, service: u32, terms: &Terms) -> bool;
    /// An entry of `FLOWS4`.
    fn flow4(&self, id: &FlowId4) -> Option<Self::Entry<'_>>;
    /// An entry of `FLOWS6`.
    fn flow6(&self, id: &FlowId6) -> Option<Self::Entry<'_>>;
    /// Writes an entry of `FLOWS4`; one that is there stays, unless it is to be `replaced`. False if nothing was
    /// written.
    fn insert4(&self, id: &FlowId4, flow: &FlowEntry, replace: bool) -> bool;
    /// Writes an entry of `FLOWS6`, as [`insert4`](Tables::insert4).
    fn insert6(&self, id: &FlowId6, flow: &FlowEntry, replace: bool) -> bool;
    /// Where the first fragment of a datagram went, however long ago; [`FragmentOwner::UNSEEN`] if it is not known.
    fn fragment(&self, id: &FragmentId) -> FragmentOwner;
    /// Remembers where a first fragment went.
    fn remember_fragment(&self, id: &FragmentId, owner: &FragmentOwner);
    /// What the flow table says of an IPv4 flow of a slot that remembers: the word of a [`Found`](crate::Found).
    #[inline(always)]
    fn found4(&self, service: &Service, id: &FlowId4, place: &Place) -> u64
    where
        Self: Sized,
    {
        found::<V4, Self>(self, service, id, place).0
    }
    /// What it says of an IPv6 flow, as [`found4`](Tables::found4).
    #[inline(always)]
    fn found6(&self, service: &Service, id: &FlowId6, place: &Place) -> u64
    where
        Self: Sized,
    {
        found::<V6, Self>(self, service, id, place).0
    }
    /// Gives a place to an IPv4 flow that has none: the word of its owner. A function of its own where that matters.
    #[inline(always)]
    fn placed4(&self, service: &Service, id: &FlowId4, place: &Place, found: Found) -> u64
    where
        Self: Sized,
    {
        placed::<V4, Self>(self, service, id, place, found)
    }
    /// Gives a place to an IPv6 flow, as [`placed4`](Tables::placed4).
    #[inline(always)]
    fn placed6(&self, service: &Service, id: &FlowId6, place: &Place, found: Found) -> u64
    where
        Self: Sized,
    {
        placed::<V6, Self>(self, service, id, place, found)
    }
    /// Takes one answer off what this CPU may send in a tick; false if none is left.
    fn may_answer(&self, tick: u32) -> bool;
}

/// An entry of the flow table.
pub trait Entry {
    /// All of it. `member` and `generation` agree; the rest may be a packet older or newer.
    fn flow(&self) -> FlowEntry;
    /// Notes that a packet was seen at `tick`; nothing is written if that is known.
    fn touch(&self, tick: u32);
    /// Notes how far the flow is; nothing is written if that is known.
    fn advance(&self, state: FlowState);
}
