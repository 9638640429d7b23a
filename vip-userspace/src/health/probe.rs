//! Makes one probe of one backend, and says what it met. What a result means for the member's health it does not know.

mod dns;
mod grpc;
mod http;
mod open;
mod ping;
mod script;
mod tls;

use std::{net::SocketAddr, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use self::open::Target;
use super::way::Path;
use crate::model::{Cause, Probe, Stage};

/// Lets this process have as many sockets as it may: by default that are 1,024, and each probe under way has one.
///
/// # Errors
/// The kernel refuses.
pub fn allow_sockets() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(())
}

/// Makes one probe of `target`, by that path; `timeout` is over all of it.
///
/// # Errors
/// The probe did not succeed: see [`Cause`].
pub async fn probe(probe: &Probe, target: SocketAddr, path: &Path, timeout: Duration) -> Result<(), Cause> {
    let target = Target { address: target, path };
    let attempt = Attempt { target, timeout, deadline: Instant::now() + timeout };
    // Those that need much room have it only while they are under way: there may be very many checks.
    match probe {
        Probe::Tcp => attempt.connect().await.map(drop),
        Probe::Tls(tls) => Box::pin(tls::probe(attempt, tls)).await,
        Probe::Http(http) => Box::pin(http::probe(attempt, http)).await,
        Probe::Grpc(grpc) => Box::pin(grpc::probe(attempt, grpc)).await,
        Probe::Dns(dns) => Box::pin(dns::probe(attempt, dns)).await,
        Probe::Ping => Box::pin(ping::probe(attempt)).await,
        Probe::Script(script) => Box::pin(script::probe(attempt, script)).await,
    }
}

/// One probe under way.
#[derive(Clone, Copy, Debug)]
struct Attempt<'a> {
    target: Target<'a>,
    timeout: Duration,
    deadline: Instant,
}

impl Attempt<'_> {
    /// What `work` comes to, unless time is up first.
    async fn within<T>(self, stage: Stage, work: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
        let late = Cause::Timeout { timeout: self.timeout, stage };
        timeout_at(self.deadline, work).await.unwrap_or(Err(late))
    }

    async fn connect(self) -> Result<TcpStream, Cause> {
        self.within(Stage::Connect, self.target.connect()).await
    }
}

#[cfg(test)]
mod tests;
