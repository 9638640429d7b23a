//! What the operator wants and what is known of the world: services, backends, members, their health. Pure:
//! it knows no kernel, no socket, no file and no clock.

pub mod address;
pub mod backend;
pub mod duration;
pub mod eligibility;
pub mod intent;
pub mod names;
pub mod service;

pub use address::{Mac, Protocol, ServiceAddress};
pub use backend::{Admin, Backend};
pub use eligibility::{Health, Ineligible, Neighbour, NoNeighbour};
pub use intent::{Intent, Refusal};
pub use names::{BackendName, ServiceName};
pub use service::{Check, Member, Probe, Service, Ttl};
