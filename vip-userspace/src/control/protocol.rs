//! What is said over the control socket: the commands, the questions and the answers. Pure: it knows JSON's shape,
//! but no socket, no HTTP library and no table.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod access;
mod differences;
mod drain;
mod events;
mod explain;
mod flows;
mod http;
mod refused;
mod status;
mod trace;

pub use access::{Caller, Peer, Right, Rules};
pub use differences::{Change, ChangeAction, Differences, Fate, Thing, Wish};
pub use drain::{BackendDrain, DrainEnd, DrainStatus, DrainingMember};
pub use events::{Event, News, StandingWord};
pub use explain::{Explanation, Step};
pub use flows::{FlowList, FlowState, TrackedFlow};
pub use http::{AddBackend, DiffRequest, HttpRequest, ReloadRequest, SetAdmin, SetMaintenance, SetWeight};
pub use refused::{Code, ErrorBody, Refused};
pub use status::{
    BackendStatus, FlowTableStatus, InterfaceStatus, MemberStatus, NeighbourStatus, ReasonStatus,
    ServiceStatus, Status, Totals, Why,
};
pub use trace::{MOST_SECONDS, SECONDS, TraceEnd, TraceEndWhy, TraceLine, TraceRequest, TracedPacket};

use crate::model::{Admin, Backend, BackendName, Maintenance, Service, ServiceName, service::DEFAULT_WEIGHT};

/// A change that the operator asks for. Closed: all that can be done to a running controller.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Adds a service with its members.
    AddService {
        /// The service.
        service: Box<Service>,
    },
    /// Removes a service; its backends stay.
    RemoveService {
        /// The service.
        name: ServiceName,
    },
    /// Adds a backend, and makes it a member of services.
    AddBackend {
        /// The backend.
        backend: Backend,
        /// What it becomes a member of: all of it, or nothing is done.
        #[serde(default)]
        services: Vec<Membership>,
    },
    /// Ends a backend's part in one service; or in all of them, and removes the backend.
    RemoveBackend {
        /// The backend.
        name: BackendName,
        /// The one service; where absent, all of them, and the backend itself.
        #[serde(default)]
        service: Option<ServiceName>,
    },
    /// Sets the operator's wish for a backend's part in one service, or in all of its services.
    SetAdmin {
        /// The backend.
        backend: BackendName,
        /// The one service; all that it is a member of where absent.
        #[serde(default)]
        service: Option<ServiceName>,
        /// The wish.
        admin: Admin,
        /// Only for a drain: when its flows are gone, and after this time at the latest, it is disabled.
        #[serde(default, with = "crate::model::duration::optional", skip_serializing_if = "Option::is_none")]
        timeout: Option<Duration>,
    },
    /// Sets the operator's wish for a whole backend, in all services that it is or will be a member of.
    SetMaintenance {
        /// The backend.
        backend: BackendName,
        /// The wish.
        maintenance: Maintenance,
        /// As for [`Self::SetAdmin`].
        #[serde(default, with = "crate::model::duration::optional", skip_serializing_if = "Option::is_none")]
        timeout: Option<Duration>,
    },
    /// Sets a backend's weight in one service, or in all of its services.
    SetWeight {
        /// The backend.
        backend: BackendName,
        /// The one service; all that it is a member of where absent.
        #[serde(default)]
        service: Option<ServiceName>,
        /// The weight, 0 to [`MAX_WEIGHT`](crate::model::service::MAX_WEIGHT).
        weight: u32,
    },
    /// Reads the configuration file again, and makes what runs what it says, with the operator's wishes laid over it.
    Reload {
        /// Also what moves flows to other backends.
        #[serde(default)]
        force: bool,
        /// Drops the operator's wishes by command.
        #[serde(default)]
        reset: bool,
    },
    /// Takes the program off its interfaces, removes all that is pinned, and ends the controller.
    Detach,
}

/// A service that a backend becomes a member of.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The service.
    pub service: ServiceName,
    /// Share of new flows, 0 to [`MAX_WEIGHT`](crate::model::service::MAX_WEIGHT).
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// It gets new flows only while fewer members are eligible than the quorum asks for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
}

fn default_weight() -> u32 {
    DEFAULT_WEIGHT
}

/// A question, whose answer changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// All that is known.
    Status,
    /// What runs, as the text of a configuration.
    Config,
    /// What a reload would change.
    Diff(DiffRequest),
    /// How far the drain of a backend is.
    Drain {
        /// The backend.
        backend: BackendName,
    },
}

/// What somebody at the control socket wants.
#[derive(Clone, PartialEq, Debug)]
pub enum Wanted {
    /// A change.
    Command(Command),
    /// An answer.
    Query(Query),
    /// Live packets, line by line, from now on.
    Trace(Box<TraceRequest>),
    /// The end of the trace that goes on.
    EndTrace,
}

/// What the controller answers when it does not refuse.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// The command has taken effect: the kernel's tables say so.
    Done,
    /// The answer to [`Query::Status`].
    Status(Box<Status>),
    /// The answer to [`Query::Config`], without the seed.
    Config(String),
    /// What a [`Command::Reload`] has changed, or would, in answer to [`Query::Diff`].
    Differences(Box<Differences>),
    /// The answer to [`Query::Drain`]: its members, by service.
    Drain(Vec<DrainingMember>),
}

/// The body of the answer to `GET /v1/services`.
#[derive(Clone, PartialEq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Services {
    /// All of them, by name.
    pub services: Vec<ServiceStatus>,
}

/// The body of the answer to `GET /v1/backends`.
#[derive(Clone, PartialEq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Backends {
    /// All of them, by name.
    pub backends: Vec<BackendStatus>,
}

/// The body of the answer to [`Query::Config`].
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct ConfigText {
    /// The text of a configuration, without the seed.
    pub config: String,
}

/// The body of a carried out command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Done {
    /// Always true.
    pub done: bool,
}
