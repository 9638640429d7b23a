//! The flows that are tracked, as `vip flows` tells them. Their names are stable.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{BackendName, ServiceName};

/// Flows that are tracked, or the first of them.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct FlowList {
    /// By service, backend and client.
    pub flows: Vec<TrackedFlow>,
    /// How many more there are, for which there was no room.
    pub more: usize,
}

/// One entry of the flow table that counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct TrackedFlow {
    /// The service; absent where nobody knows its name.
    pub service: Option<ServiceName>,
    /// The backend that the flow lives on; absent where nobody knows its name.
    pub backend: Option<BackendName>,
    /// The member's id.
    pub member: u32,
    /// The client; where sources take turns, its network.
    pub client: IpAddr,
    /// Its port; absent where the flow is all that the source sends, or all between two addresses.
    pub client_port: Option<u16>,
    /// The VIP; absent where nobody knows the service.
    pub vip: Option<IpAddr>,
    /// Its port; absent as the client's is.
    pub port: Option<u16>,
    /// The IP protocol's name, or its number; absent where the flow is all that the source sends.
    pub protocol: Option<String>,
    /// How far it is.
    pub state: FlowState,
    /// For so many seconds at most it has been silent: when it spoke last is noted only now and then.
    pub silent_seconds: u64,
    /// The slot of its service's ring.
    pub slot: u32,
}

/// How far a flow is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowState {
    /// A SYN was seen, and nothing that continues it.
    Pending,
    /// It lives.
    Firm,
    /// It lives, and its last segment was a FIN or a RST.
    Closing,
}

impl FlowState {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firm => "firm",
            Self::Closing => "closing",
        }
    }
}
