//! Whose a flow is in the ring of [`SPREAD`], by the definition of hash and slot, in numbers that can't overflow. The ring
//! of the VIPs themselves is the same one.

use vip_common::MemberId;

use super::{CLIENT4, CLIENT6, SPREAD, SPREAD_MEMBERS, SPREAD_SLOTS, flow_key};

/// The owner of a flow from the client's `port` to [`SPREAD`].
#[must_use]
pub fn owner4(vip: [u8; 4], port: u16, protocol: u8) -> MemberId {
    owner(&[&CLIENT4, &vip, &port.to_be_bytes(), &SPREAD.to_be_bytes()], protocol)
}

/// The owner of a flow from the client's `port` to [`SPREAD`].
#[must_use]
pub fn owner6(vip: [u8; 16], port: u16, protocol: u8) -> MemberId {
    owner(&[&CLIENT6, &vip, &port.to_be_bytes(), &SPREAD.to_be_bytes()], protocol)
}

/// The owner of what says of no port, from the client.
#[must_use]
pub fn by_addresses4(vip: [u8; 4], protocol: u8) -> MemberId {
    owner(&[&CLIENT4, &vip, &[0; 4]], protocol)
}

/// The owner of what says of no port, from the client.
#[must_use]
pub fn by_addresses6(vip: [u8; 16], protocol: u8) -> MemberId {
    owner(&[&CLIENT6, &vip, &[0; 4]], protocol)
}

/// The member of the slot that a flow hashes to: source, destination, ports; all in whole words of 4 bytes together.
///
/// # Panics
/// A slot's number is no index: never.
#[must_use]
pub fn owner(parts: &[&[u8]], protocol: u8) -> MemberId {
    let [first, rest @ ..] = flow_key(1).coefficients;
    let bytes = parts.concat();
    let words = bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let sum = rest
        .into_iter()
        .zip(words.chain([protocol.into()]))
        .fold(u128::from(first), |sum, (coefficient, word)| sum + u128::from(coefficient) * u128::from(word));
    let hash = (sum % (1 << 64)) >> 32;
    let slot = usize::try_from((hash * u128::from(SPREAD_SLOTS)) >> 32).expect("a slot's number");
    SPREAD_MEMBERS[slot % SPREAD_MEMBERS.len()]
}
