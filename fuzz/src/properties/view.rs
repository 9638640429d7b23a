//! A frame as a reader of its bytes sees it: where its tags end, where its IP header ends. Shares no code with the
//! decision, and believes no length: what is not there is none.

/// EtherTypes of VLAN tags: 802.1Q and 802.1ad.
const TAGS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ARP: [u8; 2] = [0x08, 0x06];
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
/// More tags than anybody strips.
const MOST_TAGS: usize = 2;
/// More extension headers than anybody looks behind.
const MOST_EXTENSIONS: usize = 6;

/// A frame with a whole Ethernet header.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    frame: &'a [u8],
    /// Where the network header starts, in bytes.
    pub(super) network_at: usize,
}

/// What an IP packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Payload<'a> {
    pub(super) protocol: u8,
    pub(super) is_fragment: bool,
    /// Where it starts, from the IP header on.
    pub(super) at: usize,
    /// All of it that is there, without padding.
    pub(super) bytes: &'a [u8],
}

impl Payload<'_> {
    /// Protocol and destination port, where the packet says them for itself: it is whole, and TCP, UDP or SCTP.
    pub(super) fn port(&self) -> Option<(u8, [u8; 2])> {
        let has_ports = !self.is_fragment && matches!(self.protocol, 6 | 17 | 132);
        has_ports.then_some(())?;
        Some((self.protocol, self.bytes.get(2..4)?.try_into().ok()?))
    }
}

impl<'a> View<'a> {
    pub(super) fn of(frame: &'a [u8]) -> Option<Self> {
        let mut network_at = 14;
        for _ in 0..MOST_TAGS {
            let ethertype = frame.get(network_at - 2..network_at)?;
            if !TAGS.iter().any(|tag| tag == ethertype) || frame.len() < network_at + 4 {
                break;
            }
            network_at += 4;
        }
        (frame.len() >= network_at).then_some(Self { frame, network_at })
    }

    /// The destination MAC.
    pub(super) fn destination(&self) -> &'a [u8] {
        &self.frame[..6]
    }

    /// The source MAC.
    pub(super) fn source(&self) -> &'a [u8] {
        &self.frame[6..12]
    }

    /// The tags, each with the EtherType before it, outermost first: 4 bytes each.
    pub(super) fn tags(&self) -> &'a [u8] {
        &self.frame[12..self.network_at - 2]
    }

    /// What follows the tags.
    pub(super) fn ethertype(&self) -> &'a [u8] {
        &self.frame[self.network_at - 2..self.network_at]
    }

    pub(super) fn is_arp(&self) -> bool {
        self.ethertype() == ARP
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.ethertype() == IPV4 && self.network().first().is_some_and(|byte| byte >> 4 == 4)
    }

    pub(super) fn is_ipv6(&self) -> bool {
        self.ethertype() == IPV6 && self.network().first().is_some_and(|byte| byte >> 4 == 6)
    }

    /// All that follows the Ethernet header and its tags, padding included.
    pub(super) fn network(&self) -> &'a [u8] {
        &self.frame[self.network_at..]
    }

    /// Length of the IPv4 header with its options, in bytes.
    pub(super) fn ipv4_header_len(&self) -> usize {
        self.network().first().map_or(0, |byte| usize::from(byte & 0xf) * 4)
    }

    /// Length of the IP packet by its own header, in bytes.
    pub(super) fn packet_len(&self) -> Option<usize> {
        let word =
            |at| Some(usize::from(u16::from_be_bytes(self.network().get(at..at + 2)?.try_into().ok()?)));
        if self.is_ipv4() {
            word(2)
        } else if self.is_ipv6() {
            Some(word(4)? + 40)
        } else {
            None
        }
    }

    /// Where an IP packet comes from: 4 or 16 bytes.
    pub(super) fn ip_source(&self) -> Option<&'a [u8]> {
        let at = if self.is_ipv4() { 12..16 } else { 8..24 };
        self.ip_destination().and_then(|_| self.network().get(at))
    }

    /// Where an IP packet goes: 4 or 16 bytes.
    pub(super) fn ip_destination(&self) -> Option<&'a [u8]> {
        if self.is_ipv4() {
            self.network().get(16..20)
        } else if self.is_ipv6() {
            self.network().get(24..40)
        } else {
            None
        }
    }

    /// What is behind IPv4 options and IPv6 extension headers.
    pub(super) fn payload(&self) -> Option<Payload<'a>> {
        let packet = self.network().get(..self.packet_len()?)?;
        if self.is_ipv4() {
            let at = self.ipv4_header_len();
            let is_fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0;
            return Some(Payload { protocol: packet[9], is_fragment, at, bytes: packet.get(at..)? });
        }
        let (mut protocol, mut at, mut is_fragment) = (*packet.get(6)?, 40, false);
        for _ in 0..MOST_EXTENSIONS {
            let header = packet.get(at..)?;
            let units = header.get(1).copied().map(usize::from);
            let len = match protocol {
                44 => 8,
                51 => (units? + 2) * 4,
                0 | 43 | 60 => (units? + 1) * 8,
                _ => break,
            };
            let mut is_later = false;
            if protocol == 44 {
                let offset = u16::from_be_bytes([*header.get(2)?, *header.get(3)?]);
                is_fragment |= offset & 0xfff9 != 0;
                is_later = offset & 0xfff8 != 0;
            }
            (protocol, at) = (header[0], at + len);
            if is_later {
                break;
            }
        }
        Some(Payload { protocol, is_fragment, at, bytes: packet.get(at..)? })
    }

    /// The address that an ARP packet or a neighbour solicitation asks for.
    pub(super) fn question_to(&self) -> Option<&'a [u8]> {
        let network = self.network();
        if self.is_arp() {
            network.get(24..28)
        } else if self.is_ipv6() && network.get(6) == Some(&ICMPV6) && network.get(40) == Some(&SOLICITATION)
        {
            network.get(48..64)
        } else {
            None
        }
    }
}

/// The one's-complement sum of 16-bit words, folded (RFC 1071); 0 and 0xffff mean the same, and are 0 here.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0)));
    let rest = words.sum::<u64>() % 0xffff;
    u16::try_from(rest).unwrap_or_default()
}

/// The sum over a message and the pseudo header of its packet, checksum included: 0 if that is right. Addresses are of 4
/// or 16 bytes (RFC 9293, section 3.1; RFC 8200, section 8.1).
pub(super) fn sum_with_pseudo(source: &[u8], destination: &[u8], protocol: u8, message: &[u8]) -> u16 {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    sum(&[source, destination, &len, &[0, 0, 0, protocol], message].concat())
}
