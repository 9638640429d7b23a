//! Header layouts, as they stand on the wire: byte arrays, so that they have no alignment and no order of
//! bytes but the network's.

use bytemuck::{Pod, Zeroable};

macro_rules! header {
    ($(#[$meta:meta])* $name:ident[$size:literal] { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)+ }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty,)+ }
        const _: () = assert!(size_of::<$name>() == $size && align_of::<$name>() == 1);
    };
}

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: [u8; 2] = 0x0800_u16.to_be_bytes();
/// EtherType of ARP.
pub const ETHERTYPE_ARP: [u8; 2] = 0x0806_u16.to_be_bytes();
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: [u8; 2] = 0x86dd_u16.to_be_bytes();

/// EtherType of an 802.1Q tag.
pub const ETHERTYPE_VLAN: [u8; 2] = 0x8100_u16.to_be_bytes();
/// EtherType of an 802.1ad service tag.
pub const ETHERTYPE_SERVICE_VLAN: [u8; 2] = 0x88a8_u16.to_be_bytes();

/// IP protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;
/// IP protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// IP protocol number of SCTP.
pub const SCTP: u8 = 132;

/// IPv6 next-header number of hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// IPv6 next-header number of a routing header.
pub const ROUTING: u8 = 43;
/// IPv6 next-header number of a fragment header.
pub const FRAGMENT: u8 = 44;
/// IP protocol number of an authentication header.
pub const AUTHENTICATION: u8 = 51;
/// IPv6 next-header number of destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

/// A MAC address.
pub type Mac = [u8; 6];

header! {
    /// IEEE 802.3 header.
    Ethernet[14] {
        /// Destination MAC.
        destination: Mac,
        /// Source MAC.
        source: Mac,
        /// EtherType.
        ethertype: [u8; 2],
    }
}

header! {
    /// IEEE 802.1Q tag, from behind its own EtherType on: what it says, and the EtherType of what follows.
    Vlan[4] {
        /// Priority (3 bits), drop eligible (1 bit), VLAN id (12 bits).
        control: [u8; 2],
        /// EtherType of what follows.
        ethertype: [u8; 2],
    }
}

header! {
    /// IPv4 header without options, RFC 791 section 3.1.
    Ipv4[20] {
        /// Version (4 bits), header length in 32-bit words (4 bits).
        version_ihl: u8,
        /// DSCP and ECN.
        traffic_class: u8,
        /// Length of the packet, header included, in bytes.
        total_length: [u8; 2],
        /// Identification of a datagram's fragments.
        id: [u8; 2],
        /// Flags (3 bits) and offset in 8-byte units (13 bits).
        fragment: [u8; 2],
        /// Time to live, in hops.
        ttl: u8,
        /// Protocol of the payload.
        protocol: u8,
        /// Header checksum.
        checksum: [u8; 2],
        /// Source address.
        source: [u8; 4],
        /// Destination address.
        destination: [u8; 4],
    }
}

impl Ipv4 {
    /// IP version: 4, or the packet is none.
    #[inline(always)]
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Length of the header with its options, in bytes: 0 to 60; valid from 20 on.
    #[inline(always)]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        ((self.version_ihl & 0xf) as usize) << 2
    }

    /// Length of the packet with its header, in bytes.
    #[inline(always)]
    #[must_use]
    pub const fn packet_len(&self) -> usize {
        u16::from_be_bytes(self.total_length) as usize
    }

    /// True for a first or later fragment: offset not 0, or more to come.
    #[inline(always)]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        u16::from_be_bytes(self.fragment) & 0x3fff != 0
    }
}

header! {
    /// IPv6 header, RFC 8200 section 3.
    Ipv6[40] {
        /// Version (4 bits), traffic class (8 bits), flow label (20 bits).
        version_class_label: [u8; 4],
        /// Length of what follows this header, in bytes.
        payload_length: [u8; 2],
        /// Protocol of what follows: a payload or an extension header.
        next_header: u8,
        /// Hops left.
        hop_limit: u8,
        /// Source address.
        source: [u8; 16],
        /// Destination address.
        destination: [u8; 16],
    }
}

impl Ipv6 {
    /// IP version: 6, or the packet is none.
    #[inline(always)]
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_class_label[0] >> 4
    }

    /// Length of what follows the header, in bytes.
    #[inline(always)]
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        u16::from_be_bytes(self.payload_length) as usize
    }
}

header! {
    /// The first half of any IPv6 extension header, RFC 8200 section 4.
    Extension[2] {
        /// Protocol of what follows.
        next_header: u8,
        /// Length of the header, in 8-byte units without the first; of an authentication header in 4-byte units without
        /// the first two (RFC 4302, section 2.2).
        length: u8,
    }
}

header! {
    /// IPv6 fragment header, RFC 8200 section 4.5.
    Fragment6[8] {
        /// Protocol of what follows.
        next_header: u8,
        /// Not used.
        reserved: u8,
        /// Offset in 8-byte units (13 bits), reserved (2 bits), more to come (1 bit).
        offset: [u8; 2],
        /// Identification of a datagram's fragments.
        id: [u8; 4],
    }
}

header! {
    /// TCP header without options, RFC 9293 section 3.1.
    Tcp[20] {
        /// Source port.
        source: [u8; 2],
        /// Destination port.
        destination: [u8; 2],
        /// Sequence number.
        sequence: [u8; 4],
        /// Acknowledgment number.
        acknowledgment: [u8; 4],
        /// Data offset in 32-bit words (4 bits), reserved (4 bits).
        data_offset: u8,
        /// CWR, ECE, URG, ACK, PSH, RST, SYN, FIN.
        flags: u8,
        /// Receive window.
        window: [u8; 2],
        /// Checksum over a pseudo header, the header and the data.
        checksum: [u8; 2],
        /// Urgent pointer.
        urgent: [u8; 2],
    }
}

impl Tcp {
    /// The FIN bit of `flags`.
    pub const FIN: u8 = 0x01;
    /// The SYN bit of `flags`.
    pub const SYN: u8 = 0x02;
    /// The RST bit of `flags`.
    pub const RST: u8 = 0x04;
    /// The ACK bit of `flags`.
    pub const ACK: u8 = 0x10;

    /// Length of the header with its options, in bytes: 0 to 60; valid from 20 on.
    #[inline(always)]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        ((self.data_offset >> 4) as usize) << 2
    }

    /// True for the segment that opens a connection.
    #[inline(always)]
    #[must_use]
    pub const fn opens(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK) == Self::SYN
    }
}

header! {
    /// UDP header, RFC 768.
    Udp[8] {
        /// Source port.
        source: [u8; 2],
        /// Destination port.
        destination: [u8; 2],
        /// Length of header and data, in bytes.
        length: [u8; 2],
        /// Checksum; 0 for none (IPv4).
        checksum: [u8; 2],
    }
}

header! {
    /// SCTP common header and the type of the first chunk, RFC 9260 section 3.
    Sctp[13] {
        /// Source port.
        source: [u8; 2],
        /// Destination port.
        destination: [u8; 2],
        /// Verification tag.
        tag: [u8; 4],
        /// Checksum.
        checksum: [u8; 4],
        /// Type of the first chunk.
        chunk: u8,
    }
}

impl Sctp {
    /// `chunk` of a packet that opens an association.
    pub const INIT: u8 = 1;
    /// `chunk` of the client's answer to what its INIT was answered by.
    pub const COOKIE_ECHO: u8 = 10;
    /// `chunk` of an abort.
    pub const ABORT: u8 = 6;
    /// `chunk` of the end of a shutdown.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

header! {
    /// ICMP and ICMPv6: RFC 792, RFC 4443 section 2.1.
    Icmp[8] {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Checksum: over the message; of ICMPv6 also over a pseudo header.
        checksum: [u8; 2],
        /// What the type makes of it: of an echo identifier and sequence number.
        rest: [u8; 4],
    }
}

impl Icmp {
    /// ICMP `kind` of an echo request.
    pub const ECHO_REQUEST4: u8 = 8;
    /// ICMP `kind` of an echo reply.
    pub const ECHO_REPLY4: u8 = 0;
    /// ICMPv6 `kind` of an echo request.
    pub const ECHO_REQUEST6: u8 = 128;
    /// ICMPv6 `kind` of an echo reply.
    pub const ECHO_REPLY6: u8 = 129;
    /// ICMP `kind` of destination unreachable.
    pub const UNREACHABLE4: u8 = 3;
    /// ICMPv6 `kind` of destination unreachable.
    pub const UNREACHABLE6: u8 = 1;
    /// ICMP `code` of port unreachable.
    pub const PORT_UNREACHABLE4: u8 = 3;
    /// ICMPv6 `code` of port unreachable.
    pub const PORT_UNREACHABLE6: u8 = 4;
}

header! {
    /// ARP for IPv4 over Ethernet, RFC 826.
    Arp[28] {
        /// Hardware type (1: Ethernet) and protocol type (0x0800), and their lengths (6, 4).
        kind: [u8; 6],
        /// 1: request; 2: reply.
        operation: [u8; 2],
        /// MAC of the sender.
        sender_mac: Mac,
        /// Address of the sender.
        sender: [u8; 4],
        /// MAC of the target; unknown in a request.
        target_mac: Mac,
        /// Address that is asked for.
        target: [u8; 4],
    }
}

impl Arp {
    /// `kind` of ARP for IPv4 over Ethernet.
    pub const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
    /// `operation` of a request.
    pub const REQUEST: [u8; 2] = [0, 1];
    /// `operation` of a reply.
    pub const REPLY: [u8; 2] = [0, 2];
}

header! {
    /// Neighbour solicitation or advertisement without options, RFC 4861 sections 4.3 and 4.4.
    Neighbour[24] {
        /// ICMPv6 type: 135 solicitation, 136 advertisement.
        kind: u8,
        /// ICMPv6 code: 0.
        code: u8,
        /// ICMPv6 checksum.
        checksum: [u8; 2],
        /// Advertisement: router, solicited, override (3 bits); else zero.
        flags: [u8; 4],
        /// Address that is asked for or told.
        target: [u8; 16],
    }
}

impl Neighbour {
    /// `kind` of a solicitation.
    pub const SOLICITATION: u8 = 135;
    /// `kind` of an advertisement.
    pub const ADVERTISEMENT: u8 = 136;
    /// The solicited bit of the first byte of `flags`.
    pub const SOLICITED: u8 = 0x40;
    /// The override bit of the first byte of `flags`.
    pub const OVERRIDE: u8 = 0x20;
}

header! {
    /// Source or target link-layer address option for Ethernet, RFC 4861 section 4.6.1.
    LinkLayerAddress[8] {
        /// 1: source; 2: target.
        kind: u8,
        /// Length of the option in 8-byte units: 1.
        length: u8,
        /// The address.
        mac: Mac,
    }
}

impl LinkLayerAddress {
    /// `kind` of a source address.
    pub const SOURCE: u8 = 1;
    /// `kind` of a target address.
    pub const TARGET: u8 = 2;
}
