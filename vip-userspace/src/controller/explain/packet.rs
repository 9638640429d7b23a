//! The packet that is asked about, made from addresses.

use std::net::{IpAddr, SocketAddr};

use vip_common::headers::{
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, ICMP, ICMPV6, Icmp, TCP, Tcp, UDP,
};

use crate::model::Mac;

/// A packet without payload, as a client sends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Address and port of the client.
    pub source: SocketAddr,
    /// VIP and port.
    pub destination: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Of TCP: it opens the connection; else it continues one.
    pub syn: bool,
    /// VLAN ids, outermost first.
    pub vlans: Vec<u16>,
}

/// A source that no station has: locally administered, of no maker.
const CLIENT: [u8; 6] = [0x02, 0xff, 0xff, 0xff, 0xff, 0xfe];

impl Packet {
    /// The frame of it that comes in at a port. Checksums are left out: the director reads none.
    #[must_use]
    pub fn frame(&self, port: Mac) -> Vec<u8> {
        let mut frame = [port.0, CLIENT].concat();
        for vlan in &self.vlans {
            frame.extend(ETHERTYPE_VLAN);
            frame.extend(vlan.to_be_bytes());
        }
        let transport = self.transport();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [high, low] = u16::try_from(20 + transport.len()).unwrap_or(u16::MAX).to_be_bytes();
                frame.extend(ETHERTYPE_IPV4);
                frame.extend([0x45, 0, high, low, 0, 0, 0, 0, 64, self.protocol, 0, 0]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            (source, destination) => {
                let [high, low] = u16::try_from(transport.len()).unwrap_or(u16::MAX).to_be_bytes();
                frame.extend(ETHERTYPE_IPV6);
                frame.extend([0x60, 0, 0, 0, high, low, self.protocol, 64]);
                frame.extend(v6(source));
                frame.extend(v6(destination));
            }
        }
        frame.extend(transport);
        frame
    }

    fn transport(&self) -> Vec<u8> {
        let ports = [self.source.port(), self.destination.port()].map(u16::to_be_bytes).concat();
        let flags = if self.syn { Tcp::SYN } else { Tcp::ACK };
        match self.protocol {
            TCP => [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]].concat(),
            UDP => [&ports[..], &[0, 8, 0, 0]].concat(),
            ICMP => vec![Icmp::ECHO_REQUEST4, 0, 0, 0, 0, 1, 0, 1],
            ICMPV6 => vec![Icmp::ECHO_REQUEST6, 0, 0, 0, 0, 1, 0, 1],
            // Ports, and room for what follows them.
            _ => [&ports[..], &[0; 12]].concat(),
        }
    }
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
