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
    tables::{Entry as _, FlowEntry, FlowState, Member, MemberId, OnDead, Service, Slot, Terms, tick},
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

impl Owner {
    /// The owner where tables are broken: one that no table has.
    const LOST: Self = Self { member: MemberId::LOST, opens: false };
    /// Bit of a word that says: the packet opens the flow.
    const OPENS: u64 = 1 << 32;

    /// As a word: so much a function in the kernel can return.
    #[inline(always)]
    pub(crate) fn word(self) -> u64 {
        u64::from(self.member.0) | if self.opens { Self::OPENS } else { 0 }
    }

    /// What [`Owner::word`] made.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the id")]
    pub(crate) fn of_word(word: u64) -> Self {
        Self { member: MemberId(word as u32), opens: word & Self::OPENS != 0 }
    }
}

/// Finds the owner of a flow of a service. Where the packet is only about the flow, nothing is to be `remembered`, and nothing
/// changes. One that has no place yet gets it if `PLACES`; else it is nobody's, and nothing has changed.
#[inline(always)]
pub(crate) fn owner_of<I: Family, T: Tables, const PLACES: bool>(
    tables: &T,
    service: &Service,
    flow: &Flow<I::Address>,
    segment: &Segment,
    remembered: bool,
) -> Owner {
    let Some(key) = tables.flow_key() else { return Owner::LOST };
    let seen = seen_by::<I>(service, flow);
    let index = service.ring_first.wrapping_add(slot_of(I::hash(key, &seen), service.ring_size));
    let Some(slot) = tables.slot(index) else { return Owner::LOST };
    if service.ring_size == 0 {
        return Owner::LOST;
    }
    // Rule 1: nothing is read, nothing written.
    if !slot.is_tracked() && !service.has(Service::TAKES_TURNS) {
        return Owner { member: slot.current, opens: segment.opens };
    }
    // The slot of a source may change while older connections of it live on: each is remembered by itself. Where sources
    // take turns it is the source that has its place.
    let known_by = if service.has(Service::TAKES_TURNS) { &seen } else { flow };
    let id = I::flow_id(known_by, service.id);
    let place = Place { slot, segment: *segment, index, remembered: remembered.into() };
    let found = Found(I::found(tables, service, &id, &place));
    match found.member() {
        MemberId::NOBODY if PLACES => Owner::of_word(I::placed(tables, service, &id, &place, found)),
        member => Owner { member, opens: segment.opens },
    }
}

/// The flow as the ring sees it: with source affinity, it is the source.
#[inline(always)]
fn seen_by<I: Family>(service: &Service, flow: &Flow<I::Address>) -> Flow<I::Address> {
    if service.source_bits == 0 {
        return *flow;
    }
    Flow::by_addresses(I::leading(flow.source, service.source_bits), flow.destination, 0)
}

/// A packet's place in a ring that remembers. There are no gaps in it: the kernel's verifier wants all that is handed to a
/// function to have a value.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Place {
    slot: Slot,
    segment: Segment,
    index: u32,
    /// 1 if what is in the flow table may change, else 0.
    remembered: u32,
}

/// What was found in the flow table, as a word: so much a function in the kernel can return. The lower half is the member
/// that the packet goes to, or nobody.
#[derive(Clone, Copy)]
pub struct Found(pub u64);

impl Found {
    /// Nothing, and a table is broken.
    pub const LOST: Self = Self(MemberId::LOST.0 as u64);
    /// Bit that says: there is an entry, though it counts for nothing.
    const IS_THERE: u64 = 1 << 32;

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the id")]
    const fn member(self) -> MemberId {
        MemberId(self.0 as u32)
    }

    #[inline(always)]
    const fn is_there(self) -> bool {
        self.0 & Self::IS_THERE != 0
    }
}

/// Asks the flow table for the owner of a flow: rules 2, 5 and 7, and rule 3 where it decides. In the kernel this is a
/// function of its own: however it ends, the verifier goes on from there once.
#[inline(always)]
pub fn found<I: Family, T: Tables>(tables: &T, service: &Service, id: &I::FlowId, place: &Place) -> Found {
    let Some(terms) = tables.terms(service.id) else { return Found::LOST };
    let mut is_there = 0;
    if let Some(entry) = I::entry(tables, id) {
        let known = Known { tables, service, place };
        if let Some(member) = known.owner(&entry, terms) {
            return Found(member.0.into());
        }
        is_there = Found::IS_THERE;
    }
    // Rule 3; but a flow that begins anew must not meet the entry of the one before it.
    let slot = &place.slot;
    let begins = place.segment.opens && is_there != 0;
    if slot.current == slot.settled() && !service.has(Service::TAKES_TURNS) && !begins {
        return Found(slot.current.0.into());
    }
    Found(is_there)
}

/// Gives a place to a flow that has none: rules 4 and 6. The word of its owner; in the kernel this is a
/// function of its own.
#[inline(always)]
pub fn placed<I: Family, T: Tables>(
    tables: &T,
    service: &Service,
    id: &I::FlowId,
    place: &Place,
    found: Found,
) -> u64 {
    Unplaced::<I, T> { tables, service, id, place, found }.owner().word()
}

/// A flow that has an entry.
struct Known<'a, T: Tables> {
    tables: &'a T,
    service: &'a Service,
    place: &'a Place,
}

impl<T: Tables> Known<'_, T> {
    /// The member of an entry, if the packet goes there. Its member and generation are checked against the present: nobody's
    /// entry counts for nothing.
    #[inline(always)]
    fn owner(&self, entry: &T::Entry<'_>, terms: &Terms) -> Option<MemberId> {
        let now = tick(self.tables.clock());
        let flow = entry.flow();
        if flow.slot != self.place.index || flow.is_over(now, terms.idle) {
            return None;
        }
        let next = self.next(&flow, self.state_of(&flow)?)?;
        if self.place.remembered != 0 {
            entry.advance(next);
            if flow.is_stale(now, terms.idle) {
                entry.touch(now);
            }
        }
        Some(flow.member)
    }

    /// The state of the member of an entry; `None` if the entry is of an older generation.
    #[inline(always)]
    fn state_of(&self, flow: &FlowEntry) -> Option<Member> {
        let same = self.tables.generation(flow.member)? == flow.generation;
        self.tables.member(flow.member).filter(|_| same)
    }

    /// Whether the packet goes to the member of an entry, and how far that entry is then.
    #[inline(always)]
    fn next(&self, flow: &FlowEntry, member: Member) -> Option<FlowState> {
        let segment = &self.place.segment;
        let state = if closes(self.service, segment) { FlowState::Closing } else { FlowState::Firm };
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
            // What is only about the flow continues nothing, and says nothing of what it has seen.
            let about = self.place.remembered == 0;
            return ((continues || about) && (member.is_alive() || keeps)).then_some(state);
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
}

/// True where one entry is all connections of a source, or between two addresses. Then nobody can tell what a segment
/// continues or ends: they are placed as datagrams are.
#[inline(always)]
const fn is_merged(service: &Service) -> bool {
    let of_sources = service.source_bits != 0 && service.has(Service::TAKES_TURNS);
    of_sources || service.has(Service::BY_ADDRESSES)
}

/// True for a packet after which the flow may be over.
#[inline(always)]
const fn closes(service: &Service, segment: &Segment) -> bool {
    segment.closes && !is_merged(service)
}

/// A flow without an entry that counts.
struct Unplaced<'a, I: Family, T: Tables> {
    tables: &'a T,
    service: &'a Service,
    id: &'a I::FlowId,
    place: &'a Place,
    found: Found,
}

impl<I: Family, T: Tables> Unplaced<'_, I, T> {
    /// Rules 4 and 6: gives the flow a place.
    #[inline(always)]
    fn owner(&self) -> Owner {
        let Some(terms) = self.tables.terms(self.service.id) else { return Owner::LOST };
        let Place { segment, slot, remembered, .. } = *self.place;
        let (is_merged, is_there) = (is_merged(self.service), self.found.is_there());
        let takes_turns = self.service.has(Service::TAKES_TURNS);
        let settled = slot.settled();
        let settled_lives = self.is_alive(settled);
        // Where the dead are not moved from, they have their older flows still.
        let keeps_older = settled_lives || self.service.on_dead != OnDead::Move as u8;
        let older = if keeps_older && settled != MemberId::NOBODY { settled } else { slot.current };
        // Of merged flows nobody can tell what is new, but where all older ones are lost.
        let has_older = settled_lives || self.service.on_dead == OnDead::Keep as u8;
        let may_be_new = takes_turns || is_there || !is_merged || !has_older;
        let is_new = (segment.opens && may_be_new) || (takes_turns && !segment.connected);
        // Rule 15: over its budget a flow is not written, and lives where the ring alone finds it again. An entry that is
        // there already makes room for itself.
        let candidate = if is_new { slot.current } else { older };
        let may_write = remembered != 0
            && self.is_alive(candidate)
            && (is_there || self.tables.may_insert(self.service.id, terms));
        // Only who is new, and will be remembered, takes a turn.
        let newer = if takes_turns && is_new && may_write { self.turn() } else { slot.current };
        // Who drains gets no new flow, though nobody else does either.
        if is_new && matches!(newer, MemberId::NOBODY | MemberId::LOST) {
            return Owner { member: newer, opens: segment.opens };
        }
        let wanted = if is_new { newer } else { older };
        // Turns may name somebody else than the slot does: who is dead, or nobody that is known, is never written.
        if !may_write || !self.is_alive(wanted) {
            return Owner { member: older, opens: segment.opens };
        }
        let state = match (is_new && segment.connected && !is_merged, closes(self.service, &segment)) {
            (true, _) => FlowState::Pending,
            (false, true) => FlowState::Closing,
            (false, false) => FlowState::Firm,
        };
        let member = self.write(wanted, state).unwrap_or(older);
        let opens = segment.opens || is_new || (!segment.connected && !is_there);
        Owner { member, opens }
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
            _ if self.service.turns_size == 0 => self.place.slot.current,
            Some(slot) => slot.current,
            None => MemberId::LOST,
        }
    }

    /// Writes an entry, and says whose the flow is now: of two that are written at once the first one counts. `None` where
    /// the table has no room.
    #[inline(always)]
    fn write(&self, member: MemberId, state: FlowState) -> Option<MemberId> {
        let entry = FlowEntry {
            member,
            generation: self.tables.generation(member).unwrap_or_default(),
            slot: self.place.index,
            sequence: self.place.segment.sequence,
            seen: tick(self.tables.clock()),
            state: state as u32,
        };
        if I::insert(self.tables, self.id, &entry, self.found.is_there()) {
            return Some(member);
        }
        I::entry(self.tables, self.id).map(|first| first.flow().member)
    }
}
