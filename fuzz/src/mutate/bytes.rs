//! Changes that know nothing of headers, but for where most of them are.

#![expect(clippy::ptr_arg, reason = "changes have one type, and most of them change the length")]

use fastrand::Rng;

use super::{Change, FULL, SHORTEST};

/// Where most headers are, in bytes.
const HEADERS: usize = 110;
/// Numbers at which something may end.
const EDGES: [u16; 14] = [0, 1, 5, 7, 8, 19, 20, 39, 40, 60, 0x1fff, 0x2000, 0x8000, u16::MAX];

pub(super) const CHANGES: [Change; 10] =
    [bit, byte, any_byte, word, cut, extend, rest, splice, insert, remove];

/// A place among the headers of a frame.
fn near(frame: &[u8], rng: &mut Rng) -> usize {
    rng.usize(..frame.len().clamp(1, HEADERS))
}

fn set(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn bit(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let at = near(frame, rng);
    if let Some(byte) = frame.get_mut(at) {
        *byte ^= 1 << rng.u8(..8);
    }
}

fn byte(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let at = near(frame, rng);
    set(frame, at, &[rng.u8(..)]);
}

fn any_byte(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let at = rng.usize(..frame.len().max(1));
    set(frame, at, &[rng.u8(..)]);
}

fn word(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let at = near(frame, rng);
    let word = match rng.u8(..3) {
        0 => EDGES[rng.usize(..EDGES.len())],
        1 => rng.u16(..2048),
        _ => rng.u16(..),
    };
    set(frame, at, &word.to_be_bytes());
}

fn cut(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let len = rng.usize(..=frame.len());
    frame.truncate(len.max(SHORTEST));
}

fn extend(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let (len, byte) = (frame.len() + rng.usize(1..200), rng.u8(..));
    frame.resize(len.min(FULL), byte);
}

/// From somewhere among the headers on, all is noise.
fn rest(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let at = near(frame, rng);
    frame.truncate(at.max(SHORTEST));
    let more = rng.usize(..100);
    frame.extend(std::iter::repeat_with(|| rng.u8(..)).take(more));
}

/// The end of another frame, from the same place on or from another.
fn splice(frame: &mut Vec<u8>, rng: &mut Rng, others: &[Vec<u8>]) {
    let Some(other) = rng.choice(others) else { return };
    let at = near(frame, rng);
    let from = if rng.bool() { at } else { rng.usize(..=other.len()) };
    frame.truncate(at);
    frame.extend(other.get(from..).unwrap_or_default());
}

fn insert(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let at = near(frame, rng).min(frame.len());
    let len = rng.usize(1..24);
    let block: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
    frame.splice(at..at, block);
}

fn remove(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let at = near(frame, rng).min(frame.len());
    let end = (at + rng.usize(1..24)).min(frame.len());
    frame.drain(at..end);
}
