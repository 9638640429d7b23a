//! The schedulers that there are, each with all that it is in a file of its own: its name, what it does in a few words, how
//! it fills the ring, and whose turn it is where it takes turns. A new one is a file here, which this one names. Pure: they know
//! weights, addresses and who is eligible; neither the model, which knows them by their names, nor numbers of the tables.

mod maglev;
mod round_robin;

use std::{fmt, net::IpAddr};

pub use maglev::maglev;

use super::key::RingKey;

/// All of them, in the order in which they are listed to operators; the first one is the default.
static ALL: [&Definition; 2] = [&maglev::MAGLEV, &round_robin::ROUND_ROBIN];

/// Most turns until an order begins anew: the slots that each service which takes turns has for them.
pub const MAX_TURNS: u32 = 4096;

/// A member, as far as the ring is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// What it is placed by: of its own among the members of a service, and the same on all directors.
    pub address: IpAddr,
    /// Its share of the slots, relative to the others'; 0 gets none.
    pub weight: u32,
}

/// What a scheduler is.
struct Definition {
    /// The word for it in configuration, commands and status; it stays for ever.
    name: &'static str,
    /// What it does, for who looks for help at the command line.
    about: &'static str,
    ring: Ring,
    /// `None` where the ring says it all; then no flow is tracked for its sake.
    turns: Option<Turns>,
}

/// The owner of each of so many slots as long as everybody lives, as its index among the members; nobody only where no member
/// has a weight. It must be alike on all directors, and is where those flows go that have no turn or no entry.
type Ring = fn(&[Candidate], u32, &RingKey) -> Vec<Option<usize>>;

/// The order in which new flows go to members that are eligible, each one's index among the members, from the first turn to
/// that where it begins anew: at most [`MAX_TURNS`].
type Turns = fn(&[Candidate], eligible: &[bool]) -> Vec<usize>;

/// Who gets new flows: one of the schedulers that there are.
#[derive(Clone, Copy)]
pub struct Scheduler(&'static Definition);

impl Scheduler {
    /// All of them, the default first.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        ALL.iter().copied().map(Self)
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.0.name
    }

    /// What it does, in a few words.
    #[must_use]
    pub const fn about(self) -> &'static str {
        self.0.about
    }

    /// Whether the ring alone can't place a flow even while nothing changes.
    #[must_use]
    pub const fn tracks_every_flow(self) -> bool {
        self.0.turns.is_some()
    }

    /// The owner of each of `size` slots as long as everybody lives, as its index in `members`. Nobody owns one only where no
    /// member has a weight.
    #[must_use]
    pub fn ring(self, members: &[Candidate], size: u32, key: &RingKey) -> Vec<Option<usize>> {
        (self.0.ring)(members, size, key)
    }

    /// The order in which new flows go to members, each one's index in `members`, from the first turn to that where it begins
    /// anew: at most [`MAX_TURNS`]. `None` where the ring says it all.
    #[must_use]
    pub fn turns(self, members: &[Candidate], eligible: &[bool]) -> Option<Vec<usize>> {
        self.0.turns.map(|turns| turns(members, eligible))
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        Self(ALL[0])
    }
}

impl PartialEq for Scheduler {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Scheduler {}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scheduler").field(&self.0.name).finish()
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name)
    }
}

#[cfg(test)]
mod tests;
