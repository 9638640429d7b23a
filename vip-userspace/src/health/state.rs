//! Decides a member's health from the results of its probes in a row. Pure: it knows no socket and no clock.

use crate::model::Health;

/// How often a member is to be probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As usual.
    Steady,
    /// Its last probe speaks against its health, which may be about to change.
    Uncertain,
    /// It is down, and nothing speaks against that.
    Down,
}

/// Health of one member: `rise` successes in a row take it in, `fall` failures in a row take it out.
///
/// The first probe decides alone: whoever just started must not wait `rise` intervals for a backend that answers,
/// nor keep one that does not. But a member that an earlier run left up is up by many probes: a single failure, while
/// everything is just starting, takes it out as little as at any other time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tracker {
    rise: u32,
    fall: u32,
    health: Health,
    last: bool,
    streak: u32,
}

impl Tracker {
    /// Tracks a member of which nothing is known. Thresholds of 0 count as 1.
    #[must_use]
    pub fn new(rise: u32, fall: u32) -> Self {
        Self::adopted(rise, fall, Health::Unknown)
    }

    /// Tracks a member whose health an earlier run left behind: kept until the first success, or `fall` failures where
    /// it is up.
    #[must_use]
    pub fn adopted(rise: u32, fall: u32, health: Health) -> Self {
        let up = health == Health::Up;
        Self { rise, fall, health, last: up, streak: u32::from(up) }
    }

    /// Feeds the result of one probe; returns the new health only on a change.
    pub fn observe(&mut self, ok: bool) -> Option<Health> {
        let first = self.streak == 0;
        self.streak = if ok == self.last { self.streak.saturating_add(1) } else { 1 };
        self.last = ok;
        let (wanted, needed) = if ok { (Health::Up, self.rise) } else { (Health::Down, self.fall) };
        (self.health != wanted && (first || self.streak >= needed)).then(|| {
            self.health = wanted;
            wanted
        })
    }

    /// Health by the results so far.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }

    /// How often it is to be probed now.
    #[must_use]
    pub const fn pace(&self) -> Pace {
        match (self.health, self.last) {
            (Health::Unknown, _) | (Health::Up, true) => Pace::Steady,
            (Health::Up, false) | (Health::Down, true) => Pace::Uncertain,
            (Health::Down, false) => Pace::Down,
        }
    }

    /// Takes other thresholds for the results to come; health and the results in a row stay.
    pub const fn set_thresholds(&mut self, rise: u32, fall: u32) {
        self.rise = rise;
        self.fall = fall;
    }

    /// Lets the next probe decide alone, because something else is probed from now on; health stays until then.
    pub const fn start_over(&mut self) {
        self.streak = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changes(tracker: &mut Tracker, results: &str) -> Vec<Option<Health>> {
        results.chars().map(|result| tracker.observe(result == '+')).collect()
    }

    #[test]
    fn the_first_probe_of_an_unknown_member_decides_alone() {
        assert_eq!(Tracker::new(3, 3).observe(true), Some(Health::Up));
        assert_eq!(Tracker::new(3, 3).observe(false), Some(Health::Down));
    }

    #[test]
    fn a_result_that_speaks_against_its_health_makes_it_uncertain() {
        let paces = |health, results: &str| -> Vec<_> {
            let mut tracker = Tracker::adopted(2, 3, health);
            let pace = tracker.pace();
            let after = |result| {
                tracker.observe(result == '+');
                tracker.pace()
            };
            std::iter::once(pace).chain(results.chars().map(after)).collect()
        };
        use Pace::{Down, Steady, Uncertain};
        assert_eq!(
            paces(Health::Up, "+--+---+"),
            [Steady, Steady, Uncertain, Uncertain, Steady, Uncertain, Uncertain, Down, Uncertain]
        );
        assert_eq!(paces(Health::Down, "--"), [Down, Down, Down]);
        assert_eq!(paces(Health::Unknown, "-++"), [Steady, Down, Uncertain, Steady]);
    }

    #[test]
    fn a_member_adopted_as_up_goes_down_only_after_fall_failures() {
        let mut tracker = Tracker::adopted(3, 3, Health::Up);
        assert_eq!(changes(&mut tracker, "--+---"), [None, None, None, None, None, Some(Health::Down)]);
    }

    #[test]
    fn a_member_adopted_as_down_is_taken_in_by_the_first_success_alone() {
        let mut tracker = Tracker::adopted(3, 3, Health::Down);
        assert_eq!(changes(&mut tracker, "+--"), [Some(Health::Up), None, None]);
        assert_eq!(
            changes(&mut Tracker::adopted(3, 3, Health::Down), "-+"),
            [None, None],
            "it was not the first"
        );
    }

    #[test]
    fn a_member_goes_down_after_fall_failures_in_a_row_and_up_after_rise_successes() {
        let mut tracker = Tracker::new(2, 3);
        let (up, down) = (Some(Health::Up), Some(Health::Down));
        assert_eq!(changes(&mut tracker, "+--+---"), [up, None, None, None, None, None, down]);
        assert_eq!(changes(&mut tracker, "-+-++"), [None, None, None, None, up]);
    }

    #[test]
    fn other_thresholds_hold_for_the_results_in_a_row_so_far() {
        let mut tracker = Tracker::new(2, 5);
        assert_eq!(changes(&mut tracker, "+--"), [Some(Health::Up), None, None]);
        tracker.set_thresholds(2, 3);
        assert_eq!(tracker.observe(false), Some(Health::Down));
    }

    #[test]
    fn after_starting_over_the_next_probe_decides_alone() {
        let mut tracker = Tracker::new(2, 3);
        assert_eq!(changes(&mut tracker, "++"), [Some(Health::Up), None]);
        tracker.start_over();
        assert_eq!(tracker.health(), Health::Up);
        assert_eq!(tracker.observe(false), Some(Health::Down));
    }

    /// Health after all of `results`, by looking back at the last `rise` and `fall` of them.
    fn naive(rise: usize, fall: usize, adopted: Health, results: &[bool]) -> Health {
        let ends_with = |count: usize, ok: bool| {
            results.len() >= count && results[results.len() - count..].iter().all(|result| *result == ok)
        };
        match results {
            [] => adopted,
            [true] => Health::Up,
            [false] if adopted != Health::Up => Health::Down,
            _ if ends_with(rise, true) => Health::Up,
            _ if ends_with(fall, false) => Health::Down,
            [before @ .., _] => naive(rise, fall, adopted, before),
        }
    }

    proptest! {
        #[test]
        fn health_is_what_looking_back_at_all_results_says(
            rise in 1_u32..6,
            fall in 1_u32..6,
            adopted in prop_oneof![Just(Health::Unknown), Just(Health::Up), Just(Health::Down)],
            results in proptest::collection::vec(any::<bool>(), 0..60),
        ) {
            let mut tracker = Tracker::adopted(rise, fall, adopted);
            for (at, ok) in results.iter().enumerate() {
                let before = tracker.health();
                let change = tracker.observe(*ok);
                let expected = naive(rise as usize, fall as usize, adopted, &results[..=at]);
                prop_assert_eq!(tracker.health(), expected);
                prop_assert_eq!(change, (before != expected).then_some(expected));
            }
        }
    }
}
