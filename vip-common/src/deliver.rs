//! The last step: to the member that owns the flow, by the way that leads there.

use crate::{
    Frame, Tables,
    action::{Action, Reason},
    arrival::Arrival,
    family::Family,
    owner::Owner,
    tables::{Member, MemberId, OnDead, Service},
};

/// What becomes of a packet whose owner is known.
pub(crate) enum Delivery {
    /// That.
    Done(Action),
    /// There is nobody to take it.
    NoBackend,
    /// Who should take it is dead, and the service answers for the dead by resets.
    DeadMember,
}

/// Hands a packet to the owner of its flow: changes its MACs, its VLAN tags and, unless it is to be kept, its TTL.
#[inline(always)]
pub(crate) fn deliver<I: Family, F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    arrival: &Arrival,
    service: &Service,
    owner: Owner,
) -> Delivery {
    if owner.member == MemberId::NOBODY {
        return Delivery::NoBackend;
    }
    let Some(member) = tables.member(owner.member) else {
        return Delivery::Done(Action::drop(Reason::BrokenTable));
    };
    match member.state {
        Member::UP | Member::DRAINING => {}
        Member::HERE => return Delivery::Done(Action::pass(Reason::LocalMember)),
        Member::DOWN if service.on_dead == OnDead::Keep as u8 => {}
        Member::DOWN if service.on_dead == OnDead::Reset as u8 => return Delivery::DeadMember,
        Member::DOWN if service.on_dead == OnDead::Drop as u8 => {
            return Delivery::Done(Action::drop(Reason::DeadMember));
        }
        Member::DOWN => return Delivery::NoBackend,
        _ => return Delivery::Done(Action::drop(Reason::BrokenTable)),
    }
    if arrival.source == member.mac {
        return Delivery::Done(Action::bounced(owner.member));
    }
    let egress = match tables.egress(member.egress) {
        Some(egress) if egress.ifindex != 0 => egress,
        _ => return Delivery::Done(Action::drop(Reason::BrokenTable)),
    };
    let (at, keeps_ttl) = (arrival.network, service.has(Service::KEEP_TTL));
    let hopped = if keeps_ttl { Some(()) } else { I::hop(frame, at) };
    if hopped.is_none() || arrival.send(frame, member.mac, egress).is_none() {
        return Delivery::Done(Action::drop(Reason::NoRoom));
    }
    Delivery::Done(if egress.ifindex == frame.ingress() {
        Action::transmit(owner.member, owner.opens)
    } else {
        Action::redirect(owner.member, owner.opens, egress.ifindex)
    })
}
