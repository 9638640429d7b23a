//! Answers to packets that nobody takes: a TCP reset (RFC 9293, section 3.5.2) or an ICMP port unreachable (RFC 792;
//! RFC 4443, section 3.1). The client knows at once, instead of waiting for its timeout.

use bytemuck::Zeroable as _;

use crate::{
    Frame, Tables,
    action::Reason,
    arrival::Arrival,
    checksum::{field, pseudo4, pseudo6, sum},
    family::{Family, V4, V6},
    headers::{ICMP, ICMPV6, Icmp, Ipv4, Ipv6, TCP, Tcp, UDP},
    packet::{Packet, Part},
    tables::tick,
};

/// TTL and hop limit of answers.
pub(crate) const HOPS: u8 = 64;
/// At most so many bytes of a packet are quoted to its sender: more than any IPv4 header and 8 bytes behind it.
const MAX_QUOTE: usize = 128;

/// What is counted where no answer can be sent for a reason to send one; `None` for all other reasons.
#[inline(always)]
pub(crate) const fn dropped_instead(reason: Reason) -> Option<Reason> {
    match reason {
        Reason::ResetDeadMember => Some(Reason::DeadMember),
        Reason::ResetNoBackend => Some(Reason::NoBackend),
        Reason::ResetUnknownPort => Some(Reason::UnknownPort),
        _ => None,
    }
}

/// Answers a packet that nobody takes, for one of the reasons to do so: at most [`ANSWERS_A_TICK`](crate::tables::ANSWERS_A_TICK) times a tick and CPU.
///
/// Never in answer to a reset, a fragment, or anything but TCP and UDP. Not inlined: it shares the kernel's stack with
/// who found that the packet is nobody's; and as functions in the kernel return no more than a word, it returns what is
/// counted: `reason`, if the frame is an answer now, else the one to drop it for.
#[inline(never)]
pub(crate) fn reset<I: Resets, F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I::Address>,
    reason: Reason,
) -> Reason {
    let dropped = dropped_instead(reason).unwrap_or(reason);
    let protocol = packet.flow.protocol;
    let answerable = packet.part == Part::Whole
        && packet.has_ports
        && (protocol == UDP || (protocol == TCP && !packet.segment.resets));
    if !answerable {
        return dropped;
    }
    if !tables.may_answer(tick(tables.clock())) {
        return Reason::ResetLimited;
    }
    let Some(arrival) = Arrival::of(frame, tables) else { return dropped };
    let Some(header) = frame.read::<I::Header>(arrival.network) else { return dropped };
    let written = if protocol == TCP {
        let at = arrival.network;
        frame.read::<Tcp>(packet.payload).and_then(|tcp| {
            let answer = answer_to(&tcp, packet.end - packet.payload);
            arrival.send_back(frame)?;
            I::write_reset(frame, at, &header, answer)
        })
    } else {
        I::write_unreachable(frame, &arrival, &header, packet)
    };
    match written {
        Some(()) => reason,
        None => Reason::NoRoom,
    }
}

/// The reset to a segment of `len` bytes, header included, without its checksum.
#[inline(always)]
fn answer_to(tcp: &Tcp, len: usize) -> Tcp {
    let ports =
        Tcp { source: tcp.destination, destination: tcp.source, data_offset: 5 << 4, ..Tcp::zeroed() };
    if tcp.flags & Tcp::ACK != 0 {
        return Tcp { sequence: tcp.acknowledgment, flags: Tcp::RST, ..ports };
    }
    let controls = u32::from(tcp.flags & Tcp::SYN != 0) + u32::from(tcp.flags & Tcp::FIN != 0);
    #[expect(clippy::cast_possible_truncation, reason = "a packet is shorter than 2^16 bytes")]
    let data = len.wrapping_sub(tcp.header_len()) as u32;
    let next = u32::from_be_bytes(tcp.sequence).wrapping_add(data).wrapping_add(controls);
    Tcp { acknowledgment: next.to_be_bytes(), flags: Tcp::RST | Tcp::ACK, ..ports }
}

/// How the two families carry such answers.
pub(crate) trait Resets: Family {
    /// Writes a packet with a reset at `at`, to the sender of the one with `header`, and cuts the frame off behind it.
    fn write_reset<F: Frame>(frame: &mut F, at: usize, header: &Self::Header, tcp: Tcp) -> Option<()>;

    /// Puts a port unreachable in front of the packet, and cuts the packet off.
    fn write_unreachable<F: Frame>(
        frame: &mut F,
        arrival: &Arrival,
        header: &Self::Header,
        packet: &Packet<Self::Address>,
    ) -> Option<()>;
}

impl Resets for V4 {
    #[inline(always)]
    fn write_reset<F: Frame>(frame: &mut F, at: usize, header: &Ipv4, mut tcp: Tcp) -> Option<()> {
        let ip = answer4(header, TCP, size_of::<Tcp>());
        tcp.checksum = field(pseudo4(&ip, 20) + sum(bytemuck::cast::<_, [[u8; 4]; 5]>(tcp)));
        frame.resize(at + size_of::<Ipv4>() + size_of::<Tcp>())?;
        frame.write(at, ip)?;
        frame.write(at + size_of::<Ipv4>(), tcp)
    }

    #[inline(always)]
    fn write_unreachable<F: Frame>(
        frame: &mut F,
        arrival: &Arrival,
        header: &Ipv4,
        packet: &Packet<[u8; 4]>,
    ) -> Option<()> {
        const ADDED: usize = size_of::<Ipv4>() + size_of::<Icmp>();
        let quote = quote_len(arrival, packet);
        let mut icmp = Icmp { kind: Icmp::UNREACHABLE4, code: Icmp::PORT_UNREACHABLE4, ..Icmp::zeroed() };
        icmp.checksum = field(sum_of_quote(frame, arrival.network, quote)? + sum([icmp_head(&icmp)]));
        let ip = answer4(header, ICMP, size_of::<Icmp>() + quote);
        arrival.put_in_front(frame, ADDED)?;
        frame.write(arrival.network, ip)?;
        frame.write(arrival.network + size_of::<Ipv4>(), icmp)?;
        frame.resize(arrival.network + ADDED + quote)
    }
}

impl Resets for V6 {
    #[inline(always)]
    fn write_reset<F: Frame>(frame: &mut F, at: usize, header: &Ipv6, mut tcp: Tcp) -> Option<()> {
        let ip = answer6(header, TCP, size_of::<Tcp>());
        tcp.checksum = field(pseudo6(&ip, 20, TCP) + sum(bytemuck::cast::<_, [[u8; 4]; 5]>(tcp)));
        frame.resize(at + size_of::<Ipv6>() + size_of::<Tcp>())?;
        frame.write(at, ip)?;
        frame.write(at + size_of::<Ipv6>(), tcp)
    }

    #[inline(always)]
    fn write_unreachable<F: Frame>(
        frame: &mut F,
        arrival: &Arrival,
        header: &Ipv6,
        packet: &Packet<[u8; 16]>,
    ) -> Option<()> {
        const ADDED: usize = size_of::<Ipv6>() + size_of::<Icmp>();
        let quote = quote_len(arrival, packet);
        let ip = answer6(header, ICMPV6, size_of::<Icmp>() + quote);
        let mut icmp = Icmp { kind: Icmp::UNREACHABLE6, code: Icmp::PORT_UNREACHABLE6, ..Icmp::zeroed() };
        let len = u16::from_be_bytes(ip.payload_length);
        let quoted = sum_of_quote(frame, arrival.network, quote)?;
        icmp.checksum = field(pseudo6(&ip, len, ICMPV6) + quoted + sum([icmp_head(&icmp)]));
        arrival.put_in_front(frame, ADDED)?;
        frame.write(arrival.network, ip)?;
        frame.write(arrival.network + size_of::<Ipv6>(), icmp)?;
        frame.resize(arrival.network + ADDED + quote)
    }
}

/// How much of a packet is quoted, in bytes: a multiple of 4.
#[inline(always)]
fn quote_len<Address>(arrival: &Arrival, packet: &Packet<Address>) -> usize {
    (packet.end - arrival.network).min(MAX_QUOTE) & !3
}

#[inline(always)]
fn icmp_head(icmp: &Icmp) -> [u8; 4] {
    [icmp.kind, icmp.code, 0, 0]
}

#[inline(always)]
fn sum_of_quote<F: Frame>(frame: &F, at: usize, len: usize) -> Option<u32> {
    let mut total = 0;
    for unit in 0..MAX_QUOTE / 4 {
        if unit * 4 >= len {
            break;
        }
        total += sum([frame.read::<[u8; 4]>(at + unit * 4)?]);
    }
    Some(total)
}

/// The header of an answer with `len` bytes behind it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "answers are short")]
fn answer4(to: &Ipv4, protocol: u8, len: usize) -> Ipv4 {
    let mut ip = Ipv4 {
        version_ihl: 0x45,
        total_length: ((size_of::<Ipv4>() + len) as u16).to_be_bytes(),
        // Do not fragment: then the identification may be 0 (RFC 6864).
        fragment: [0x40, 0],
        ttl: HOPS,
        protocol,
        source: to.destination,
        destination: to.source,
        ..Ipv4::zeroed()
    };
    ip.checksum = field(sum(bytemuck::cast::<_, [[u8; 4]; 5]>(ip)));
    ip
}

/// The header of an answer with `len` bytes behind it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "answers are short")]
fn answer6(to: &Ipv6, next_header: u8, len: usize) -> Ipv6 {
    Ipv6 {
        version_class_label: [0x60, 0, 0, 0],
        payload_length: (len as u16).to_be_bytes(),
        next_header,
        hop_limit: HOPS,
        source: to.destination,
        destination: to.source,
    }
}
