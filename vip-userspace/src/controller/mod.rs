//! The controller: one loop, one writer. Events change the world, the world is composed to tables, the plan says what
//! differs, the dataplane writes it.

mod answering;
mod bouncing;
mod commands;
mod core;
mod differences;
mod drains;
mod explain;
mod flows;
mod inlet;
mod keeping;
mod lanes;
mod memory;
mod noticing;
mod offline;
mod probing;
mod reload;
mod run;
mod start;
mod status;
mod tags;
mod telling;
mod trace;
mod tracked;
mod words;

#[cfg(test)]
mod tests;

pub use self::{
    core::{Alarm, Controller, Transition},
    drains::Ended,
    explain::{Packet, Question, explain},
    flows::Refusals,
    memory::Memory,
    offline::{detach, flows, offline_status},
    run::{RunOptions, run},
    start::read_config,
    trace::trace_words,
    tracked::Wanted as WantedFlows,
};
