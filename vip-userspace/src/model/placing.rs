//! How a service places flows: its scheduler, what a flow is, what becomes of flows whose member is gone.

use std::{borrow::Cow, net::IpAddr, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::words::{BadWord, words};
pub use crate::ring::schedulers::Scheduler;

impl FromStr for Scheduler {
    type Err = BadWord;

    fn from_str(text: &str) -> Result<Self, BadWord> {
        let words = || Self::all().map(Self::word).collect();
        let found = Self::all().find(|scheduler| scheduler.word() == text);
        found.ok_or_else(|| BadWord { text: text.to_owned(), what: "scheduler", words: words() })
    }
}

impl Serialize for Scheduler {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Scheduler {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<'de, str>::deserialize(deserializer)?;
        word.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Scheduler {
    fn schema_name() -> Cow<'static, str> {
        "Scheduler".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = Self::all().map(Self::word).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

words! {
    /// The kind of an [`Affinity`].
    AffinityKind is a "affinity" {
        /// [`Affinity::Flow`].
        Flow = "flow",
        /// [`Affinity::Source`].
        Source = "source",
    }
}

/// What packets belong together: the whole 5-tuple, or only the client.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
pub enum Affinity {
    /// Addresses, ports and protocol.
    #[default]
    Flow,
    /// The leading bits of the source address: all flows of a client, or of a network, go to one member.
    Source {
        /// Bits of an IPv4 source, 1 to 32.
        #[serde(default = "all_of_ipv4")]
        ipv4_prefix: u8,
        /// Bits of an IPv6 source, 1 to 128.
        #[serde(default = "all_of_ipv6")]
        ipv6_prefix: u8,
    },
}

impl Affinity {
    /// An affinity of its kind, for clients of `vip`; the prefix is that of its family, and all bits where absent.
    #[must_use]
    pub fn new(kind: AffinityKind, vip: IpAddr, prefix: Option<u8>) -> Self {
        let (ipv4_prefix, ipv6_prefix) = (all_of_ipv4(), all_of_ipv6());
        match (kind, vip) {
            (AffinityKind::Flow, _) => Self::Flow,
            (AffinityKind::Source, IpAddr::V4(_)) => {
                Self::Source { ipv4_prefix: prefix.unwrap_or(ipv4_prefix), ipv6_prefix }
            }
            (AffinityKind::Source, IpAddr::V6(_)) => {
                Self::Source { ipv4_prefix, ipv6_prefix: prefix.unwrap_or(ipv6_prefix) }
            }
        }
    }
}

fn all_of_ipv4() -> u8 {
    32
}

fn all_of_ipv6() -> u8 {
    128
}

words! {
    /// What packets get whose member is down, within the service's window.
    OnDead is a "wish for a dead member's flows" {
        /// They go to another member at once, which does not know them and resets them.
        Move = "move",
        /// A TCP reset, or an ICMP port unreachable.
        Reset = "reset",
        /// Nothing.
        Drop = "drop",
        /// Still that member: it may come back.
        Keep = "keep",
    }
}

words! {
    /// How fragments of a datagram find together.
    Fragments is a "way to place fragments" {
        /// The first one is placed by its ports and remembered, the later ones follow it.
        Ports = "ports",
        /// All packets of the service are placed by addresses and protocol alone: order never matters.
        Addresses = "3-tuple",
    }
}

words! {
    /// What a packet gets that has nowhere to go.
    Answer is a "answer" {
        /// Nothing.
        Drop = "drop",
        /// A TCP reset, or an ICMP port unreachable.
        Reset = "reset",
    }
}

words! {
    /// What happens to the TTL (hop limit) of a forwarded packet.
    Ttl is a "treatment of TTLs" {
        /// One less; a packet with 1 is dropped.
        Decrease = "decrease",
        /// Left alone: a ring of directors would pass a packet round for ever.
        Keep = "keep",
    }
}
