//! The full decision: every row of what a packet gets, in the order of the rows.

use crate::{
    Frame, Tables,
    action::{Action, Reason},
    answer,
    arrival::Arrival,
    deliver::{Delivery, deliver},
    echo::Echo,
    family::{V4, V6},
    headers::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
    owner::{Owner, owner_of},
    packet::{Layout, Part},
    reset::{Refused, Resets, reset},
    rows::{Route, Row, fragment_id, row_of},
    tables::{FragmentOwner, MemberId, Service},
};

/// Decides about any frame.
#[inline(always)]
pub fn full<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    match branch(frame, tables) {
        Branch::Neighbours => neighbours(frame, tables),
        Branch::Ip4 => ip4(frame, tables),
        Branch::Ip6 => ip6(frame, tables),
        Branch::NotIp => Action::pass(Reason::NotIp),
        Branch::NotForUs => Action::pass(Reason::NotForUs),
    }
}

/// The parts of the full decision. In the kernel each is a function of its own: together they would not fit its stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Branch {
    /// [`neighbours`].
    Neighbours,
    /// [`ip4`].
    Ip4,
    /// [`ip6`].
    Ip6,
    /// Passed, as [`Reason::NotIp`].
    NotIp,
    /// Passed, as [`Reason::NotForUs`].
    NotForUs,
}

/// The part that decides about a frame.
#[inline(always)]
pub fn branch<F: Frame, T: Tables>(frame: &F, tables: &T) -> Branch {
    let Some(arrival) = Arrival::of(frame, tables) else { return Branch::NotForUs };
    match arrival.ethertype {
        ETHERTYPE_IPV6 if arrival.asks && answer::is_about_neighbours(frame, &arrival) => Branch::Neighbours,
        ETHERTYPE_IPV4 if arrival.ours => Branch::Ip4,
        ETHERTYPE_IPV6 if arrival.ours => Branch::Ip6,
        ETHERTYPE_ARP if arrival.asks => Branch::Neighbours,
        _ if arrival.ours => Branch::NotIp,
        _ => Branch::NotForUs,
    }
}

/// Decides about ARP, and about IPv6 solicitations and advertisements.
#[inline(always)]
pub fn neighbours<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    let Some(arrival) = Arrival::of(frame, tables) else { return Action::pass(Reason::NotForUs) };
    if arrival.ethertype == ETHERTYPE_ARP {
        return answer::arp(frame, tables, &arrival);
    }
    answer::neighbour(frame, tables, &arrival)
}

/// Decides about an IPv4 packet for one of the director's MACs.
#[inline(always)]
pub fn ip4<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    ip::<V4, F, T>(frame, tables)
}

/// Decides about an IPv6 packet for one of the director's MACs.
#[inline(always)]
pub fn ip6<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    ip::<V6, F, T>(frame, tables)
}

#[inline(always)]
fn ip<I: Layout + Echo + Resets, F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    let Some(arrival) = Arrival::of(frame, tables) else { return Action::pass(Reason::NotForUs) };
    match row_of::<I, F, T>(frame, tables, &arrival) {
        Row::Gets(action) => action,
        Row::To(route) => take::<I, F, T>(frame, tables, &arrival, &route),
        Row::Refused(packet, refused) => reset::<I, F, T>(frame, tables, &arrival, &packet, refused),
    }
}

/// Hands a packet to the owner of its flow.
///
/// Not inlined: it shares the kernel's stack with who reads the packet, one after the other.
#[inline(never)]
fn take<I: Resets, F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    arrival: &Arrival,
    route: &Route<'_, I::Address>,
) -> Action {
    let Route { service, ring_first, packet, flow, segment, remembered, found, reason } = route;
    let mut owner = Owner { member: *found, opens: false };
    if *found == MemberId::NOBODY {
        owner = owner_of::<I, T>(tables, service, *ring_first, flow, segment, *remembered);
        owner.opens &= *remembered;
    }
    if packet.part == Part::First && *remembered && !service.has(Service::BY_ADDRESSES) {
        let first = FragmentOwner { member: owner.member, zero: 0, at: tables.clock() };
        tables.remember_fragment(&fragment_id::<I>(packet), &first);
    }
    if *ring_first != service.ring_first && owner.member == MemberId::NOBODY {
        return Action::drop(Reason::PeerLoop);
    }
    let refused = match deliver::<I, F, T>(frame, tables, arrival, service, owner) {
        Delivery::Done(action) if action.is_forwarded() => return action.because(*reason),
        Delivery::Done(action) => return action,
        Delivery::DeadMember => Refused { answered: Reason::ResetDeadMember, dropped: Reason::DeadMember },
        Delivery::NoBackend if service.has(Service::RESETS) => {
            Refused { answered: Reason::ResetNoBackend, dropped: Reason::NoBackend }
        }
        Delivery::NoBackend => return Action::drop(Reason::NoBackend),
    };
    reset::<I, F, T>(frame, tables, arrival, packet, refused)
}
