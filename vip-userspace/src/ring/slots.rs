//! The slots of one ring, as they are kept: nearly all of them name one member, and need no more room than that. It knows
//! neither why a slot changes nor when.

use vip_common::{MemberId, tables::Slot};

use super::{owners::Owners, sparse::Sparse};

/// The slots of a ring. Copies are cheap: they share until one of them changes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Ring {
    /// Who gets the new flows of each slot.
    owners: Owners,
    /// Those slots that name more than their owner, or are tracked.
    others: Sparse<Slot>,
}

impl Ring {
    /// A ring whose slots name their owners alone.
    #[must_use]
    pub fn at_rest(owners: &[MemberId]) -> Self {
        Self { owners: Owners::new(owners.iter().copied()), others: Sparse::default() }
    }

    /// Number of slots.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// True without a slot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.len() == 0
    }

    /// True for copies of one ring that none of them has changed since: they are equal, and nobody need look.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.owners.is_same(&other.owners) && self.others.is_same(&other.others)
    }

    /// What the owner of each slot is for somebody, who is asked as seldom as can be.
    pub fn owners_as<T: Copy>(&self, asked: impl Fn(MemberId) -> T) -> Vec<T> {
        self.owners.iter_as(asked)
    }

    /// One slot.
    ///
    /// # Panics
    /// There are not so many.
    #[must_use]
    pub fn slot(&self, index: u32) -> Slot {
        self.others.get(index).unwrap_or_else(|| Slot::of(self.owners.at(index as usize)))
    }

    /// All slots, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        let mut others = self.others.iter().peekable();
        (0..).zip(self.owners.iter()).map(move |(index, owner)| {
            let other = others.next_if(|(at, _)| *at == index);
            other.map_or_else(|| Slot::of(owner), |(_, slot)| slot)
        })
    }

    /// The slots whose owner is not the one that is wanted, and those that name more than their owner, in their order.
    pub(super) fn unlike(&self, wanted: &[MemberId]) -> Vec<u32> {
        let mut others = self.others.iter().peekable();
        let is_unlike = |(index, (owner, wanted)): (u32, (MemberId, &MemberId))| {
            let is_other = others.next_if(|(at, _)| *at == index).is_some();
            (is_other || owner != *wanted).then_some(index)
        };
        (0..).zip(self.owners.iter().zip(wanted)).filter_map(is_unlike).collect()
    }

    /// The slots that are others in `new`, which has as many, as they are there.
    pub fn differing<'a>(&self, new: &'a Self) -> impl Iterator<Item = (u32, Slot)> + use<'a> {
        let mut indices = self.owners.differing(&new.owners);
        if !self.others.is_same(&new.others) {
            indices.extend(self.others.differing(&new.others));
            indices.sort_unstable();
            indices.dedup();
        }
        indices.into_iter().map(|index| (index, new.slot(index)))
    }

    /// Writes slots, in their order, each once.
    ///
    /// # Panics
    /// There are not so many.
    pub(super) fn set_all(&mut self, changes: &[(u32, Slot)]) {
        if changes.is_empty() {
            return;
        }
        self.owners.set_all(changes.iter().map(|(index, slot)| (*index, slot.current)));
        let other =
            |(index, slot): &(u32, Slot)| (*index, (*slot != Slot::of(slot.current)).then_some(*slot));
        let others = changes.iter().map(other);
        if !self.others.is_empty() || others.clone().any(|(_, other)| other.is_some()) {
            self.others.change(others);
        }
    }

    /// Every member that a slot names.
    pub fn named(&self) -> impl Iterator<Item = MemberId> {
        let settled = self.others.iter().map(|(_, slot)| slot.settled());
        self.owners.iter().chain(settled)
    }
}

impl FromIterator<Slot> for Ring {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let slots: Vec<_> = slots.into_iter().collect();
        let others = (0..).zip(slots.iter().copied()).filter(|(_, slot)| *slot != Slot::of(slot.current));
        Self { owners: Owners::new(slots.iter().map(|slot| slot.current)), others: others.collect() }
    }
}

impl From<Vec<Slot>> for Ring {
    fn from(slots: Vec<Slot>) -> Self {
        slots.into_iter().collect()
    }
}

impl<const LEN: usize> From<[Slot; LEN]> for Ring {
    fn from(slots: [Slot; LEN]) -> Self {
        slots.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slots() -> impl Strategy<Value = Vec<Slot>> {
        // Near to each other, and far.
        let ids = prop_oneof![0..4_u32, Just(65_534), Just(65_535), Just(65_536), Just(200_000)];
        let member = move || ids.clone().prop_map(MemberId);
        let slot = prop_oneof![
            member().prop_map(Slot::of),
            (member(), member()).prop_map(|(current, settled)| Slot::tracked(current, settled)),
        ];
        prop::collection::vec(slot, 1..40)
    }

    proptest! {
        #[test]
        fn it_holds_any_slots_as_a_plain_list_would(
            mut slots in slots(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), slots()), 0..20),
        ) {
            let mut ring: Ring = slots.iter().copied().collect();
            for (at, new) in changes {
                let (at, before) = (at.index(slots.len()), ring.clone());
                prop_assert!(ring.is_same(&before));
                let old = slots.clone();
                for (slot, new) in slots[at..].iter_mut().zip(new) {
                    *slot = new;
                }
                let differing = (0..).zip(old.iter().zip(&slots)).filter(|(_, (old, new))| old != new);
                let differing: Vec<_> = differing.map(|(index, (_, new))| (index, *new)).collect();
                ring.set_all(&differing);
                prop_assert_eq!(ring.is_same(&before), differing.is_empty());
                prop_assert_eq!(before.differing(&ring).collect::<Vec<_>>(), differing);
            }
            prop_assert_eq!(ring.iter().collect::<Vec<_>>(), slots.clone());
            prop_assert_eq!((0..).map(|index| ring.slot(index)).take(slots.len()).collect::<Vec<_>>(), slots.clone());
            prop_assert_eq!(&ring, &slots.iter().copied().collect::<Ring>());
            let named: std::collections::BTreeSet<_> = ring.named().collect();
            let wanted = slots.iter().flat_map(|slot| [slot.current, slot.settled()]).collect();
            prop_assert_eq!(named, wanted);
            let owners: Vec<_> = slots.iter().map(|slot| slot.current).collect();
            prop_assert_eq!(ring.owners_as(|owner| owner), owners.clone());
            let wanted = Ring::at_rest(&owners);
            prop_assert_eq!(wanted.iter().collect::<Vec<_>>(), owners.iter().copied().map(Slot::of).collect::<Vec<_>>());
            let others = (0..).zip(&slots).filter(|(_, slot)| **slot != Slot::of(slot.current));
            let unlike: Vec<u32> = others.map(|(index, _)| index).collect();
            prop_assert_eq!(ring.unlike(&owners), unlike);
            let all: Vec<_> = (0..).zip(wanted.iter()).collect();
            ring.set_all(&all);
            prop_assert_eq!(ring, wanted);
        }
    }
}
