//! Where the headers of a frame are, as far as they are there; and how they are put right after a change. Decides
//! nothing about a packet: a frame of nonsense has no layout.

/// EtherTypes of VLAN tags: 802.1Q and 802.1ad.
pub(super) const TAGS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const FRAGMENT: u8 = 44;
const AH: u8 = 51;
/// Hop-by-hop, routing, destination options, mobility: with a length in 8-byte units after the next header.
const LENGTHS_OF_8: [u8; 4] = [0, 43, 60, 135];

/// An IP packet in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    pub(super) is_v4: bool,
    /// Where the IP header starts, in bytes.
    pub(super) ip: usize,
    /// Where the byte is that names the payload's protocol.
    pub(super) protocol_at: usize,
    /// Where the payload starts, behind options and extension headers.
    pub(super) payload: usize,
}

impl Layout {
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let mut ip = 14;
        while TAGS.iter().any(|tag| frame.get(ip - 2..ip) == Some(tag)) {
            ip += 4;
        }
        let ethertype = frame.get(ip - 2..ip)?;
        let layout = if ethertype == IPV4 {
            let words = usize::from(frame.get(ip)? & 0xf);
            Self { is_v4: true, ip, protocol_at: ip + 9, payload: ip + words.max(5) * 4 }
        } else if ethertype == IPV6 {
            Self { is_v4: false, ip, protocol_at: ip + 6, payload: ip + 40 }.behind_extensions(frame)
        } else {
            return None;
        };
        (layout.payload <= frame.len()).then_some(layout)
    }

    fn behind_extensions(mut self, frame: &[u8]) -> Self {
        for _ in 0..16 {
            let next = frame.get(self.protocol_at).copied();
            let units = frame.get(self.payload + 1).copied().map_or(0, usize::from);
            let len = match next {
                Some(FRAGMENT) => 8,
                Some(AH) => (units + 2) * 4,
                Some(next) if LENGTHS_OF_8.contains(&next) => (units + 1) * 8,
                _ => break,
            };
            if self.payload + len > frame.len() {
                break;
            }
            (self.protocol_at, self.payload) = (self.payload, self.payload + len);
        }
        self
    }

    /// Where source and destination addresses are.
    pub(super) fn addresses(&self) -> (usize, usize, usize) {
        if self.is_v4 { (self.ip + 12, self.ip + 16, 4) } else { (self.ip + 8, self.ip + 24, 16) }
    }

    pub(super) fn ttl_at(&self) -> usize {
        self.ip + if self.is_v4 { 8 } else { 7 }
    }
}

/// Makes lengths and checksums fit what is there now: the frame's end is the packet's.
pub(super) fn repair(frame: &mut [u8]) {
    let Some(layout) = Layout::of(frame) else { return };
    let ip = layout.ip;
    let len = frame.len();
    if layout.is_v4 {
        frame[ip] = 0x40 | frame[ip] & 0xf;
        put(frame, ip + 2, len - ip);
        let header = usize::from(frame[ip] & 0xf).max(5) * 4;
        checksum(frame, ip + 10, ip..ip + header, 0);
    } else {
        frame[ip] = 0x60 | frame[ip] & 0xf;
        put(frame, ip + 4, len - ip - 40);
    }
    let at = layout.payload;
    match frame[layout.protocol_at] {
        UDP => put(frame, at + 4, len - at),
        TCP if at + 12 < len => {
            let words = frame[at + 12] >> 4;
            frame[at + 12] = frame[at + 12] & 0xf | words.clamp(5, 15) << 4;
        }
        ICMP => checksum(frame, at + 2, at..len, 0),
        ICMPV6 if !layout.is_v4 => {
            let (source, _, _) = layout.addresses();
            let pseudo = sum(&frame[source..source + 32]) + (len - at) as u64 + u64::from(ICMPV6);
            checksum(frame, at + 2, at..len, pseudo);
        }
        _ => {}
    }
}

fn checksum(frame: &mut [u8], at: usize, over: std::ops::Range<usize>, pseudo: u64) {
    if at + 2 > over.end || over.end > frame.len() {
        return;
    }
    put(frame, at, 0);
    let folded = (sum(&frame[over]) + pseudo) % 0xffff;
    put(frame, at, 0xffff - usize::try_from(folded).unwrap_or_default());
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0))).sum()
}

fn put(frame: &mut [u8], at: usize, number: usize) {
    let number = u16::try_from(number).unwrap_or(u16::MAX);
    if let Some(place) = frame.get_mut(at..at + 2) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}
