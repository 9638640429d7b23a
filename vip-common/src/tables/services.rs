//! Services and VIPs as clients address them.

use super::layout;

layout! {
    /// An IPv4 service as clients address it: key of `SERVICES4`. Port 0 with protocol 0 is the VIP itself.
    ServiceKey4[8] {
        /// The VIP.
        vip: [u8; 4],
        /// Port, network order; 0: packets of this protocol without ports.
        port: [u8; 2],
        /// IP protocol number.
        protocol: u8,
        /// Hashed as a key byte, so it must be a field: 0.
        zero: u8,
    }
}

layout! {
    /// An IPv6 service as clients address it: key of `SERVICES6`. Port 0 with protocol 0 is the VIP itself.
    ServiceKey6[20] {
        /// The VIP.
        vip: [u8; 16],
        /// Port, network order; 0: packets of this protocol without ports.
        port: [u8; 2],
        /// IP protocol number.
        protocol: u8,
        /// Hashed as a key byte, so it must be a field: 0.
        zero: u8,
    }
}

impl ServiceKey4 {
    /// Not a protocol that IPv4 packets of a service have: the director's own addresses are listed under it.
    const OWN: u8 = 255;

    /// The key of the VIP's own entry: for all that is to no service of it.
    #[inline(always)]
    #[must_use]
    pub const fn vip(vip: [u8; 4]) -> Self {
        Self { vip, port: [0; 2], protocol: 0, zero: 0 }
    }

    /// The key under which an address of the director itself is listed.
    #[inline(always)]
    #[must_use]
    pub const fn own(address: [u8; 4]) -> Self {
        Self { vip: address, port: [0; 2], protocol: Self::OWN, zero: 0 }
    }
}

impl ServiceKey6 {
    /// The key of the VIP's own entry: for all that is to no service of it.
    #[inline(always)]
    #[must_use]
    pub const fn vip(vip: [u8; 16]) -> Self {
        Self { vip, port: [0; 2], protocol: 0, zero: 0 }
    }

    /// The key under which an address of the director itself is listed.
    #[inline(always)]
    #[must_use]
    pub const fn own(address: [u8; 16]) -> Self {
        Self { vip: address, port: [0; 2], protocol: ServiceKey4::OWN, zero: 0 }
    }
}

layout! {
    /// An IPv4 service of many ports: key of `WIDE4`. The longest prefix that fits wins: a block of ports, all ports of
    /// a protocol ([`WideKey4::PROTOCOL`] bits), all protocols ([`WideKey4::VIP`] bits).
    WideKey4[12] {
        /// How many of the bits that follow count.
        bits: u32,
        /// The VIP.
        vip: [u8; 4],
        /// IP protocol number.
        protocol: u8,
        /// Port, network order.
        port: [u8; 2],
        /// Not used: 0.
        zero: u8,
    }
}

layout! {
    /// An IPv6 service of many ports: key of `WIDE6`, as [`WideKey4`].
    WideKey6[24] {
        /// How many of the bits that follow count.
        bits: u32,
        /// The VIP.
        vip: [u8; 16],
        /// IP protocol number.
        protocol: u8,
        /// Port, network order.
        port: [u8; 2],
        /// Not used: 0.
        zero: u8,
    }
}

impl WideKey4 {
    /// Bits of all protocols of a VIP.
    pub const VIP: u32 = 32;
    /// Bits of all ports of a protocol.
    pub const PROTOCOL: u32 = Self::VIP + 8;
    /// Bits of one port.
    pub const PORT: u32 = Self::PROTOCOL + 16;
}

impl WideKey6 {
    /// Bits of all protocols of a VIP.
    pub const VIP: u32 = 128;
    /// Bits of all ports of a protocol.
    pub const PROTOCOL: u32 = Self::VIP + 8;
    /// Bits of one port.
    pub const PORT: u32 = Self::PROTOCOL + 16;
}

layout! {
    /// A service's ring and flags: value of `SERVICES4`, `SERVICES6`, `WIDE4` and `WIDE6`.
    ///
    /// A VIP's own entry has the ring of one of its services, for what says of no port: it is placed by addresses.
    Service[32] {
        /// Index of the ring's first slot in `RINGS`.
        ring_first: u32,
        /// Number of slots; 0 drops all.
        ring_size: u32,
        /// Index in `RINGS` of the first of the turns that new flows take, where [`Service::TAKES_TURNS`].
        turns_first: u32,
        /// Number of turns.
        turns_size: u32,
        /// Index in `RINGS` of a ring of the same size without directors, for packets from one; 0: there is none.
        peers_first: u32,
        /// Number of the service, from 1 on, below 2²⁴: its index in `TERMS`.
        id: u32,
        /// [`Service::KEEP_TTL`] and the others.
        flags: u32,
        /// Source affinity: how many leading bits of the source make the flow; 0: the flow is the 5-tuple.
        source_bits: u8,
        /// What packets get whose member is down: an [`OnDead`].
        on_dead: u8,
        /// Not used: 0.
        zero: [u8; 2],
    }
}

impl Service {
    /// Leave TTL and hop limit alone.
    pub const KEEP_TTL: u32 = 1;
    /// VIP's own entry: it is also a local address of the director; what no service takes is left to the kernel.
    pub const LOCAL: u32 = 1 << 1;
    /// Every flow is tracked, and a new one goes to the member whose turn it is.
    pub const TAKES_TURNS: u32 = 1 << 2;
    /// All packets are placed by addresses and protocol, so that fragments meet in any order.
    pub const BY_ADDRESSES: u32 = 1 << 3;
    /// Some members are directors, or other directors have it: look whose the source MAC is.
    pub const PEERS: u32 = 1 << 4;
    /// What has no backend is answered by a reset. VIP's own entry: what is to no service.
    pub const RESETS: u32 = 1 << 5;
    /// VIP's own entry: a service of it has an eligible member, so echo requests are answered.
    pub const ANSWERS_ECHO: u32 = 1 << 6;
    /// VIP's own entry: echo requests are forwarded, by addresses.
    pub const FORWARDS_ECHO: u32 = 1 << 7;
    /// VIP's own entry: another director answers for it; ARP requests and solicitations are dropped.
    pub const STANDBY: u32 = 1 << 8;
    /// VIP's own entry: it has services in `WIDE4` or `WIDE6`.
    pub const WIDE: u32 = 1 << 9;
    /// This very box is a member.
    pub const HERE: u32 = 1 << 10;

    /// What only the full path does.
    pub(crate) const UNCOMMON: u32 = Self::BY_ADDRESSES | Self::PEERS;

    /// True if a flag is set.
    #[inline(always)]
    #[must_use]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// What packets get whose member is down: the service's `on-dead`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum OnDead {
    /// Their slots have moved: they go to others.
    Move = 0,
    /// A reset.
    Reset = 1,
    /// Nothing.
    Drop = 2,
    /// Still that member.
    Keep = 3,
}

/// Number of bits in `VIPS` for VIPs.
pub const VIP_BITS: u32 = 1 << 16;
/// Number of bits in `VIPS`, behind those, for the addresses of the director itself: as many VIPs as there may be, they
/// must not look like an own address.
pub const OWN_BITS: u32 = 1 << 12;
/// Number of 64-bit words in `VIPS`.
pub const VIP_WORDS: u32 = (VIP_BITS + OWN_BITS) / 64;

/// The bit of `VIPS` that stands for an IPv4 address: below [`VIP_BITS`]. Other addresses may share it.
#[inline(always)]
#[must_use]
pub const fn vip_bit4(address: [u8; 4]) -> u32 {
    u32::from_le_bytes(address).wrapping_mul(0x9e37_79b1) >> 16
}

/// The bit of `VIPS` that stands for an IPv6 address: below [`VIP_BITS`]. Other addresses may share it.
#[inline(always)]
#[must_use]
pub fn vip_bit6(address: [u8; 16]) -> u32 {
    let [network, host] = bytemuck::cast::<_, [[u8; 8]; 2]>(address).map(u64::from_le_bytes);
    let mixed = network.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ host;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u32
}

/// The bit of `VIPS` that stands for an IPv4 address of the director itself, as a source: one of [`OWN_BITS`].
#[inline(always)]
#[must_use]
pub const fn own_bit4(address: [u8; 4]) -> u32 {
    VIP_BITS + (vip_bit4(address) >> 4)
}

/// The bit of `VIPS` that stands for an IPv6 address of the director itself, as a source: one of [`OWN_BITS`].
#[inline(always)]
#[must_use]
pub fn own_bit6(address: [u8; 16]) -> u32 {
    VIP_BITS + (vip_bit6(address) >> 4)
}
