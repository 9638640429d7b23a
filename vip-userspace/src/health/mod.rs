//! Health of members: what probes are made, when, and what their results in a row mean. It tells of changes; what a
//! change means for a ring it does not know.
//!
//! [`state`] and [`schedule`] are pure; [`mod@way`] says by which way a probe goes, [`mod@probe`] makes one attempt; [`checker`] runs the checks as tasks.

pub mod checker;
pub mod probe;
pub mod schedule;
pub mod state;
pub mod way;

pub use checker::{CheckId, CheckSpec, Checker, Verdict};
pub use probe::{allow_sockets, probe};
pub use schedule::Schedule;
pub use state::{Pace, Tracker};
pub use way::{Exit, Exits, Path, Way};
