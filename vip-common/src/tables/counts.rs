//! What is counted, and what the sweeper finds.

use super::{Terms, layout};

/// Entries of `REASON_COUNTS`.
pub const REASON_ENTRIES: u32 = 64;

layout! {
    /// What went to a member: value of `MEMBER_COUNTS`, one for each CPU.
    MemberCount[32] {
        /// Packets forwarded.
        packets: u64,
        /// Bytes forwarded, Ethernet header included.
        bytes: u64,
        /// Packets that open a flow: TCP SYNs, SCTP INITs, and UDP where it is tracked.
        flows: u64,
        /// Packets that it sent back: it lacks the VIP.
        bounced: u64,
    }
}

layout! {
    /// What a service wrote to the flow table: value of `INSERTS`, one for each CPU.
    InsertCount[24] {
        /// The period of `used`.
        period: u32,
        /// How much of the period's allowance is used up.
        used: u32,
        /// Entries written.
        inserted: u64,
        /// Entries not written for want of allowance: their flows stay where the ring has them.
        refused: u64,
    }
}

impl InsertCount {
    /// Takes one entry off the allowance, and counts it; false, and counted so, if none is left.
    #[inline(always)]
    pub fn may_insert(&mut self, terms: &Terms) -> bool {
        if self.period != terms.period {
            self.period = terms.period;
            self.used = 0;
        }
        let may = self.used < terms.allowance;
        if may {
            self.used += 1;
            self.inserted += 1;
        } else {
            self.refused += 1;
        }
        may
    }
}

layout! {
    /// What the sweeper found: value of `SWEEP`.
    Sweep[24] {
        /// Live flows at the last sweep.
        live: u64,
        /// Entries that sweeps deleted, since the table was made.
        deleted: u64,
        /// Entries that had been written when the last sweep began, since the table was made. The controller knows.
        inserted: u64,
    }
}
