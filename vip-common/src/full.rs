//! The full decision: every row of what a packet gets, in the order of the rows.

use crate::{
    Frame, Tables,
    action::{Action, Reason},
    answer,
    arrival::Arrival,
    deliver::deliver,
    echo::Echo,
    family::{Family, V4, V6},
    headers::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
    owner::{Owner, owner_of},
    packet::{Layout, Packet, Part},
    reset::{Resets, dropped_instead, reset},
    rows::{Case, Row, fragment_id, row_of, row_of_error},
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
    let mut case = Case::new();
    let mut row = row_of::<I, F, T>(frame, tables, &mut case);
    if row == Row::Error {
        row = row_of_error::<I, F, T>(frame, tables, &mut case);
    }
    match row {
        Row::To => {
            let owner = match case.found {
                MemberId::NOBODY => owner_in::<I, T>(tables, &case),
                found => u64::from(found.0),
            };
            if hand_over::<I, F, T>(frame, tables, &mut case, owner) && case.packet.part == Part::First {
                remember_first::<I, T>(tables, &case);
            }
        }
        Row::Refused => case.action = Action::drop(Reason::ResetUnknownPort),
        Row::Gets | Row::Error => return case.action,
    }
    let wanted = case.action.reason;
    if dropped_instead(wanted).is_none() {
        return case.action;
    }
    match reset::<I, F, T>(frame, tables, &case.packet, wanted) {
        counted if counted == wanted => Action::answer(counted),
        counted => Action::drop(counted),
    }
}

// The steps are not inlined: they share the kernel's stack, one after the other. Each returns a word: what else a function
// leaves in the register for it, the verifier takes for its result.

/// Bit of [`owner_in`] that says: the packet opens the flow.
const OPENS: u64 = 1 << 32;

/// The owner of the case's flow in its service, as its id and [`OPENS`]: what a function in the kernel can return.
#[inline(never)]
fn owner_in<I: Family, T: Tables>(tables: &T, case: &Case<I::Address>) -> u64 {
    let Packet { flow, segment, .. } = &case.packet;
    let owner = owner_of::<I, T>(tables, &case.service, flow, segment, case.remembered);
    u64::from(owner.member.0) | if owner.opens && case.remembered { OPENS } else { 0 }
}

/// Hands a packet to the owner of its flow; true if a member got it. Where a reset is due, the case's action says so, and
/// nothing has been done.
#[inline(never)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is the id")]
fn hand_over<I: Family, F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    case: &mut Case<I::Address>,
    owner: u64,
) -> bool {
    let Some(arrival) = Arrival::of(frame, tables) else { return false };
    let is_peers = case.service.peers_first != 0 && case.service.ring_first == case.service.peers_first;
    let owner = Owner { member: MemberId(owner as u32), opens: owner & OPENS != 0 };
    let action = deliver::<I, F, T>(frame, tables, &arrival, &case.service, owner);
    case.action = if action.is_forwarded() {
        action.because(case.action.reason)
    } else if is_peers && owner.member == MemberId::NOBODY {
        Action::drop(Reason::PeerLoop)
    } else {
        action
    };
    case.action.member != MemberId::NOBODY
}

/// Remembers where a first fragment went, for the later ones; true if those need it.
#[inline(never)]
fn remember_first<I: Family, T: Tables>(tables: &T, case: &Case<I::Address>) -> bool {
    let Case { packet, remembered, service, action, .. } = case;
    let needed = *remembered && !service.has(Service::BY_ADDRESSES);
    if needed {
        let owner = FragmentOwner { member: action.member, zero: 0, at: tables.clock() };
        tables.remember_fragment(&fragment_id::<I>(packet), &owner);
    }
    needed
}
