//! An HTTP/1.1 request, and what its answer says of a member.

use std::{convert::Infallible, error::Error as _};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Attempt, tls};
use crate::model::{Cause, Http, Stage};

/// Most bytes of an answer's head that are read: a server may send for ever.
const MAX_HEAD: usize = 16 * 1024;

pub(super) async fn probe(attempt: Attempt<'_>, http: &Http) -> Result<(), Cause> {
    match &http.tls {
        None => ask(attempt, attempt.connect().await?, http).await,
        Some(tls) => {
            let stream = tls::connect(attempt, tls, http.host.as_deref(), Some(b"http/1.1")).await?;
            ask(attempt, stream, http).await
        }
    }
}

/// Sends the request and reads the head of the answer, and of its body no more than it takes.
async fn ask(
    attempt: Attempt<'_>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    http: &Http,
) -> Result<(), Cause> {
    let request = request(attempt, http)?;
    let connected = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream));
    let (mut sender, connection) = connected.await.map_err(|error| no_answer(&error))?;
    // The connection's own end is heard through the sender.
    let driven = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    let asked = async {
        let sent = async { sender.send_request(request).await.map_err(|error| no_answer(&error)) };
        let answer = attempt.within(Stage::Answer, sent).await?;
        let (got, (low, high)) = (answer.status().as_u16(), http.expect);
        if !(low..=high).contains(&got) {
            return Err(Cause::HttpStatus { got, low, high });
        }
        match &http.body {
            Some(text) => attempt.within(Stage::Body, find(answer, text)).await,
            None => Ok(()),
        }
    };
    tokio::select! {
        result = asked => result,
        never = driven => match never {},
    }
}

fn request(attempt: Attempt<'_>, http: &Http) -> Result<Request<Empty<Bytes>>, Cause> {
    let host = http.host.clone().unwrap_or_else(|| attempt.target.address.to_string());
    Request::builder()
        .method(http.method.word())
        .uri(&http.path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("vip/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| Cause::NotMade { said: error.to_string() })
}

/// Looks for the text at the start of the body.
async fn find(answer: Response<Incoming>, text: &str) -> Result<(), Cause> {
    let (mut body, mut read) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|error| no_answer(&error))?.into_data().unwrap_or_default();
        // It may have begun in what came before.
        let from = read.len().saturating_sub(text.len());
        read.extend_from_slice(&data[..data.len().min(Http::MAX_BODY - read.len())]);
        if read[from..].windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok(());
        }
        if read.len() == Http::MAX_BODY {
            break;
        }
    }
    Err(Cause::BodyLacksText { text: text.to_owned(), read: read.len() })
}

fn no_answer(error: &hyper::Error) -> Cause {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    Cause::NoHttpAnswer { said: format!("{error}{source}") }
}
