//! Which flow a packet belongs to.

/// The 5-tuple of a packet. Addresses and ports are in network order; what the packet does not say is 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Flow<Address> {
    /// Client address.
    pub source: Address,
    /// The VIP.
    pub destination: Address,
    /// Client port.
    pub source_port: [u8; 2],
    /// Service port.
    pub destination_port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
}

/// The 5-tuple of an IPv4 packet.
pub type Flow4 = Flow<[u8; 4]>;
/// The 5-tuple of an IPv6 packet.
pub type Flow6 = Flow<[u8; 16]>;

impl<Address: Copy> Flow<Address> {
    /// The flow of all packets of a protocol between two addresses: the 3-tuple.
    #[inline(always)]
    #[must_use]
    pub const fn by_addresses(source: Address, destination: Address, protocol: u8) -> Self {
        Self { source, destination, source_port: [0; 2], destination_port: [0; 2], protocol }
    }
}
