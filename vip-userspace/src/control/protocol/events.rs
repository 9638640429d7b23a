//! Changes, as they are told to whoever follows them: one closed list, each with the words for people.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Caller;
use crate::model::{BackendName, Mac, ServiceName};

/// One change: a line of the answer to `GET /v1/events`.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Event {
    /// When it was told, in milliseconds since 1970 (UTC).
    pub unix_ms: u64,
    /// What it is.
    #[serde(flatten)]
    pub news: News,
    /// The same in words.
    pub words: String,
}

/// What has changed.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum News {
    /// What flows a member gets: by a verdict, a wish, a neighbour, or for want of others.
    Member {
        /// The service.
        service: ServiceName,
        /// The backend.
        backend: BackendName,
        /// What it gets now.
        standing: StandingWord,
    },
    /// A command was carried out.
    Command {
        /// Who asked for it; absent where its time had come.
        by: Option<Caller>,
    },
    /// The configuration was read again.
    Reloaded {
        /// Who asked for it; absent after a signal.
        by: Option<Caller>,
        /// Rows that are new.
        added: usize,
        /// Rows that are no more.
        removed: usize,
        /// Rows that have other values.
        changed: usize,
    },
    /// A drain with a timeout has ended.
    Drained {
        /// The service; absent where the whole backend was in maintenance.
        service: Option<ServiceName>,
        /// The backend.
        backend: BackendName,
        /// Its time was over before its flows were gone.
        timed_out: bool,
        /// Flows that were known to be left.
        flows_left: Option<u64>,
    },
    /// An interface of the director came up, went down, or is gone.
    Link {
        /// Its name.
        interface: String,
        /// It is up.
        up: bool,
    },
    /// A backend's address was found on the link, or lost.
    Neighbour {
        /// The address.
        address: IpAddr,
        /// It is known where it is.
        found: bool,
    },
    /// A service has fewer eligible members than its quorum, or as many again; or so few healthy ones that health is ignored.
    Shortage {
        /// The service.
        service: ServiceName,
        /// Its quorum is short.
        below_quorum: bool,
        /// Health is ignored.
        panics: bool,
    },
    /// Flows of a service found no room in the flow table.
    FlowTableFull {
        /// The service.
        service: ServiceName,
        /// How many.
        flows: u64,
    },
    /// Somebody else than a director answers for a VIP, or does not any more: packets go to him past the director.
    Thief {
        /// The VIP.
        vip: IpAddr,
        /// His MAC.
        mac: Mac,
        /// He answers.
        answers: bool,
    },
    /// Somebody else has written to a pinned table: it was put right.
    Mended {
        /// The table.
        table: String,
        /// How many of its entries.
        entries: usize,
    },
    /// The listener did not read fast enough: it has missed changes, and is cut off. Ask for the status, and follow anew.
    Lagged {
        /// How many it has missed.
        missed: u64,
    },
}

/// What flows a member gets, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StandingWord {
    /// New ones, and its older ones.
    In,
    /// Those that it has.
    KeepsFlows,
    /// None.
    Out,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let news = News::Member {
            service: "web".parse().expect("a name"),
            backend: "b1".parse().expect("a name"),
            standing: StandingWord::KeepsFlows,
        };
        let event = Event { unix_ms: 5, news, words: "service web: b1 keeps its flows: draining".to_owned() };
        let text = r#"{"unix_ms":5,"event":"member","service":"web","backend":"b1","standing":"keeps-flows","words":"service web: b1 keeps its flows: draining"}"#;
        assert_eq!(serde_json::to_string(&event).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<Event>(text).expect("an event"), event);
    }
}
