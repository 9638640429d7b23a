//! What holds for every packet, whatever the tables say, and the inputs by which a fuzzer tries to break it. Knows
//! the decision and its tables in memory; no kernel, and no fuzzer: `main.rs` has that.

pub mod input;
pub mod mutate;
pub mod properties;
mod run;

pub use run::{Failure, decide, hex, run};
