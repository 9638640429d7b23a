//! Where the rings lie in the one flat array of slots. It knows lengths alone, not what the slots hold.

use std::collections::BTreeMap;

/// A range of slots can't be taken or given back as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {len} slots from slot {first} on are not all {wanted} (there are {capacity})")]
pub struct BadRange {
    first: u32,
    len: u32,
    wanted: &'static str,
    capacity: u32,
}

/// The ranges of a flat array of slots that are free. First fit: rings lie low, and in the order they came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slots {
    capacity: u32,
    /// Length of each free range by its first slot. No two touch, none is empty.
    free: BTreeMap<u32, u32>,
}

impl Slots {
    /// `capacity` slots, all free.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        let whole = (capacity != 0).then_some((0, capacity));
        Self { capacity, free: whole.into_iter().collect() }
    }

    /// `capacity` slots of which those in `taken` (first slot and length of each range) are not free.
    ///
    /// # Errors
    /// Two ranges overlap, or one is beyond the capacity.
    pub fn adopt(capacity: u32, taken: impl IntoIterator<Item = (u32, u32)>) -> Result<Self, BadRange> {
        let mut slots = Self::new(capacity);
        for (first, len) in taken {
            slots.take(first, len)?;
        }
        Ok(slots)
    }

    /// Takes the first free range of `len` slots and returns its first one; `None` where no free range is that
    /// long, or `len` is 0.
    pub fn allocate(&mut self, len: u32) -> Option<u32> {
        let (&first, &room) = self.free.iter().find(|(_, room)| len != 0 && **room >= len)?;
        self.free.remove(&first);
        self.keep_free(first + len, room - len);
        Some(first)
    }

    /// Gives `len` slots from `first` on back.
    ///
    /// # Errors
    /// One of them is free already, or beyond the capacity. Then nothing has changed.
    pub fn free(&mut self, first: u32, len: u32) -> Result<(), BadRange> {
        let refused = BadRange { first, len, wanted: "taken", capacity: self.capacity };
        let end = self.end(first, len).ok_or(refused)?;
        let before = self.free.range(..=first).next_back().map(|(start, room)| (*start, start + room));
        let after = self.free.range(first..).next().map(|(start, room)| (*start, start + room));
        if before.is_some_and(|(_, before)| before > first) || after.is_some_and(|(after, _)| after < end) {
            return Err(refused);
        }
        let mut range = (first, end);
        if let Some((start, _)) = before.filter(|(_, before)| *before == first) {
            range.0 = start;
        }
        if let Some((start, after)) = after.filter(|(after, _)| *after == end) {
            self.free.remove(&start);
            range.1 = after;
        }
        self.keep_free(range.0, range.1 - range.0);
        Ok(())
    }

    /// How many slots are free in all; they need not lie side by side.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.free.values().sum()
    }

    /// Takes `len` slots from `first` on.
    ///
    /// # Errors
    /// One of them is taken already, or beyond the capacity. Then nothing has changed.
    pub fn take(&mut self, first: u32, len: u32) -> Result<(), BadRange> {
        let refused = BadRange { first, len, wanted: "free", capacity: self.capacity };
        let end = self.end(first, len).ok_or(refused)?;
        let around = self.free.range(..=first).next_back().map(|(start, room)| (*start, start + room));
        let (start, after) = around.filter(|(_, after)| *after >= end).ok_or(refused)?;
        self.free.remove(&start);
        self.keep_free(start, first - start);
        self.keep_free(end, after - end);
        Ok(())
    }

    /// The slot after a range; `None` for an empty range, or one beyond the capacity.
    fn end(&self, first: u32, len: u32) -> Option<u32> {
        first.checked_add(len).filter(|end| len != 0 && *end <= self.capacity)
    }

    fn keep_free(&mut self, first: u32, len: u32) {
        if len != 0 {
            self.free.insert(first, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_range_that_is_long_enough_is_taken() {
        let mut slots = Slots::new(10);
        assert_eq!(slots.allocate(4), Some(0));
        assert_eq!(slots.allocate(4), Some(4));
        assert_eq!(slots.allocate(3), None);
        assert_eq!(slots.allocate(0), None);
        assert_eq!(slots.free(0, 4), Ok(()));
        assert_eq!(slots.allocate(2), Some(0));
        assert_eq!(slots.allocate(2), Some(2));
        assert_eq!(slots.allocate(2), Some(8));
        assert_eq!((slots.room(), slots.allocate(1)), (0, None));
        assert_eq!(Slots::new(0).allocate(1), None);
    }

    #[test]
    fn ranges_that_are_given_back_grow_together() {
        let mut slots = Slots::adopt(9, [(0, 3), (3, 3), (6, 3)]).expect("they do not overlap");
        for (first, len) in [(0, 3), (6, 3), (3, 3)] {
            slots.free(first, len).expect("it was taken");
        }
        assert_eq!(slots, Slots::new(9));
    }

    #[test]
    fn overlapping_or_impossible_ranges_are_refused() {
        for taken in
            [vec![(0, 4), (3, 2)], vec![(3, 2), (0, 4)], vec![(8, 3)], vec![(u32::MAX, 2)], vec![(0, 0)]]
        {
            assert!(Slots::adopt(10, taken.clone()).is_err(), "{taken:?}");
        }
        let refused = Slots::adopt(10, [(0, 4), (3, 2)]).expect_err("they overlap");
        assert_eq!(refused.to_string(), "the 2 slots from slot 3 on are not all free (there are 10)");
    }

    #[test]
    fn what_is_free_can_not_be_given_back() {
        let taken = Slots::adopt(10, [(2, 4)]).expect("one range");
        for (first, len) in [(0, 1), (1, 2), (5, 2), (2, 9), (6, 4), (2, 0), (11, 1)] {
            let mut slots = taken.clone();
            assert!(slots.free(first, len).is_err(), "{first} {len}");
            assert_eq!(slots, taken);
        }
    }

    /// Takes a range of that length, or gives back one of those that are taken.
    #[derive(Clone, Debug)]
    enum Step {
        Allocate(u32),
        Free(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1..20u32).prop_map(Step::Allocate),
            any::<prop::sample::Index>().prop_map(Step::Free)
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn it_is_a_first_fit_over_a_plain_bitmap(capacity in 0..200u32, steps in steps()) {
            let mut slots = Slots::new(capacity);
            let mut bitmap = vec![false; capacity as usize];
            let mut taken: Vec<(u32, u32)> = vec![];
            for step in steps {
                match step {
                    Step::Allocate(len) => {
                        let window = bitmap.windows(len as usize).position(|slots| slots.iter().all(|taken| !taken));
                        let first = slots.allocate(len);
                        prop_assert_eq!(first.map(|first| first as usize), window);
                        taken.extend(first.map(|first| (first, len)));
                    }
                    Step::Free(_) if taken.is_empty() => {}
                    Step::Free(at) => {
                        let (first, len) = taken.swap_remove(at.index(taken.len()));
                        prop_assert_eq!(slots.free(first, len), Ok(()));
                    }
                }
                bitmap.fill(false);
                for (first, len) in &taken {
                    bitmap[*first as usize..(first + len) as usize].fill(true);
                }
                prop_assert_eq!(slots.room() as usize, bitmap.iter().filter(|taken| !**taken).count());
                prop_assert_eq!(&Slots::adopt(capacity, taken.iter().copied()), &Ok(slots.clone()));
            }
        }
    }
}
