//! Which flow a packet belongs to.

/// The 5-tuple of an IPv4 packet. Addresses and ports are in network order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow4 {
    /// Client address.
    pub source: [u8; 4],
    /// The VIP.
    pub destination: [u8; 4],
    /// Client port.
    pub source_port: [u8; 2],
    /// Service port.
    pub destination_port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
}

/// The 5-tuple of an IPv6 packet. Addresses and ports are in network order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow6 {
    /// Client address.
    pub source: [u8; 16],
    /// The VIP.
    pub destination: [u8; 16],
    /// Client port.
    pub source_port: [u8; 2],
    /// Service port.
    pub destination_port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
}
