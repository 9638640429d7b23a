//! What can happen to a frame on its way: bytes, lengths and ends that change, and headers that come and go. Decides
//! which changes there are; whether a frame is worth one is its sender's business.

mod bytes;
mod headers;
mod input;
mod layout;

use fastrand::Rng;

pub use self::input::{Blindly, input};

/// A full Ethernet frame with two tags, in bytes.
pub const FULL: usize = 1522;
/// An Ethernet header, in bytes: a frame is not cut shorter.
pub const SHORTEST: usize = 14;

/// One kind of change: frame, chance, and other frames to take from.
type Change = fn(&mut Vec<u8>, &mut Rng, &[Vec<u8>]);

/// Changes a frame in one way, or in a few; half of the frames are mended: lengths and checksums fit again. `others` are frames
/// whose parts may be taken.
pub fn mutate(frame: &mut Vec<u8>, rng: &mut Rng, others: &[Vec<u8>]) {
    change(frame, rng, others);
    while rng.u8(..8) < 3 {
        change(frame, rng, others);
    }
    if rng.bool() {
        layout::repair(frame);
    }
    frame.truncate(FULL);
    if frame.len() < SHORTEST {
        frame.resize(SHORTEST, 0);
    }
}

/// Changes a frame in one way.
fn change(frame: &mut Vec<u8>, rng: &mut Rng, others: &[Vec<u8>]) {
    let kinds: &[Change] = if rng.bool() { &bytes::CHANGES } else { &headers::CHANGES };
    kinds[rng.usize(..kinds.len())](frame, rng, others);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_frames() {
        let make = |seed| {
            let (mut rng, mut frames) = (Rng::with_seed(seed), Vec::new());
            for _ in 0..1000 {
                let mut frame = vec![0x45; 60];
                frame[12..14].copy_from_slice(&[8, 0]);
                mutate(&mut frame, &mut rng, &[vec![7; 80]]);
                frames.push(frame);
            }
            frames
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn a_frame_stays_a_frame_whatever_happens() {
        let mut rng = Rng::with_seed(3);
        let mut frame = Vec::new();
        for number in 0..200_000 {
            let ethertype = [[8, 0], [0x86, 0xdd], [8, 6], [0x81, 0]][number % 4];
            mutate(&mut frame, &mut rng, &[]);
            assert!((SHORTEST..=FULL).contains(&frame.len()), "{} bytes", frame.len());
            frame[12..14].copy_from_slice(&ethertype);
        }
    }

    #[test]
    fn what_is_mended_has_right_lengths_and_checksums() {
        let mut frame = vec![0; 12];
        frame.extend([
            8, 0, 0x46, 0, 0xff, 0xff, 0, 0, 0, 0, 64, 17, 1, 2, 10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 1,
        ]);
        frame.extend([0, 1, 0, 2, 0xff, 0xff, 0, 0, 9]);
        layout::repair(&mut frame);
        assert_eq!(frame[16..18], [0, 33]);
        assert_eq!(frame[42..44], [0, 9]);
        let words = frame[14..38].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
        assert_eq!(words.sum::<u32>() % 0xffff, 0);
    }
}
