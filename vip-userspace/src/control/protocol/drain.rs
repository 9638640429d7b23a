//! How far a drain is, as the control socket tells it. Its names are stable.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Admin, BackendName, ServiceName};

/// How far the drain of a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct DrainStatus {
    /// It drains because its whole backend is in maintenance.
    pub maintenance: bool,
    /// Whole seconds since it began.
    pub seconds: u64,
    /// Flows that are known to live on it: those that have spoken since. Absent until they are counted for the first time.
    pub flows_left: Option<u64>,
    /// Slots of the ring whose settle window is not over: there may be flows in them that have not spoken since.
    pub unknown_slots: u32,
    /// Whole seconds until the last of these windows is over; absent where there is none.
    pub unknown_seconds: Option<u64>,
    /// Whole seconds until it is disabled, whatever flows are left then; absent where it drains for ever.
    pub timeout_seconds: Option<u64>,
    /// No flow is left, and none can be that is not known.
    pub gone: bool,
}

/// How a drain with a timeout ended: the member is disabled since.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct DrainEnd {
    /// Its time was over before its flows were gone.
    pub timed_out: bool,
    /// Flows that were known to be left; absent where they had not been counted yet.
    pub flows_left: Option<u64>,
    /// Slots in which there may have been more.
    pub unknown_slots: u32,
}

/// A member of a backend that drains, or has been drained.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct DrainingMember {
    /// The service.
    pub service: ServiceName,
    /// What the operator's wishes make of it now.
    pub admin: Admin,
    /// How far it is; absent where it does not drain.
    pub drain: Option<DrainStatus>,
    /// How its last drain ended; absent where that had no timeout, and after another wish.
    pub ended: Option<DrainEnd>,
}

/// The body of the answer to `GET /v1/backends/{name}/drain`.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct BackendDrain {
    /// The backend.
    pub backend: BackendName,
    /// Its members, by service.
    pub members: Vec<DrainingMember>,
}
