//! Which member owns which slot of a service's ring, and where rings lie in `RINGS`. Pure: it knows no kernel,
//! no clock and no health; who is eligible is an argument.
//!
//! A ring is made in two steps:
//!
//! 1. [`maglev`] places *all* members that have a weight, dead or alive. Its ring is even to a slot, and depends
//!    on nothing but the members' addresses and weights, the size and the key: directors with the same
//!    configuration, in any order of its lines, build the same one.
//! 2. [`stand_in`] lends the slots of members that are not eligible to those that are, by weighted rendezvous
//!    hashing, slot by slot.
//!
//! Why not simply build the Maglev ring of the eligible members? Because each change of its members also moves a
//! few slots between the others, and a slot that moves from a living member breaks its connections. Deaths are
//! frequent and nobody asked for them, so they must cost nothing to those that live: with a stand-in a death
//! moves the slots that the dead member had, and a return takes back just those. Rendezvous hashing has exactly
//! that property, but is only as even as chance is; Maglev is even, and changes by configuration alone.

mod allocator;
mod key;
mod owners;
pub mod remember;
pub mod schedulers;
mod slots;
mod sparse;
mod stand_in;

pub use allocator::{BadRange, Slots};
pub use key::{BadSeed, RingKey};
pub use remember::{RingMemory, Terms};
pub use schedulers::{Candidate, MAX_TURNS, maglev};
pub use slots::Ring;
pub use stand_in::stand_in;

#[cfg(test)]
mod testing {
    //! Members for tests.

    use std::net::{IpAddr, Ipv4Addr};

    use super::{Candidate, RingKey};
    use crate::model::Part;

    pub(super) fn key() -> RingKey {
        "000102030405060708090a0b0c0d0e0f".parse().expect("a seed")
    }

    /// The `n`-th address of 10.0.0.0/8.
    pub(super) fn address(n: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + u32::try_from(n).expect("a small number")))
    }

    /// A member for each weight, at addresses in a row.
    pub(super) fn members(weights: impl IntoIterator<Item = u32>) -> Vec<Candidate> {
        let members = weights.into_iter().enumerate();
        members.map(|(n, weight)| Candidate { address: address(n + 1), weight }).collect()
    }

    /// All or nothing, for each.
    pub(super) fn parts(eligible: &[bool]) -> Vec<Part> {
        eligible.iter().copied().map(Part::of).collect()
    }

    /// How many slots each of `members` owners has.
    pub(super) fn owned(ring: &[Option<usize>], members: usize) -> Vec<u32> {
        let mut owned = vec![0; members];
        for owner in ring.iter().flatten() {
            owned[*owner] += 1;
        }
        owned
    }
}

#[cfg(test)]
mod tests;
