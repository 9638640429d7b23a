//! What the client saw: requests and connections, as they end. It counts; it does not judge.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::Failure;

/// A new connection with one request.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it began.
    pub started: Instant,
    /// Time until its answer, or its failure.
    pub took: Duration,
    /// Where it went.
    pub server: SocketAddr,
    /// The port that it came from.
    pub port: u16,
    /// The backend that answered, or why none did.
    pub outcome: Result<String, Failure>,
}

/// A connection that asks again and again.
#[derive(Clone, Debug)]
pub struct Connection {
    /// When it began.
    pub opened: Instant,
    /// Where it goes.
    pub server: SocketAddr,
    /// The port that it comes from.
    pub port: u16,
    /// The backend that answered first; none if nobody has.
    pub backend: Option<String>,
    /// Answered requests.
    pub answers: u64,
    /// The longest time until an answer.
    pub slowest: Duration,
    /// When and how it broke, if it has.
    pub broken: Option<(Instant, Failure)>,
}

impl Connection {
    pub(super) fn new(opened: Instant, server: SocketAddr) -> Self {
        let (port, backend, answers, slowest, broken) = Default::default();
        Self { opened, server, port, backend, answers, slowest, broken }
    }
}

impl Request {
    /// Whether it began within that time.
    #[must_use]
    pub fn began_in(&self, from: Instant, until: Instant) -> bool {
        (from..until).contains(&self.started)
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.outcome.as_ref().err()
    }
}

/// Answered requests of each backend and VIP.
#[must_use]
pub fn shares(requests: &[Request]) -> BTreeMap<(IpAddr, String), u64> {
    let mut shares = BTreeMap::new();
    for request in requests {
        if let Ok(backend) = &request.outcome {
            *shares.entry((request.server.ip(), backend.clone())).or_default() += 1;
        }
    }
    shares
}

/// Those that nobody answered.
#[must_use]
pub fn failed(requests: &[Request]) -> Vec<Request> {
    requests.iter().filter(|request| request.outcome.is_err()).cloned().collect()
}
