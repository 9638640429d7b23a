//! The full decision: every row of what a packet gets, in the order of the rows.

use crate::{
    Frame, Tables,
    action::{Action, Reason},
    answer,
    arrival::Arrival,
    family::{V4, V6},
    headers::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
    steps::{self, Inline},
};

/// Decides about any frame.
#[inline(always)]
pub fn full<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    match branch(frame, tables) {
        Branch::Neighbours => match neighbours(frame, tables) {
            Some(action) => action,
            None => ip6(frame, tables),
        },
        Branch::Ip4 => ip4(frame, tables),
        Branch::Ip6 => ip6(frame, tables),
        Branch::NotIp => Action::pass(Reason::NotIp),
        Branch::NotForUs => Action::pass(Reason::NotForUs),
    }
}

/// The parts of the full decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Branch {
    /// [`neighbours`].
    Neighbours,
    /// An IPv4 packet for one of the director's MACs.
    Ip4,
    /// An IPv6 packet for one of the director's MACs.
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

/// Decides about ARP, and about IPv6 solicitations and advertisements. `None` if they are about no VIP, but addressed to the
/// port: they may still be to one, as any IPv6 packet.
#[inline(always)]
pub fn neighbours<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Option<Action> {
    let Some(arrival) = Arrival::of(frame, tables) else { return Some(Action::pass(Reason::NotForUs)) };
    if arrival.ethertype == ETHERTYPE_ARP {
        return Some(answer::arp(frame, tables, &arrival));
    }
    let decided = answer::neighbour(frame, tables, &arrival);
    if decided.is_none() && !arrival.ours { Some(Action::pass(Reason::NoVip)) } else { decided }
}

#[inline(always)]
fn ip4<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    steps::take::<V4, _>(&mut Inline { frame, tables })
}

#[inline(always)]
fn ip6<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    steps::take::<V6, _>(&mut Inline { frame, tables })
}
