//! How the fuzzer changes an input: mostly one of its frames, which are the smaller part of its bytes, and sometimes as
//! one who knows headers. Decides where the next change goes; libFuzzer decides which one is kept.

use fastrand::Rng;

use super::{FULL, mutate};
use crate::input::{Record, decode, encode};

/// Changes the first bytes of something, of this length to at most that, and returns how many there are then.
pub type Blindly = fn(&mut [u8], usize, usize) -> usize;

/// Changes the first `size` bytes of `data`, and returns how many there are then: at most `most`. `blindly` is how one
/// changes them who does not know what they are.
#[must_use]
pub fn input(data: &mut [u8], size: usize, most: usize, seed: u32, blindly: Blindly) -> usize {
    let mut rng = Rng::with_seed(seed.into());
    let mut records = decode(&data[..size]);
    let frames = frames(&records);
    let Some(which) = rng.choice(0..frames.len()).filter(|_| rng.u8(..8) != 0) else {
        return blindly(data, size, most);
    };
    let (at, mut frame) = frames[which].clone();
    if rng.u8(..3) == 0 {
        let others: Vec<_> = frames.into_iter().map(|(_, frame)| frame).collect();
        mutate(&mut frame, &mut rng, &others);
    } else {
        let len = frame.len();
        frame.resize(FULL.max(len), 0);
        let len = blindly(&mut frame, len, FULL);
        frame.truncate(len);
    }
    let ingress = match &records[at] {
        Record::Frame(ingress, _) => *ingress,
        _ => 0,
    };
    // A second packet may meet what the first one left.
    let place = if rng.u8(..32) == 0 { at..at } else { at..at + 1 };
    records.splice(place, [Record::Frame(ingress, frame)]);
    let bytes = encode(&records);
    let len = bytes.len().min(most);
    data[..len].copy_from_slice(&bytes[..len]);
    len
}

/// The frames of an input, and where they are in it.
fn frames(records: &[Record]) -> Vec<(usize, Vec<u8>)> {
    let frame = |(at, record): (usize, &Record)| match record {
        Record::Frame(_, bytes) => Some((at, bytes.clone())),
        _ => None,
    };
    records.iter().enumerate().filter_map(frame).collect()
}
