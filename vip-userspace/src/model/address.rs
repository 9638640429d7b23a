//! Addresses: of services, of NICs.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use vip_common::headers;

use super::words::words;

/// A text that is no address of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {wanted}")]
pub struct BadAddress {
    text: String,
    wanted: &'static str,
}

words! {
    /// A transport protocol that services have.
    Protocol is a "protocol" {
        /// TCP, RFC 9293.
        Tcp = "tcp",
        /// UDP, RFC 768.
        Udp = "udp",
        /// SCTP, RFC 9260.
        Sctp = "sctp",
        /// Whatever IP carries, with ports or without.
        Any = "any",
    }
}

/// IP protocol number of SCTP.
const SCTP: u8 = 132;

impl Protocol {
    /// IP protocol number; 0 for any.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => headers::TCP,
            Self::Udp => headers::UDP,
            Self::Sctp => SCTP,
            Self::Any => 0,
        }
    }
}

/// The ports of a service, none of them 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ports {
    /// Exactly this one.
    One(u16),
    /// From the first to the second, which is larger.
    Range(u16, u16),
    /// All that no other service has, and packets without ports.
    Any,
}

impl Ports {
    /// The lowest and the highest one.
    #[must_use]
    pub const fn bounds(self) -> (u16, u16) {
        match self {
            Self::One(port) => (port, port),
            Self::Range(first, last) => (first, last),
            Self::Any => (1, u16::MAX),
        }
    }

    /// Whether neither of the two goes before the other for a port that both have: exact goes before a range, and a
    /// range before any port.
    #[must_use]
    pub const fn contend(self, other: Self) -> bool {
        match (self, other) {
            (Self::One(one), Self::One(other)) => one == other,
            (Self::Range(first, last), Self::Range(other_first, other_last)) => {
                first <= other_last && other_first <= last
            }
            (Self::Any, Self::Any) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(port) => f.pad(&port.to_string()),
            Self::Range(first, last) => f.pad(&format!("{first}-{last}")),
            Self::Any => f.pad("*"),
        }
    }
}

impl FromStr for Ports {
    type Err = BadAddress;

    /// Reads `80`, `8000-8999` or `*`.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress { text: text.to_owned(), wanted: "port: 80, 8000-8999, or * for any" };
        let port = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
            text.parse().ok().filter(|port: &u16| digits && *port != 0).ok_or_else(bad)
        };
        match text.split_once('-') {
            None if text == "*" => Ok(Self::Any),
            None => port(text).map(Self::One),
            Some((first, last)) => match (port(first)?, port(last)?) {
                (first, last) if first < last => Ok(Self::Range(first, last)),
                (first, last) if first == last => Ok(Self::One(first)),
                _ => Err(bad()),
            },
        }
    }
}

/// A service as clients address it: `10.200.0.1:80/tcp`, `[fd00:200::1]:8000-8999/tcp`, `10.200.0.1:*/any`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceAddress {
    /// The VIP.
    pub vip: IpAddr,
    /// Its ports: [`Ports::Any`] where any protocol will do.
    pub ports: Ports,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl ServiceAddress {
    /// Its one port, if it has just one.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self.ports {
            Ports::One(port) => Some(port),
            Ports::Range(..) | Ports::Any => None,
        }
    }

    /// Whether neither of the two goes before the other for a packet that is to both.
    #[must_use]
    pub fn contends(&self, other: &Self) -> bool {
        self.vip == other.vip && self.protocol == other.protocol && self.ports.contend(other.ports)
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vip, ports, protocol } = self;
        f.pad(&match vip {
            IpAddr::V4(vip) => format!("{vip}:{ports}/{protocol}"),
            IpAddr::V6(vip) => format!("[{vip}]:{ports}/{protocol}"),
        })
    }
}

impl FromStr for ServiceAddress {
    type Err = BadAddress;

    /// Reads `VIP:PORTS/PROTOCOL`; without a protocol it is TCP.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress {
            text: text.to_owned(),
            wanted: "service address: VIP:PORT/PROTOCOL, like 10.200.0.1:80/tcp, [fd00:200::1]:8000-8999/udp or \
                     10.200.0.1:*/any",
        };
        let (socket, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (vip, ports) = socket.rsplit_once(':').ok_or_else(bad)?;
        let vip = match vip.strip_prefix('[').and_then(|vip| vip.strip_suffix(']')) {
            Some(vip) => vip.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| bad())?,
            None => IpAddr::V4(vip.parse().map_err(|_| bad())?),
        };
        let (ports, protocol) = (ports.parse().map_err(|_| bad())?, protocol.parse().map_err(|_| bad())?);
        if protocol == Protocol::Any && ports != Ports::Any {
            return Err(bad());
        }
        Ok(Self { vip, ports, protocol })
    }
}

impl JsonSchema for ServiceAddress {
    fn schema_name() -> Cow<'static, str> {
        "ServiceAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": pattern(),
            "description": "A service as clients address it: VIP, port or ports, protocol. A range of ports goes upwards.",
            "examples": ["10.200.0.1:80/tcp", "[fd00:200::1]:8000-8999/udp", "10.200.0.1:*/any"],
        })
    }
}

/// What a service's address looks like, as a regular expression (ECMA-262). That a range of ports goes upwards can't be said by
/// one; IPv6 addresses with dots are read, and left out here.
fn pattern() -> String {
    const BYTE: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    const PORT: &str =
        "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
    const WORD: &str = "[0-9a-fA-F]{1,4}";
    // So many words before the gap, and at most so many behind it.
    let gaps = (1..7).map(|before| format!("({WORD}:){{1,{before}}}(:{WORD}){{1,{}}}", 7 - before));
    let others =
        [format!("({WORD}:){{7}}{WORD}"), format!("({WORD}:){{1,7}}:"), format!(":((:{WORD}){{1,7}}|:)")];
    let ipv6 = gaps.chain(others).collect::<Vec<_>>().join("|");
    let ports = format!("({PORT}(-{PORT})?|[*])(/(tcp|udp|sctp))?");
    format!("^({BYTE}([.]{BYTE}){{3}}|\\[({ipv6})\\]):({ports}|[*]/any)$")
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

impl JsonSchema for Mac {
    fn schema_name() -> Cow<'static, str> {
        "Mac".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$",
            "examples": ["02:00:00:00:00:01"],
        })
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
        for text in [
            "10.200.0.1:80/tcp",
            "[fd00:200::1]:53/udp",
            "10.200.0.1:8000-8999/tcp",
            "[fd00:200::1]:*/sctp",
            "10.200.0.1:*/any",
        ] {
            assert_eq!(text.parse::<ServiceAddress>().expect("an address").to_string(), text);
        }
        assert_eq!("80-80".parse(), Ok(Ports::One(80)));
        assert_eq!("10.0.0.1:80".parse::<ServiceAddress>().expect("an address").protocol, Protocol::Tcp);
        for bad in [
            "10.0.0.1",
            "10.0.0.1:0/tcp",
            "10.0.0.1:80/icmp",
            "fd00::1:80",
            "10.0.0.1:70000",
            "10.0.0.1:+80",
            "10.0.0.1:9-8/tcp",
            "10.0.0.1:0-8/tcp",
            "10.0.0.1:1-2-3/tcp",
            "10.0.0.1:/tcp",
            "10.0.0.1:80/any",
            "[10.0.0.1]:80",
        ] {
            assert!(bad.parse::<ServiceAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_contend_only_where_neither_goes_first() {
        let contend = |one: &str, other: &str| {
            let parse = |text: &str| text.parse::<ServiceAddress>().expect("an address");
            parse(one).contends(&parse(other))
        };
        assert!(contend("10.0.0.1:80", "10.0.0.1:80"));
        assert!(contend("10.0.0.1:80-90", "10.0.0.1:90-99"));
        assert!(contend("10.0.0.1:*/udp", "10.0.0.1:*/udp"));
        assert!(contend("10.0.0.1:*/any", "10.0.0.1:*/any"));
        assert!(!contend("10.0.0.1:80", "10.0.0.1:80-90"));
        assert!(!contend("10.0.0.1:80-89", "10.0.0.1:90-99"));
        assert!(!contend("10.0.0.1:80-89", "10.0.0.1:*"));
        assert!(!contend("10.0.0.1:80/tcp", "10.0.0.1:80/udp"));
        assert!(!contend("10.0.0.1:*/tcp", "10.0.0.1:*/any"));
        assert!(!contend("10.0.0.1:80", "10.0.0.2:80"));
    }

    #[test]
    fn a_mac_reads_back_as_it_prints() {
        assert_eq!("02:0a:ff:00:00:01".parse::<Mac>().expect("a MAC").to_string(), "02:0a:ff:00:00:01");
        for bad in ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "0g:00:00:00:00:00", "+2:00:00:00:00:00"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
