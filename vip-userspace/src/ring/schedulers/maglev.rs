//! The ring of all members: who owns a slot as long as everybody lives. It must not know who does.
//!
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4: each
//! member has a permutation of the slots and, turn by turn, takes the first of them that is free. Two things are
//! added. Turns are weighted: the k-th turn of a member comes at the time (2k − 1) / weight, so that at any time
//! each has its share, rounded to a whole slot (Webster's method); with equal weights that is the paper's round.
//! And the size need not be a prime: a step that has no divisor in common with it visits every slot as well.

use std::{cmp::Reverse, collections::BinaryHeap};

use vip_common::slot_of;

use super::{Candidate, Definition, RingKey};

pub(super) static MAGLEV: Definition = Definition {
    name: "maglev",
    about: "the member that a hash of the flow names: nothing to remember, and alike on all directors",
    ring: maglev,
    turns: None,
};

/// Builds the ring of `size` slots: the owner of each, as its index in `members`.
///
/// Any order of `members` gives the same ring, by address. A slot has no owner only where no member has a weight.
/// A member whose share is less than half a slot may get none; with fewer slots than members of equal weight the
/// lowest addresses get one each. It takes about `size × ln(size)` steps, whatever the members.
#[must_use]
pub fn maglev(members: &[Candidate], size: u32, key: &RingKey) -> Vec<Option<usize>> {
    let mut ring = vec![FREE; size as usize];
    let mut walks = walks(members, size, key);
    if walks.windows(2).all(|two| two[0].weight == two[1].weight) {
        // Times are equal in each round, and need not be looked at.
        let mut turns = 0..size;
        while !walks.is_empty() && !turns.is_empty() {
            let round = walks.iter_mut().zip(turns.by_ref());
            round.for_each(|(walk, _)| walk.take_free_slot(&mut ring, size));
        }
    } else {
        take_turns(&mut walks, &mut ring, size);
    }
    ring.into_iter().map(|owner| (owner != FREE).then_some(owner as usize)).collect()
}

/// In a ring that is being filled: nobody's slot.
const FREE: u32 = u32::MAX;

/// Fills a ring by turns that come at other times for each weight.
fn take_turns(walks: &mut [Walk], ring: &mut [u32], size: u32) {
    // Equal times are taken in the order of the walks, which is that of the addresses.
    let mut turns: BinaryHeap<_> = walks
        .iter()
        .enumerate()
        .map(|(walk, Walk { weight, .. })| Reverse((time(1, *weight), walk)))
        .collect();
    // A turn takes one slot, so there are as many turns as slots, and at each a slot is free.
    for _ in 0..size {
        let Some(mut turn) = turns.peek_mut() else {
            break;
        };
        let Reverse((when, walk)) = &mut *turn;
        let walk = &mut walks[*walk];
        walk.take_free_slot(ring, size);
        *when = time(walk.turn, walk.weight);
    }
}

/// A member's way through the ring.
struct Walk {
    /// Index of the member.
    member: u32,
    /// Not 0.
    weight: u32,
    /// The slot that it looks at next, below the size.
    at: u32,
    /// Slots from one look to the next; it has no divisor in common with the size.
    skip: u32,
    /// Number of its next turn, from 1 on.
    turn: u32,
}

/// A walk for each member with a weight, in the order of their addresses.
fn walks(members: &[Candidate], size: u32, key: &RingKey) -> Vec<Walk> {
    let mut walks: Vec<_> = members
        .iter()
        .enumerate()
        .filter(|(_, Candidate { weight, .. })| *weight != 0)
        .map(|(member, &Candidate { address, weight })| Walk {
            member: u32::try_from(member).unwrap_or(FREE),
            weight,
            at: slot_of(upper(key.offset(address)), size),
            skip: coprime_step(1 + slot_of(upper(key.skip(address)), size.saturating_sub(1)), size),
            turn: 1,
        })
        .collect();
    walks.sort_by_key(|walk| members[walk.member as usize].address);
    walks
}

impl Walk {
    /// Takes the first free slot on its way. It passes every slot once in as many steps as there are slots, so
    /// it ends, and finds a free one if there is any.
    fn take_free_slot(&mut self, ring: &mut [u32], size: u32) {
        for _ in 0..size {
            let slot = &mut ring[self.at as usize];
            let ahead = size - self.at;
            self.at = if self.skip < ahead { self.at + self.skip } else { self.skip - ahead };
            if *slot == FREE {
                *slot = self.member;
                break;
            }
        }
        self.turn += 1;
    }
}

/// When a member of `weight` has its turn number `turn`. Times of 32-bit weights that differ, differ by 2⁻⁶⁴ or
/// more: in these units they are in their exact order, and equal only if they are.
fn time(turn: u32, weight: u32) -> u128 {
    (u128::from(2 * u64::from(turn) - 1) << 64) / u128::from(weight)
}

/// The first of `skip`, `skip + 1`, … (after the size, from 1 on) that has no divisor in common with `size`.
fn coprime_step(skip: u32, size: u32) -> u32 {
    let candidates = (skip..size).chain(1..skip);
    candidates.into_iter().find(|skip| greatest_common_divisor(*skip, size) == 1).unwrap_or(1)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The better half of a hash.
const fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ring::testing::{address, key, members, owned};

    #[test]
    fn small_rings_are_pinned() {
        // Computed by an independent implementation. A change here moves the flows of every director.
        let owners = |weights: &[u32], size| -> Vec<usize> {
            maglev(&members(weights.iter().copied()), size, &key()).into_iter().flatten().collect()
        };
        assert_eq!(
            owners(&[1, 2, 3, 4, 0], 23),
            [3, 2, 1, 2, 1, 3, 3, 3, 0, 2, 0, 3, 2, 3, 1, 2, 1, 2, 1, 3, 2, 3, 3]
        );
        assert_eq!(
            owners(&[1, 2, 3, 4, 0], 24),
            [3, 2, 1, 3, 1, 3, 1, 2, 1, 0, 3, 0, 2, 2, 2, 2, 2, 3, 3, 3, 3, 1, 3, 3]
        );
    }

    #[test]
    fn nobody_owns_a_slot_where_no_member_has_a_weight() {
        for members in [vec![], members([0]), members([0, 0, 0])] {
            assert_eq!(maglev(&members, 7, &key()), [None; 7]);
        }
    }

    #[test]
    fn a_ring_of_any_size_is_filled() {
        for size in (0..300).chain([1 << 16, 65_535, 262_139]) {
            for weights in [vec![1], vec![1, 1000, 0, 7], vec![u32::MAX, u32::MAX - 1], vec![5; 40]] {
                let ring = maglev(&members(weights.clone()), size, &key());
                assert_eq!(ring.len(), size as usize);
                assert!(ring.iter().all(Option::is_some), "{size} {weights:?}");
            }
        }
    }

    #[test]
    fn with_fewer_slots_than_members_the_lowest_addresses_get_one_each() {
        assert_eq!(owned(&maglev(&members([100; 8]), 5, &key()), 8), [1, 1, 1, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn another_key_gives_another_ring() {
        let members = members([100; 10]);
        let other = RingKey::new([7; 16]);
        let (one, other) = (maglev(&members, 1009, &key()), maglev(&members, 1009, &other));
        let same = one.iter().zip(&other).filter(|(one, other)| one == other).count();
        assert!((50..200).contains(&same), "about a tenth meets by chance, not {same} of 1009");
    }

    proptest! {
        #[test]
        fn every_order_of_members_gives_the_same_ring_by_address(
            shuffled in prop::collection::btree_map(0..5000usize, 0..1001u32, 1..30)
                .prop_map(|members| members.into_iter().collect::<Vec<_>>())
                .prop_shuffle(),
            size in 1..2000u32,
        ) {
            let shuffled: Vec<_> =
                shuffled.into_iter().map(|(n, weight)| Candidate { address: address(n), weight }).collect();
            let mut sorted = shuffled.clone();
            sorted.sort_by_key(|member| member.address);
            let addresses = |members: &[Candidate]| -> Vec<_> {
                let ring = maglev(members, size, &key());
                ring.into_iter().map(|owner| owner.map(|owner| members[owner].address)).collect()
            };
            prop_assert_eq!(addresses(&shuffled), addresses(&sorted));
        }

        #[test]
        fn each_member_owns_its_share_to_a_slot(
            weights in prop::collection::vec(0..1001u32, 1..30),
            size in 1..5000u32,
        ) {
            let ring = maglev(&members(weights.iter().copied()), size, &key());
            let all: u32 = weights.iter().sum();
            for (weight, owned) in weights.iter().zip(owned(&ring, weights.len())) {
                if all == 0 {
                    prop_assert_eq!(owned, 0);
                } else {
                    let share = f64::from(size) * f64::from(*weight) / f64::from(all);
                    prop_assert!((f64::from(owned) - share).abs() < 1.5, "{} of {}", owned, share);
                }
            }
        }
    }
}
