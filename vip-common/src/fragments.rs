//! The later fragments of a datagram go where its first one went: they say of no port.

use bytemuck::Zeroable as _;

use crate::{
    Frame, Tables,
    action::{Action, Reason},
    arrival::Arrival,
    family::Family,
    packet::Packet,
    rows::{About, Case, is_director},
    tables::{FragmentId, FragmentOwner, Member, MemberId, OnDead, Service},
};

/// Finds where the first fragment of a later one's datagram went, if that was seen and still counts. True if so.
///
/// One that was remembered before its member was down and up again says nothing, and neither does one whose member is down
/// where the flows of the dead move; nor one from a client, if another director sends the later fragment: its first one went
/// another way, or was chosen here.
#[inline(always)]
pub(crate) fn follow_first<I: Family, F: Frame, T: Tables>(
    frame: &F,
    tables: &T,
    case: &mut Case<I::Address>,
) -> bool {
    let first = tables.fragment(&fragment_id::<I>(&case.packet));
    let Some(arrival) = Arrival::of(frame, tables) else { return false };
    let from_peer = first.has(Service::PEERS) && is_director(tables.station(arrival.source));
    if !first.counts_at(tables.clock()) || from_peer || !has_its_member(tables, &first) {
        return false;
    }
    case.about = About::Datagram;
    case.found = first.member;
    case.service = Service { flags: first.flags, on_dead: first.on_dead, ..Service::zeroed() };
    true
}

#[inline(always)]
fn has_its_member<T: Tables>(tables: &T, first: &FragmentOwner) -> bool {
    if first.member == MemberId::NOBODY {
        return true;
    }
    let moves = first.on_dead == OnDead::Move as u8;
    tables.generation(first.member) == Some(first.generation)
        && tables.member(first.member).is_some_and(|member| member.state != Member::DOWN || !moves)
}

/// [`Steps::remember_first`](crate::steps::Steps::remember_first), which needs no frame: a bounced one is not needed, nor
/// what nobody got.
#[inline(always)]
pub fn remember_first<I: Family, T: Tables>(tables: &T, case: &Case<I::Address>) -> bool {
    let Action { member, reason, .. } = case.action;
    let is_passed = matches!(reason, Reason::LocalVip | Reason::ChosenByPeer);
    let is_needed = is_passed || (member != MemberId::NOBODY && reason != Reason::Bounced);
    if is_needed {
        let decided = if case.from_peer { Service::PEERS | Service::LOCAL } else { 0 };
        let first = FragmentOwner {
            member,
            generation: tables.generation(member).unwrap_or_default(),
            at: tables.clock(),
            flags: case.service.flags & !decided,
            on_dead: case.service.on_dead,
            seen: 1,
            zero: [0; 2],
        };
        tables.remember_fragment(&fragment_id::<I>(&case.packet), &first);
    }
    is_needed
}

/// The datagram of a fragment.
#[inline(always)]
fn fragment_id<I: Family>(packet: &Packet<I::Address>) -> FragmentId {
    I::fragment_id(packet.flow.source, packet.flow.destination, packet.id, packet.flow.protocol)
}
