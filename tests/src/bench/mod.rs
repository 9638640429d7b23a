//! What a packet costs: the director beside a floor program, in the kernel, at one flow and at a million.

mod report;
mod rig;
mod scenario;

pub use report::{Bar, Row, bars, rows, table};
pub use rig::Rig;
pub use scenario::{BARE, FLOOR, Scenario, all};
