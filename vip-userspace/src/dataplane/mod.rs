//! Where tables are published: the kernel, or memory.

mod classifier;
pub mod detach;
pub mod director;
pub mod error;
pub mod fake;
pub mod inspect;
pub mod interface;
pub mod kernel;
mod mapping;
mod maps;
pub mod object;
pub mod packet_log;
mod pins;
pub mod preflight;
pub mod rehearsal;
mod shapes;
pub mod tracer;
mod xdp_link;

use std::collections::BTreeMap;

use vip_common::{
    MemberId,
    tables::{InsertCount, MemberCount},
};

pub use self::{
    detach::{Detached, detach},
    director::Director,
    error::DataplaneError,
    inspect::{Inspection, flow_entries, inspect},
    kernel::{Adopted, Attachment, KernelDataplane, check, program_name},
    maps::FlowEntries,
    rehearsal::Rehearsal,
    tracer::{TraceCounts, TracedPackets},
};
pub use crate::model::{AttachMode, Capacity, Mode};
use crate::plan::{Operation, Tables};

/// What has been counted since the maps were made, summed over CPUs.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// By member; members without a packet are left out.
    pub members: BTreeMap<MemberId, MemberCount>,
    /// Packets by [`Reason`](vip_common::Reason), in the order of `Reason::ALL`.
    pub reasons: Vec<u64>,
    /// What became of the flow table.
    pub flows: FlowCounts,
}

/// What became of the flow table, of both address families.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FlowCounts {
    /// Entries of live flows at the last sweep.
    pub live: u64,
    /// Entries that sweeps deleted.
    pub deleted: u64,
    /// Entries written.
    pub inserted: u64,
    /// Entries that were gone at the last sweep, and by no sweep: the kernel pushed them out.
    pub evicted: u64,
    /// Entries not written, for want of allowance.
    pub refused: u64,
}

/// What a sweep of the flow table found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Swept {
    /// Entries of live flows.
    pub live: u64,
    /// Which slots have live flows elsewhere than where their new ones go: words of 64 slots, but for those that are zero.
    pub held: BTreeMap<u32, u64>,
    /// Live flows by member; members without one are left out.
    pub flows: BTreeMap<MemberId, u64>,
}

impl Swept {
    /// Whether the slot with this index in `RINGS` has a live flow elsewhere than where its new ones go.
    #[must_use]
    pub fn is_held(&self, slot: u32) -> bool {
        self.held.get(&(slot / 64)).is_some_and(|word| word >> (slot % 64) & 1 != 0)
    }
}

/// The tables that packets are directed by. The controller's loop is the only one that writes them.
pub trait Dataplane {
    /// What is published now. Rings are read where the services say that they are.
    ///
    /// # Errors
    /// A table can't be read.
    fn read(&self) -> anyhow::Result<Tables>;

    /// Carries out operations in their order.
    ///
    /// # Errors
    /// One failed; those before it hold, those after it were not tried.
    fn apply(&mut self, operations: &[Operation]) -> anyhow::Result<()>;

    /// What somebody else has changed: the operations that make it what `published` says again, where the tables held just
    /// that. It looks at one part of `parts` (from 0 on), so that it can be done bit by bit.
    ///
    /// # Errors
    /// A table can't be read.
    fn strays(&self, published: &Tables, part: usize, parts: usize) -> anyhow::Result<Vec<Operation>>;

    /// What has been counted.
    ///
    /// # Errors
    /// A counter can't be read.
    fn counts(&self) -> anyhow::Result<Counts>;

    /// Packets that came back from the very backend that they were for, of all members together. Cheap: one counter.
    ///
    /// # Errors
    /// The counter can't be read.
    fn bounced(&self) -> anyhow::Result<u64>;

    /// Looks at all entries of the flow table, deletes those of flows that are over and tells of the others.
    ///
    /// # Errors
    /// The sweeper can't be run, or what it found can't be read.
    fn sweep(&mut self) -> anyhow::Result<Swept>;

    /// What a service wrote to the flow table so far, on all CPUs, by its number.
    ///
    /// # Errors
    /// The counter can't be read.
    fn inserts(&self, service: u32) -> anyhow::Result<InsertCount>;

    /// How much the tables hold.
    fn capacity(&self) -> Capacity;

    /// How many CPUs packets come in on, at most.
    fn cpus(&self) -> u32;
}
