//! Decides when a check's probes start. Pure: it knows no clock, time is an argument; and no probe.
//!
//! Probes of a member never overlap, and from one's start to the next it is never longer than the interval that holds, so
//! that a promise made of intervals is kept. What keeps checks from firing together is therefore taken off: each interval
//! is up to a tenth shorter, by a seed that differs between members.

use std::time::{Duration, Instant};

use super::Pace;
use crate::model::Check;

/// Most that an interval is shortened by, as a part of it.
const JITTER: f64 = 0.1;

/// When a check's probes start.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Schedule {
    next: Instant,
    /// The second probe is yet to be planned.
    is_starting: bool,
    random: u64,
}

impl Schedule {
    /// The first probe is made at once; the second one comes early, by a part of the interval that follows from `seed`.
    #[must_use]
    pub const fn starting(now: Instant, seed: u64) -> Self {
        Self { next: now, is_starting: true, random: seed }
    }

    /// When the next probe is to start.
    #[must_use]
    pub const fn next(&self) -> Instant {
        self.next
    }

    /// The probe that is planned was made at another time, for a reason of its own; those to come follow it.
    pub const fn moved(&mut self, started: Instant) {
        self.next = started;
    }

    /// Plans the probe after the one that was planned last, which has ended `now`. A late one starts at once.
    pub fn advance(&mut self, interval: Duration, now: Instant) {
        let part = match std::mem::take(&mut self.is_starting) {
            true => 1.0 - self.random(),
            false => 1.0 - JITTER * self.random(),
        };
        self.next = (self.next + interval.mul_f64(part)).max(now);
    }

    /// Takes another interval: the next probe starts within it.
    pub fn hasten(&mut self, interval: Duration, now: Instant) {
        self.next = self.next.min(now + interval);
    }

    /// From 0 to less than 1 (`SplitMix64`: Steele, Lea and Flood, OOPSLA 2014).
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [.., high, highest] = (mixed ^ (mixed >> 31)).to_le_bytes();
        f64::from(u16::from_le_bytes([high, highest])) / 65_536.0
    }
}

/// The time from one probe's start to the next, at that pace.
#[must_use]
pub fn interval(check: &Check, pace: Pace) -> Duration {
    match pace {
        Pace::Steady => check.interval,
        Pace::Uncertain => check.fast_interval(),
        Pace::Down => check.down_interval(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{health::Tracker, model::Probe};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_second_probe_comes_early_and_all_others_up_to_a_tenth() {
        let start = Instant::now();
        let mut schedule = Schedule::starting(start, 7);
        assert_eq!(schedule.next(), start);
        let mut gaps = Vec::new();
        for _ in 0..1000 {
            let before = schedule.next();
            schedule.advance(SECOND, before + SECOND / 10);
            gaps.push(schedule.next() - before);
        }
        assert!(gaps[0] <= SECOND);
        assert!(gaps[1..].iter().all(|gap| (SECOND.mul_f64(0.9)..=SECOND).contains(gap)), "{gaps:?}");
        let tenths = gaps[1..].iter().filter(|gap| **gap > SECOND.mul_f64(0.95)).count();
        assert!((400..600).contains(&tenths), "they spread: {tenths}");
    }

    #[test]
    fn members_spread_over_the_interval_and_each_goes_its_own_way() {
        let start = Instant::now();
        let mut quarters = [0; 4];
        for seed in 0..1000 {
            let mut schedule = Schedule::starting(start, seed);
            schedule.advance(SECOND, start);
            let part = (schedule.next() - start).as_secs_f64();
            assert!(part > 0.0 && part <= 1.0);
            let quarter = [0.25, 0.5, 0.75, 1.0].iter().position(|end| part <= *end).expect("at most 1");
            quarters[quarter] += 1;
        }
        assert!(quarters.iter().all(|count| *count > 180), "{quarters:?}");
        let mut same = [Schedule::starting(start, 3), Schedule::starting(start, 3)];
        same.iter_mut().for_each(|schedule| schedule.advance(SECOND, start));
        assert_eq!(same[0], same[1]);
    }

    #[test]
    fn a_late_probe_starts_at_once_and_a_shorter_interval_holds_at_once() {
        let start = Instant::now();
        let mut schedule = Schedule::starting(start, 0);
        let late = start + SECOND * 3;
        schedule.advance(SECOND, late);
        assert_eq!(schedule.next(), late);
        schedule.advance(SECOND * 60, late);
        schedule.hasten(SECOND, late);
        assert_eq!(schedule.next(), late + SECOND);
        schedule.hasten(SECOND * 60, late);
        assert_eq!(schedule.next(), late + SECOND, "a longer one holds from the next probe on");
        schedule.moved(late);
        schedule.advance(SECOND, late);
        assert!(schedule.next() <= late + SECOND);
    }

    /// Probes a member that dies right after a good probe, each probe taking all of its time; how long until it is down.
    fn detection(check: &Check, seed: u64) -> Duration {
        let mut tracker = Tracker::new(check.rise, check.fall);
        let start = Instant::now();
        let mut schedule = Schedule::starting(start, seed);
        let mut died = None;
        for probe in 0.. {
            let ended = schedule.next() + if died.is_some() { check.timeout } else { Duration::ZERO };
            if tracker.observe(died.is_none()).is_some() && probe > 0 {
                return ended - died.expect("it is dead");
            }
            schedule.advance(interval(check, tracker.pace()), ended);
            if probe == 9 {
                died = Some(ended);
            }
        }
        unreachable!("it dies")
    }

    #[test]
    fn a_death_is_noticed_within_the_time_that_is_promised() {
        let millis = Duration::from_millis;
        for fast in [None, Some(millis(100)), Some(millis(800))] {
            for fall in 1..5 {
                let check =
                    Check { fall, fast_interval: fast, timeout: millis(500), ..Check::new(Probe::Tcp) };
                let slowest = (0..500).map(|seed| detection(&check, seed)).max().unwrap_or_default();
                let promised = check.detection();
                assert!(slowest <= promised, "{slowest:?} > {promised:?}");
                assert!(slowest > promised.mul_f64(0.85), "{slowest:?} ≪ {promised:?}");
            }
        }
    }
}
