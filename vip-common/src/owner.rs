//! Who owns a flow: the ring alone, nearly always; where a slot remembers, the flow table first.
//!
//! The idea is that of JET (Mendelson et al., "Just enough tracking", CoNEXT 2021) and of Beamer's daisy chaining
//! (Olteanu et al., NSDI 2018), applied to a Maglev ring. The controller's half of the rules, when a slot begins and
//! ceases to remember, is in `vip-userspace/src/ring/remember.rs`.

use crate::{
    Tables,
    family::Family,
    flow::Flow,
    hash::slot_of,
    packet::Segment,
    tables::{Entry as _, FlowEntry, FlowState, Member, MemberId, OnDead, Service, Slot, tick},
};

/// How far ahead of its SYN a segment may be that continues it: an initial window, whatever its order.
const CONTINUES: u32 = 0xffff;

/// The owner of a packet's flow.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) member: MemberId,
    /// The packet opens a flow, as far as that can be known.
    pub(crate) opens: bool,
}

/// Whether a flow that is found nowhere is placed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It gets a place, which may be written, or be the next turn.
    Placed,
    /// Its owner is one that no table has. Asking for it once more changes nothing: who may yet ask must not place it.
    Lost,
}

/// Finds the owner of a flow of a service. Where the packet is only about the flow, nothing is to be `remembered`.
#[inline(always)]
pub(crate) fn owner_of<I: Family, T: Tables>(
    tables: &T,
    service: &Service,
    flow: &Flow<I::Address>,
    segment: &Segment,
    remembered: bool,
    unknown: Unknown,
) -> Owner {
    let lost = Owner { member: MemberId::LOST, opens: false };
    let Some(key) = tables.flow_key() else { return lost };
    let flow = seen_by::<I>(service, flow);
    let index = service.ring_first.wrapping_add(slot_of(I::hash(key, &flow), service.ring_size));
    let Some(slot) = tables.slot(index) else { return lost };
    if service.ring_size == 0 {
        return lost;
    }
    // Rule 1: nothing is read, nothing written.
    if !slot.is_tracked() && !service.has(Service::TAKES_TURNS) {
        return Owner { member: slot.current, opens: segment.opens };
    }
    Place::<I, T> { tables, service, index, slot, id: I::flow_id(&flow, service.id) }
        .owner(segment, remembered, unknown)
}

/// The flow as the service sees it: with source affinity, it is the source.
#[inline(always)]
fn seen_by<I: Family>(service: &Service, flow: &Flow<I::Address>) -> Flow<I::Address> {
    if service.source_bits == 0 {
        return *flow;
    }
    Flow::by_addresses(I::leading(flow.source, service.source_bits), flow.destination, 0)
}

/// A flow's place in a ring that remembers.
struct Place<'a, I: Family, T: Tables> {
    tables: &'a T,
    service: &'a Service,
    index: u32,
    slot: Slot,
    id: I::FlowId,
}

impl<I: Family, T: Tables> Place<'_, I, T> {
    /// Rules 2 to 7. A flow's member and generation are checked against the present: nobody's entry counts for nothing.
    #[inline(always)]
    fn owner(&self, segment: &Segment, remembered: bool, unknown: Unknown) -> Owner {
        let Some(terms) = self.tables.terms(self.service.id) else {
            return Owner { member: MemberId::LOST, opens: false };
        };
        let now = tick(self.tables.clock());
        let entry = I::entry(self.tables, &self.id);
        let is_there = entry.is_some();
        if let Some(entry) = entry {
            let flow = entry.flow();
            if flow.slot == self.index
                && !flow.is_over(now, terms.idle)
                && let Some(member) = self.state_of(&flow)
                && let Some(next) = self.next(&flow, member, segment)
            {
                if remembered {
                    entry.advance(next);
                }
                if remembered && flow.is_stale(now, terms.idle) {
                    entry.touch(now);
                }
                return Owner { member: flow.member, opens: segment.opens };
            }
        }
        let takes_turns = self.service.has(Service::TAKES_TURNS);
        let settled = self.slot.settled();
        let is_new = segment.opens || (takes_turns && !segment.connected);
        // Rule 3; but a flow that begins anew must not meet the entry of the one before it.
        if self.slot.current == settled && !takes_turns && !(is_new && is_there) {
            return Owner { member: self.slot.current, opens: segment.opens };
        }
        if unknown == Unknown::Lost {
            return Owner { member: MemberId::LOST, opens: false };
        }
        let older = if self.owns(settled) { settled } else { self.slot.current };
        // Only who is new takes a turn.
        let newer = if takes_turns && is_new { self.turn() } else { self.slot.current };
        // Who drains gets no new flow, though nobody else does either.
        if is_new && newer == MemberId::NOBODY {
            return Owner { member: MemberId::NOBODY, opens: segment.opens };
        }
        let wanted = if is_new { newer } else { older };
        // Rule 15: over its budget a flow is not written, and lives where the ring alone finds it again.
        let may_write = remembered && self.is_alive(wanted) && self.tables.may_insert(self.service.id, terms);
        if !may_write {
            let member = if is_new && !self.is_alive(settled) { self.slot.current } else { older };
            return Owner { member, opens: segment.opens };
        }
        // Rules 4 and 6.
        let pending = is_new && segment.connected;
        let state = if pending { FlowState::Pending } else { FlowState::Firm };
        let member = self.write(wanted, state, segment, now, is_there);
        Owner { member, opens: is_new || (!segment.connected && !is_there) }
    }

    /// The state of the member of an entry; `None` if the entry is of an older generation.
    #[inline(always)]
    fn state_of(&self, flow: &FlowEntry) -> Option<Member> {
        let same = self.tables.generation(flow.member)? == flow.generation;
        self.tables.member(flow.member).filter(|_| same)
    }

    /// Whether the packet goes to the member of an entry, and how far that entry is then.
    #[inline(always)]
    fn next(&self, flow: &FlowEntry, member: Member, segment: &Segment) -> Option<FlowState> {
        let state = if segment.closes { FlowState::Closing } else { FlowState::Firm };
        let keeps = self.service.on_dead == OnDead::Keep as u8;
        if flow.is_pending() {
            // Rule 5, and the other half of rule 4: a new SYN starts anew.
            let ahead = segment.sequence.wrapping_sub(flow.sequence);
            // A SYN that is sent again has had its turn: the answer to the first one may be on its way.
            let again = segment.opens && ahead == 0 && self.service.has(Service::TAKES_TURNS);
            if again && member.is_eligible() {
                return Some(FlowState::Pending);
            }
            let continues = !segment.opens && segment.connected && ahead.wrapping_sub(1) < CONTINUES;
            return (continues && (member.is_alive() || keeps)).then_some(state);
        }
        if segment.opens {
            // Rule 7: a forged SYN moves nothing.
            let closing = flow.state == FlowState::Closing as u32;
            let stays = (member.is_alive() || keeps) && (member.is_eligible() || !closing);
            return stays.then_some(if closing { FlowState::Closing } else { FlowState::Firm });
        }
        // Rules 2 and 10: where the dead are not moved from, they keep their flows.
        (member.is_alive() || self.service.on_dead != OnDead::Move as u8).then_some(state)
    }

    /// True for a member that has older flows: it is not down, or the dead are not moved from.
    #[inline(always)]
    fn owns(&self, member: MemberId) -> bool {
        member != MemberId::NOBODY && (self.service.on_dead != OnDead::Move as u8 || self.is_alive(member))
    }

    #[inline(always)]
    fn is_alive(&self, member: MemberId) -> bool {
        self.tables.member(member).is_some_and(|member| member.is_alive())
    }

    /// The member whose turn it is.
    #[inline(always)]
    fn turn(&self) -> MemberId {
        let turn = self.tables.turn(self.service.id, self.service.turns_size);
        let index = self.service.turns_first.wrapping_add(turn);
        match self.tables.slot(index) {
            Some(slot) if self.service.turns_size != 0 => slot.current,
            _ => self.slot.current,
        }
    }

    /// Writes an entry, and says whose the flow is now: of two that are written at once the first one counts.
    #[inline(always)]
    fn write(
        &self,
        member: MemberId,
        state: FlowState,
        segment: &Segment,
        now: u32,
        replace: bool,
    ) -> MemberId {
        let entry = FlowEntry {
            member,
            generation: self.tables.generation(member).unwrap_or_default(),
            slot: self.index,
            sequence: segment.sequence,
            seen: now,
            state: state as u32,
        };
        if I::insert(self.tables, &self.id, &entry, replace) || !self.service.has(Service::TAKES_TURNS) {
            return member;
        }
        match I::entry(self.tables, &self.id) {
            Some(first) => first.flow().member,
            None => self.slot.current,
        }
    }
}
