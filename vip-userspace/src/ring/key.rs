//! The secret that places flows and members, and all that is derived from it. It decides no placement itself,
//! and must not show the secret to anybody who does not ask for it by name.

use std::{fmt, net::IpAddr, str::FromStr};

use siphasher::sip::SipHasher24;
use vip_common::FlowKey;

/// A text that is no seed. It does not repeat the text: that is nearly a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a seed is 32 hexadecimal digits, like the output of `openssl rand -hex 16`")]
pub struct BadSeed;

/// The 128-bit secret ("seed") of a director; equal on all directors of a VIP, and kept for their life.
///
/// Everything is derived from it by SipHash-2-4 (Aumasson and Bernstein, 2012) of an 8-byte label and the input;
/// numbers are little-endian, addresses in network order (4 or 16 bytes).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RingKey([u8; 16]);

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RingKey(secret)")
    }
}

impl FromStr for RingKey {
    type Err = BadSeed;

    fn from_str(text: &str) -> Result<Self, BadSeed> {
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(BadSeed);
        }
        u128::from_str_radix(text, 16).map(|seed| Self(seed.to_be_bytes())).map_err(|_| BadSeed)
    }
}

impl RingKey {
    /// A key of 16 random bytes.
    #[must_use]
    pub const fn new(secret: [u8; 16]) -> Self {
        Self(secret)
    }

    /// The secret as the 32 hexadecimal digits that it is read from. For a file that only root reads.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    /// The coefficients of the flow hash: the hashes of `vip flow` and the number of each.
    #[must_use]
    pub fn flow_key(&self) -> FlowKey {
        let number = |at: usize| u64::try_from(at).unwrap_or(u64::MAX).to_le_bytes();
        FlowKey { coefficients: std::array::from_fn(|at| self.hash(b"vip flow", &number(at))) }
    }

    /// Where the member with this address starts on a ring, as a hash of it.
    pub(super) fn offset(&self, address: IpAddr) -> u64 {
        self.hash_address(b"vip offs", address)
    }

    /// How far the member with this address steps on a ring, as a hash of it.
    pub(super) fn skip(&self, address: IpAddr) -> u64 {
        self.hash_address(b"vip skip", address)
    }

    /// The member's half of the score by which it stands in at a slot.
    pub(super) fn heir(&self, address: IpAddr) -> u64 {
        self.hash_address(b"vip heir", address)
    }

    /// The slot's half of that score.
    pub(super) fn slot(&self, slot: u32) -> u64 {
        self.hash(b"vip slot", &u64::from(slot).to_le_bytes())
    }

    fn hash_address(&self, label: &[u8; 8], address: IpAddr) -> u64 {
        match address {
            IpAddr::V4(v4) => self.hash(label, &v4.octets()),
            IpAddr::V6(v6) => self.hash(label, &v6.octets()),
        }
    }

    /// `input` has at most 16 bytes.
    fn hash(&self, label: &[u8; 8], input: &[u8]) -> u64 {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(label);
        bytes[8..8 + input.len()].copy_from_slice(input);
        SipHasher24::new_with_key(&self.0).hash(&bytes[..8 + input.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::testing::key;

    #[test]
    fn a_seed_reads_back_as_it_is_revealed_and_is_never_printed() {
        let seed = "00112233445566778899aabbccddeeff";
        let key: RingKey = seed.parse().expect("a seed");
        assert_eq!(key.reveal(), seed);
        assert_eq!(seed.to_uppercase().parse(), Ok(key));
        assert_eq!(format!("{key:?}"), "RingKey(secret)");
        for bad in ["", "0011", &seed[1..], &format!("{seed}0"), &format!("+{}", &seed[1..]), &"é".repeat(16)]
        {
            assert_eq!(bad.parse::<RingKey>(), Err(BadSeed), "{bad}");
        }
    }

    #[test]
    fn the_hash_is_siphash_2_4_of_the_reference_vectors() {
        // From the paper's reference implementation: key 00…0f, input 00…0e (15 bytes).
        let input: [u8; 7] = [8, 9, 10, 11, 12, 13, 14];
        assert_eq!(key().hash(&[0, 1, 2, 3, 4, 5, 6, 7], &input), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn everything_that_is_derived_from_a_seed_is_pinned() {
        // Computed by an independent implementation. A change here re-places the flows of every director.
        let key = key();
        assert_eq!(
            key.flow_key().coefficients,
            [
                0x144d_bfe3_ccee_7f5f,
                0x23d9_f5db_8fec_19dc,
                0xd8f7_5cab_6f4d_a9d0,
                0x1361_4138_3b4d_4a11,
                0x655f_050a_d9e9_eefb,
                0x4dd5_e94d_854c_2ad2,
                0x59f5_9e4a_5eeb_df30,
                0xf587_2026_0bfa_6981,
                0x1dae_5a1d_e5f3_7185,
                0x036e_97c6_24e1_9fac,
                0x0574_ee9a_5120_fe46,
            ]
        );
        let v4 = "10.0.0.11".parse().expect("an address");
        let v6 = "fd00::11".parse().expect("an address");
        assert_eq!([key.offset(v4), key.offset(v6)], [0xabc4_1940_54bf_f35e, 0xd312_b622_2ef3_ea00]);
        assert_eq!([key.skip(v4), key.skip(v6)], [0x4d26_b70c_116c_92a1, 0x65ef_ca44_ee34_d7f9]);
        assert_eq!([key.heir(v4), key.heir(v6)], [0x3c5d_ae5b_2ccb_1a92, 0xe602_3627_e824_81c8]);
        assert_eq!(key.slot(7), 0xcf23_9675_01b2_ac19);
    }
}
