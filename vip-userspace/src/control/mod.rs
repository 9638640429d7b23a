//! The control socket: what is asked and answered over it, and its two ends. Which answer is right is decided
//! by the controller's loop alone.

use tokio::sync::{mpsc, oneshot};

use self::protocol::TraceLine;

mod answer;
pub mod client;
pub mod events;
mod openapi;
mod patience;
mod peer;
pub mod protocol;
mod routes;
pub mod server;
pub mod socket;
#[cfg(test)]
mod tests;

pub use events::Herald;
pub use protocol::{Answer, Caller, Code, Command, Query, Refused, Status, Wanted};
pub use server::{Desk, Limits};

/// What the server hands to the controller's loop.
#[derive(Debug)]
pub struct Request {
    /// What is wanted.
    pub what: Wanted,
    /// Who wants it.
    pub caller: Caller,
    /// Takes the answer. A closed one means that nobody waits any more: the command holds all the same.
    pub answer: oneshot::Sender<Result<Answer, Refused>>,
    /// Takes what follows a [`Wanted::Trace`], line by line. A closed one means that nobody reads it any more.
    pub lines: Option<mpsc::Sender<TraceLine>>,
}
