//! What packets can have more of than an IP header and ports: VLAN tags, extension headers, fragments, ICMP, and the answers
//! of the director to what nobody takes. No code is shared with the director.

use etherparse::{PacketBuilder, checksum::Sum16BitWords};
use vip_common::headers::{AUTHENTICATION, DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ICMP, ROUTING, SCTP};

use super::{AFTER4, AFTER6, IP, Packet, Route, checksummed, edit, icmp6};
use crate::world::{CLIENT_MAC, OWN_MAC};

/// EtherType of an 802.1Q tag.
pub const Q: u16 = 0x8100;
/// EtherType of an 802.1ad tag.
pub const AD: u16 = 0x88a8;

/// The frame with VLAN tags, outermost first: EtherType, and priority with id.
#[must_use]
pub fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let tags: Vec<u8> =
        tags.iter().flat_map(|(kind, control)| [*kind, *control]).flat_map(u16::to_be_bytes).collect();
    [&frame[..12], &tags, &frame[12..]].concat()
}

/// An IPv6 extension header: its number, and its bytes. The first one is yet to name what follows.
pub type Extension = (u8, Vec<u8>);

/// Hop-by-hop options of so many units of 8 bytes: padding.
#[must_use]
pub fn hop_by_hop(units: u8) -> Extension {
    padding(HOP_BY_HOP, units)
}

/// Destination options of so many units of 8 bytes: padding.
#[must_use]
pub fn destination_options(units: u8) -> Extension {
    padding(DESTINATION_OPTIONS, units)
}

fn padding(number: u8, units: u8) -> Extension {
    let mut bytes = vec![0, units - 1];
    // Options are at most 257 bytes long; these are of one byte each (RFC 8200, section 4.2).
    bytes.resize(usize::from(units) * 8, 0);
    (number, bytes)
}

/// A routing header with nowhere left to go.
#[must_use]
pub fn routing() -> Extension {
    (ROUTING, [vec![0, 2, 4, 0, 0, 0, 0, 0], vec![0x20; 16]].concat())
}

/// An authentication header with 12 bytes of proof (RFC 4302): its length counts in words, less two.
#[must_use]
pub fn authentication() -> Extension {
    (AUTHENTICATION, [vec![0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], vec![0xaa; 12]].concat())
}

/// A fragment header: offset in units of 8 bytes, whether more follow, identification.
#[must_use]
pub fn fragment6(offset: u16, more: bool, id: u32) -> Extension {
    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
    let [a, b, c, d] = id.to_be_bytes();
    (FRAGMENT, vec![0, 0, high, low, a, b, c, d])
}

/// The frame with extension headers before its payload.
///
/// # Panics
/// It is no IPv6 packet, or becomes longer than one can be.
#[must_use]
pub fn extended(frame: &[u8], extensions: &[Extension]) -> Vec<u8> {
    let mut next = frame[IP + 6];
    let mut bytes = Vec::new();
    for (number, header) in extensions.iter().rev() {
        let mut header = header.clone();
        header[0] = next;
        next = *number;
        bytes.splice(..0, header);
    }
    let len = u16::from_be_bytes([frame[IP + 4], frame[IP + 5]])
        + u16::try_from(bytes.len()).expect("a packet's length");
    let before = edit(edit(frame[..AFTER6].to_vec(), IP + 4, &len.to_be_bytes()), IP + 6, &[next]);
    [before, bytes, frame[AFTER6..].to_vec()].concat()
}

/// The frame as a fragment: offset in units of 8 bytes, whether more follow, identification.
#[must_use]
pub fn fragment4(frame: Vec<u8>, offset: u16, more: bool, id: u16) -> Vec<u8> {
    let flags = offset | if more { 0x2000 } else { 0 };
    checksummed(edit(edit(frame, IP + 4, &id.to_be_bytes()), IP + 6, &flags.to_be_bytes()))
}

/// An ICMP message over IPv4 with a right checksum, from the client. `rest` follows the checksum.
#[must_use]
pub fn icmp4(route: ([u8; 4], [u8; 4]), (kind, code): (u8, u8), rest: &[u8]) -> Packet {
    let sum = Sum16BitWords::new().add_slice(&[kind, code]).add_slice(rest).ones_complement();
    let message = [&[kind, code], sum.to_ne_bytes().as_slice(), rest].concat();
    Packet::on(Route::V4(route.0, route.1)).raw(ICMP, &message)
}

/// An SCTP packet: ports, and the type of its only chunk, which is empty.
#[must_use]
pub fn sctp(packet: Packet, port: u16, from: u16, chunk: u8) -> Packet {
    let header = [from.to_be_bytes(), port.to_be_bytes()].concat();
    packet.raw(SCTP, &[header, vec![0; 8], vec![chunk, 0, 0, 4]].concat())
}

/// What a TCP segment says of its place in the connection.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number, if there is one.
    pub acknowledgment: Option<u32>,
}

/// A reset by the director, from a VIP and its port to the client and its one.
///
/// # Panics
/// Never: it fits.
#[must_use]
pub fn reset(route: Route, ports: (u16, u16), reset: Reset) -> Vec<u8> {
    let step = PacketBuilder::ethernet2(OWN_MAC, CLIENT_MAC);
    let mut frame = Vec::new();
    let written = match route {
        Route::V4(from, to) => {
            let step = with_reset(step.ipv4(from, to, 64).tcp(ports.0, ports.1, reset.sequence, 0), reset);
            step.write(&mut frame, &[])
        }
        Route::V6(from, to) => {
            let step = with_reset(step.ipv6(from, to, 64).tcp(ports.0, ports.1, reset.sequence, 0), reset);
            step.write(&mut frame, &[])
        }
    };
    written.expect("a segment that fits");
    frame
}

fn with_reset(
    step: etherparse::PacketBuilderStep<etherparse::TcpHeader>,
    reset: Reset,
) -> etherparse::PacketBuilderStep<etherparse::TcpHeader> {
    match reset.acknowledgment {
        Some(number) => step.rst().ack(number),
        None => step.rst(),
    }
}

/// A port unreachable by the director, about a packet of the client to a VIP: it quotes up to 128 bytes, a multiple of 4.
#[must_use]
pub fn unreachable(vip: Route, about: &[u8]) -> Vec<u8> {
    let quote = about[IP..].chunks_exact(4).take(32).collect::<Vec<_>>().concat();
    let rest = [vec![0; 4], quote].concat();
    match vip {
        Route::V4(vip, client) => icmp4((vip, client), (3, 3), &rest).macs(OWN_MAC, CLIENT_MAC).id(0).frame(),
        Route::V6(vip, client) => icmp6((OWN_MAC, CLIENT_MAC), (vip, client), (1, 4), 64, &rest),
    }
}

/// The frame with these flags and numbers in the TCP header behind an IP header without options.
#[must_use]
pub fn segment(frame: Vec<u8>, flags: u8, sequence: u32, acknowledgment: u32) -> Vec<u8> {
    let at = if frame[12..14] == [8, 0] { AFTER4 } else { AFTER6 };
    let numbers = [sequence.to_be_bytes(), acknowledgment.to_be_bytes()].concat();
    edit(edit(frame, at + 4, &numbers), at + 13, &[flags])
}

/// What the director makes of an echo request of the client: MACs and addresses swapped, hops anew, checksums computed
/// from nothing.
#[must_use]
pub fn echo_reply(request: &[u8]) -> Vec<u8> {
    let mut reply = super::readdressed(request, OWN_MAC, CLIENT_MAC);
    if reply[12..14] == [8, 0] {
        let header = usize::from(reply[IP] & 0xf) * 4;
        reply[IP + 8] = 64;
        reply[IP + 12..IP + 16].copy_from_slice(&request[IP + 16..IP + 20]);
        reply[IP + 16..IP + 20].copy_from_slice(&request[IP + 12..IP + 16]);
        let at = IP + header;
        reply[at] = 0;
        let end = IP + usize::from(u16::from_be_bytes([request[IP + 2], request[IP + 3]]));
        let sum = Sum16BitWords::new().add_slice(&reply[at..at + 2]).add_slice(&reply[at + 4..end]);
        // Both forms of zero are right; but of a message that is all zeros only this one.
        let checksum = match sum.ones_complement() {
            0 => u16::MAX,
            other => other,
        };
        return checksummed(edit(reply, at + 2, &checksum.to_ne_bytes()));
    }
    reply[IP + 7] = 64;
    reply[IP + 8..IP + 24].copy_from_slice(&request[IP + 24..IP + 40]);
    reply[IP + 24..IP + 40].copy_from_slice(&request[IP + 8..IP + 24]);
    let end = AFTER6 + usize::from(u16::from_be_bytes([request[IP + 4], request[IP + 5]]));
    // Type, and the checksum over it: what lies before the message's own header does not matter here.
    let at = end - message_len6(request, end);
    reply[at] = 129;
    let len = u32::try_from(end - at).unwrap_or_default().to_be_bytes();
    let sum = Sum16BitWords::new()
        .add_slice(&reply[IP + 8..IP + 40])
        .add_slice(&len)
        .add_slice(&[0, 0, 0, 58])
        .add_slice(&reply[at..at + 2])
        .add_slice(&reply[at + 4..end]);
    edit(reply, at + 2, &sum.ones_complement().to_ne_bytes())
}

/// Length of the ICMPv6 message that ends at `end`, behind extension headers of units of 8 bytes.
fn message_len6(frame: &[u8], end: usize) -> usize {
    let (mut at, mut next) = (AFTER6, frame[IP + 6]);
    while next != 58 {
        next = frame[at];
        at += (usize::from(frame[at + 1]) + 1) * 8;
    }
    end - at
}
