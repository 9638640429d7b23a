//! An HTTP/1.1 request, and what its answer says of a member.

use std::{convert::Infallible, error::Error as _};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Attempt;
use crate::model::{Cause, Stage};

/// Most bytes of an answer's head that are read: a server may send for ever.
const MAX_HEAD: usize = 16 * 1024;

pub(super) async fn probe(
    attempt: Attempt<'_>,
    path: &str,
    host: Option<&str>,
    (low, high): (u16, u16),
) -> Result<(), Cause> {
    let stream = attempt.connect().await?;
    let host = host.map_or_else(|| attempt.target.address.to_string(), str::to_owned);
    let request = Request::builder()
        .uri(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("vip/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| Cause::NotMade { said: error.to_string() })?;
    let got = attempt.within(Stage::Answer, ask(stream, request)).await?;
    if (low..=high).contains(&got) { Ok(()) } else { Err(Cause::HttpStatus { got, low, high }) }
}

/// Sends the request and reads the head of the answer, nothing of its body; returns the status.
async fn ask(stream: TcpStream, request: Request<Empty<Bytes>>) -> Result<u16, Cause> {
    let no_answer = |error: hyper::Error| {
        let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        Cause::NoHttpAnswer { said: format!("{error}{source}") }
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
