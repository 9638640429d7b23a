//! Makes one probe of one backend, and says in words what it met. What a result means for the member's health it
//! does not know.

use std::{convert::Infallible, error::Error as _, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::model::Probe;

/// Most bytes of an answer's head that are read: a server may send for ever.
const MAX_HEAD: usize = 16 * 1024;

/// What a probe was doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Stage {
    /// Setting up the TCP connection.
    #[error("connecting")]
    Connect,
    /// Waiting for the head of the HTTP answer.
    #[error("waiting for the answer")]
    Answer,
}

/// Why a probe did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The backend, or the way to it, refused the connection.
    #[error("{}", words(.0))]
    Connect(io::Error),
    /// Time was up.
    #[error("timed out after {} ms while {stage}", timeout.as_millis())]
    Timeout {
        /// The time that it had.
        timeout: Duration,
        /// What it was doing then.
        stage: Stage,
    },
    /// It answered, but with another status.
    #[error("HTTP status {status}, expected {low}–{high}")]
    Status {
        /// The status.
        status: u16,
        /// Lowest expected status.
        low: u16,
        /// Highest expected status.
        high: u16,
    },
    /// What came was no HTTP answer, or none came.
    #[error("no HTTP answer: {0}")]
    NoAnswer(String),
    /// This box could not make the probe: it says nothing about the backend.
    #[error("the probe could not be made: {}", words(.0))]
    NotMade(io::Error),
}

impl ProbeError {
    /// True if the failure is the backend's, or the way's to it: it counts against its health.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !matches!(self, Self::NotMade(_))
    }
}

/// Makes one probe; `timeout` is over all of it. The connection ends by RST: it leaves no TIME_WAIT here, where
/// thousands of probes an hour would use up the ports.
///
/// # Errors
/// The probe did not succeed: see [`ProbeError`].
pub async fn probe(probe: &Probe, target: SocketAddr, timeout: Duration) -> Result<(), ProbeError> {
    let deadline = Instant::now() + timeout;
    let late = |stage| move |_| ProbeError::Timeout { timeout, stage };
    let stream = timeout_at(deadline, connect(target)).await.map_err(late(Stage::Connect))??;
    match probe {
        Probe::Tcp => Ok(()),
        Probe::Http { path, host, expect } => {
            let request = request(path, host.as_deref(), target)?;
            let status = timeout_at(deadline, ask(stream, request)).await.map_err(late(Stage::Answer))??;
            let (low, high) = *expect;
            if (low..=high).contains(&status) {
                Ok(())
            } else {
                Err(ProbeError::Status { status, low, high })
            }
        }
    }
}

async fn connect(target: SocketAddr) -> Result<TcpStream, ProbeError> {
    let stream = TcpStream::connect(target).await.map_err(blame)?;
    stream.set_zero_linger().map_err(ProbeError::NotMade)?;
    // On one box, a port that nobody listens on can connect to itself.
    if stream.local_addr().is_ok_and(|local| local == target) {
        return Err(ProbeError::Connect(io::ErrorKind::ConnectionRefused.into()));
    }
    Ok(stream)
}

/// Tells a refused connection from one that this box had no means to try.
fn blame(error: io::Error) -> ProbeError {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL) => {
            ProbeError::NotMade(error)
        }
        _ => ProbeError::Connect(error),
    }
}

fn request(path: &str, host: Option<&str>, target: SocketAddr) -> Result<Request<Empty<Bytes>>, ProbeError> {
    let host = host.map_or_else(|| target.to_string(), str::to_owned);
    Request::builder()
        .uri(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("vip/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| ProbeError::NotMade(io::Error::new(io::ErrorKind::InvalidInput, error)))
}

/// Sends the request and reads the head of the answer, nothing of its body; returns the status.
async fn ask(stream: TcpStream, request: Request<Empty<Bytes>>) -> Result<u16, ProbeError> {
    let no_answer = |error: hyper::Error| {
        let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        ProbeError::NoAnswer(format!("{error}{source}"))
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(no_answer)?;
    // The connection's own end is heard through the sender.
    let driven = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = sender.send_request(request) => Ok(answer.map_err(no_answer)?.status().as_u16()),
        never = driven => match never {},
    }
}

/// An I/O error without its number.
fn words(error: &io::Error) -> String {
    match error.kind() {
        // `ErrorKind` has no words for what it does not know, of which too many open files is one.
        kind if error.raw_os_error().is_some() && kind.to_string() != "uncategorized error" => {
            kind.to_string()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
