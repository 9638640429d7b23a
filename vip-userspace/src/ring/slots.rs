//! The slots of one ring, as they are kept: nearly all of them name one member, and need no more room than that. It knows
//! neither why a slot changes nor when.

use std::{collections::BTreeMap, sync::Arc};

use vip_common::{MemberId, tables::Slot};

use super::owners::Owners;

/// The slots of a ring. Copies are cheap: they share until one of them changes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Ring {
    /// Who gets the new flows of each slot.
    owners: Owners,
    /// Those slots that name more than their owner, or are tracked, by index.
    others: Arc<BTreeMap<u32, Slot>>,
}

impl Ring {
    /// A ring whose slots name their owners alone.
    #[must_use]
    pub fn at_rest(owners: &[MemberId]) -> Self {
        Self { owners: Owners::new(owners.iter().copied()), others: Arc::default() }
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
        self.owners.is_same(&other.owners) && Arc::ptr_eq(&self.others, &other.others)
    }

    /// What the owner of each slot is for somebody, who is asked once for each owner; and may be for others.
    pub fn owners_as<T: Copy>(&self, asked: impl Fn(MemberId) -> T) -> Vec<T> {
        self.owners.iter_as(asked)
    }

    /// One slot.
    ///
    /// # Panics
    /// There are not so many.
    #[must_use]
    pub fn slot(&self, index: u32) -> Slot {
        self.others.get(&index).copied().unwrap_or_else(|| Slot::of(self.owners.at(index as usize)))
    }

    /// All slots, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        let mut others = self.others.iter().peekable();
        (0..).zip(self.owners.iter()).map(move |(index, owner)| {
            let other = others.next_if(|(at, _)| **at == index);
            other.map_or_else(|| Slot::of(owner), |(_, slot)| *slot)
        })
    }

    /// Writes a slot.
    ///
    /// # Panics
    /// There are not so many.
    pub fn set(&mut self, index: u32, slot: Slot) {
        self.owners.set(index as usize, slot.current);
        if slot != Slot::of(slot.current) {
            Arc::make_mut(&mut self.others).insert(index, slot);
        } else if self.others.contains_key(&index) {
            Arc::make_mut(&mut self.others).remove(&index);
        }
    }

    /// Gives slots to owners, the only ones that they name then.
    pub(super) fn set_owners(&mut self, changes: &[(u32, MemberId)]) {
        if changes.is_empty() {
            return;
        }
        self.owners.set_all(changes.iter().map(|(index, owner)| (*index as usize, *owner)));
        if !self.others.is_empty() {
            let others = Arc::make_mut(&mut self.others);
            for (index, _) in changes {
                others.remove(index);
            }
        }
    }

    /// Every member that a slot names.
    pub fn named(&self) -> impl Iterator<Item = MemberId> {
        let settled = self.others.values().map(Slot::settled);
        self.owners.iter().chain(settled)
    }
}

impl FromIterator<Slot> for Ring {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut others = BTreeMap::new();
        let owner = |(index, slot): (u32, Slot)| {
            if slot != Slot::of(slot.current) {
                others.insert(index, slot);
            }
            slot.current
        };
        let owners: Vec<_> = (0..).zip(slots).map(owner).collect();
        Self { owners: Owners::new(owners.iter().copied()), others: Arc::new(others) }
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
                slots[at] = new[0];
                ring.set(u32::try_from(at).unwrap_or_default(), new[0]);
                prop_assert!(!ring.is_same(&before));
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
            let all: Vec<_> = (0..).zip(owners).collect();
            ring.set_owners(&all);
            prop_assert_eq!(ring, wanted);
        }
    }
}
