//! The decision: what a packet gets.

use crate::{Action, Frame, Tables, fast, full};

/// Decides what `frame` gets and, where it is forwarded or answered, rewrites it.
///
/// A frame to a VIP is changed in nothing but its MACs, its VLAN tags and its TTL; a passed frame in nothing at all.
/// The fast path decides nearly every packet, and never otherwise than the full path would: [`full()`] alone is the
/// definition, and says so row by row.
#[inline(always)]
pub fn direct<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Action {
    match fast(frame, tables) {
        Some(action) => action,
        None => full(frame, tables),
    }
}
