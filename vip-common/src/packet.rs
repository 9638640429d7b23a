//! What an IP packet says behind its header: ports, whether it opens a flow, whether it is a fragment.

use crate::{
    Frame,
    action::Reason,
    family::{Family, V4, V6},
    flow::Flow,
    headers::{
        AUTHENTICATION, DESTINATION_OPTIONS, Extension, FRAGMENT, Fragment6, HOP_BY_HOP, Ipv4, Ipv6, ROUTING,
        SCTP, Sctp, TCP, Tcp, UDP, Udp,
    },
};

/// Extension headers that are looked behind. With more of them a packet is placed by its addresses.
const MAX_EXTENSIONS: usize = 6;
/// More than six extension headers are long, in bytes: the verifier asks for a bound.
const FARTHEST: usize = 14 + 8 + 40 + MAX_EXTENSIONS * 2048;

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// The first fragment: it has the ports.
    First,
    /// A later fragment.
    Later,
}

/// How a segment matters to its connection. Of datagrams all is false, and 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct Segment {
    /// Sequence number. Of SCTP 1 for the answer to an association's first answer, else 0: it continues an INIT, as a
    /// TCP segment continues a SYN.
    pub(crate) sequence: u32,
    /// It opens a connection.
    pub(crate) opens: bool,
    /// It ends one.
    pub(crate) closes: bool,
    /// It belongs to a connection: a client says so before it sends anything else.
    pub(crate) connected: bool,
    /// It must not be answered by a reset: it is one.
    pub(crate) resets: bool,
}

impl Segment {
    /// A packet without a connection.
    pub(crate) const DATAGRAM: Self =
        Self { opens: false, closes: false, connected: false, resets: false, sequence: 0 };
}

/// A packet, as far as its owner depends on it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Packet<Address> {
    /// Its flow; ports are 0 where it has none, or none that can be read.
    pub(crate) flow: Flow<Address>,
    /// Where the payload starts, in bytes from the frame's start.
    pub(crate) payload: usize,
    /// Where the packet ends: behind it is Ethernet padding.
    pub(crate) end: usize,
    pub(crate) segment: Segment,
    /// Identification of the datagram, where it is a fragment.
    pub(crate) id: [u8; 4],
    pub(crate) part: Part,
    /// It has ports, and they were read.
    pub(crate) has_ports: bool,
    /// So many extension headers that the protocol is not known.
    pub(crate) unknown: bool,
}

impl<Address: bytemuck::Zeroable> Packet<Address> {
    /// A packet that was not read yet.
    #[inline(always)]
    pub(crate) fn unread() -> Self {
        let nowhere = (Address::zeroed(), Address::zeroed());
        let flow = Flow {
            source: nowhere.0,
            destination: nowhere.1,
            source_port: [0; 2],
            destination_port: [0; 2],
            protocol: 0,
        };
        let segment = Segment::DATAGRAM;
        Self {
            flow,
            has_ports: false,
            unknown: false,
            segment,
            part: Part::Whole,
            id: [0; 4],
            payload: 0,
            end: 0,
        }
    }
}

/// What is behind the IP header and its extensions.
#[derive(Clone, Copy)]
pub(crate) struct Behind {
    protocol: u8,
    unknown: bool,
    part: Part,
    id: [u8; 4],
    payload: usize,
    end: usize,
}

/// Reads a packet whose header starts at `at`. A quote, within an ICMP error, may stop anywhere: `quote_end` says where.
///
/// # Errors
/// The reason to drop it.
#[inline(always)]
pub(crate) fn read<I: Layout, F: Frame>(
    frame: &mut F,
    at: usize,
    header: &I::Header,
    quote_end: Option<usize>,
) -> Result<Packet<I::Address>, Reason> {
    let behind = I::behind(frame, at, header, quote_end.is_some())?;
    let Behind { protocol, unknown, part, id, payload, end } = behind;
    let flow = Flow::by_addresses(I::source(header), I::destination(header), protocol);
    let mut packet =
        Packet { flow, has_ports: false, unknown, segment: Segment::DATAGRAM, part, id, payload, end };
    if part == Part::Later || unknown || !matches!(protocol, TCP | UDP | SCTP) {
        return Ok(packet);
    }
    if let Some(quote_end) = quote_end {
        // 8 bytes are what an error quotes at least (RFC 792); these four are enough.
        let ports = frame.read::<[[u8; 2]; 2]>(payload).filter(|_| payload + 4 <= quote_end);
        if let Some([source_port, destination_port]) = ports {
            packet.flow = Flow { source_port, destination_port, ..packet.flow };
            packet.has_ports = true;
        }
        return Ok(packet);
    }
    let transport = transport(frame, protocol, payload, end - payload, part)?;
    let Transport { source_port, destination_port, segment } = transport;
    packet.flow = Flow { source_port, destination_port, ..packet.flow };
    packet.has_ports = true;
    packet.segment = segment;
    Ok(packet)
}

/// What a transport header says.
#[derive(Clone, Copy)]
pub(crate) struct Transport {
    pub(crate) source_port: [u8; 2],
    pub(crate) destination_port: [u8; 2],
    pub(crate) segment: Segment,
}

/// Reads the header of TCP, UDP or, for any other protocol, SCTP at `at`, where the IP header promises `len` bytes.
///
/// # Errors
/// The reason to drop the packet: the header is cut short, or a length does not fit.
#[inline(always)]
pub(crate) fn transport<F: Frame>(
    frame: &F,
    protocol: u8,
    at: usize,
    len: usize,
    part: Part,
) -> Result<Transport, Reason> {
    let short = if part == Part::First { Reason::TinyFragment } else { Reason::Malformed };
    match protocol {
        TCP => {
            let Some(tcp) = frame.read::<Tcp>(at) else { return Err(short) };
            if len < size_of::<Tcp>() {
                return Err(short);
            }
            let fits = tcp.header_len() <= len || part == Part::First;
            if tcp.header_len() < size_of::<Tcp>() || !fits {
                return Err(Reason::Malformed);
            }
            let segment = Segment {
                opens: tcp.opens(),
                closes: tcp.flags & (Tcp::FIN | Tcp::RST) != 0,
                connected: true,
                resets: tcp.flags & Tcp::RST != 0,
                sequence: u32::from_be_bytes(tcp.sequence),
            };
            Ok(Transport { source_port: tcp.source, destination_port: tcp.destination, segment })
        }
        UDP => {
            let Some(udp) = frame.read::<Udp>(at) else { return Err(short) };
            if len < size_of::<Udp>() {
                return Err(short);
            }
            let claimed = usize::from(u16::from_be_bytes(udp.length));
            if claimed < size_of::<Udp>() || (claimed > len && part == Part::Whole) {
                return Err(Reason::Malformed);
            }
            let segment = Segment::DATAGRAM;
            Ok(Transport { source_port: udp.source, destination_port: udp.destination, segment })
        }
        _ => {
            let Some(sctp) = frame.read::<Sctp>(at) else { return Err(short) };
            if len < size_of::<Sctp>() {
                return Err(short);
            }
            let segment = Segment {
                opens: sctp.chunk == Sctp::INIT,
                closes: matches!(sctp.chunk, Sctp::ABORT | Sctp::SHUTDOWN_COMPLETE),
                connected: true,
                resets: sctp.chunk == Sctp::ABORT,
                sequence: u32::from(sctp.chunk == Sctp::COOKIE_ECHO),
            };
            Ok(Transport { source_port: sctp.source, destination_port: sctp.destination, segment })
        }
    }
}

/// How the two families say what is behind their headers.
pub(crate) trait Layout: Family {
    /// Looks behind the header at `at` and its extensions.
    ///
    /// # Errors
    /// The reason to drop the packet.
    fn behind<F: Frame>(
        frame: &mut F,
        at: usize,
        header: &Self::Header,
        quoted: bool,
    ) -> Result<Behind, Reason>;
}

impl Layout for V4 {
    #[inline(always)]
    fn behind<F: Frame>(frame: &mut F, at: usize, ip: &Ipv4, quoted: bool) -> Result<Behind, Reason> {
        let (header, packet) = (ip.header_len(), ip.packet_len());
        let end = at + packet;
        if header < size_of::<Ipv4>() || (!quoted && (packet < header || !reaches(frame, end))) {
            return Err(Reason::Malformed);
        }
        let fragment = u16::from_be_bytes(ip.fragment);
        let part = match (fragment & 0x1fff != 0, fragment & 0x2000 != 0) {
            (true, _) => Part::Later,
            (false, true) => Part::First,
            (false, false) => Part::Whole,
        };
        let [high, low] = ip.id;
        let id = [high, low, 0, 0];
        Ok(Behind { protocol: ip.protocol, unknown: false, part, id, payload: at + header, end })
    }
}

impl Layout for V6 {
    #[inline(always)]
    fn behind<F: Frame>(frame: &mut F, at: usize, ip: &Ipv6, quoted: bool) -> Result<Behind, Reason> {
        let mut payload = at + size_of::<Ipv6>();
        let end = payload + ip.payload_len();
        if !quoted && !reaches(frame, end) {
            return Err(Reason::Malformed);
        }
        let (mut protocol, mut part, mut id) = (ip.next_header, Part::Whole, [0; 4]);
        for _ in 0..MAX_EXTENSIONS {
            if !is_extension(protocol) || part == Part::Later {
                break;
            }
            let cut = if part == Part::First { Reason::TinyFragment } else { Reason::Malformed };
            if protocol == FRAGMENT {
                let Some(fragment) = frame.read::<Fragment6>(payload) else { return Err(cut) };
                let offset = u16::from_be_bytes(fragment.offset);
                id = fragment.id;
                part = match (offset & 0xfff8 != 0, offset & 1 != 0) {
                    (true, _) => Part::Later,
                    (false, true) => Part::First,
                    // An atomic fragment is a whole packet (RFC 6946).
                    (false, false) => part,
                };
                protocol = fragment.next_header;
                payload += size_of::<Fragment6>();
            } else {
                let Some(extension) = frame.read::<Extension>(payload) else { return Err(cut) };
                let length = usize::from(extension.length);
                payload += if protocol == AUTHENTICATION { (length + 2) * 4 } else { (length + 1) * 8 };
                protocol = extension.next_header;
            }
            if payload > FARTHEST || (!quoted && payload > end) {
                return Err(cut);
            }
        }
        // The fragments' payload type is not known where later headers name it: then addresses must do.
        let unknown = is_extension(protocol);
        Ok(Behind { protocol, unknown, part, id, payload, end })
    }
}

#[inline(always)]
const fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS)
}

/// True if the frame is at least `end` bytes long.
#[inline(always)]
fn reaches<F: Frame>(frame: &mut F, end: usize) -> bool {
    end <= frame.len() || end <= frame.whole_len()
}
