//! What is wrong with a member, layer by layer: a closed list, each with a stable code for programs and words for people.
//! How it is found out is not known here.

use std::{net::IpAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mac;

/// What is wrong with a member. The codes are part of what `--json` promises; the words are not.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "code")]
pub enum Cause {
    /// It is there, but does not take packets to the VIP.
    #[error("the VIP is not held: {sign}")]
    VipNotHeld {
        /// How that shows.
        sign: NotHeld,
    },
    /// It answers ARP or neighbour discovery for the VIP, so that packets go to it past the director.
    #[error("it steals the VIP: {mac} answers for {vip}")]
    StealsVip {
        /// The VIP.
        vip: IpAddr,
        /// The MAC that it answers with.
        mac: Mac,
    },
    /// Nobody listens there: the answer was a RST.
    #[error("connection refused")]
    PortClosed,
    /// The connection was set up, and ended by a RST.
    #[error("connection reset while {stage}")]
    Reset {
        /// What the probe was doing.
        stage: Stage,
    },
    /// An ICMP error or the kernel's routes say that no packet gets there.
    #[error("{what} unreachable")]
    Unreachable {
        /// What can't be reached.
        what: Unreachable,
    },
    /// Time was up.
    #[error("timed out after {} ms while {stage}", timeout.as_millis())]
    Timeout {
        /// The time that the probe had.
        #[serde(with = "super::duration")]
        #[schemars(with = "crate::model::duration::Text")]
        timeout: Duration,
        /// What the probe was doing then.
        stage: Stage,
    },
    /// The TLS handshake failed.
    #[error("TLS: {what}{}", after_colon(.said))]
    Tls {
        /// What failed.
        what: TlsFailure,
        /// More about it; may be empty.
        said: String,
    },
    /// It answered with another HTTP status.
    #[error("HTTP status {got}, expected {low}–{high}")]
    HttpStatus {
        /// The status.
        got: u16,
        /// Lowest expected status.
        low: u16,
        /// Highest expected status.
        high: u16,
    },
    /// What came was no HTTP answer, or none came.
    #[error("no HTTP answer: {said}")]
    NoHttpAnswer {
        /// What came instead.
        said: String,
    },
    /// The body of the answer lacks the text that it should have.
    #[error("the body lacks {text:?} in its first {read} bytes")]
    BodyLacksText {
        /// The text.
        text: String,
        /// Bytes that were looked at.
        read: usize,
    },
    /// The gRPC call failed.
    #[error("gRPC status {got}{}", after_colon(.said))]
    GrpcStatus {
        /// The status' number (grpc/doc/statuscodes.md).
        got: u32,
        /// What the server said of it; may be empty.
        said: String,
    },
    /// The gRPC health service says that it does not serve.
    #[error("gRPC health is {got}, expected SERVING")]
    GrpcHealth {
        /// The health, by its name in `grpc.health.v1`.
        got: String,
    },
    /// What came was no gRPC answer.
    #[error("no gRPC answer: {said}")]
    NoGrpcAnswer {
        /// What came instead.
        said: String,
    },
    /// It answered a DNS question with another code.
    #[error("DNS answer {got}, expected {expected}")]
    DnsRcode {
        /// The code, by its name (RFC 6895).
        got: String,
        /// The code that was expected.
        expected: String,
    },
    /// It answered a DNS question with none of the records that were asked for.
    #[error("DNS answer without {kind} record for {name}")]
    DnsNoRecord {
        /// The name.
        name: String,
        /// The type.
        kind: String,
    },
    /// What came was no DNS answer to the question.
    #[error("no DNS answer: {said}")]
    NoDnsAnswer {
        /// What came instead.
        said: String,
    },
    /// The script ended with another status than 0.
    #[error("the script ended with status {status}{}", after_colon(.said))]
    ScriptExit {
        /// The status.
        status: i32,
        /// The start of what it wrote; may be empty.
        said: String,
    },
    /// A signal ended the script.
    #[error("signal {signal} ended the script{}", after_colon(.said))]
    ScriptKilled {
        /// The signal's number.
        signal: i32,
        /// The start of what it wrote; may be empty.
        said: String,
    },
    /// The script wrote without end.
    #[error("the script wrote more than {limit} bytes")]
    ScriptFlood {
        /// Most that it may write.
        limit: usize,
    },
    /// This box could not make the probe: it says nothing about the member.
    #[error("the probe could not be made: {said}")]
    NotMade {
        /// Why.
        said: String,
    },
    /// An earlier run of the controller took it out.
    #[error("since before the controller started")]
    BeforeStart,
    /// Anything else that the kernel said.
    #[error("{said}")]
    Other {
        /// What it said.
        said: String,
    },
}

/// How it shows that a backend does not hold the VIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum NotHeld {
    /// Its own address answers, and the VIP through it does not.
    #[error("its own address answers, the VIP through it does not")]
    Silent,
    /// Packets to the VIP come back from it.
    #[error("it sends packets to the VIP back")]
    Bounced,
    /// It is this very box, which has no such address.
    #[error("it is this box, which does not have the address")]
    Here,
}

/// What a probe was doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Setting up the connection.
    #[error("connecting")]
    Connect,
    /// Shaking hands by TLS.
    #[error("shaking hands by TLS")]
    Tls,
    /// Waiting for the answer, or its head.
    #[error("waiting for the answer")]
    Answer,
    /// Reading the answer's body.
    #[error("reading the body")]
    Body,
    /// Waiting for the end of the script.
    #[error("running the script")]
    Script,
}

/// What can't be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Unreachable {
    /// The network.
    #[error("network")]
    Network,
    /// The host.
    #[error("host")]
    Host,
    /// The protocol.
    #[error("protocol")]
    Protocol,
    /// The port.
    #[error("port")]
    Port,
}

/// What failed in a TLS handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum TlsFailure {
    /// It is no TLS, or broken.
    #[error("no handshake")]
    Protocol,
    /// The server ended it with an alert.
    #[error("the server refuses")]
    Alert,
    /// Nobody who is trusted has signed the certificate.
    #[error("the certificate's issuer is unknown")]
    UnknownIssuer,
    /// The certificate's time is over.
    #[error("the certificate has expired")]
    Expired,
    /// The certificate's time has not begun.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// The certificate is another name's.
    #[error("the certificate is for another name")]
    WrongName,
    /// The certificate is wrong in some other way.
    #[error("the certificate is bad")]
    Certificate,
}

impl Cause {
    /// True if the failure is the member's, or the way's to it: it counts against its health.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !matches!(self, Self::NotMade { .. })
    }

    /// True if nothing at all came back.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Timeout { stage: Stage::Connect, .. }
                | Self::Unreachable { what: Unreachable::Network | Unreachable::Host }
        )
    }
}

/// What was said, if anything was.
fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cause_has_a_code_for_programs_and_words_for_people() {
        let timeout = Duration::from_millis(500);
        for (cause, json, words) in [
            (Cause::PortClosed, json!({ "code": "port-closed" }), "connection refused"),
            (
                Cause::Timeout { timeout, stage: Stage::Tls },
                json!({ "code": "timeout", "timeout": "500ms", "stage": "tls" }),
                "timed out after 500 ms while shaking hands by TLS",
            ),
            (
                Cause::VipNotHeld { sign: NotHeld::Silent },
                json!({ "code": "vip-not-held", "sign": "silent" }),
                "the VIP is not held: its own address answers, the VIP through it does not",
            ),
            (
                Cause::Tls { what: TlsFailure::Expired, said: String::new() },
                json!({ "code": "tls", "what": "expired", "said": "" }),
                "TLS: the certificate has expired",
            ),
            (
                Cause::ScriptExit { status: 2, said: "no disk".to_owned() },
                json!({ "code": "script-exit", "status": 2, "said": "no disk" }),
                "the script ended with status 2: no disk",
            ),
        ] {
            assert_eq!(serde_json::to_value(&cause).expect("JSON"), json);
            assert_eq!(serde_json::from_value::<Cause>(json).expect("a cause"), cause);
            assert_eq!(cause.to_string(), words);
        }
    }

    #[test]
    fn only_what_this_box_lacks_is_not_held_against_a_member() {
        assert!(!Cause::NotMade { said: String::new() }.counts());
        assert!(Cause::PortClosed.counts() && Cause::Other { said: String::new() }.counts());
    }
}
