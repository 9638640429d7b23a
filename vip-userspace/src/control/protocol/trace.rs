//! Live packets, as `vip trace` asks for them and is told of them. Its names are stable.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{BackendName, ServiceName};

/// How long a trace lasts that says nothing of it, in seconds.
pub const SECONDS: u32 = 30;
/// How long one may last, in seconds.
pub const MOST_SECONDS: u32 = 3600;

/// Which packets are wanted: the body of `POST /v1/trace`. What is absent is not asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceRequest {
    /// Destination address; of ARP that of the target.
    pub destination: Option<IpAddr>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// Source address; of ARP that of the sender.
    pub source: Option<IpAddr>,
    /// Source port.
    pub source_port: Option<u16>,
    /// IP protocol number; 1 stands for ICMPv6 as well.
    pub protocol: Option<u8>,
    /// The interface that they come in by.
    pub interface: Option<String>,
    /// What they get: names of reasons, or `forwarded`, `dropped`, `passed`, `answered` for whatever reason. Any of them will
    /// do.
    pub reasons: Vec<String>,
    /// One in so many is told.
    pub sample: Option<u32>,
    /// It ends after so many.
    pub count: Option<u64>,
    /// It ends after so many seconds: 30 unless this says otherwise, an hour at most.
    pub seconds: Option<u32>,
}

/// One line of the answer to `POST /v1/trace`.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "trace", rename_all = "kebab-case")]
pub enum TraceLine {
    /// A packet, and what it got.
    Packet(Box<TracedPacket>),
    /// Nothing follows.
    Ended(TraceEnd),
}

/// A packet, and what it got.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct TracedPacket {
    /// When it came, in nanoseconds since 1970 (UTC).
    pub unix_ns: u64,
    /// The interface that it came in by.
    pub interface: String,
    /// Source address; of ARP that of the sender. Absent where the packet has none.
    pub source: Option<IpAddr>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination address; of ARP that of the target.
    pub destination: Option<IpAddr>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// `tcp`, `udp`, `sctp`, `icmp`, `arp`, or the number of another protocol. Absent where it is none of IP.
    pub protocol: Option<String>,
    /// Length of the frame, in bytes.
    pub length: u32,
    /// `pass`, `drop`, `transmit` or `redirect`.
    pub action: String,
    /// The reason's name.
    pub reason: String,
    /// What the reason means.
    pub meaning: String,
    /// The service that it is to.
    pub service: Option<ServiceName>,
    /// The backend that got it, or sent it back.
    pub backend: Option<BackendName>,
    /// The interface that it left by, if that is another one.
    pub egress: Option<String>,
    /// The beginning of the frame as it came, in hexadecimal digits.
    pub frame: String,
}

/// How a trace ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct TraceEnd {
    /// Why.
    pub why: TraceEndWhy,
    /// Packets that were wanted, told or not.
    pub seen: u64,
    /// Packets that were told.
    pub told: u64,
    /// Packets that were left out, since more came than are told in a second.
    pub limited: u64,
    /// Packets that were left out, since those before were not read fast enough.
    pub lost: u64,
}

/// Why a trace ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceEndWhy {
    /// As many packets were told as were asked for.
    Count,
    /// Its time is over.
    Time,
    /// Somebody asked for its end.
    Asked,
    /// The controller ends.
    Ending,
    /// Packets can't be read any more.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_flat_object() {
        let end = TraceEnd { why: TraceEndWhy::Count, seen: 9, told: 5, limited: 0, lost: 1 };
        let text = r#"{"trace":"ended","why":"count","seen":9,"told":5,"limited":0,"lost":1}"#;
        assert_eq!(serde_json::to_string(&TraceLine::Ended(end)).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<TraceLine>(text).expect("a line"), TraceLine::Ended(end));
    }

    #[test]
    fn a_request_may_ask_for_nothing() {
        let request: TraceRequest = serde_json::from_str("{}").expect("a request");
        assert_eq!(request, TraceRequest::default());
    }
}
