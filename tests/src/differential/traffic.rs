//! Random packets: most are packet cases that something happened to, some are what became of the packet before, a few are
//! noise. One seed makes the same packets every time.

use fastrand::Rng;
use vip_fuzz::mutate::{FULL, SHORTEST, mutate};

use crate::cases;

/// Packets without an end.
pub(super) struct Traffic {
    rng: Rng,
    cases: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl Traffic {
    pub(super) fn new(seed: u64) -> Self {
        let cases = cases::all().into_iter().map(|case| case.frame).collect();
        Self { rng: Rng::with_seed(seed), cases, last: vec![0; SHORTEST] }
    }

    pub(super) fn next_frame(&mut self) -> Vec<u8> {
        let mut frame = match self.rng.u8(..32) {
            0 => self.noise(),
            // A second packet may meet what the first one left.
            1..8 => self.last.clone(),
            _ => self.cases[self.rng.usize(..self.cases.len())].clone(),
        };
        if self.rng.u8(..16) != 0 {
            mutate(&mut frame, &mut self.rng, &self.cases);
        }
        self.last.clone_from(&frame);
        frame
    }

    fn noise(&mut self) -> Vec<u8> {
        let len = self.rng.usize(SHORTEST..FULL);
        std::iter::repeat_with(|| self.rng.u8(..)).take(len).collect()
    }
}

/// A seed that nobody chose.
#[must_use]
pub fn random_seed() -> u64 {
    fastrand::u64(..)
}
