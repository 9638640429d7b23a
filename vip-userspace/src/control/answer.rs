//! From an HTTP request to its answer: its route, whether its caller may, what the controller says, all in JSON. It decides
//! nothing, and knows no connection.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::{Frame, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast, broadcast::error::RecvError, mpsc, oneshot},
    time::timeout,
};

use super::{
    Answer, Code, Refused, Request, Wanted,
    events::now,
    openapi,
    protocol::{Caller, ErrorBody, Event, News, Peer, TraceLine, TraceRequest},
    routes::{self, Asked, Call, MAX_BODY, Route, bad_request},
    server::Desk,
};

/// Traced packets that wait for a client to read them.
const TRACED_LINES: usize = 1024;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One connection: what it may, and what it does.
pub(super) struct Conversation {
    pub(super) desk: Arc<Desk>,
    /// `None` if the kernel does not say who it is.
    pub(super) peer: Option<Peer>,
    /// It follows the changes: there is no end to its answer.
    pub(super) follows: Arc<AtomicBool>,
}

impl Conversation {
    pub(super) async fn answer(
        &self,
        request: hyper::Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let found = routes::find(head.method.as_str(), head.uri.path());
        let most = found.as_ref().ok().and_then(|(route, _)| route.body).map_or(MAX_BODY, |(_, most)| most);
        // Read in any case: a Unix socket closed with unread bytes in it is reset, and its client would not see the answer.
        let body = self.whole(body, most).await;
        let answer = match found {
            Ok((route, name)) => self.of_route(route, name, head.uri.query().unwrap_or_default(), body).await,
            Err((refused, allowed)) => {
                let mut response = refusal(refused);
                if let Ok(allowed) = HeaderValue::from_str(&allowed)
                    && !allowed.is_empty()
                {
                    response.headers_mut().insert(ALLOW, allowed);
                }
                return Ok(response);
            }
        };
        Ok(answer.unwrap_or_else(refusal))
    }

    async fn of_route(
        &self,
        route: &Route,
        name: String,
        query: &str,
        body: Result<Vec<u8>, Refused>,
    ) -> Result<Response<Body>, Refused> {
        let strange = || Refused::new(Code::NotPermitted, "the kernel does not say who asks");
        let peer = self.peer.as_ref().ok_or_else(strange)?;
        self.desk.rules.borrow().permit(peer, route.right)?;
        let asked = Asked { name, service: parameter(query, route.by_service)?, body: body? };
        match &route.call {
            Call::Controller(wanted, told) => {
                let answer = self.ask(wanted(&asked)?, peer.caller, None).await?;
                let text = told(&asked, answer).ok_or_else(|| {
                    Refused::new(Code::Failed, "the controller's answer is not one to this question")
                })?;
                Ok(json(StatusCode::OK, text))
            }
            Call::Description => Ok(json(StatusCode::OK, openapi::text().to_owned())),
            Call::Events => self.follow(),
            Call::Trace => self.trace(asked.body()?, peer.caller).await,
        }
    }

    async fn ask(
        &self,
        what: Wanted,
        caller: Caller,
        lines: Option<mpsc::Sender<TraceLine>>,
    ) -> Result<Answer, Refused> {
        let ending = || Refused::new(Code::Ending, "the controller is ending");
        let (answer, answered) = oneshot::channel();
        let limit = self.desk.limits.answer;
        let answer = timeout(limit, async {
            let request = Request { what, caller, answer, lines };
            self.desk.requests.send(request).await.map_err(|_| ending())?;
            answered.await.map_err(|_| ending())?
        });
        answer.await.unwrap_or_else(|_| {
            Err(Refused::new(Code::Timeout, format!("the controller did not answer in {limit:?}"))
                .with_remedy("the change may still take effect: see `vip status`"))
        })
    }

    /// All changes from now on.
    fn follow(&self) -> Result<Response<Body>, Refused> {
        let place = self.place()?;
        let lines = stream::unfold(Some((self.desk.events.resubscribe(), place)), next_line);
        Ok(self.line_by_line(lines))
    }

    /// Live packets from now on.
    async fn trace(&self, request: TraceRequest, caller: Caller) -> Result<Response<Body>, Refused> {
        let place = self.place()?;
        let (lines, told) = mpsc::channel(TRACED_LINES);
        self.ask(Wanted::Trace(Box::new(request)), caller, Some(lines)).await?;
        let lines = stream::unfold((told, place), async |(mut told, place)| {
            let line = told.recv().await?;
            Some((Ok(Frame::data(line_of(&line))), (told, place)))
        });
        Ok(self.line_by_line(lines))
    }

    /// A place among those whose answers have no end.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refused> {
        Arc::clone(&self.desk.places).try_acquire_owned().map_err(|_| {
            let message = format!("{} follow changes or packets already", self.desk.limits.followers);
            Refused::new(Code::TooMany, message).with_remedy("end one of them, and ask again")
        })
    }

    fn line_by_line(
        &self,
        lines: impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static,
    ) -> Response<Body> {
        self.follows.store(true, Ordering::Relaxed);
        let mut response = Response::new(StreamBody::new(lines).boxed_unsync());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        response
    }

    /// Reads a body to its end, even one that is too long.
    async fn whole(&self, mut body: Incoming, most: usize) -> Result<Vec<u8>, Refused> {
        let limit = self.desk.limits.body;
        let read = async {
            let (mut bytes, mut length) = (Vec::new(), 0_usize);
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| bad_request(format!("the body: {error}")))?;
                let data = frame.data_ref().map_or(&[][..], |data| data);
                length = length.saturating_add(data.len());
                if length <= most {
                    bytes.extend_from_slice(data);
                }
            }
            if length > most {
                return Err(Refused::new(Code::TooLong, format!("the body is longer than {most} bytes")));
            }
            Ok(bytes)
        };
        timeout(limit, read)
            .await
            .unwrap_or_else(|_| Err(bad_request(format!("the body did not arrive in {limit:?}"))))
    }
}

type Following = Option<(broadcast::Receiver<Event>, OwnedSemaphorePermit)>;

/// The next line of somebody who follows; the last one says what was missed, if anything was.
async fn next_line(following: Following) -> Option<(Result<Frame<Bytes>, Infallible>, Following)> {
    let (mut events, place) = following?;
    let (event, then) = match events.recv().await {
        Ok(event) => (event, Some((events, place))),
        Err(RecvError::Closed) => return None,
        Err(RecvError::Lagged(missed)) => {
            let words =
                format!("{missed} changes were missed, for they were not read fast enough: this is the end");
            (Event { unix_ms: now(), news: News::Lagged { missed }, words }, None)
        }
    };
    Some((Ok(Frame::data(line_of(&event))), then))
}

fn line_of(told: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_string(told).unwrap_or_default() + "\n")
}

/// The parameter `service`, where it may be given; there is no other one.
fn parameter(query: &str, by_service: bool) -> Result<Option<String>, Refused> {
    let mut service = None;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*key, by_service) {
            ("service", true) if service.is_none() => service = Some(value.into_owned()),
            ("service", true) => return Err(bad_request("the parameter service is given twice".to_owned())),
            (other, true) => {
                return Err(bad_request(format!("unknown parameter {other:?}: there is `service`")));
            }
            (other, false) => {
                return Err(bad_request(format!("unknown parameter {other:?}: this path takes none")));
            }
        }
    }
    Ok(service)
}

fn refusal(error: Refused) -> Response<Body> {
    let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, serde_json::to_string(&ErrorBody { error }).unwrap_or_default())
}

fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text + "\n")).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
