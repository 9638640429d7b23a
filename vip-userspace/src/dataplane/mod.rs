//! Where tables are published: the kernel, or memory.

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
mod shapes;
mod xdp_link;

use std::collections::BTreeMap;

use vip_common::{MemberId, tables::MemberCount};

pub use self::{
    detach::{Detached, detach},
    director::Director,
    error::DataplaneError,
    inspect::{Inspection, inspect},
    kernel::{Adopted, Attachment, KernelDataplane, check},
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

    /// What has been counted.
    ///
    /// # Errors
    /// A counter can't be read.
    fn counts(&self) -> anyhow::Result<Counts>;
}
