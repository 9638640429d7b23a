//! Who stands in for members that are not eligible. It moves no slot of an eligible one.
//!
//! Weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights by Schindler and Schomaker, 2005): at each
//! slot every eligible member has the score −ln(u) / weight, with u in (0, 1) from a hash of its address and
//! the slot; the lowest one wins. A member's chance is its share of the weights, and who wins against whom never
//! changes: so what a further death moves is what the dead member stood in for, and a return undoes it.
//!
//! A member that has only a part of its weight yet has that part of its own slots, by a hash of its address and the slot, and
//! stands in for others with that part of its weight. So a part that grows takes slots, and gives none.

use super::{Candidate, RingKey};
use crate::model::Part;

/// Fills the slots of `base` whose owner is not eligible, has not got them yet, or is none, with eligible members, as their
/// index in `members`; without an eligible member they have no owner.
///
/// `parts` is by index in `members`: how much of its weight each has, which is none for who is not eligible. A member of
/// weight 0 stands in nowhere. Any order of `members` gives the same owners, by address. It takes a step for each such
/// slot and eligible member.
#[must_use]
pub fn stand_in(
    base: &[Option<usize>],
    members: &[Candidate],
    parts: &[Part],
    key: &RingKey,
) -> Vec<Option<usize>> {
    let heirs = Heirs::new(members, parts, key);
    if heirs.is_empty() {
        return vec![None; base.len()];
    }
    let has = |owner: &usize, slot: u32| match parts.get(*owner) {
        None | Some(&Part::NONE) => false,
        Some(&Part::ALL) => true,
        Some(part) => part.eighths() > eighth(key.heir(members[*owner].address), key.slot(slot)),
    };
    let owner = |(owner, slot): (&Option<usize>, u32)| {
        let own = owner.filter(|owner| has(owner, slot));
        own.or_else(|| heirs.at(key.slot(slot), *owner))
    };
    base.iter().zip(0..).map(owner).collect()
}

/// Which eighth of its weight gives a member this slot of its own, 0 to 7, by the hashes of both.
const fn eighth(member: u64, slot: u64) -> u32 {
    // Turned by half a word: independent of who would stand in at the slot.
    (mix(member ^ slot.rotate_left(32)) >> 61) as u32
}

/// Those that can stand in, by weight: among equal weights the highest hash has the lowest score, so that a
/// logarithm is needed for each weight, not for each member.
struct Heirs(Vec<Class>);

/// Heirs of one weight.
struct Class {
    /// Its weight, times the part that it has.
    weight: f64,
    heirs: Vec<Heir>,
}

struct Heir {
    member: usize,
    /// Its half of the score's hash.
    hash: u64,
}

impl Heirs {
    fn new(members: &[Candidate], parts: &[Part], key: &RingKey) -> Self {
        let mut heirs: Vec<_> = members
            .iter()
            .zip(parts)
            .enumerate()
            .map(|(member, (candidate, part))| {
                (candidate.weight.saturating_mul(part.eighths()), candidate.address, member)
            })
            .filter(|(weight, ..)| *weight != 0)
            .collect();
        heirs.sort_unstable();
        let class = |class: &[(u32, std::net::IpAddr, usize)]| Class {
            // Exact: an eighth only changes the exponent.
            weight: f64::from(class[0].0) / 8.0,
            heirs: class
                .iter()
                .map(|&(_, address, member)| Heir { member, hash: key.heir(address) })
                .collect(),
        };
        Self(heirs.chunk_by(|one, other| one.0 == other.0).map(class).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The member that stands in at the slot with this hash: its `owner` only if there is nobody else.
    fn at(&self, slot: u64, owner: Option<usize>) -> Option<usize> {
        self.best(slot, |heir| Some(heir) != owner).or_else(|| self.best(slot, |_| true))
    }

    fn best(&self, slot: u64, may: impl Fn(usize) -> bool) -> Option<usize> {
        let best = self.0.iter().filter_map(|class| {
            let heirs = class.heirs.iter().filter(|heir| may(heir.member));
            let (hash, heir) =
                heirs.map(|heir| (mix(heir.hash ^ slot), heir)).max_by_key(|(hash, _)| *hash)?;
            Some((class, hash, heir.member))
        });
        if let [_] = self.0.as_slice() {
            return best.map(|(_, _, member)| member).next();
        }
        let scored = best.map(|(class, hash, member)| (score(hash, class.weight), member));
        scored.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, member)| member)
    }
}

/// −ln(u) / weight. The logarithm is a library's, not the machine's: all directors must agree to the last bit.
fn score(hash: u64, weight: f64) -> f64 {
    -libm::log(unit(hash)) / weight
}

/// A hash as a number between 0 and 1, neither of them: the middle of one of 2⁵² equal parts.
#[expect(clippy::cast_precision_loss, reason = "52 bits and a half fit the 53 of a double")]
fn unit(hash: u64) -> f64 {
    ((hash >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014; constants by Stafford): each bit of the input
/// reaches each bit of the output. Its input is a keyed hash (of the member) against another (of the slot), so it needs no key.
const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::ring::{
        maglev,
        testing::{address, key, members, owned, parts},
    };

    #[test]
    fn small_rings_are_pinned() {
        // Computed by an independent implementation. A change here moves the flows of every director.
        let members = members([1, 2, 3, 4, 0]);
        let base = maglev(&members, 23, &key());
        let owners = |eligible: [bool; 5]| -> Vec<usize> {
            stand_in(&base, &members, &eligible.map(Part::of), &key()).into_iter().flatten().collect()
        };
        assert_eq!(
            owners([true, true, true, false, true]),
            [2, 2, 1, 2, 1, 1, 1, 0, 0, 2, 0, 1, 2, 1, 1, 2, 1, 2, 1, 0, 2, 1, 1]
        );
        assert_eq!(
            owners([true, true, false, false, true]),
            [1, 1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1]
        );
    }

    #[test]
    fn nobody_owns_a_slot_where_nobody_is_eligible() {
        let members = members([100, 100]);
        let base = maglev(&members, 7, &key());
        assert_eq!(stand_in(&base, &members, &[Part::NONE; 2], &key()), [None; 7]);
        assert_eq!(stand_in(&[None; 7], &[], &[], &key()), [None; 7]);
    }

    #[test]
    fn a_member_of_weight_0_stands_in_nowhere() {
        let members = members([100, 0]);
        let base = maglev(&members, 7, &key());
        assert_eq!(stand_in(&base, &members, &[Part::NONE, Part::ALL], &key()), [None; 7]);
    }

    #[test]
    fn a_member_has_the_part_of_its_share_that_it_has_grown_to() {
        let members = members([100, 100, 200, 100]);
        let base = maglev(&members, 65_537, &key());
        let whole = f64::from(owned(&base, 4)[2]);
        // One of the others is dead: it stands in for that as well, by the part of its weight.
        for age in 0..=7 {
            let part = Part::grown(Duration::from_secs(age), Duration::from_secs(7));
            let alone = stand_in(&base, &members, &[Part::ALL, Part::ALL, part, Part::ALL], &key());
            let share = f64::from(owned(&alone, 4)[2]) / whole;
            let wanted = f64::from(part.eighths()) / 8.0;
            assert!((share - wanted).abs() < 0.01, "{share} {wanted}");
        }
        let alone = stand_in(
            &base,
            &members,
            &[Part::NONE, Part::NONE, Part::grown(Duration::ZERO, Duration::MAX), Part::NONE],
            &key(),
        );
        assert_eq!(owned(&alone, 4), [0, 0, 65_537, 0], "without anybody else it has all");
    }

    #[test]
    fn scores_are_finite_for_every_hash() {
        for hash in [0, 1, u64::MAX, u64::MAX - 1, 1 << 63] {
            let unit = unit(hash);
            assert!(0.0 < unit && unit < 1.0, "{hash:x} {unit}");
            assert!(score(hash, 1000.0) > 0.0);
        }
    }

    /// Members and which of them are eligible, in any order.
    fn some_members() -> impl Strategy<Value = Vec<(Candidate, bool)>> {
        // Few weights, so that classes of several members are met, too.
        let weight = prop_oneof![Just(0), Just(1), Just(100), 0..1001u32];
        prop::collection::btree_map(0..5000usize, (weight, any::<bool>()), 1..20)
            .prop_map(|members| {
                let member = |(n, (weight, eligible))| (Candidate { address: address(n), weight }, eligible);
                members.into_iter().map(member).collect::<Vec<_>>()
            })
            .prop_shuffle()
    }

    proptest! {
        #[test]
        fn a_death_moves_the_slots_of_the_dead_alone_and_a_return_undoes_it(
            members in some_members(),
            size in 1..500u32,
            deaths in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        ) {
            let (members, mut eligible): (Vec<_>, Vec<_>) = members.into_iter().unzip();
            let base = maglev(&members, size, &key());
            let mut ring = stand_in(&base, &members, &parts(&eligible), &key());
            for death in deaths {
                let changed = death.index(members.len());
                eligible[changed] = !eligible[changed];
                let next = stand_in(&base, &members, &parts(&eligible), &key());
                let (with, without) = if eligible[changed] { (&next, &ring) } else { (&ring, &next) };
                for (with, without) in with.iter().zip(without) {
                    prop_assert_ne!(*without, Some(changed));
                    prop_assert!(with == without || *with == Some(changed));
                }
                ring = next;
            }
        }

        #[test]
        fn a_part_that_grows_takes_slots_of_others_alone_and_ends_with_the_ring_of_all(
            members in some_members(),
            size in 1..500u32,
            growing in any::<prop::sample::Index>(),
        ) {
            let (members, mut eligible): (Vec<_>, Vec<_>) = members.into_iter().unzip();
            let growing = growing.index(members.len());
            eligible[growing] = true;
            let base = maglev(&members, size, &key());
            let with = |part| {
                let mut parts = parts(&eligible);
                parts[growing] = part;
                stand_in(&base, &members, &parts, &key())
            };
            let over = Duration::from_secs(7);
            let grown = (0..=7).map(|age| Part::grown(Duration::from_secs(age), over));
            let mut ring = with(Part::NONE);
            for part in grown {
                let next = with(part);
                for (before, after) in ring.iter().zip(&next) {
                    prop_assert!(before == after || *after == Some(growing));
                }
                ring = next;
            }
            prop_assert_eq!(ring, stand_in(&base, &members, &parts(&eligible), &key()));
        }

        #[test]
        fn eligible_members_keep_their_slots_and_all_others_are_filled(
            members in some_members(),
            size in 1..500u32,
        ) {
            let (members, eligible): (Vec<_>, Vec<_>) = members.into_iter().unzip();
            let base = maglev(&members, size, &key());
            let ring = stand_in(&base, &members, &parts(&eligible), &key());
            let anybody = members.iter().zip(&eligible).any(|(member, eligible)| *eligible && member.weight > 0);
            for (owner, base) in ring.iter().zip(&base) {
                prop_assert_eq!(owner.is_some(), anybody);
                prop_assert!(owner.is_none_or(|owner| eligible[owner] && members[owner].weight > 0));
                prop_assert!(owner == base || base.is_none_or(|base| !eligible[base]));
            }
        }

        #[test]
        fn every_order_of_members_gives_the_same_owners_by_address(
            shuffled in some_members(),
            size in 1..500u32,
        ) {
            let mut sorted = shuffled.clone();
            sorted.sort_by_key(|(member, _)| member.address);
            let addresses = |members: &[(Candidate, bool)]| -> Vec<_> {
                let (members, eligible): (Vec<_>, Vec<_>) = members.iter().copied().unzip();
                let ring = stand_in(&maglev(&members, size, &key()), &members, &parts(&eligible), &key());
                ring.into_iter().map(|owner| owner.map(|owner| members[owner].address)).collect()
            };
            prop_assert_eq!(addresses(&shuffled), addresses(&sorted));
        }
    }
}
