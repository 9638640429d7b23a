//! Frames as hosts send them, made by a library that shares no code with the director.

pub mod layers;

use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, PacketBuilder,
    PacketBuilderStep, TcpHeader, checksum::Sum16BitWords,
};
use vip_common::headers::{Mac, TCP, UDP};
pub use vip_fuzz::hex;

use crate::world::{CLIENT_MAC, CLIENT4, CLIENT6, OWN_MAC};

/// Where the IP header starts, in bytes.
pub const IP: usize = 14;
/// Where the payload of an IPv4 header without options starts, in bytes.
pub const AFTER4: usize = 34;
/// Where the payload of an IPv6 header starts, in bytes.
pub const AFTER6: usize = 54;

/// Source and destination of either family.
#[derive(Clone, Copy, Debug)]
pub enum Route {
    /// IPv4 source and destination.
    V4([u8; 4], [u8; 4]),
    /// IPv6 source and destination.
    V6([u8; 16], [u8; 16]),
}

/// A packet to be described: from the client to the director, with a TTL of 64 and a small payload.
#[derive(Clone, Debug)]
pub struct Packet {
    route: Route,
    macs: (Mac, Mac),
    protocol: u8,
    ports: (u16, u16),
    ttl: u8,
    id: u16,
    option_words: usize,
    syn: bool,
    ack: bool,
    payload: Vec<u8>,
    /// The payload is all that is behind the IP header, whatever the protocol.
    bare: bool,
}

impl Packet {
    /// From the client to an IPv4 address.
    #[must_use]
    pub fn to4(destination: [u8; 4]) -> Self {
        Self::on(Route::V4(CLIENT4, destination))
    }

    /// From the client to an IPv6 address.
    #[must_use]
    pub fn to6(destination: [u8; 16]) -> Self {
        Self::on(Route::V6(CLIENT6, destination))
    }

    /// Between two addresses.
    #[must_use]
    pub fn on(route: Route) -> Self {
        Self {
            route,
            macs: (CLIENT_MAC, OWN_MAC),
            protocol: TCP,
            ports: (40_000, 80),
            ttl: 64,
            id: 0x1234,
            option_words: 0,
            syn: false,
            ack: true,
            payload: b"GET / HTTP/1.1\r\n".to_vec(),
            bare: false,
        }
    }

    /// A TCP segment of an established flow.
    #[must_use]
    pub fn tcp(self, port: u16) -> Self {
        Self { protocol: TCP, ports: (self.ports.0, port), ..self }
    }

    /// The SYN that opens a TCP flow.
    #[must_use]
    pub fn syn(self, port: u16) -> Self {
        Self { syn: true, ack: false, payload: Vec::new(), ..self.tcp(port) }
    }

    /// The answer to a SYN.
    #[must_use]
    pub fn syn_ack(self, port: u16) -> Self {
        Self { syn: true, payload: Vec::new(), ..self.tcp(port) }
    }

    /// A UDP datagram.
    #[must_use]
    pub fn udp(self, port: u16) -> Self {
        Self { protocol: UDP, ports: (self.ports.0, port), ..self }
    }

    /// Nothing but a payload behind the IP header.
    #[must_use]
    pub fn raw(self, protocol: u8, payload: &[u8]) -> Self {
        Self { protocol, payload: payload.to_vec(), bare: true, ..self }
    }

    /// From another port of the client.
    #[must_use]
    pub fn from_port(self, port: u16) -> Self {
        Self { ports: (port, self.ports.1), ..self }
    }

    /// From and to other MACs.
    #[must_use]
    pub fn macs(self, source: Mac, destination: Mac) -> Self {
        Self { macs: (source, destination), ..self }
    }

    /// With another TTL or hop limit.
    #[must_use]
    pub fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// With another IPv4 identification: it moves the header checksum.
    #[must_use]
    pub fn id(self, id: u16) -> Self {
        Self { id, ..self }
    }

    /// With IPv4 options of so many 32-bit words.
    #[must_use]
    pub fn option_words(self, words: usize) -> Self {
        Self { option_words: words, ..self }
    }

    /// The frame.
    ///
    /// # Panics
    /// The description fits in no packet.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let step = PacketBuilder::ethernet2(self.macs.0, self.macs.1).ip(self.ip());
        let mut frame = Vec::new();
        let (source, destination) = self.ports;
        let written = match self.protocol {
            TCP if !self.bare => {
                let mut tcp = TcpHeader::new(source, destination, 0x0102_0304, 0xffff);
                (tcp.syn, tcp.ack) = (self.syn, self.ack);
                step.tcp_header(tcp).write(&mut frame, &self.payload)
            }
            UDP if !self.bare => step.udp(source, destination).write(&mut frame, &self.payload),
            // A number that the library has no opinion about, to be replaced.
            _ => step.write(&mut frame, IpNumber(253), &self.payload),
        };
        written.expect("a packet that fits");
        match self.route {
            Route::V4(..) => checksummed(edit(frame, IP + 9, &[self.protocol])),
            Route::V6(..) => edit(frame, IP + 6, &[self.protocol]),
        }
    }

    fn ip(&self) -> IpHeaders {
        match self.route {
            Route::V4(source, destination) => {
                let mut ip = Ipv4Header::new(0, self.ttl, IpNumber(self.protocol), source, destination)
                    .expect("an empty payload fits");
                ip.identification = self.id;
                // No-operation, as often as there is room for.
                ip.options = [1; 40][..self.option_words * 4].try_into().expect("at most 10 words");
                IpHeaders::Ipv4(ip, Ipv4Extensions::default())
            }
            Route::V6(source, destination) => IpHeaders::Ipv6(
                Ipv6Header { hop_limit: self.ttl, source, destination, ..Ipv6Header::default() },
                Ipv6Extensions::default(),
            ),
        }
    }
}

/// An ICMPv6 message with a right checksum. `rest` follows the type, the code and the checksum.
///
/// # Panics
/// It is longer than a packet, or shorter than 4 bytes.
#[must_use]
pub fn icmp6(
    macs: (Mac, Mac),
    route: ([u8; 16], [u8; 16]),
    kind: (u8, u8),
    hops: u8,
    rest: &[u8],
) -> Vec<u8> {
    let (first, payload) = rest.split_first_chunk().expect("4 bytes after the checksum");
    let step: PacketBuilderStep<_> = PacketBuilder::ethernet2(macs.0, macs.1).ipv6(route.0, route.1, hops);
    let mut frame = Vec::new();
    step.icmpv6_raw(kind.0, kind.1, *first).write(&mut frame, payload).expect("a message that fits");
    frame
}

/// The frame with other bytes at `at`, and checksums as they were.
#[must_use]
pub fn edit(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The frame with Ethernet padding up to `len` bytes.
#[must_use]
pub fn pad(mut frame: Vec<u8>, len: usize) -> Vec<u8> {
    frame.resize(frame.len().max(len), 0);
    frame
}

/// The frame cut off after `len` bytes.
#[must_use]
pub fn cut(mut frame: Vec<u8>, len: usize) -> Vec<u8> {
    frame.truncate(len);
    frame
}

/// The frame as a router hands it on: other MACs, and a TTL that is one less, with the IPv4 header checksum computed
/// from nothing.
///
/// # Panics
/// The frame holds no IP packet with a right header.
#[must_use]
pub fn routed(frame: &[u8], source: Mac, destination: Mac) -> Vec<u8> {
    let mut after = readdressed(frame, source, destination);
    if after[12..14] == [0x86, 0xdd] {
        after[IP + 7] -= 1;
        return after;
    }
    assert_eq!(after, checksummed(after.clone()), "a right checksum");
    after[IP + 8] -= 1;
    checksummed(after)
}

/// The frame with a right IPv4 header checksum, computed from nothing.
///
/// # Panics
/// The frame holds no whole IPv4 header.
#[must_use]
pub fn checksummed(frame: Vec<u8>) -> Vec<u8> {
    let header_len = usize::from(frame[IP] & 0xf) * 4;
    let header = &frame[IP..IP + header_len];
    let sum = Sum16BitWords::new().add_slice(&header[..10]).add_slice(&header[12..]).ones_complement();
    // The sum is of bytes as they stand in memory.
    edit(frame, IP + 10, &sum.to_ne_bytes())
}

/// The frame with other MACs.
#[must_use]
pub fn readdressed(frame: &[u8], source: Mac, destination: Mac) -> Vec<u8> {
    edit(edit(frame.to_vec(), 0, &destination), 6, &source)
}
