//! What each scheduler makes of a service's members. A new one is a file here, a variant of [`Scheduler`] and a line in
//! [`scheduler`]. Pure: it knows weights, addresses and who is eligible, and no number of the tables.

mod maglev;
mod round_robin;

use super::{Candidate, RingKey};
use crate::model::Scheduler;

pub use maglev::maglev;

/// Most turns until an order begins anew: the slots that each service which takes turns has for them.
pub const MAX_TURNS: u32 = 4096;

/// Who gets new flows.
pub trait Schedule {
    /// The owner of each of `size` slots as long as everybody lives, as its index in `members`. It must be alike on all
    /// directors, and is where those flows go that have no turn or no entry.
    fn ring(&self, members: &[Candidate], size: u32, key: &RingKey) -> Vec<Option<usize>> {
        maglev(members, size, key)
    }

    /// The order in which new flows go to members, each one's number in `members`, from the first turn to that where it
    /// begins anew: at most [`MAX_TURNS`]. `None` where the ring says it all; then no flow is tracked for its sake.
    fn turns(&self, members: &[Candidate], eligible: &[bool]) -> Option<Vec<usize>> {
        let _ = (members, eligible);
        None
    }
}

/// The scheduler of that name.
#[must_use]
pub fn scheduler(name: Scheduler) -> &'static dyn Schedule {
    match name {
        Scheduler::Maglev => &maglev::Maglev,
        Scheduler::RoundRobin => &round_robin::RoundRobin,
    }
}
