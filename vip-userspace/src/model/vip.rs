//! What the operator wants of a VIP as a whole, whatever its services.

use serde::{Deserialize, Serialize};

use super::{Answer, words::words};

/// The settings of one VIP.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VipSettings {
    /// Whether this director answers for it.
    pub role: Role,
    /// Who answers echo requests.
    pub echo: Echo,
    /// What a packet gets that is to no service of it, unless the VIP is an address of this box.
    pub unknown_port: Answer,
}

words! {
    /// A director's part for a VIP.
    Role is a "role" {
        /// It answers ARP and neighbour solicitations.
        Active = "active",
        /// Another director does. What arrives nevertheless is directed all the same.
        Standby = "standby",
    }
}

words! {
    /// Who answers echo requests to a VIP.
    Echo is a "way to treat echo requests" {
        /// The director, while a service of the VIP has an eligible member.
        Answer = "answer",
        /// A backend.
        Backend = "backend",
    }
}
