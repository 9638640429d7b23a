//! One's-complement sums (RFC 1071), whole and changed (RFC 1624).

use crate::headers::{Ipv4, Ipv6};

/// Folds the carries of a sum of fewer than 65,536 words into its 16 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the carries out of 16 bits have been added")]
pub(crate) fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// The field for a sum over everything else.
#[inline(always)]
pub(crate) fn field(sum: u32) -> [u8; 2] {
    (!fold(sum)).to_be_bytes()
}

/// Sum of the 16-bit words of 4-byte units.
#[inline(always)]
pub(crate) fn sum<const N: usize>(units: [[u8; 4]; N]) -> u32 {
    let mut sum = 0;
    for [a, b, c, d] in units {
        sum += u32::from(u16::from_be_bytes([a, b])) + u32::from(u16::from_be_bytes([c, d]));
    }
    sum
}

/// Sum of the pseudo header of an IPv4 packet with a payload of `len` bytes (RFC 9293, section 3.1).
#[inline(always)]
pub(crate) fn pseudo4(ip: &Ipv4, len: u16) -> u32 {
    sum([ip.source, ip.destination]) + u32::from(len) + u32::from(ip.protocol)
}

/// Sum of the pseudo header of an IPv6 packet with a payload of `len` bytes of `protocol` (RFC 8200, section 8.1).
#[inline(always)]
pub(crate) fn pseudo6(ip: &Ipv6, len: u16, protocol: u8) -> u32 {
    sum(bytemuck::cast::<_, [[u8; 4]; 4]>(ip.source))
        + sum(bytemuck::cast::<_, [[u8; 4]; 4]>(ip.destination))
        + u32::from(len)
        + u32::from(protocol)
}

/// An IPv4 header's checksum after its TTL was lowered by one (RFC 1624, equation 3).
#[inline(always)]
pub(crate) fn after_hop(checksum: [u8; 2]) -> [u8; 2] {
    // TTL is the upper byte of its 16-bit word: subtracting 0x0100 there adds 0x0100 to the complement.
    raised(checksum, 0x0100)
}

/// A checksum field after a word under it was lowered by `by`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the carry out of 16 bits has been added")]
fn raised(checksum: [u8; 2], by: u16) -> [u8; 2] {
    let sum = u32::from(u16::from_be_bytes(checksum)) + u32::from(by);
    ((sum + u32::from(sum >= 0xffff)) as u16).to_be_bytes()
}
