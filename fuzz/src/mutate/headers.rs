//! Changes that know headers: tags, options, extension headers, fragments, flows, quotes in ICMP errors.

#![expect(clippy::ptr_arg, reason = "changes have one type, and most of them change the length")]

use fastrand::Rng;

use super::{
    Change,
    layout::{Layout, TAGS},
};

const ETHERTYPES: [[u8; 2]; 5] = [[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8]];
/// Hop-by-hop, routing, fragment, AH, destination options, mobility.
const EXTENSIONS: [u8; 6] = [0, 43, 44, 51, 60, 135];
/// ICMP, TCP, UDP, GRE, ESP, ICMPv6, SCTP, no next header, and extension headers.
const PROTOCOLS: [u8; 12] = [1, 6, 17, 47, 50, 58, 132, 59, 0, 43, 44, 60];
/// Offset in units of 8 bytes, and more to come: first, middle and last fragments, and the reserved bits.
const FRAGMENTS_V4: [u16; 7] = [0x2000, 0x2001, 0x0001, 0x1fff, 0x3fff, 0x4000, 0x8000];
const FRAGMENTS_V6: [u16; 6] = [0x0001, 0x0009, 0x0008, 0xfff8, 0xfff9, 0x0006];

pub(super) const CHANGES: [Change; 14] = [
    tag, untag, ethertype, mac, flow, source, ttl, protocol, tcp_flags, sequence, options, extension,
    fragment, quote,
];

fn set(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn one<T: Copy>(of: &[T], rng: &mut Rng) -> T {
    of[rng.usize(..of.len())]
}

fn tag(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    if frame.len() >= 14 {
        let [first, second] = one(&TAGS, rng);
        let [high, low] = (u16::from(rng.u8(..16)) << 12 | rng.u16(..8)).to_be_bytes();
        frame.splice(12..12, [first, second, high, low]);
    }
}

fn untag(frame: &mut Vec<u8>, _: &mut Rng, _: &[Vec<u8>]) {
    if frame.len() >= 18 && TAGS.iter().any(|tag| frame[12..14] == *tag) {
        frame.drain(12..16);
    }
}

fn ethertype(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    set(frame, 12, &one(&ETHERTYPES, rng));
}

/// To or from a group, nobody, or the MAC of another frame.
fn mac(frame: &mut Vec<u8>, rng: &mut Rng, others: &[Vec<u8>]) {
    let groups = [[0xff; 6], [0x33, 0x33, 0, 0, 0, 1], [1, 0, 0x5e, 0, 0, 1], [0; 6]];
    let other = rng.choice(others).and_then(|other| other.get(..12)).map(<[u8]>::to_vec);
    let at = one(&[0, 6], rng);
    match other {
        Some(macs) if rng.bool() => set(frame, at, &macs[one(&[0, 6], rng)..][..6]),
        // What members are called in tests: the last bytes tell them apart.
        _ if rng.bool() => set(frame, at, &[2, 0, 0, 0, rng.u8(..3), rng.u8(..12)]),
        _ => set(frame, at, &one(&groups, rng)),
    }
}

/// Another flow to the same service.
fn flow(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    if let Some(layout) = Layout::of(frame) {
        let (source, _, len) = layout.addresses();
        set(frame, source + len - 1, &[rng.u8(..)]);
        set(frame, layout.payload, &rng.u16(..).to_be_bytes());
    }
}

/// Sources that nobody has: the VIP, nowhere, a group, loopback.
fn source(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let Some(layout) = Layout::of(frame) else { return };
    let (source, destination, len) = layout.addresses();
    match rng.u8(..4) {
        0 => frame.copy_within(destination..destination + len, source),
        1 => set(frame, source, &[0; 16][..len]),
        2 => set(frame, source, &[if len == 4 { 224 } else { 0xff }]),
        _ => set(frame, source, &[127]),
    }
}

fn ttl(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    if let Some(layout) = Layout::of(frame) {
        set(frame, layout.ttl_at(), &[one(&[0, 1, 2, 64, 255], rng)]);
    }
}

fn protocol(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    if let Some(layout) = Layout::of(frame) {
        set(frame, layout.protocol_at, &[one(&PROTOCOLS, rng)]);
    }
}

fn tcp_flags(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    if let Some(layout) = Layout::of(frame) {
        let named = [0x02, 0x10, 0x12, 0x11, 0x04, 0x14, 0x18];
        set(frame, layout.payload + 13, &[if rng.bool() { one(&named, rng) } else { rng.u8(..) }]);
    }
}

/// Sequence numbers near those of other frames: a segment may continue what another began.
fn sequence(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    if let Some(layout) = Layout::of(frame) {
        let at = layout.payload + one(&[4, 8], rng);
        if let Some(number) = frame.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()) {
            let near = u32::from_be_bytes(number).wrapping_add_signed(i32::from(rng.i8(-2..=2)));
            set(frame, at, &near.to_be_bytes());
        }
    }
}

fn options(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let Some(layout) = Layout::of(frame).filter(|layout| layout.is_v4) else { return };
    let words = usize::from(frame[layout.ip] & 0xf);
    let more = rng.usize(..=15_usize.saturating_sub(words));
    let option = one(&[0, 1, 7, 0x44, 0x83, 0x94], rng);
    frame.splice(layout.payload..layout.payload, vec![option; more * 4]);
    frame[layout.ip] = 0x40 | u8::try_from(words + more).unwrap_or_default() & 0xf;
}

fn extension(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let Some(layout) = Layout::of(frame).filter(|layout| !layout.is_v4) else { return };
    let kind = one(&EXTENSIONS, rng);
    let units = rng.usize(..3);
    // An AH's length counts words, less two.
    let (written, len) = match kind {
        44 => (rng.u8(..4), 8),
        51 => (u8::try_from(units + 1).unwrap_or_default(), (units + 3) * 4),
        _ => (u8::try_from(units).unwrap_or_default(), (units + 1) * 8),
    };
    let mut header = vec![0; len];
    header[..2].copy_from_slice(&[frame[layout.protocol_at], written]);
    if kind == 44 {
        header[2..4].copy_from_slice(&one(&FRAGMENTS_V6, rng).to_be_bytes());
        header[7] = rng.u8(..4);
    }
    frame[layout.protocol_at] = kind;
    frame.splice(layout.payload..layout.payload, header);
}

fn fragment(frame: &mut Vec<u8>, rng: &mut Rng, others: &[Vec<u8>]) {
    match Layout::of(frame) {
        Some(layout) if layout.is_v4 => {
            set(frame, layout.ip + 4, &rng.u16(..4).to_be_bytes());
            set(frame, layout.ip + 6, &one(&FRAGMENTS_V4, rng).to_be_bytes());
        }
        Some(_) => extension(frame, rng, others),
        None => {}
    }
}

/// An ICMP error about what the receiver of this packet would have answered: source and destination exchanged.
fn quote(frame: &mut Vec<u8>, rng: &mut Rng, _: &[Vec<u8>]) {
    let Some(layout) = Layout::of(frame) else { return };
    let (source, destination, len) = layout.addresses();
    let mut quoted = frame[layout.ip..].to_vec();
    let at = layout.ip;
    quoted[source - at..][..len].copy_from_slice(&frame[destination..destination + len]);
    quoted[destination - at..][..len].copy_from_slice(&frame[source..source + len]);
    if let Some(ports) = quoted.get_mut(layout.payload - at..layout.payload - at + 4) {
        ports.rotate_left(2);
    }
    if rng.bool() {
        quoted.truncate(rng.usize(..=quoted.len()));
    }
    let (kinds, protocol): (&[u8], u8) =
        if layout.is_v4 { (&[3, 4, 5, 11, 12, 0, 8], 1) } else { (&[1, 2, 3, 4, 127, 128, 129], 58) };
    let header = if layout.is_v4 { 20 } else { 40 };
    frame.truncate(at + header);
    if layout.is_v4 {
        frame[at] = 0x45;
    }
    frame[at + if layout.is_v4 { 9 } else { 6 }] = protocol;
    frame.extend([one(kinds, rng), rng.u8(..5), 0, 0, 0, 0, 5, 0]);
    frame.extend(quoted);
}
