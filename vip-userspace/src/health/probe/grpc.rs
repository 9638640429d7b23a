//! Asks the gRPC health service (grpc/doc/health-checking.md) over HTTP/2. Its two messages have one field each, so they
//! are written and read by hand: a compiler of protocols would be more than what it compiles.

use std::convert::Infallible;

use bytes::Bytes;
use h2::{RecvStream, client};
use hyper::{HeaderMap, Method, Request, Response, Version, header};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Attempt, tls};
use crate::model::{Cause, Grpc, Stage};

/// Most bytes of headers that are read.
const MAX_HEAD: u32 = 16 * 1024;
/// Most bytes of an answer: it is a few of them long.
const MAX_ANSWER: usize = 4096;
/// Most characters of a message that are repeated.
const MAX_SAID: usize = 200;
/// `grpc.health.v1.HealthCheckResponse.ServingStatus`, by number.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

pub(super) async fn probe(attempt: Attempt<'_>, grpc: &Grpc) -> Result<(), Cause> {
    match &grpc.tls {
        None => ask(attempt, attempt.connect().await?, grpc).await,
        Some(tls) => {
            let stream = tls::connect(attempt, tls, grpc.host.as_deref(), Some(b"h2")).await?;
            ask(attempt, stream, grpc).await
        }
    }
}

async fn ask(
    attempt: Attempt<'_>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    grpc: &Grpc,
) -> Result<(), Cause> {
    let asked = async {
        let mut builder = client::Builder::new();
        builder.max_header_list_size(MAX_HEAD).enable_push(false);
        let (sender, connection) =
            builder.handshake::<_, Bytes>(stream).await.map_err(|error| no_answer(&error))?;
        // The connection's own end is heard through the call.
        let driven = async {
            let _ = connection.await;
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            result = call(attempt, sender, grpc) => result,
            never = driven => match never {},
        }
    };
    attempt.within(Stage::Answer, asked).await
}

async fn call(attempt: Attempt<'_>, sender: client::SendRequest<Bytes>, grpc: &Grpc) -> Result<(), Cause> {
    let failed = |error: h2::Error| no_answer(&error);
    let mut sender = sender.ready().await.map_err(failed)?;
    let (answer, mut body) = sender.send_request(request(attempt, grpc)?, false).map_err(failed)?;
    body.send_data(message(&grpc.service), true).map_err(failed)?;
    let answer = answer.await.map_err(failed)?;
    is_grpc(&answer)?;
    let (head, mut body) = answer.into_parts();
    let data = read(&mut body).await?;
    // An answer without a message has no trailers: the head has what would be in them.
    let trailers = body.trailers().await.map_err(failed)?;
    succeeded(trailers.as_ref().unwrap_or(&head.headers))?;
    match health(&data)? {
        1 => Ok(()),
        other => {
            let name = usize::try_from(other).ok().and_then(|number| STATUSES.get(number));
            Err(Cause::GrpcHealth { got: name.map_or_else(|| other.to_string(), ToString::to_string) })
        }
    }
}

fn request(attempt: Attempt<'_>, grpc: &Grpc) -> Result<Request<()>, Cause> {
    let scheme = if grpc.tls.is_some() { "https" } else { "http" };
    let host = grpc.host.clone().unwrap_or_else(|| attempt.target.address.to_string());
    Request::builder()
        .method(Method::POST)
        .uri(format!("{scheme}://{host}/grpc.health.v1.Health/Check"))
        .version(Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, concat!("vip/", env!("CARGO_PKG_VERSION")))
        .body(())
        .map_err(|error| Cause::NotMade { said: error.to_string() })
}

fn is_grpc(answer: &Response<RecvStream>) -> Result<(), Cause> {
    let kind = answer.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    match (answer.status().as_u16(), kind.starts_with(b"application/grpc")) {
        (200, true) => Ok(()),
        (200, false) => Err(no_answer(&format!("its content type is {:?}", String::from_utf8_lossy(kind)))),
        (status, _) => Err(no_answer(&format!("HTTP status {status}"))),
    }
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, Cause> {
    let mut read = Vec::new();
    while let Some(data) = body.data().await {
        read.extend_from_slice(&data.map_err(|error| no_answer(&error))?);
        if read.len() > MAX_ANSWER {
            return Err(no_answer(&format!("it has more than {MAX_ANSWER} bytes")));
        }
    }
    Ok(read)
}

/// Reads the status of the call (grpc/doc/PROTOCOL-HTTP2.md).
fn succeeded(trailers: &HeaderMap) -> Result<(), Cause> {
    let text = |key| trailers.get(key).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let Some(status) = text("grpc-status") else { return Err(no_answer(&"it has no grpc-status")) };
    match status.parse() {
        Ok(0) => Ok(()),
        Ok(got) => {
            let said = text("grpc-message").unwrap_or_default().chars().take(MAX_SAID).collect();
            Err(Cause::GrpcStatus { got, said })
        }
        Err(_) => Err(no_answer(&format!("its grpc-status is {status:?}"))),
    }
}

/// `HealthCheckRequest { service }`, of at most 127 bytes, as a message of a call.
fn message(service: &str) -> Bytes {
    let mut text = Vec::new();
    if let Some(length) = u8::try_from(service.len()).ok().filter(|length| *length > 0) {
        text.extend([0x0a, length]);
        text.extend(service.as_bytes());
    }
    let length = u32::try_from(text.len()).unwrap_or_default().to_be_bytes();
    [&[0], &length[..], &text].concat().into()
}

/// The field `status` of a `HealthCheckResponse`, 0 if it has none.
fn health(data: &[u8]) -> Result<u64, Cause> {
    let broken = || no_answer(&"its message is broken");
    let [0, a, b, c, d, message @ ..] = data else { return Err(broken()) };
    let (mut rest, mut health) = (message, 0);
    if u32::from_be_bytes([*a, *b, *c, *d]) as usize != message.len() {
        return Err(broken());
    }
    while !rest.is_empty() {
        let key = varint(&mut rest).ok_or_else(broken)?;
        let skipped = match key & 7 {
            0 => {
                let value = varint(&mut rest).ok_or_else(broken)?;
                health = if key >> 3 == 1 { value } else { health };
                0
            }
            1 => 8,
            2 => varint(&mut rest).and_then(|length| usize::try_from(length).ok()).ok_or_else(broken)?,
            5 => 4,
            _ => return Err(broken()),
        };
        rest = rest.get(skipped..).ok_or_else(broken)?;
    }
    Ok(health)
}

/// A whole number as protobuf writes it: seven bits a byte, the lowest first.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let length = rest.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (bytes, after) = rest.split_at(length);
    *rest = after;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)))
}

fn no_answer(error: &impl ToString) -> Cause {
    Cause::NoGrpcAnswer { said: error.to_string() }
}
