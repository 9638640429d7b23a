//! What the measuring program and its user agree on: which packets are fed to the program under test.

use bytemuck::{Pod, Zeroable};

use crate::headers::Mac;

/// Length of a template in bytes. Longer packets keep what the run's input has behind it.
pub const TEMPLATE_LEN: usize = 64;
/// A template in 8-byte parts.
pub const TEMPLATE_PARTS: usize = TEMPLATE_LEN / 8;

/// The one value of the map `DRIVE`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Drive {
    /// The first bytes of every packet.
    pub template: [[u8; 8]; TEMPLATE_PARTS],
    /// Index in `TARGETS` of the program under test.
    pub target: u32,
    /// Number of flows that take turns.
    pub flows: u32,
    /// Offset of the 4 bytes that tell flows apart, in bytes: below half a template.
    pub vary_at: u32,
    /// What the first flow has there, as a number; later flows count up.
    pub first_flow: u32,
    /// How far the next packet's flow is from the last one's: coprime to `flows`, so that each gets its turn.
    pub stride: u32,
    /// Not used: 0.
    pub zero: u32,
}

const _: () = assert!(size_of::<Drive>() == TEMPLATE_LEN + 24);

/// The MACs that the floor program writes: value of its map, by the VIP as it stands in the packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct FloorMacs {
    /// New destination.
    pub destination: Mac,
    /// New source.
    pub source: Mac,
}
