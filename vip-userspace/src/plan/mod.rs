//! From published to wanted tables: an ordered list of idempotent operations. Pure.

mod tables;

use vip_common::{
    FlowKey, MemberId,
    tables::{Egress, EgressId, Member, Port, Service, ServiceKey4, ServiceKey6, Slot},
};

pub use tables::Tables;

/// One write to one table. Doing it twice is doing it once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// `PORTS[ifindex]`; `None` clears it.
    Port(u32, Option<Port>),
    /// `FLOW_KEY[0]`.
    FlowKey(FlowKey),
    /// `EGRESSES[id]`; `None` clears it.
    Egress(EgressId, Option<Egress>),
    /// `MEMBERS[id]`; `None` clears it.
    Member(MemberId, Option<Member>),
    /// A run of `RINGS`, by the index of its first slot.
    Slots(u32, Vec<Slot>),
    /// An entry of `SERVICES4`; `None` removes it.
    Service4(ServiceKey4, Option<Service>),
    /// An entry of `SERVICES6`; `None` removes it.
    Service6(ServiceKey6, Option<Service>),
    /// A word of `VIPS`.
    VipWord(u32, u64),
}
