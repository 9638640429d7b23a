//! The client's end of the control socket. It says what the controller answered, or that there is none.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, time::timeout};

use super::{
    Code, Command, Query, Refused, Status,
    protocol::{
        BackendDrain, ConfigText, DiffRequest, Differences, Done, ErrorBody, Event, HttpRequest, News,
        TraceLine, TraceRequest,
    },
};
use crate::model::BackendName;

/// Time for an answer: longer than the server's own limit.
const TIMEOUT: Duration = Duration::from_secs(40);
/// Bytes of the longest answer.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// Somebody who talks to the controller behind a socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the controller that listens on `socket`. Nothing is opened yet.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Asks for a change; it has taken effect when this returns.
    ///
    /// # Errors
    /// It is refused, or there is no controller ([`Code::NoController`]).
    pub async fn command(&self, command: &Command) -> Result<(), Refused> {
        let Done { .. } = self.ask(command.into()).await?;
        Ok(())
    }

    /// Asks for all that is known.
    ///
    /// # Errors
    /// As for [`Self::command`].
    pub async fn status(&self) -> Result<Status, Refused> {
        self.ask((&Query::Status).into()).await
    }

    /// Asks for what runs, as the text of a configuration without its seed.
    ///
    /// # Errors
    /// As for [`Self::command`].
    pub async fn config(&self) -> Result<String, Refused> {
        let ConfigText { config } = self.ask((&Query::Config).into()).await?;
        Ok(config)
    }

    /// Asks what a reload would change.
    ///
    /// # Errors
    /// As for [`Self::command`], and whatever would refuse the reload.
    pub async fn diff(&self, request: DiffRequest) -> Result<Differences, Refused> {
        self.ask((&Query::Diff(request)).into()).await
    }

    /// Asks for a [`Command::Reload`], and tells what it changed.
    ///
    /// # Errors
    /// As for [`Self::command`]; nothing has changed then.
    pub async fn reload(&self, force: bool, reset: bool) -> Result<Differences, Refused> {
        self.ask((&Command::Reload { force, reset }).into()).await
    }

    /// Asks how far the drain of a backend is.
    ///
    /// # Errors
    /// As for [`Self::command`].
    pub async fn drain(&self, backend: &BackendName) -> Result<BackendDrain, Refused> {
        self.ask((&Query::Drain { backend: backend.clone() }).into()).await
    }

    /// Hands each change from now on to `each`, until that returns false.
    ///
    /// # Errors
    /// As for [`Self::command`]; changes were missed ([`Code::Lagged`]), or the controller ends ([`Code::Ending`]).
    pub async fn follow(&self, mut each: impl FnMut(Event) -> bool) -> Result<(), Refused> {
        let told = |event: Event| {
            let missed = matches!(event.news, News::Lagged { .. }).then(|| event.words.clone());
            match missed {
                _ if !each(event) => Some(Ok(())),
                Some(words) => Some(Err(Refused::new(Code::Lagged, words))),
                None => None,
            }
        };
        self.lines(HttpRequest::events(), told).await
    }

    /// Hands each live packet that is asked for to `each`, and then how the trace ended, until that returns false.
    ///
    /// # Errors
    /// As for [`Self::command`]; somebody traces already ([`Code::TraceRuns`]), or the controller has ended without a word
    /// ([`Code::Ending`]).
    pub async fn trace(
        &self,
        request: &TraceRequest,
        mut each: impl FnMut(TraceLine) -> bool,
    ) -> Result<(), Refused> {
        self.lines(HttpRequest::trace(request), |line| (!each(line)).then_some(Ok(()))).await
    }

    /// Ends the trace that goes on, whoever began it.
    ///
    /// # Errors
    /// As for [`Self::command`]; nobody traces ([`Code::NoTrace`]).
    pub async fn end_trace(&self) -> Result<(), Refused> {
        let Done { .. } = self.ask(HttpRequest::end_trace()).await?;
        Ok(())
    }

    /// Hands each line of an answer to `each`, until that says what came of it.
    async fn lines<T: DeserializeOwned>(
        &self,
        request: HttpRequest,
        mut each: impl FnMut(T) -> Option<Result<(), Refused>>,
    ) -> Result<(), Refused> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let broken = |error: hyper::Error| {
            let socket = self.socket.display();
            Refused::new(Code::Failed, format!("talk to the controller at {socket}: {error}"))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let talk = async {
            let request = http(request).map_err(|error| Refused::new(Code::Failed, error.to_string()))?;
            let mut answer = sender.send_request(request).await.map_err(broken)?;
            let ok = answer.status().is_success();
            let mut unread = Vec::new();
            while let Some(frame) = answer.body_mut().frame().await {
                let frame = frame.map_err(|_| ended())?;
                unread.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                    let line = Bytes::from(unread.drain(..=end).collect::<Vec<_>>());
                    if let Some(result) = each(read(&Reply { ok, body: line })?) {
                        return result;
                    }
                }
            }
            Err(ended())
        };
        tokio::pin!(talk);
        tokio::select! {
            told = &mut talk => told,
            // What came before the end is told nevertheless.
            _ = connection => talk.await,
        }
    }

    async fn ask<T: DeserializeOwned>(&self, request: HttpRequest) -> Result<T, Refused> {
        let socket = self.socket.display();
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        match timeout(TIMEOUT, converse(stream, request)).await {
            Ok(Ok(answer)) => read(&answer),
            Ok(Err(error)) => {
                Err(Refused::new(Code::Failed, format!("talk to the controller at {socket}: {error:#}")))
            }
            Err(_) => {
                let message = format!("the controller at {socket} did not answer in {TIMEOUT:?}");
                Err(Refused::new(Code::Timeout, message))
            }
        }
    }

    fn unreachable(&self, error: &io::Error) -> Refused {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Refused::new(Code::NoController, format!("no controller listens on {socket}"))
                    .with_remedy("start it with `vip run --config FILE`, or name another --instance")
            }
            io::ErrorKind::PermissionDenied => {
                Refused::new(Code::NotAllowed, format!("connect to {socket}: {error}"))
                    .with_remedy("run it as root, or as a member of the socket's group")
            }
            _ => Refused::new(Code::Failed, format!("connect to {socket}: {error}")),
        }
    }
}

/// Nothing more comes, whether it said so or not.
fn ended() -> Refused {
    Refused::new(Code::Ending, "the controller has ended")
}

struct Reply {
    ok: bool,
    body: Bytes,
}

async fn converse(stream: UnixStream, request: HttpRequest) -> anyhow::Result<Reply> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = http(request)?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let ok = response.status().is_success();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        anyhow::Ok(Reply { ok, body: body.map_err(anyhow::Error::from_boxed)?.to_bytes() })
    };
    tokio::pin!(exchange);
    tokio::select! {
        reply = &mut exchange => reply,
        // The answer may be complete although the connection has ended.
        ended = connection => { ended?; exchange.await }
    }
}

fn http(request: HttpRequest) -> hyper::http::Result<Request<Full<Bytes>>> {
    let body = request.body.map(|body| body.to_string()).unwrap_or_default();
    Request::builder()
        .method(request.method)
        .uri(request.path)
        .header(header::HOST, "vip")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
}

fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, Refused> {
    let strange =
        |error| Refused::new(Code::Failed, format!("the controller's answer is no known one: {error}"));
    if reply.ok {
        return serde_json::from_slice(&reply.body).map_err(strange);
    }
    let ErrorBody { error } = serde_json::from_slice(&reply.body).map_err(strange)?;
    Err(error)
}
