//! One TCP connection that asks for a page, again and again. It decides when an answer is one, and what went wrong
//! otherwise; it does not know why it asks.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{self, Connection, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpSocket, TcpStream},
    select,
    time::{Instant, timeout_at},
};

/// Why a request got no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Nothing came in time.
    Timeout,
    /// A reset in answer to the SYN.
    Refused,
    /// A reset of an established connection, or its end amid an answer.
    Reset,
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Timeout => "no answer",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Other(words) => words,
        })
    }
}

/// A port of this host that a connection will come from: known before there is an answer, and even if there is none.
pub(super) struct Source {
    socket: TcpSocket,
    pub(super) port: u16,
}

impl Source {
    pub(super) fn new(server: SocketAddr) -> io::Result<Self> {
        let (socket, any) = match server {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, Ipv4Addr::UNSPECIFIED.into()),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, Ipv6Addr::UNSPECIFIED.into()),
        };
        socket.bind(SocketAddr::new(any, 0))?;
        let port = socket.local_addr()?.port();
        Ok(Self { socket, port })
    }
}

/// An open connection.
pub(super) struct Http {
    sender: SendRequest<Empty<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Empty<Bytes>>>>,
    server: SocketAddr,
}

impl Http {
    pub(super) async fn open(source: Source, server: SocketAddr, until: Instant) -> Result<Self, Failure> {
        let connected = timeout_at(until, source.socket.connect(server)).await;
        let stream = connected.map_err(|_| Failure::Timeout)?.map_err(|error| failure(&error))?;
        stream.set_nodelay(true).map_err(|error| failure(&error))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failure(&error))?;
        Ok(Self { sender, connection: Box::pin(connection), server })
    }

    /// Asks, and returns the name of the backend that answered.
    pub(super) async fn ask(&mut self, until: Instant) -> Result<String, Failure> {
        let request = Request::get("/")
            .header(header::HOST, self.server.to_string())
            .body(Empty::new())
            .map_err(|error| Failure::Other(error.to_string()))?;
        let answer = read(self.sender.send_request(request));
        let exchange = async {
            select! {
                answer = answer => answer,
                // While it lasts, the connection carries the exchange; an end comes too early.
                ended = &mut self.connection => Err(ended.map_or_else(|error| failure(&error), |()| Failure::Reset)),
            }
        };
        timeout_at(until, exchange).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Waits; fails if the connection ends meanwhile.
    pub(super) async fn idle(&mut self, until: Instant) -> Result<(), Failure> {
        match timeout_at(until, &mut self.connection).await {
            Err(_) => Ok(()),
            Ok(ended) => Err(ended.map_or_else(|error| failure(&error), |()| Failure::Reset)),
        }
    }
}

async fn read(
    response: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>,
) -> Result<String, Failure> {
    let response = response.await.map_err(|error| failure(&error))?;
    if response.status() != StatusCode::OK {
        return Err(Failure::Other(format!("status {}", response.status())));
    }
    let body = response.into_body().collect().await.map_err(|error| failure(&error))?.to_bytes();
    Ok(String::from_utf8_lossy(&body).trim_end().to_owned())
}

/// What an error means, by the first of its causes that the kernel named.
fn failure(error: &(dyn Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.kind() {
                ErrorKind::TimedOut => return Failure::Timeout,
                ErrorKind::ConnectionRefused => return Failure::Refused,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                    return Failure::Reset;
                }
                _ => {}
            }
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return Failure::Reset;
        }
        cause = error.source();
    }
    Failure::Other(error.to_string())
}

/// A moment after now.
pub(super) fn within(time: Duration) -> Instant {
    Instant::now() + time
}
