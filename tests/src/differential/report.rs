//! How often each reason was met, for people.

use std::fmt;

use vip_common::{Action, Reason, Verb};

/// Packets by what they got, and why.
#[derive(Clone, Debug)]
pub struct Report {
    /// By reason, in the order of their counters: passed, dropped, transmitted, redirected.
    counts: Vec<[u64; 4]>,
    opens: u64,
}

impl Default for Report {
    fn default() -> Self {
        Self { counts: vec![[0; 4]; Reason::ALL.len()], opens: 0 }
    }
}

impl Report {
    pub(super) fn add(&mut self, action: Action) {
        let column = match action.verb {
            Verb::Pass => 0,
            Verb::Drop => 1,
            Verb::Transmit => 2,
            Verb::Redirect => 3,
        };
        self.counts[action.reason as usize][column] += 1;
        self.opens += u64::from(action.opens);
    }

    /// Reasons that no packet got.
    pub fn not_met(&self) -> impl Iterator<Item = Reason> {
        let met = |reason: &Reason| self.counts[*reason as usize] == [0; 4];
        Reason::ALL.iter().copied().filter(met)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [passed, dropped, sent, redirected] = ["passed", "dropped", "sent", "redirected"];
        writeln!(f, "{:<24}{passed:>12}{dropped:>12}{sent:>12}{redirected:>12}", "reason")?;
        for (reason, counts) in Reason::ALL.iter().zip(&self.counts) {
            let [passed, dropped, sent, redirected] = counts;
            writeln!(f, "{:<24}{passed:>12}{dropped:>12}{sent:>12}{redirected:>12}", reason.name())?;
        }
        write!(f, "{} opened a flow", self.opens)
    }
}
