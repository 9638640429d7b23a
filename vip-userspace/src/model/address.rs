//! Addresses: of services, of NICs.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use vip_common::headers;

/// A text that is no address of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {wanted}")]
pub struct BadAddress {
    text: String,
    wanted: &'static str,
}

/// A transport protocol that services have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, RFC 9293.
    Tcp,
    /// UDP, RFC 768.
    Udp,
}

impl Protocol {
    /// IP protocol number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => headers::TCP,
            Self::Udp => headers::UDP,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl FromStr for Protocol {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(BadAddress { text: text.to_owned(), wanted: "protocol: tcp or udp" }),
        }
    }
}

/// A service as clients address it: `10.200.0.1:80/tcp`, `[fd00:200::1]:80/tcp`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceAddress {
    /// The VIP.
    pub vip: IpAddr,
    /// Port, not 0.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", SocketAddr::new(self.vip, self.port), self.protocol))
    }
}

impl FromStr for ServiceAddress {
    type Err = BadAddress;

    /// Reads `VIP:PORT/PROTOCOL`; without a protocol it is TCP.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress {
            text: text.to_owned(),
            wanted: "service address: VIP:PORT/PROTOCOL, like 10.200.0.1:80/tcp or [fd00:200::1]:53/udp",
        };
        let (socket, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let socket: SocketAddr = socket.parse().map_err(|_| bad())?;
        let protocol = protocol.parse().map_err(|_| bad())?;
        if socket.port() == 0 {
            return Err(bad());
        }
        Ok(Self { vip: socket.ip(), port: socket.port(), protocol })
    }
}

impl TryFrom<String> for ServiceAddress {
    type Error = BadAddress;

    fn try_from(text: String) -> Result<Self, BadAddress> {
        text.parse()
    }
}

impl From<ServiceAddress> for String {
    fn from(address: ServiceAddress) -> Self {
        address.to_string()
    }
}

/// A MAC address: `02:00:00:00:00:01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// True for the address of one NIC: not a group's, not all zero.
    #[must_use]
    pub const fn is_unicast(self) -> bool {
        let Self([a, b, c, d, e, f]) = self;
        a & 1 == 0 && (a | b | c | d | e | f) != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        f.pad(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"))
    }
}

impl FromStr for Mac {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress { text: text.to_owned(), wanted: "MAC address, like 02:00:00:00:00:01" };
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let two_digits =
                |part: &&str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            let part = parts.next().filter(two_digits).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Mac {
    type Error = BadAddress;

    fn try_from(text: String) -> Result<Self, BadAddress> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_address_reads_back_as_it_prints() {
        for text in ["10.200.0.1:80/tcp", "[fd00:200::1]:53/udp"] {
            assert_eq!(text.parse::<ServiceAddress>().expect("an address").to_string(), text);
        }
        assert_eq!("10.0.0.1:80".parse::<ServiceAddress>().expect("an address").protocol, Protocol::Tcp);
        for bad in ["10.0.0.1", "10.0.0.1:0/tcp", "10.0.0.1:80/sctp", "fd00::1:80", "10.0.0.1:70000"] {
            assert!(bad.parse::<ServiceAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mac_reads_back_as_it_prints() {
        assert_eq!("02:0a:ff:00:00:01".parse::<Mac>().expect("a MAC").to_string(), "02:0a:ff:00:00:01");
        for bad in ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "0g:00:00:00:00:00", "+2:00:00:00:00:00"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
