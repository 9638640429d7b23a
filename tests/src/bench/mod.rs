//! What a packet costs: the director beside a floor program, in the kernel, at one flow and at a million.

mod live;
mod report;
mod rig;
mod scenario;

pub use live::{Live, LiveRow, live_bar};
pub use report::{Bar, Limit, Row, bars, compared_with, rows, table};
pub use rig::Rig;
pub use scenario::{BARE, FLOOR, Scenario, all};
