//! What is behind each path of the control socket: requests become commands and queries, answers become JSON.
//! It knows no connection, and decides nothing.

use std::{str::FromStr, time::Duration};

use axum::{
    Router,
    extract::{FromRequest, FromRequestParts, Path, Query as Parameters, State},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Answer, Code, Command, Query, Refused, Request, Status, Wanted,
    protocol::{
        AddBackend, BackendDrain, ConfigText, DiffRequest, Done, ReloadRequest, SetAdmin, SetMaintenance,
        SetWeight,
    },
};
use crate::model::{BackendName, Service, ServiceName};

/// Bytes of the longest body.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of the longest body that holds a configuration.
const MAX_CONFIG: usize = 16 * 1024 * 1024;
/// Time for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the controller's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

type Requests = State<mpsc::Sender<Request>>;
type Reply = Result<Response, Failure>;

pub(super) fn router(requests: mpsc::Sender<Request>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/services", get(services).post(add_service))
        .route("/v1/services/{name}", delete(remove_service))
        .route("/v1/backends", get(backends).post(add_backend))
        .route("/v1/backends/{name}", delete(remove_backend))
        .route("/v1/backends/{name}/admin", put(set_admin))
        .route("/v1/backends/{name}/weight", put(set_weight))
        .route("/v1/config", get(config))
        .route("/v1/diff", post(diff))
        .route("/v1/reload", post(reload))
        .route("/v1/backends/{name}/maintenance", put(set_maintenance))
        .route("/v1/backends/{name}/drain", get(drain))
        .route("/v1/detach", post(detach))
        .fallback(async || Failure(Refused::new(Code::NoSuchPath, "there is no such path")))
        .method_not_allowed_fallback(async || {
            Failure(Refused::new(Code::MethodNotAllowed, "the path is not for this method"))
        })
        .with_state(requests)
}

async fn status(State(requests): Requests) -> Reply {
    Ok(json(StatusCode::OK, &known(&requests).await?))
}

async fn services(State(requests): Requests) -> Reply {
    Ok(json(StatusCode::OK, &json!({ "services": known(&requests).await?.services })))
}

async fn backends(State(requests): Requests) -> Reply {
    Ok(json(StatusCode::OK, &json!({ "backends": known(&requests).await?.backends })))
}

async fn add_service(State(requests): Requests, Body(service): Body<Service>) -> Reply {
    carry_out(&requests, Command::AddService { service: Box::new(service) }).await
}

async fn remove_service(State(requests): Requests, Named(name): Named<ServiceName>) -> Reply {
    carry_out(&requests, Command::RemoveService { name }).await
}

async fn add_backend(State(requests): Requests, Body(body): Body<AddBackend>) -> Reply {
    let AddBackend { backend, services } = body;
    carry_out(&requests, Command::AddBackend { backend, services }).await
}

/// The parameters of a path that can be about one service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Only {
    service: Option<ServiceName>,
}

async fn remove_backend(
    State(requests): Requests,
    Named(name): Named<BackendName>,
    Checked(Parameters(Only { service })): Checked<Parameters<Only>>,
) -> Reply {
    carry_out(&requests, Command::RemoveBackend { name, service }).await
}

async fn set_admin(
    State(requests): Requests,
    Named(backend): Named<BackendName>,
    Body(SetAdmin { service, admin, timeout }): Body<SetAdmin>,
) -> Reply {
    carry_out(&requests, Command::SetAdmin { backend, service, admin, timeout }).await
}

async fn set_maintenance(
    State(requests): Requests,
    Named(backend): Named<BackendName>,
    Body(SetMaintenance { maintenance, timeout }): Body<SetMaintenance>,
) -> Reply {
    carry_out(&requests, Command::SetMaintenance { backend, maintenance, timeout }).await
}

async fn drain(State(requests): Requests, Named(backend): Named<BackendName>) -> Reply {
    match ask(&requests, Wanted::Query(Query::Drain { backend: backend.clone() })).await? {
        Answer::Drain(members) => Ok(json(StatusCode::OK, &BackendDrain { backend, members })),
        _ => Err(Failure(Refused::new(Code::Failed, "the controller does not know how far it is"))),
    }
}

async fn set_weight(
    State(requests): Requests,
    Named(backend): Named<BackendName>,
    Body(SetWeight { service, weight }): Body<SetWeight>,
) -> Reply {
    carry_out(&requests, Command::SetWeight { backend, service, weight }).await
}

async fn config(State(requests): Requests) -> Reply {
    match ask(&requests, Wanted::Query(Query::Config)).await? {
        Answer::Config(config) => Ok(json(StatusCode::OK, &ConfigText { config })),
        _ => Err(strange()),
    }
}

async fn diff(State(requests): Requests, Body(request): Body<DiffRequest, { MAX_CONFIG }>) -> Reply {
    differences(&requests, Wanted::Query(Query::Diff(request))).await
}

async fn reload(State(requests): Requests, Body(body): Body<ReloadRequest>) -> Reply {
    let ReloadRequest { force, reset } = body;
    differences(&requests, Wanted::Command(Command::Reload { force, reset })).await
}

async fn differences(requests: &mpsc::Sender<Request>, what: Wanted) -> Reply {
    match ask(requests, what).await? {
        Answer::Differences(differences) => Ok(json(StatusCode::OK, &differences)),
        _ => Err(strange()),
    }
}

async fn detach(State(requests): Requests) -> Reply {
    carry_out(&requests, Command::Detach).await
}

async fn known(requests: &mpsc::Sender<Request>) -> Result<Status, Failure> {
    match ask(requests, Wanted::Query(Query::Status)).await? {
        Answer::Status(status) => Ok(*status),
        _ => Err(strange()),
    }
}

async fn carry_out(requests: &mpsc::Sender<Request>, command: Command) -> Reply {
    ask(requests, Wanted::Command(command)).await?;
    Ok(json(StatusCode::OK, &Done { done: true }))
}

async fn ask(requests: &mpsc::Sender<Request>, what: Wanted) -> Result<Answer, Failure> {
    let ending = || Refused::new(Code::Ending, "the controller is ending");
    let (answer, answered) = oneshot::channel();
    let answer = timeout(ANSWER_TIMEOUT, async {
        requests.send(Request { what, answer }).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())?
    });
    match answer.await {
        Ok(answer) => answer.map_err(Failure),
        Err(_) => {
            let message = format!("the controller did not answer in {ANSWER_TIMEOUT:?}");
            let remedy = "the change may still take effect: see `vip status`";
            Err(Failure(Refused::new(Code::Timeout, message).with_remedy(remedy)))
        }
    }
}

/// A refusal as a response.
struct Failure(Refused);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status());
        json(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &json!({ "error": self.0 }))
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn strange() -> Failure {
    Failure(Refused::new(Code::Failed, "the controller's answer is not one to this question"))
}

fn bad_request(message: String) -> Failure {
    Failure(Refused::new(Code::BadRequest, message))
}

/// The `{name}` of a path.
struct Named<T>(T);

impl<T, S: Send + Sync> FromRequestParts<S> for Named<T>
where
    T: FromStr<Err: ToString>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Checked(Path(name)) = Checked::<Path<String>>::from_request_parts(parts, state).await?;
        name.parse().map(Self).map_err(|error: T::Err| bad_request(error.to_string()))
    }
}

/// A part of a request whose rejection is in JSON.
struct Checked<T>(T);

impl<T, S: Send + Sync> FromRequestParts<S> for Checked<T>
where
    T: FromRequestParts<S, Rejection: ToString>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let found = T::from_request_parts(parts, state).await;
        found.map(Self).map_err(|rejection| bad_request(rejection.to_string()))
    }
}

/// The body, as JSON whatever its content type says.
struct Body<T, const MAX: usize = MAX_BODY>(T);

impl<T: DeserializeOwned, S: Send + Sync, const MAX: usize> FromRequest<S> for Body<T, MAX> {
    type Rejection = Failure;

    async fn from_request(request: axum::extract::Request, _: &S) -> Result<Self, Failure> {
        let bytes = timeout(BODY_TIMEOUT, whole(request.into_body(), MAX))
            .await
            .map_err(|_| bad_request(format!("the body did not arrive in {BODY_TIMEOUT:?}")))??;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| bad_request(format!("the body: {error}")))
    }
}

/// Reads a body to its end, even one that is too long: a Unix socket closed with unread bytes in it is reset, and
/// its client would not see the answer.
async fn whole(mut body: axum::body::Body, max: usize) -> Result<Vec<u8>, Failure> {
    let (mut bytes, mut length) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| bad_request(format!("the body: {error}")))?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        length = length.saturating_add(data.len());
        if length <= max {
            bytes.extend_from_slice(data);
        }
    }
    if length > max {
        let message = format!("the body is longer than {max} bytes");
        return Err(Failure(Refused::new(Code::TooLong, message)));
    }
    Ok(bytes)
}
