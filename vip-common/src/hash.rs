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

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const VIP4: [u8; 4] = [10, 200, 0, 1];

    /// The first coefficients of SplitMix64 from `seed` on.
    fn key(seed: u64) -> FlowKey {
        let coefficient = |at: u64| {
            let mut mixed = seed.wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let mut coefficients = [0; 11];
        (0..).zip(&mut coefficients).for_each(|(at, place)| *place = coefficient(at));
        FlowKey { coefficients }
    }

    fn flow4(source: u32, source_port: u16) -> Flow4 {
        Flow4 {
            source: source.to_be_bytes(),
            destination: VIP4,
            source_port: source_port.to_be_bytes(),
            destination_port: [0, 80],
            protocol: 6,
        }
    }

    /// The definition, in numbers that can't overflow.
    fn by_definition(key: &FlowKey, bytes: &[u8], protocol: u8) -> u32 {
        let words = bytes
            .chunks(4)
            .map(|word| word.iter().rev().fold(0_u128, |number, byte| number << 8 | u128::from(*byte)));
        let [first, rest @ ..] = key.coefficients;
        let sum = rest
            .into_iter()
            .zip(words.chain([protocol.into()]))
            .fold(u128::from(first), |sum, (coefficient, word)| sum + u128::from(coefficient) * word);
        u32::try_from((sum % (1 << 64)) >> 32).unwrap()
    }

    /// Pearson's statistic of how evenly `counts` share their sum: about their number, if they fell at random.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn chi_square(counts: &[u32]) -> f64 {
        let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
    }

    fn slots(key: &FlowKey, flows: &[Flow4], size: u32) -> Vec<u32> {
        let mut counts = std::vec![0; size as usize];
        flows.iter().for_each(|flow| counts[slot_of(key.hash4(flow), size) as usize] += 1);
        counts
    }

    /// Every director, of any version, places these flows here. The numbers were computed by another program.
    #[test]
    fn flows_hash_to_pinned_numbers() {
        let key = key(1);
        assert_eq!(key.coefficients[0], 0xe220_a839_7b1d_cdaf);
        let hash4 = |source, destination, ports: [u16; 2], protocol| {
            let [source_port, destination_port] = ports.map(u16::to_be_bytes);
            key.hash4(&Flow4 { source, destination, source_port, destination_port, protocol })
        };
        assert_eq!(hash4([10, 77, 0, 11], VIP4, [40_000, 80], 6), 0x7eb6_76fc);
        assert_eq!(hash4([10, 77, 0, 11], VIP4, [40_000, 80], 17), 0xaa2f_5e8d);
        assert_eq!(hash4([10, 77, 0, 11], VIP4, [40_001, 80], 6), 0x0a6f_1f6e);
        assert_eq!(hash4([10, 77, 0, 11], VIP4, [80, 40_000], 6), 0xc49d_55fb);
        assert_eq!(hash4([0; 4], [0; 4], [0; 2], 0), 0xe220_a839);
        assert_eq!(hash4([0xff; 4], [0xff; 4], [0xffff; 2], 0xff), 0x26b7_0224);
        let hash6 = |source: &str, destination: &str, ports: [u16; 2], protocol| {
            let [source, destination] =
                [source, destination].map(|text| text.parse::<core::net::Ipv6Addr>().unwrap().octets());
            let [source_port, destination_port] = ports.map(u16::to_be_bytes);
            key.hash6(&Flow6 { source, destination, source_port, destination_port, protocol })
        };
        assert_eq!(hash6("fd77::11", "fd00:200::1", [40_000, 80], 6), 0x9770_a1d5);
        assert_eq!(hash6("fd77::11", "fd00:200::1", [40_000, 443], 17), 0xd73d_d3b9);
        assert_eq!(hash6("fd77::12", "fd00:200::1", [40_000, 80], 6), 0x01c2_4a4a);
        assert_eq!(hash6("::", "::", [0; 2], 0), 0xe220_a839);
        let all_ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(hash6(all_ones, all_ones, [0xffff; 2], 0xff), 0xb504_ab1b);
    }

    #[test]
    fn hashes_are_those_of_the_definition() {
        for seed in 0..500 {
            let (key, random) = (key(seed), key(seed + 7000).coefficients);
            let bytes: [u8; 88] = bytemuck::cast(random);
            let four = |at: usize| -> [u8; 4] { bytes[at..at + 4].try_into().unwrap() };
            let sixteen = |at: usize| -> [u8; 16] { bytes[at..at + 16].try_into().unwrap() };
            let (source_port, destination_port) = ([bytes[80], bytes[81]], [bytes[82], bytes[83]]);
            let protocol = bytes[84];
            let ports = [source_port, destination_port].concat();
            let (source, destination) = (four(0), four(4));
            let flow = Flow4 { source, destination, source_port, destination_port, protocol };
            let wanted = by_definition(&key, &[&source[..], &destination, &ports].concat(), protocol);
            assert_eq!(key.hash4(&flow), wanted, "{flow:?}");
            let (source, destination) = (sixteen(8), sixteen(24));
            let flow = Flow6 { source, destination, source_port, destination_port, protocol };
            let wanted = by_definition(&key, &[&source[..], &destination, &ports].concat(), protocol);
            assert_eq!(key.hash6(&flow), wanted, "{flow:?}");
        }
    }

    #[test]
    fn a_slot_lies_within_its_ring() {
        for size in [0, 1, 2, 7, 16_381, 262_139, u32::MAX] {
            assert_eq!(slot_of(0, size), 0);
            assert_eq!(slot_of(u32::MAX, size), size.saturating_sub(1));
        }
        assert_eq!(slot_of(1 << 31, 16_381), 8190);
    }

    const SLOTS: u32 = 251;

    /// The first 2,510 of `flows` that an attacker who knows the first key would send: all to slot 17.
    fn aimed(flows: impl Fn(u32) -> Flow4) -> Vec<Flow4> {
        let known = key(1);
        let hits = |flow: &Flow4| slot_of(known.hash4(flow), SLOTS) == 17;
        let aimed: Vec<_> = (0..).map(flows).filter(hits).take(2510).collect();
        assert_eq!(slots(&known, &aimed, SLOTS)[17], 2510);
        aimed
    }

    #[test]
    fn flows_made_to_share_a_slot_under_one_key_spread_under_another() {
        #[expect(clippy::cast_possible_truncation, reason = "bits of a random number")]
        let scattered = |number: u32| {
            let random = key(number.into()).coefficients[10];
            flow4(random as u32, (random >> 32) as u16)
        };
        let aimed = aimed(scattered);
        for seed in 1_000_000..1_000_100 {
            let counts = slots(&key(seed), &aimed, SLOTS);
            let (worst, chi_square) = (counts.iter().max().unwrap(), chi_square(&counts));
            // Random flows: 250 ± 22, and 10 ± 3 in a slot.
            assert!(chi_square < 400.0, "key {seed}: chi-square {chi_square}");
            assert!(*worst < 35, "key {seed}: {worst} of 2510 flows share a slot");
        }
    }

    /// Flows in rows lie on lines for a linear hash: mostly more even than random ones, under a few keys less.
    #[test]
    fn flows_in_rows_made_to_share_a_slot_spread_under_another_key() {
        let aimed =
            aimed(|number| flow4(0x0a00_0000 + number / 1000, 1024 + u16::try_from(number % 1000).unwrap()));
        let mut statistics = Vec::new();
        for seed in 1_000_000..1_000_101 {
            let counts = slots(&key(seed), &aimed, SLOTS);
            let worst = counts.iter().max().unwrap();
            assert!(*worst < 100, "key {seed}: {worst} of 2510 flows share a slot");
            statistics.push(chi_square(&counts));
        }
        statistics.sort_by(f64::total_cmp);
        assert!(statistics[50] < 250.0, "chi-square of {} in the middle", statistics[50]);
    }

    /// Clients that count up their ports, or sit side by side, are no worse than random ones.
    #[test]
    fn flows_in_a_row_spread() {
        let by_port: Vec<_> = (10_000..60_200).map(|port| flow4(0x0a4d_000b, port)).collect();
        let by_source: Vec<_> = (0..50_200).map(|number| flow4(0x0a00_0000 + number, 40_000)).collect();
        for flows in [by_port, by_source] {
            for seed in 200..220 {
                let worst = slots(&key(seed), &flows, SLOTS).into_iter().max().unwrap();
                // 200 each; random flows: ± 14.
                assert!(worst < 300, "key {seed}: {worst} flows share a slot");
            }
        }
    }
}
