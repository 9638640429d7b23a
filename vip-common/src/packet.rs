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
pub(crate) const MAX_EXTENSIONS: usize = 6;
/// More than six extension headers are long, in bytes: the verifier asks for a bound.
pub(crate) const FARTHEST: usize = 14 + 8 + 40 + MAX_EXTENSIONS * 2048;

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
pub struct Packet<Address> {
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

/// Reads an IP header at `at`, and nothing behind it: there may be extension headers. `None` where a length is too short for
/// the header itself.
#[inline(always)]
pub(crate) fn read<I: Layout>(at: usize, header: &I::Header) -> Option<Packet<I::Address>> {
    let Behind { protocol, part, id, payload, end } = I::behind(at, header)?;
    let flow = Flow::by_addresses(I::source(header), I::destination(header), protocol);
    let segment = Segment::DATAGRAM;
    Some(Packet { flow, has_ports: false, unknown: false, segment, part, id, payload, end })
}

impl<Address> Packet<Address> {
    /// True if there is a transport header with ports.
    #[inline(always)]
    fn shows_ports(&self) -> bool {
        self.part != Part::Later && !self.unknown && matches!(self.flow.protocol, TCP | UDP | SCTP)
    }

    /// Reads the transport header, if there is one with ports.
    ///
    /// # Errors
    /// The reason to drop the packet.
    #[inline(always)]
    pub(crate) fn read_transport<F: Frame>(&mut self, frame: &F) -> Result<(), Reason> {
        if !self.shows_ports() {
            return Ok(());
        }
        let Some(at) = self.payload_at() else { return Err(Reason::Malformed) };
        let len = self.end.wrapping_sub(at);
        let transport = transport(frame, self.flow.protocol, at, len, self.part)?;
        self.flow.source_port = transport.source_port;
        self.flow.destination_port = transport.destination_port;
        self.segment = transport.segment;
        self.has_ports = true;
        Ok(())
    }

    /// Reads the ports of a packet that is quoted: 8 bytes of the transport header are quoted at least (RFC 792), and these
    /// four are enough.
    #[inline(always)]
    pub(crate) fn read_quoted_ports<F: Frame>(&mut self, frame: &F) {
        if !self.shows_ports() || self.payload + 4 > self.end {
            return;
        }
        if let Some([source_port, destination_port]) = frame.read::<[[u8; 2]; 2]>(self.payload) {
            self.flow.source_port = source_port;
            self.flow.destination_port = destination_port;
            self.has_ports = true;
        }
    }

    /// Reads the ports alone, whatever else the transport header says.
    #[inline(always)]
    pub(crate) fn read_ports<F: Frame>(&mut self, frame: &F) {
        if !self.shows_ports() {
            return;
        }
        let ports = self.payload_at().and_then(|at| frame.read::<[[u8; 2]; 2]>(at));
        if let Some([source_port, destination_port]) = ports {
            self.flow.source_port = source_port;
            self.flow.destination_port = destination_port;
            self.has_ports = true;
        }
    }

    /// Where the payload starts, if that is where a payload can start: what an earlier step found has no bound that the
    /// verifier knows.
    #[inline(always)]
    pub(crate) fn payload_at(&self) -> Option<usize> {
        (self.payload <= FARTHEST).then_some(self.payload)
    }
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

/// What an IP header says of what is behind it.
#[derive(Clone, Copy)]
pub struct Behind {
    protocol: u8,
    part: Part,
    id: [u8; 4],
    payload: usize,
    end: usize,
}

/// How the two families say what is behind their headers.
pub trait Layout: Family {
    /// What the header at `at` says. `None` where a length is too short for the header itself.
    fn behind(at: usize, header: &Self::Header) -> Option<Behind>;
}

impl Layout for V4 {
    #[inline(always)]
    fn behind(at: usize, ip: &Ipv4) -> Option<Behind> {
        let fragment = u16::from_be_bytes(ip.fragment);
        let part = match (fragment & 0x1fff != 0, fragment & 0x2000 != 0) {
            (true, _) => Part::Later,
            (false, true) => Part::First,
            (false, false) => Part::Whole,
        };
        let [high, low] = ip.id;
        let (payload, end) = (at + ip.header_len(), at + ip.packet_len());
        let fits = ip.header_len() >= size_of::<Ipv4>();
        fits.then_some(Behind { protocol: ip.protocol, part, id: [high, low, 0, 0], payload, end })
    }
}

impl Layout for V6 {
    #[inline(always)]
    fn behind(at: usize, ip: &Ipv6) -> Option<Behind> {
        let payload = at + size_of::<Ipv6>();
        let end = payload + ip.payload_len();
        Some(Behind { protocol: ip.next_header, part: Part::Whole, id: [0; 4], payload, end })
    }
}

impl<Address> Packet<Address> {
    /// True while an IPv6 extension header is next that may be looked behind.
    #[inline(always)]
    pub(crate) fn is_extended(&self) -> bool {
        is_extension(self.flow.protocol) && self.part != Part::Later
    }

    /// Looks behind one extension header. `None`, and nothing changed, where the packet ends before it does.
    #[inline(always)]
    pub(crate) fn look_behind<F: Frame>(&mut self, frame: &F) -> Option<()> {
        let at = self.payload_at()?;
        let (header, payload, part, id) = if self.flow.protocol == FRAGMENT {
            let fragment = frame.read::<Fragment6>(at)?;
            let offset = u16::from_be_bytes(fragment.offset);
            let part = match (offset & 0xfff8 != 0, offset & 1 != 0) {
                (true, _) => Part::Later,
                (false, true) => Part::First,
                // An atomic fragment is a whole packet (RFC 6946).
                (false, false) => self.part,
            };
            (fragment.next_header, at + size_of::<Fragment6>(), part, fragment.id)
        } else {
            let extension = frame.read::<Extension>(at)?;
            let length = usize::from(extension.length);
            let is_short = self.flow.protocol == AUTHENTICATION;
            let length = if is_short { (length + 2) * 4 } else { (length + 1) * 8 };
            (extension.next_header, at + length, self.part, self.id)
        };
        if payload > self.end {
            return None;
        }
        (self.flow.protocol, self.payload, self.part, self.id) = (header, payload, part, id);
        Some(())
    }
}

/// True for an IPv6 extension header. Where one is left, the payload's protocol is not known.
#[inline(always)]
pub(crate) const fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS)
}

/// True if the frame is at least `end` bytes long.
#[inline(always)]
pub(crate) fn reaches<F: Frame>(frame: &mut F, end: usize) -> bool {
    end <= frame.len() || end <= frame.whole_len()
}
