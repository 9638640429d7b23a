//! Random packets: most are packet cases that something happened to, some are what became of the packet before, a few are
//! noise. One seed makes the same packets every time.

use fastrand::Rng;
use vip_fuzz::mutate::{FULL, SHORTEST, mutate};

use crate::cases::{self, Case};

/// Packets without an end.
pub(super) struct Traffic {
    rng: Rng,
    cases: Vec<Case>,
    frames: Vec<Vec<u8>>,
    /// What is sent next, the last one first.
    waiting: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl Traffic {
    pub(super) fn new(seed: u64) -> Self {
        let cases = cases::all();
        let frames = cases.iter().map(|case| case.frame.clone()).collect();
        let last = vec![0; SHORTEST];
        Self { rng: Rng::with_seed(seed), cases, frames, waiting: Vec::new(), last }
    }

    pub(super) fn next_frame(&mut self) -> Vec<u8> {
        // What a case needs to have been seen before mostly comes as it is.
        let (mut frame, odds) = match self.waiting.pop() {
            Some(frame) => (frame, 2),
            None => (self.first(), 15),
        };
        if self.rng.u8(..16) < odds {
            mutate(&mut frame, &mut self.rng, &self.frames);
        }
        self.last.clone_from(&frame);
        frame
    }

    fn first(&mut self) -> Vec<u8> {
        match self.rng.u8(..32) {
            0 => self.noise(),
            // A second packet may meet what the first one left.
            1..8 => self.last.clone(),
            _ => {
                let case = &self.cases[self.rng.usize(..self.cases.len())];
                self.waiting.push(case.frame.clone());
                self.waiting.extend(case.before.iter().rev().cloned());
                self.waiting.pop().unwrap_or_default()
            }
        }
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
