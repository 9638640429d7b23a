//! What is known of some slots of a ring, and of most of them not.

use std::sync::Arc;

/// Values of some slots, in the order of their indices. Copies are cheap: they share until one of them changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sparse<T>(Arc<Vec<(u32, T)>>);

impl<T: Copy> Sparse<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn get(&self, index: u32) -> Option<T> {
        let place = self.0.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(self.0[place].1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, T)> {
        self.0.iter().copied()
    }

    /// The slots that have another value there, or one in one of the two alone.
    pub(super) fn differing(&self, other: &Self) -> Vec<u32>
    where
        T: PartialEq,
    {
        let mut differing = Vec::new();
        let mut its = other.iter().peekable();
        for (index, value) in self.iter() {
            while let Some((at, _)) = its.next_if(|(at, _)| *at < index) {
                differing.push(at);
            }
            if its.next_if(|(at, _)| *at == index).is_none_or(|(_, other)| other != value) {
                differing.push(index);
            }
        }
        differing.extend(its.map(|(index, _)| index));
        differing
    }

    /// Gives slots other values, or takes them away. The changes are in the order of their indices, one at most for a slot.
    pub(super) fn change(&mut self, changes: impl Iterator<Item = (u32, Option<T>)>) {
        let mut changes = changes.peekable();
        if changes.peek().is_none() {
            return;
        }
        let mut next = Vec::with_capacity(self.len());
        let mut old = self.iter().peekable();
        for (index, value) in changes {
            while let Some(before) = old.next_if(|(at, _)| *at < index) {
                next.push(before);
            }
            old.next_if(|(at, _)| *at == index);
            next.extend(value.map(|value| (index, value)));
        }
        next.extend(old);
        next.shrink_to_fit();
        self.0 = Arc::new(next);
    }
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// The values are in the order of their indices.
impl<T> FromIterator<(u32, T)> for Sparse<T> {
    fn from_iter<I: IntoIterator<Item = (u32, T)>>(values: I) -> Self {
        Self(Arc::new(values.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_a_map_would_be(
            changes in prop::collection::vec(prop::collection::btree_map(0..20_u32, any::<Option<u8>>(), 0..9), 0..9),
        ) {
            let (mut sparse, mut map) = (Sparse::default(), BTreeMap::new());
            for changes in changes {
                let before = (sparse.clone(), map.clone());
                sparse.change(changes.iter().map(|(index, value)| (*index, *value)));
                for (index, value) in changes {
                    match value {
                        Some(value) => map.insert(index, value),
                        None => map.remove(&index),
                    };
                }
                prop_assert_eq!(sparse.iter().collect::<BTreeMap<_, _>>(), map.clone());
                prop_assert_eq!((sparse.len(), sparse.is_empty()), (map.len(), map.is_empty()));
                let differing = (0..20).filter(|index| before.1.get(index) != map.get(index));
                prop_assert_eq!(before.0.differing(&sparse), differing.collect::<Vec<_>>());
                prop_assert!((0..20).all(|index| sparse.get(index) == map.get(&index).copied()));
            }
        }
    }
}
