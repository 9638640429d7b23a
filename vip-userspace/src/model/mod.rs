//! What the operator wants and what is known of the world: services, backends, members, their health. Pure:
//! it knows no kernel, no socket, no file and no clock.

pub mod access;
pub mod address;
pub mod attach;
pub mod backend;
pub mod capacity;
pub mod cause;
pub mod check;
pub mod course;
pub mod drain;
pub mod duration;
pub mod eligibility;
pub mod intent;
pub mod names;
pub mod part;
pub mod placing;
pub mod probe;
pub mod service;
pub mod shared;
pub mod vip;
pub mod words;
pub mod world;

pub use access::{Access, Others};
pub use address::{Mac, Ports, Protocol, ServiceAddress};
pub use attach::{AttachMode, Mode};
pub use backend::{Admin, Backend, Maintenance};
pub use capacity::Capacity;
pub use cause::{Cause, NotHeld, Stage, TlsFailure, Unreachable};
pub use check::{Check, Target};
pub use course::Course;
pub use drain::{Countdown, Draining, Drains};
pub use eligibility::{Health, Ineligible, Neighbour, NoNeighbour, Place, Standing};
pub use intent::{Intent, Refusal};
pub use names::{BackendName, ServiceName};
pub use part::Part;
pub use placing::{Affinity, AffinityKind, Answer, Fragments, OnDead, Scheduler, Ttl};
pub use probe::{Dns, Grpc, Http, Method, Probe, Rcode, Record, Script, Tls};
pub use service::{Member, Service};
pub use shared::Shared;
pub use vip::{Echo, Role, VipSettings};
pub use words::BadWord;
pub use world::{Checked, Judgement, Link, MemberKey, Touched, World};
