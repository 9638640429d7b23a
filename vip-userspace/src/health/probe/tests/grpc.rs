//! The gRPC health service of real HTTP/2 servers, good ones and bad ones.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::server;
use hyper::{HeaderMap, Response};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::{LONG, SHORT, tls::Authority};
use crate::{
    health::{Path, probe},
    model::{Cause, Grpc, Probe},
};

/// What a server answers with.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    kind: &'static str,
    message: &'static [u8],
    /// `grpc-status` and `grpc-message`, in trailers; or in the head, without a message.
    ends: Option<(&'static str, &'static str)>,
    /// The message comes again and again.
    goes_on: bool,
}

const SERVING: Answer = Answer {
    status: 200,
    kind: "application/grpc+proto",
    message: &[0, 0, 0, 0, 2, 0x08, 1],
    ends: Some(("0", "")),
    goes_on: false,
};

/// Answers one call on the stream; returns its path and what was sent along.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Answer,
) -> Result<(String, Vec<u8>), h2::Error> {
    let mut connection = server::handshake(stream).await?;
    let (request, mut respond) = connection.accept().await.expect("a call")?;
    let path = request.uri().to_string();
    let answered = async move {
        let mut body = request.into_body();
        let mut asked = Vec::new();
        while let Some(data) = body.data().await {
            asked.extend_from_slice(&data?);
        }
        let head = Response::builder().status(answer.status).header("content-type", answer.kind);
        let trailers = answer.ends.map(|(status, message)| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status.parse().expect("a value"));
            trailers.insert("grpc-message", message.parse().expect("a value"));
            trailers
        });
        let mut head = head.body(()).expect("an answer");
        if answer.message.is_empty() {
            head.headers_mut().extend(trailers.unwrap_or_default());
            respond.send_response(head, true)?;
            return Ok::<_, h2::Error>(asked);
        }
        let mut sender = respond.send_response(head, false)?;
        sender.send_data(Bytes::from_static(answer.message), false)?;
        if answer.goes_on {
            loop {
                sender.reserve_capacity(answer.message.len());
                std::future::poll_fn(|context| sender.poll_capacity(context)).await.expect("room")?;
                sender.send_data(Bytes::from_static(answer.message), false)?;
                tokio::task::yield_now().await;
            }
        }
        match trailers {
            Some(trailers) => sender.send_trailers(trailers)?,
            None => sender.send_data(Bytes::new(), true)?,
        }
        Ok(asked)
    };
    let mut answered = std::pin::pin!(answered);
    let mut asked = None;
    loop {
        tokio::select! {
            result = &mut answered, if asked.is_none() => asked = Some(result?),
            more = connection.accept() => if !matches!(more, Some(Ok(_))) {
                // The client is gone.
                return Ok((path, asked.unwrap_or_default()));
            },
        }
    }
}

/// A server of one call, with TLS or without; what it was asked comes by the channel.
async fn start(
    answer: Answer,
    tls: Option<TlsAcceptor>,
) -> (SocketAddr, mpsc::UnboundedReceiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (sender, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let served = match tls {
            Some(tls) => serve(tls.accept(stream).await.expect("a handshake"), answer).await,
            None => serve(stream, answer).await,
        };
        if let Ok(served) = served {
            let _ = sender.send(served);
        }
    });
    (address, asked)
}

async fn tried(grpc: &Grpc, address: SocketAddr, timeout: Duration) -> Result<(), Cause> {
    probe(&Probe::Grpc(grpc.clone()), address, &Path::Routed, timeout).await
}

async fn said(answer: Answer) -> String {
    let (address, _asked) = start(answer, None).await;
    tried(&Grpc::default(), address, LONG).await.expect_err("a failure").to_string()
}

#[tokio::test]
async fn a_server_that_serves_is_up() {
    let (address, mut asked) = start(SERVING, None).await;
    assert_eq!(tried(&Grpc::default(), address, LONG).await, Ok(()));
    let (uri, message) = asked.recv().await.expect("a call");
    assert_eq!(uri, format!("http://{address}/grpc.health.v1.Health/Check"));
    assert_eq!(message, [0; 5], "the server as a whole has no name");

    let authority = Authority::new();
    let mut config = authority.server(&["a.example"], |_| {});
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (address, mut asked) = start(SERVING, Some(TlsAcceptor::from(Arc::new(config)))).await;
    let tls = Some(authority.trusted("a.example"));
    let grpc = Grpc { service: "shop.Cart".to_owned(), host: Some("a.example".to_owned()), tls };
    assert_eq!(tried(&grpc, address, LONG).await, Ok(()));
    let (uri, message) = asked.recv().await.expect("a call");
    assert_eq!(uri, "https://a.example/grpc.health.v1.Health/Check");
    assert_eq!(message, b"\0\0\0\0\x0b\x0a\x09shop.Cart");
}

#[tokio::test]
async fn a_server_that_says_something_else_is_not() {
    let message = |message| Answer { message, ..SERVING };
    for (answer, words) in [
        (message(&[0, 0, 0, 0, 2, 8, 2]), "gRPC health is NOT_SERVING, expected SERVING"),
        (message(&[0, 0, 0, 0, 0]), "gRPC health is UNKNOWN, expected SERVING"),
        (message(&[0, 0, 0, 0, 3, 8, 0x80, 1]), "gRPC health is 128, expected SERVING"),
        // Fields of a newer version are passed over.
        (
            message(&[0, 0, 0, 0, 9, 0x12, 2, 8, 1, 0x1d, 1, 2, 3, 4]),
            "gRPC health is UNKNOWN, expected SERVING",
        ),
        (message(&[0, 0, 0, 0, 9, 8, 1]), "no gRPC answer: its message is broken"),
        (message(&[1, 0, 0, 0, 2, 8, 1]), "no gRPC answer: its message is broken"),
        (message(&[0, 0, 0, 0, 2, 8, 0x81]), "no gRPC answer: its message is broken"),
        (message(&[0, 0, 0, 0, 2, 0x12, 100]), "no gRPC answer: its message is broken"),
        (Answer { ends: None, ..SERVING }, "no gRPC answer: it has no grpc-status"),
        (Answer { ends: Some(("fine", "")), ..SERVING }, "no gRPC answer: its grpc-status is \"fine\""),
        (
            Answer { message: &[], ends: Some(("5", "unknown service")), ..SERVING },
            "gRPC status 5: unknown service",
        ),
        (Answer { ends: Some(("14", "")), ..SERVING }, "gRPC status 14"),
        (Answer { status: 404, ..SERVING }, "no gRPC answer: HTTP status 404"),
        (Answer { kind: "text/html", ..SERVING }, "no gRPC answer: its content type is \"text/html\""),
        (
            Answer { message: &[0; 2048], goes_on: true, ..SERVING },
            "no gRPC answer: it has more than 4096 bytes",
        ),
    ] {
        assert_eq!(said(answer).await, words);
    }
}

#[tokio::test]
async fn a_server_of_something_else_gives_no_answer_or_is_late() {
    for (text, words) in
        [("HTTP/1.1 400 Bad Request\r\n\r\n", "no gRPC answer: "), ("", "timed out after 50 ms")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.write_all(text.as_bytes()).await.expect("sent");
            while stream.read_u8().await.is_ok() {}
        });
        let timeout = if text.is_empty() { SHORT[0] } else { LONG };
        let cause = tried(&Grpc::default(), address, timeout).await.expect_err("no answer").to_string();
        assert!(cause.starts_with(words), "{cause}");
        // Nothing of a probe outlives it.
        serving.await.expect("the connection ends with the probe");
    }
}
