//! An ICMP echo request (RFC 792, RFC 4443 section 4), and the reply to it. By a raw socket: Linux lets nobody use the
//! other kind, root included, unless it is told to (`ping_group_range`).

use std::hash::{BuildHasher as _, RandomState};

use socket2::SockFilter;

use super::{Attempt, open::blame};
use crate::model::{Cause, Stage};

/// A request and its reply are as long: a header, and what tells one probe from another.
const LENGTH: usize = 16;
/// An IPv4 header at its longest comes with what is read.
const MAX_ANSWER: usize = 60 + LENGTH;

pub(super) async fn probe(attempt: Attempt<'_>) -> Result<(), Cause> {
    let is_ipv4 = attempt.target.address.is_ipv4();
    let nonce = RandomState::new().hash_one(attempt.target.address).to_be_bytes();
    let asked = async {
        let socket = attempt.target.echoes(&filter(is_ipv4, nonce))?;
        let failed = |error| blame(&error, Stage::Answer);
        socket.send(&request(is_ipv4, nonce)).await.map_err(failed)?;
        loop {
            let mut answer = [0; MAX_ANSWER];
            let length = socket.recv(&mut answer).await.map_err(failed)?;
            if is_reply(is_ipv4, nonce, &answer[..length]) {
                return Ok(());
            }
        }
    };
    attempt.within(Stage::Answer, asked).await
}

/// A request, whose identifier is the start of its data. ICMPv6's checksum is the kernel's to make.
fn request(is_ipv4: bool, nonce: [u8; 8]) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    message[0] = if is_ipv4 { 8 } else { 128 };
    message[4..6].copy_from_slice(&nonce[..2]);
    message[7] = 1;
    message[8..].copy_from_slice(&nonce);
    if is_ipv4 {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// Whether it is the reply to the request with that data. IPv4 comes with its header, and a raw socket gets copies of
/// what is for others.
fn is_reply(is_ipv4: bool, nonce: [u8; 8], answer: &[u8]) -> bool {
    let header = if is_ipv4 { answer.first().map_or(0, |byte| usize::from(byte & 0xf) * 4) } else { 0 };
    let kind = if is_ipv4 { 0 } else { 129 };
    match answer.get(header..) {
        Some([first, 0, _, _, id @ ..]) => {
            *first == kind && id.starts_with(&nonce[..2]) && id.get(4..) == Some(&nonce[..])
        }
        _ => false,
    }
}

/// Lets pass what has the identifier of the request: with thousands of probes under way, each would read the replies to
/// all others (`man 7 socket`, `SO_ATTACH_FILTER`). An IPv4 packet starts with its header, an IPv6 one behind it.
fn filter(is_ipv4: bool, nonce: [u8; 8]) -> Vec<SockFilter> {
    const HEADER_LENGTH: u16 = 0xb1;
    const HALF_WORD_BEHIND: u16 = 0x48;
    const HALF_WORD: u16 = 0x28;
    const EQUALS: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let id = u32::from(u16::from_be_bytes([nonce[0], nonce[1]]));
    let load = match is_ipv4 {
        true => vec![SockFilter::new(HEADER_LENGTH, 0, 0, 0), SockFilter::new(HALF_WORD_BEHIND, 0, 0, 4)],
        false => vec![SockFilter::new(HALF_WORD, 0, 0, 4)],
    };
    let decide = [
        SockFilter::new(EQUALS, 0, 1, id),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ];
    load.into_iter().chain(decide).collect()
}

/// RFC 1071.
fn checksum(message: &[u8; LENGTH]) -> u16 {
    let words = message.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    let [_, _, high, low] = ((sum & 0xffff) + (sum >> 16)).to_be_bytes();
    !u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sums_up_and_its_reply_is_known_by_all_of_its_data() {
        let nonce = *b"\xff\xfe345678";
        let request = request(true, nonce);
        assert_eq!(checksum(&request), 0);
        let mut reply = [&[0x46; 24][..], &request].concat();
        assert!(!is_reply(true, nonce, &reply), "a request is none");
        reply[24] = 0;
        assert!(is_reply(true, nonce, &reply));
        assert!(!is_reply(true, *b"\xff\xfe345679", &reply) && !is_reply(false, nonce, &reply[24..]));
        assert!((0..reply.len()).all(|length| !is_reply(true, nonce, &reply[..length])));
        let mut six = super::request(false, nonce);
        six[0] = 129;
        assert!(is_reply(false, nonce, &six) && !is_reply(false, nonce, &six[..15]));
    }
}
