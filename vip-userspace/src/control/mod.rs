//! The control socket: what is asked and answered over it, and its two ends. Which answer is right is decided
//! by the controller's loop alone.

use tokio::sync::oneshot;

pub mod client;
pub mod protocol;
mod routes;
pub mod server;
pub mod socket;

pub use protocol::{Answer, Code, Command, Query, Refused, Status, Wanted};

/// What the server hands to the controller's loop.
#[derive(Debug)]
pub struct Request {
    /// What is wanted.
    pub what: Wanted,
    /// Takes the answer. A closed one means that nobody waits any more: the command holds all the same.
    pub answer: oneshot::Sender<Result<Answer, Refused>>,
}
