//! The last step: to the member that owns the flow, by the way that leads there.

use crate::{
    Frame, Tables,
    action::{Action, Reason},
    arrival::Arrival,
    family::Family,
    owner::Owner,
    tables::{Member, MemberId, OnDead, Service},
};

/// Hands a packet to the owner of its flow: changes its MACs, its VLAN tags and, unless it is to be kept, its TTL.
/// Where a reset is due, the action says so, and nothing has been changed.
#[inline(always)]
pub(crate) fn deliver<I: Family, F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    arrival: &Arrival,
    service: &Service,
    owner: Owner,
) -> Action {
    if owner.member == MemberId::NOBODY {
        return nobody(service);
    }
    let Some(member) = tables.member(owner.member) else {
        return Action::drop(Reason::BrokenTable);
    };
    match member.state {
        Member::UP | Member::DRAINING => {}
        Member::HERE => return Action::local(owner.member),
        Member::DOWN if service.on_dead == OnDead::Keep as u8 => {}
        Member::DOWN if service.on_dead == OnDead::Reset as u8 => {
            return Action::drop(Reason::ResetDeadMember);
        }
        Member::DOWN if service.on_dead == OnDead::Drop as u8 => {
            return Action::drop(Reason::DeadMember);
        }
        Member::DOWN => return nobody(service),
        _ => return Action::drop(Reason::BrokenTable),
    }
    if arrival.source == member.mac {
        return Action::bounced(owner.member);
    }
    let egress = match tables.egress(member.egress) {
        Some(egress) if egress.ifindex != 0 => egress,
        _ => return Action::drop(Reason::BrokenTable),
    };
    let (at, keeps_ttl) = (arrival.network, service.has(Service::KEEP_TTL));
    let hopped = if keeps_ttl { Some(()) } else { I::hop(frame, at) };
    if hopped.is_none() || arrival.send(frame, member.mac, egress).is_none() {
        return Action::drop(Reason::NoRoom);
    }
    if egress.ifindex == frame.ingress() {
        Action::transmit(owner.member, owner.opens)
    } else {
        Action::redirect(owner.member, owner.opens, egress.ifindex)
    }
}

/// What a packet gets that nobody can take.
#[inline(always)]
fn nobody(service: &Service) -> Action {
    Action::drop(if service.has(Service::RESETS) { Reason::ResetNoBackend } else { Reason::NoBackend })
}
