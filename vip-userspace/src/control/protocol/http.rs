//! How commands are asked for over HTTP: method, path and body of each, from both ends' view.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Command, Membership, Query, TraceRequest};
use crate::model::{Admin, Backend, Maintenance, ServiceName};

/// The body of `POST /v1/backends`.
#[derive(Clone, PartialEq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddBackend {
    /// The backend.
    pub backend: Backend,
    /// What it becomes a member of.
    #[serde(default)]
    pub services: Vec<Membership>,
}

/// The body of `PUT /v1/backends/{name}/admin`.
#[derive(Clone, PartialEq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetAdmin {
    /// The one service; all that it is a member of where absent.
    #[serde(default)]
    pub service: Option<ServiceName>,
    /// The wish.
    pub admin: Admin,
    /// Only for a drain: when its flows are gone, and after this time at the latest, it is disabled.
    #[serde(default, with = "crate::model::duration::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::model::duration::Text>")]
    pub timeout: Option<Duration>,
}

/// The body of `PUT /v1/backends/{name}/maintenance`.
#[derive(Clone, PartialEq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetMaintenance {
    /// The wish.
    pub maintenance: Maintenance,
    /// As for [`SetAdmin`].
    #[serde(default, with = "crate::model::duration::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::model::duration::Text>")]
    pub timeout: Option<Duration>,
}

/// The body of `PUT /v1/backends/{name}/weight`.
#[derive(Clone, PartialEq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetWeight {
    /// The one service; all that it is a member of where absent.
    #[serde(default)]
    pub service: Option<ServiceName>,
    /// The weight.
    pub weight: u32,
}

/// The body of `POST /v1/reload`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReloadRequest {
    /// Also what moves flows to other backends.
    pub force: bool,
    /// Drops the operator's wishes by command.
    pub reset: bool,
}

/// The body of `POST /v1/diff`.
#[derive(Clone, PartialEq, Eq, Default, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiffRequest {
    /// The text of the configuration to compare with; the controller's own file where absent.
    pub config: Option<String>,
    /// What problems with that text are told of: the name of its file.
    pub file: Option<String>,
    /// As if the operator's wishes by command were dropped.
    pub reset: bool,
}

/// A request, short of its transport.
#[derive(Clone, PartialEq, Debug)]
pub struct HttpRequest {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Path with query. Names need no escapes.
    pub path: String,
    /// JSON, where there is a body.
    pub body: Option<Value>,
}

impl HttpRequest {
    fn new(method: &'static str, path: impl Into<String>, body: Option<impl Serialize>) -> Self {
        // Writing to a `Value` fails for maps with keys that are no text alone, and there are none here.
        let body = body.map(|body| serde_json::to_value(body).unwrap_or_default());
        Self { method, path: path.into(), body }
    }
}

impl HttpRequest {
    /// For the changes from now on.
    #[must_use]
    pub fn events() -> Self {
        Self::new("GET", "/v1/events", None::<()>)
    }

    /// For live packets.
    #[must_use]
    pub fn trace(request: &TraceRequest) -> Self {
        Self::new("POST", "/v1/trace", Some(request))
    }

    /// For the end of the trace that goes on.
    #[must_use]
    pub fn end_trace() -> Self {
        Self::new("DELETE", "/v1/trace", None::<()>)
    }
}

impl From<&Query> for HttpRequest {
    fn from(query: &Query) -> Self {
        match query {
            Query::Status => Self::new("GET", "/v1/status", None::<()>),
            Query::Config => Self::new("GET", "/v1/config", None::<()>),
            Query::Diff(request) => Self::new("POST", "/v1/diff", Some(request)),
            Query::Drain { backend } => Self::new("GET", format!("/v1/backends/{backend}/drain"), None::<()>),
        }
    }
}

impl From<&Command> for HttpRequest {
    fn from(command: &Command) -> Self {
        match command.clone() {
            Command::AddService { service } => Self::new("POST", "/v1/services", Some(service)),
            Command::RemoveService { name } => {
                Self::new("DELETE", format!("/v1/services/{name}"), None::<()>)
            }
            Command::AddBackend { backend, services } => {
                Self::new("POST", "/v1/backends", Some(AddBackend { backend, services }))
            }
            Command::RemoveBackend { name, service } => {
                let only = service.map(|service| format!("?service={service}")).unwrap_or_default();
                Self::new("DELETE", format!("/v1/backends/{name}{only}"), None::<()>)
            }
            Command::SetAdmin { backend, service, admin, timeout } => {
                let path = format!("/v1/backends/{backend}/admin");
                Self::new("PUT", path, Some(SetAdmin { service, admin, timeout }))
            }
            Command::SetMaintenance { backend, maintenance, timeout } => {
                let path = format!("/v1/backends/{backend}/maintenance");
                Self::new("PUT", path, Some(SetMaintenance { maintenance, timeout }))
            }
            Command::SetWeight { backend, service, weight } => {
                let path = format!("/v1/backends/{backend}/weight");
                Self::new("PUT", path, Some(SetWeight { service, weight }))
            }
            Command::Reload { force, reset } => {
                Self::new("POST", "/v1/reload", Some(ReloadRequest { force, reset }))
            }
            Command::Detach => Self::new("POST", "/v1/detach", None::<()>),
        }
    }
}
