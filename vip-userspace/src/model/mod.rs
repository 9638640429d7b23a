//! What the operator wants and what is known of the world: services, backends, members, their health. Pure:
//! it knows no kernel, no socket, no file and no clock.

pub mod address;
pub mod attach;
pub mod backend;
pub mod capacity;
pub mod duration;
pub mod eligibility;
pub mod intent;
pub mod names;
pub mod service;
pub mod world;

pub use address::{Mac, Protocol, ServiceAddress};
pub use attach::{AttachMode, Mode};
pub use backend::{Admin, Backend};
pub use capacity::Capacity;
pub use eligibility::{Health, Ineligible, Neighbour, NoNeighbour};
pub use intent::{Intent, Refusal};
pub use names::{BackendName, ServiceName};
pub use service::{Check, Member, Probe, Service, Ttl};
pub use world::{Checked, Link, MemberKey, World};
