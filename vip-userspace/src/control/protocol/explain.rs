//! What a packet would get and why, as `vip explain` tells it. Its names are stable.

use serde::{Deserialize, Serialize};

use crate::model::{BackendName, ServiceName};

/// What one packet would get.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// What the director looks up for it, in that order.
    pub steps: Vec<Step>,
    /// `pass`, `drop`, `transmit` or `redirect`.
    pub action: String,
    /// The reason's name.
    pub reason: String,
    /// What the reason means.
    pub meaning: String,
    /// The service, if it is to one.
    pub service: Option<ServiceName>,
    /// The backend that gets it, if one does.
    pub backend: Option<BackendName>,
    /// The program in the kernel decides just so. Where it does not, that is a bug.
    pub agrees: bool,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Its name: `service`, `slot`, …
    pub step: String,
    /// What was found, in words.
    pub found: String,
}
