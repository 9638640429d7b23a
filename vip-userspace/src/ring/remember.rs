//! What a change makes of each slot, and when the slot has forgotten it again: the controller's half of the slots that
//! remember (rules 8 to 12, 14 and 16 of the design; the packets' half is `vip_common`'s). Pure: time is an argument,
//! who is down and which slots are held is told to it, and it knows no service, no address and no kernel.
//!
//! A slot is *departed* while `current` differs from `settled`: its window runs. It is *reunited* once they are the
//! same again and it is still tracked: it waits until no live flow of it lives elsewhere.

use std::time::Duration;

use vip_common::{
    MemberId,
    tables::{OnDead, Slot},
};

use super::{Ring, sparse::Sparse};

/// What a service says of its older flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// What becomes of the flows of a member that is down.
    pub on_dead: OnDead,
    /// The settle window: how long a flow may be silent and still be known. 0: nothing is ever tracked.
    pub window: Duration,
}

/// How long packets that met an older word of a slot may still be under way when a sweep begins.
pub const GRACE: Duration = Duration::from_millis(100);

/// The slots of one ring, and since when the tracked ones are as they are. Copies are cheap: they share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RingMemory {
    slots: Ring,
    /// For each tracked slot, and no other, when it departed or was reunited.
    since: Sparse<Duration>,
}

impl RingMemory {
    /// A ring that remembers nothing: all flows of a slot belong to its owner.
    #[must_use]
    pub fn new(owners: &[MemberId]) -> Self {
        Self { slots: Ring::at_rest(owners), since: Sparse::default() }
    }

    /// A ring as an earlier controller left it. How long its tracked slots have been so is not known: their windows
    /// start anew at `now` (rule 16).
    #[must_use]
    pub fn adopt(slots: Ring, now: Duration) -> Self {
        let tracked = (0..).zip(slots.iter()).filter(|(_, slot)| slot.is_tracked());
        let since = tracked.map(|(index, _)| (index, now)).collect();
        Self { slots, since }
    }

    /// The slots. The same ones for as long as nothing changes.
    #[must_use]
    pub fn slots(&self) -> &Ring {
        &self.slots
    }

    /// Number of slots that are tracked.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.since.len()
    }

    /// Number of slots whose window runs.
    #[must_use]
    pub fn departed(&self) -> usize {
        self.since.iter().filter(|(index, _)| is_departed(self.slots.slot(*index))).count()
    }

    /// Gives new flows to the `owners` that are wanted now, slot by slot, and keeps older ones where the rules 8 to 10
    /// say. `is_down` tells of every member that a slot names: disabled and removed ones count, nobody does anyway.
    /// With another number of owners than before it is a new ring.
    pub fn turn(
        &mut self,
        owners: &[MemberId],
        is_down: impl Fn(MemberId) -> bool,
        terms: Terms,
        now: Duration,
    ) {
        if owners.len() != self.slots.len() {
            *self = Self::new(owners);
            return;
        }
        let is_down = |member| member == MemberId::NOBODY || is_down(member);
        // Nearly all slots have the wanted owner, so it is not down, and name nobody else.
        let changed = |index: u32| {
            let slot = self.slots.slot(index);
            let new = turned(slot, owners[index as usize], is_down, terms);
            (new != slot).then_some((index, new))
        };
        let changes: Vec<_> = self.slots.unlike(owners).into_iter().filter_map(changed).collect();
        self.replace(&changes, now);
    }

    /// Ends the windows that are over at `now`: whoever gets the new flows of such a slot gets all (rule 11).
    pub fn settle(&mut self, now: Duration, window: Duration) {
        let over = |(index, since): (u32, Duration)| {
            let slot = self.slots.slot(index);
            let is_over = is_departed(slot) && since.saturating_add(window) <= now;
            is_over.then_some((index, Slot::tracked(slot.current, slot.current)))
        };
        let over: Vec<_> = self.since.iter().filter_map(over).collect();
        self.replace(&over, now);
    }

    /// Stops tracking the reunited slots that a sweep, begun at `began`, did not find `held` (rule 12). A slot that was
    /// reunited less than [`GRACE`] before is left to the next sweep: a packet may have written after this one looked.
    pub fn untrack(&mut self, began: Duration, held: impl Fn(u32) -> bool) {
        let free = |(index, since): (u32, Duration)| {
            let slot = self.slots.slot(index);
            let is_free = !is_departed(slot) && since.saturating_add(GRACE) <= began && !held(index);
            is_free.then_some((index, Slot::of(slot.current)))
        };
        let free: Vec<_> = self.since.iter().filter_map(free).collect();
        self.replace(&free, began);
    }

    /// When the next window ends; `None` while none runs.
    #[must_use]
    pub fn deadline(&self, window: Duration) -> Option<Duration> {
        let departed = self.since.iter().filter(|(index, _)| is_departed(self.slots.slot(*index)));
        departed.map(|(_, since)| since.saturating_add(window)).min()
    }

    /// The slots whose older flows are `member`'s while new ones go elsewhere: how many, and when the last of their windows
    /// ends, 0 where there is none.
    #[must_use]
    pub fn departed_from(&self, member: MemberId, window: Duration) -> (u32, Duration) {
        let its = self.since.iter().filter(|(index, _)| {
            let slot = self.slots.slot(*index);
            is_departed(slot) && slot.settled() == member
        });
        let ends = its.map(|(_, since)| since.saturating_add(window));
        ends.fold((0, Duration::ZERO), |(count, last), end| (count + 1, last.max(end)))
    }

    /// Takes the slots as they were `found` to be, where that is not as they should be: a window that nobody was waiting
    /// for starts at `now`.
    pub fn correct(&mut self, found: &Ring, now: Duration) {
        if found.len() != self.slots.len() {
            *self = Self::adopt(found.clone(), now);
            return;
        }
        let others: Vec<_> = self.slots.differing(found).collect();
        self.replace(&others, now);
    }

    /// Whether the older flows of a slot are a member's that does not get its new ones.
    #[must_use]
    pub fn remembers(&self, member: MemberId) -> bool {
        self.since.iter().any(|(index, _)| self.slots.slot(index).settled() == member)
    }

    /// Writes slots, in their order, each once. A window that runs goes on unless the member that it is for has changed.
    fn replace(&mut self, changes: &[(u32, Slot)], now: Duration) {
        let since = |(index, new): &(u32, Slot)| {
            let old = self.slots.slot(*index);
            let goes_on = is_departed(old) && is_departed(*new) && old.settled() == new.settled();
            (!goes_on || !new.is_tracked()).then_some((*index, new.is_tracked().then_some(now)))
        };
        let since: Vec<_> = changes.iter().filter_map(since).collect();
        if !self.since.is_empty() || since.iter().any(|(_, since)| since.is_some()) {
            self.since.change(since.into_iter());
        }
        self.slots.set_all(changes);
    }
}

/// What becomes of a slot whose new flows are `owner`'s from now on.
fn turned(slot: Slot, owner: MemberId, is_down: impl Fn(MemberId) -> bool, terms: Terms) -> Slot {
    // A slot of nobody has no flows that anything could be done for.
    let moves = |member| member == MemberId::NOBODY || (terms.on_dead == OnDead::Move && is_down(member));
    if terms.window.is_zero() || (!slot.is_tracked() && moves(slot.current)) {
        return Slot::of(owner);
    }
    let settled = match slot.settled() {
        // Rule 9: its flows are lost anyway. Some of them may have begun at the one that got new flows since.
        settled if moves(settled) => {
            if is_down(slot.current) {
                owner
            } else {
                slot.current
            }
        }
        // Rules 8 and 10.
        settled => settled,
    };
    Slot::tracked(owner, settled)
}

fn is_departed(slot: Slot) -> bool {
    slot.current != slot.settled()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
