//! The keyed flow hash, and how a hash picks a slot.
//!
//! Multilinear hashing (Lemire and Kaser, "Strongly universal string hashing is fast", 2014): with secret
//! 64-bit coefficients `k`, the words `w` of a flow hash to the upper half of `k0 + Σ k[i+1]·w[i]` modulo
//! 2⁶⁴. Two flows meet with a probability of 2⁻³² over the choice of the key, whatever an attacker who does
//! not know it sends; and it costs one multiplication a word.

use bytemuck::{Pod, Zeroable};

use crate::flow::{Flow4, Flow6};

/// The secret coefficients of the flow hash. Equal on all directors of a VIP; never printed.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct FlowKey {
    /// One to add, then one for each word of the longest flow: IPv6 source and destination (4 words each), ports,
    /// protocol.
    pub coefficients: [u64; 11],
}

const _: () = assert!(size_of::<FlowKey>() == 88);

impl core::fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FlowKey(secret)")
    }
}

impl FlowKey {
    /// Hash of an IPv4 flow: all 32 bits are good.
    #[inline(always)]
    #[must_use]
    pub fn hash4(&self, flow: &Flow4) -> u32 {
        let [k0, k1, k2, k3, k4, ..] = self.coefficients;
        upper(
            k0.wrapping_add(k1.wrapping_mul(word(flow.source)))
                .wrapping_add(k2.wrapping_mul(word(flow.destination)))
                .wrapping_add(k3.wrapping_mul(ports(flow.source_port, flow.destination_port)))
                .wrapping_add(k4.wrapping_mul(u64::from(flow.protocol))),
        )
    }

    /// Hash of an IPv6 flow: all 32 bits are good.
    #[inline(always)]
    #[must_use]
    pub fn hash6(&self, flow: &Flow6) -> u32 {
        let k = &self.coefficients;
        let [s0, s1, s2, s3] = words(flow.source);
        let [d0, d1, d2, d3] = words(flow.destination);
        let source = k[1]
            .wrapping_mul(s0)
            .wrapping_add(k[2].wrapping_mul(s1))
            .wrapping_add(k[3].wrapping_mul(s2))
            .wrapping_add(k[4].wrapping_mul(s3));
        let destination = k[5]
            .wrapping_mul(d0)
            .wrapping_add(k[6].wrapping_mul(d1))
            .wrapping_add(k[7].wrapping_mul(d2))
            .wrapping_add(k[8].wrapping_mul(d3));
        let rest = k[9]
            .wrapping_mul(ports(flow.source_port, flow.destination_port))
            .wrapping_add(k[10].wrapping_mul(u64::from(flow.protocol)));
        upper(k[0].wrapping_add(source).wrapping_add(destination).wrapping_add(rest))
    }
}

/// The slot of a ring of `size` slots that a `hash` falls into: below `size` (0 where that is 0).
///
/// Multiply and shift: as even as a remainder, cheaper, and a bound that every verifier can follow.
#[inline(always)]
#[must_use]
pub const fn slot_of(hash: u32, size: u32) -> u32 {
    ((hash as u64 * size as u64) >> 32) as u32
}

/// Words are taken little-endian, so that hosts of either byte order agree.
#[inline(always)]
fn word(bytes: [u8; 4]) -> u64 {
    u64::from(u32::from_le_bytes(bytes))
}

#[inline(always)]
fn words(address: [u8; 16]) -> [u64; 4] {
    bytemuck::cast::<_, [[u8; 4]; 4]>(address).map(word)
}

#[inline(always)]
fn ports(source: [u8; 2], destination: [u8; 2]) -> u64 {
    word([source[0], source[1], destination[0], destination[1]])
}

#[inline(always)]
const fn upper(sum: u64) -> u32 {
    (sum >> 32) as u32
}
