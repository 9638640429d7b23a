//! Weighted round-robin, smooth: who has three times the weight has three turns as often, and not three in a row.
//!
//! nginx's way (`ngx_http_upstream_get_peer`): each turn, every member gains its weight; the one that has most then
//! takes the turn, and pays the sum of all weights. Nothing is shared while packets come: the order is computed here,
//! once, and each CPU goes through it for itself.

use std::net::IpAddr;

use super::{Candidate, Definition, MAX_TURNS, maglev};

pub(super) static ROUND_ROBIN: Definition = Definition {
    name: "round-robin",
    about: "each member in its turn, by weights: even for few and long flows, and every flow is remembered",
    ring: maglev,
    turns: Some(turns),
};

/// The order depends on addresses and weights alone. Each eligible member that has a weight is in it, unless there are more of
/// them than turns: then those with the lowest weights are not.
fn turns(members: &[Candidate], eligible: &[bool]) -> Vec<usize> {
    let mut takers = takers(members, eligible);
    let all: i64 = takers.iter().map(|taker| taker.weight).sum();
    let mut turns = Vec::with_capacity(usize::try_from(all).unwrap_or_default());
    for _ in 0..all {
        for taker in &mut takers {
            taker.credit += taker.weight;
        }
        // Of equals the first: the lowest address.
        let Some(best) = takers.iter_mut().rev().max_by_key(|taker| taker.credit) else { break };
        best.credit -= all;
        turns.push(best.member);
    }
    turns
}

struct Taker {
    address: IpAddr,
    member: usize,
    weight: i64,
    credit: i64,
}

/// Those who take turns, by address, with weights whose sum is the number of turns.
fn takers(members: &[Candidate], eligible: &[bool]) -> Vec<Taker> {
    let chosen = members.iter().zip(eligible).enumerate();
    let chosen = chosen.filter(|(_, (candidate, eligible))| **eligible && candidate.weight != 0);
    let mut takers: Vec<_> = chosen
        .map(|(member, (candidate, _))| Taker {
            address: candidate.address,
            member,
            weight: i64::from(candidate.weight),
            credit: 0,
        })
        .collect();
    takers.sort_by_key(|taker| (-taker.weight, taker.address));
    takers.truncate(MAX_TURNS as usize);
    let divisor = takers.iter().map(|taker| taker.weight).fold(0, greatest_common_divisor).max(1);
    takers.iter_mut().for_each(|taker| taker.weight /= divisor);
    shorten(&mut takers);
    takers.sort_by_key(|taker| taker.address);
    takers
}

/// Scales weights down to [`MAX_TURNS`] turns, where there are more: one for each, and the rest by largest remainders.
fn shorten(takers: &mut [Taker]) {
    let all: i64 = takers.iter().map(|taker| taker.weight).sum();
    let room = i64::from(MAX_TURNS) - i64::try_from(takers.len()).unwrap_or(i64::MAX);
    if all <= i64::from(MAX_TURNS) {
        return;
    }
    let remainder = |taker: &Taker| taker.weight * room % all;
    let mut order: Vec<_> = (0..takers.len()).collect();
    order.sort_by_key(|at| (-remainder(&takers[*at]), takers[*at].address));
    let mut left = room - takers.iter().map(|taker| taker.weight * room / all).sum::<i64>();
    for at in order {
        let taker = &mut takers[at];
        taker.weight = 1 + taker.weight * room / all + i64::from(left > 0);
        left -= 1;
    }
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ring::testing::members;

    fn turns(weights: &[u32], eligible: &[bool]) -> Vec<usize> {
        super::turns(&members(weights.to_vec()), eligible)
    }

    #[test]
    fn the_order_is_that_of_nginx() {
        // The example of nginx's own commit 52327e0627f4: weights 5, 1, 1 give a a b a c a a.
        assert_eq!(turns(&[5, 1, 1], &[true; 3]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&[100, 100], &[true; 2]), [0, 1]);
        assert_eq!(turns(&[300, 200, 100], &[true; 3]), [0, 1, 0, 2, 1, 0]);
    }

    #[test]
    fn who_is_not_eligible_or_has_no_weight_has_no_turn() {
        assert_eq!(turns(&[100, 0, 100, 100], &[true, true, false, true]), [0, 3]);
        assert_eq!(turns(&[100, 0], &[false, true]), Vec::<usize>::new());
        assert_eq!(turns(&[], &[]), Vec::<usize>::new());
    }

    #[test]
    fn the_order_depends_on_addresses_and_not_on_the_order_of_lines() {
        let mut turned = members(vec![3, 2, 1]);
        turned.reverse();
        let named = |turns: Vec<usize>, members: &[Candidate]| -> Vec<_> {
            turns.into_iter().map(|member| members[member].address).collect()
        };
        let reversed = super::turns(&turned, &[true; 3]);
        assert_eq!(named(reversed, &turned), named(turns(&[3, 2, 1], &[true; 3]), &members(vec![3, 2, 1])));
    }

    #[test]
    fn the_longest_orders_are_found_in_time_and_hold_everybody_they_can() {
        let weights: Vec<_> = (0..1000).map(|n| n % 1000 + 1).collect();
        let order = turns(&weights, &vec![true; 1000]);
        assert_eq!(order.len(), MAX_TURNS as usize);
        assert!((0..1000).all(|member| order.contains(&member)));
        let order = turns(&vec![7; 5000], &vec![true; 5000]);
        assert_eq!(order, (0..MAX_TURNS as usize).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn each_has_its_share_of_turns_at_every_time(
            weights in prop::collection::vec(0..=1000_u32, 1..20),
            mask in any::<u32>(),
        ) {
            let eligible: Vec<_> = (0..weights.len()).map(|member| mask >> member & 1 != 0).collect();
            let order = turns(&weights, &eligible);
            prop_assert!(order.len() <= MAX_TURNS as usize);
            let taking = |member: &usize| eligible[*member] && weights[*member] != 0;
            let all: u32 = (0..weights.len()).filter(taking).map(|member| weights[member]).sum();
            for member in (0..weights.len()).filter(taking) {
                let mut had = 0.0;
                let share = f64::from(weights[member]) / f64::from(all);
                for (turn, taker) in order.iter().enumerate() {
                    had += f64::from(u8::from(*taker == member));
                    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
                    let due = share * (turn + 1) as f64;
                    // Smooth: never more than some turns from its share; scaled weights differ by a turn or so.
                    prop_assert!((had - due).abs() <= 5.0, "member {member} had {had} of {due} at {turn}");
                }
                prop_assert!(had >= 1.0);
            }
            prop_assert!(order.iter().all(taking));
        }
    }
}
