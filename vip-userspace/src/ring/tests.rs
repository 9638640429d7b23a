//! How good rings are: balance, weights, disruption and cost, printed (`cargo test ring::tests -- --nocapture`) and
//! bounded. Tests alone.
#![expect(clippy::print_stdout, reason = "the figures are for whoever reads the tests' output")]

use std::time::Instant;

use super::{
    Candidate, maglev, stand_in,
    testing::{key, members, owned, parts},
};

const SIZE: u32 = 65_537;

/// The largest of owned over fair share, and the smallest.
fn balance(ring: &[Option<usize>], members: &[Candidate]) -> (f64, f64) {
    let all: u32 = members.iter().map(|member| member.weight).sum();
    let size = u32::try_from(ring.len()).expect("a ring");
    let ratios = owned(ring, members.len()).into_iter().zip(members).map(|(owned, member)| {
        f64::from(owned) * f64::from(all) / (f64::from(size) * f64::from(member.weight))
    });
    ratios.fold((0.0, f64::MAX), |(most, least), ratio| (f64::max(most, ratio), f64::min(least, ratio)))
}

#[test]
fn equal_members_own_equal_shares() {
    for (count, bound) in [(10, 1.001), (100, 1.002), (1000, 1.01)] {
        let members = members(vec![100; count]);
        let (most, least) = balance(&maglev(&members, SIZE, &key()), &members);
        println!("{SIZE} slots, {count} equal members: {least:.4} to {most:.4} of the fair share");
        assert!(most <= bound && least >= 2.0 - bound - 0.01, "{count}: {least} to {most}");
    }
}

#[test]
fn weights_are_met_within_a_hundredth() {
    let rows: [(&str, Vec<u32>); 3] = [
        ("1 to 10", (1..=10).collect()),
        ("ten times 1 to 10", (0..100).map(|n| n % 10 + 1).collect()),
        ("100, 100, 50, 1000", vec![100, 100, 50, 1000]),
    ];
    for (name, weights) in rows {
        let members = members(weights);
        let (most, least) = balance(&maglev(&members, SIZE, &key()), &members);
        println!("{SIZE} slots, weights {name}: {least:.4} to {most:.4} of the fair share");
        assert!(most <= 1.01 && least >= 0.99, "{name}: {least} to {most}");
    }
}

#[test]
fn removing_a_member_moves_few_slots_of_the_others() {
    for (count, bound) in [(10, 0.005), (100, 0.008), (1000, 0.008)] {
        let before = members(vec![100; count]);
        let ring = maglev(&before, SIZE, &key());
        let mut worst: f64 = 0.0;
        for gone in [0, count / 2, count - 1] {
            let mut after = before.clone();
            after.remove(gone);
            let rebuilt = maglev(&after, SIZE, &key());
            let living = ring.iter().zip(&rebuilt).filter(|(old, _)| **old != Some(gone));
            let address =
                |owner: &Option<usize>, members: &[Candidate]| owner.map(|owner| members[owner].address);
            let all = living.clone().count();
            let moved = living.filter(|(old, new)| address(old, &before) != address(new, &after)).count();
            let share =
                f64::from(u32::try_from(moved).expect("few")) / f64::from(u32::try_from(all).expect("few"));
            worst = worst.max(share);
        }
        println!(
            "{SIZE} slots, one of {count} members removed: {:.2} % of the others' slots move",
            worst * 100.0
        );
        assert!(worst <= bound, "{count}: {worst}");
    }
}

#[test]
fn a_death_moves_no_slot_of_the_living_and_spreads_evenly() {
    for (count, bound) in [(10, 1.02), (100, 1.03)] {
        let members = members(vec![100; count]);
        let base = maglev(&members, SIZE, &key());
        let mut eligible = vec![true; count];
        eligible[3] = false;
        let ring = stand_in(&base, &members, &parts(&eligible), &key());
        let moved = base.iter().zip(&ring).filter(|(old, new)| old != new && **old != Some(3)).count();
        assert_eq!(moved, 0);
        let survivors: Vec<_> = members.iter().copied().filter(|member| *member != members[3]).collect();
        let shifted: Vec<_> =
            ring.iter().map(|owner| owner.map(|owner| if owner > 3 { owner - 1 } else { owner })).collect();
        let (most, least) = balance(&shifted, &survivors);
        println!("{SIZE} slots, one of {count} dead: {least:.4} to {most:.4} of the survivors' fair share");
        assert!(most <= bound && least >= 2.0 - bound, "{count}: {least} to {most}");
    }
}

#[test]
fn substitutes_are_chosen_by_weight() {
    // All of the ring is lent out: 9 members of weight 0 to 8 hundred stand in for one large one.
    let members = members((0..9).map(|n| 100 * n).chain([1_000_000_000]));
    let base = maglev(&members, SIZE, &key());
    let mut eligible = vec![true; 10];
    eligible[9] = false;
    let ring = stand_in(&base, &members, &parts(&eligible), &key());
    let heirs = &members[1..9];
    let shifted: Vec<_> = ring.iter().map(|owner| owner.map(|owner| owner - 1)).collect();
    let (most, least) = balance(&shifted, heirs);
    println!("{SIZE} slots lent to weights 100 to 800: {least:.4} to {most:.4} of the fair share");
    assert!(most <= 1.05 && least >= 0.95, "{least} to {most}");
}

#[test]
fn the_largest_rings_are_built_and_lent_out() {
    for (size, count, dead) in [(SIZE, 100, 10), (262_139, 1000, 10)] {
        let members = members((0..count).map(|n| 1 + n % 7));
        let eligible: Vec<_> = (0..count).map(|n| n >= dead).collect();
        let start = Instant::now();
        let base = maglev(&members, size, &key());
        let built = start.elapsed();
        let ring = stand_in(&base, &members, &parts(&eligible), &key());
        println!(
            "{size} slots, {count} members: built in {built:?}, {dead} stood in for in {:?}",
            start.elapsed() - built
        );
        assert!(ring.iter().all(Option::is_some));
    }
}
