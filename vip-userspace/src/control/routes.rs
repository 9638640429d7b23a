//! The one table of what can be asked for at the control socket. The server's answers and their description both follow
//! from it. It knows no connection, and decides nothing.

use std::str::FromStr;

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Answer, Code, Command, Query, Refused, Status, Wanted,
    protocol::{
        AddBackend, BackendDrain, Backends, ConfigText, DiffRequest, Differences, Done, Event, ReloadRequest,
        Right, Services, SetAdmin, SetMaintenance, SetWeight, TraceLine, TraceRequest,
    },
};
use crate::model::{BackendName, Service, ServiceName};

/// Bytes of the longest body.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// Bytes of the longest body that holds a configuration.
const MAX_CONFIG: usize = 16 * 1024 * 1024;

/// What is asked for, as far as its path does not say it.
#[derive(Default, Debug)]
pub(super) struct Asked {
    /// What stands in the path for its `{…}`.
    pub(super) name: String,
    /// The parameter `service`.
    pub(super) service: Option<String>,
    /// The body.
    pub(super) body: Vec<u8>,
}

type Describe = fn(&mut SchemaGenerator) -> Schema;

/// One way to ask.
pub(super) struct Route {
    pub(super) method: &'static str,
    /// With `{…}` for a name.
    pub(super) path: &'static str,
    pub(super) right: Right,
    pub(super) summary: &'static str,
    /// What the name in the path is.
    pub(super) name: Option<Describe>,
    /// It takes the parameter `service`.
    pub(super) by_service: bool,
    /// What its body is, if it has one, and the most bytes of it.
    pub(super) body: Option<(Describe, usize)>,
    /// What the body of its answer is.
    pub(super) answer: Describe,
    pub(super) call: Call,
}

/// Who answers.
pub(super) enum Call {
    /// The controller's loop: what it is asked for, and the answer's text; `None` where it is not one to that question.
    Controller(fn(&Asked) -> Result<Wanted, Refused>, fn(&Asked, Answer) -> Option<String>),
    /// The server itself: the description of all this.
    Description,
    /// The server itself: changes, one a line, for as long as the client reads.
    Events,
    /// The controller's loop, line by line: live packets.
    Trace,
}

pub(super) const SERVICE: Option<Describe> = Some(SchemaGenerator::subschema_for::<ServiceName>);
const BACKEND: Option<Describe> = Some(SchemaGenerator::subschema_for::<BackendName>);

/// A route that is read by default, and takes nothing.
const fn route(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    answer: Describe,
    call: Call,
) -> Route {
    let right = Right::Read;
    Route { method, path, right, summary, name: None, by_service: false, body: None, answer, call }
}

/// A route that changes something.
const fn change(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    wanted: fn(&Asked) -> Result<Wanted, Refused>,
) -> Route {
    let call = Call::Controller(wanted, done);
    let route = route(method, path, summary, SchemaGenerator::subschema_for::<Done>, call);
    Route { right: Right::Change, ..route }
}

impl Route {
    const fn named(self, name: Option<Describe>) -> Self {
        Self { name, ..self }
    }

    const fn taking(self, body: Describe, most: usize) -> Self {
        Self { body: Some((body, most)), ..self }
    }
}

/// All of them.
pub(super) static ROUTES: [Route; 19] = [
    route(
        "GET",
        "/v1/status",
        "All that is known",
        SchemaGenerator::subschema_for::<Status>,
        Call::Controller(status, |_, answer| text(&known(answer)?)),
    ),
    route(
        "GET",
        "/v1/services",
        "Services and their members",
        SchemaGenerator::subschema_for::<Services>,
        Call::Controller(status, |_, answer| text(&Services { services: known(answer)?.services })),
    ),
    change("POST", "/v1/services", "Adds a service with its members", |asked| {
        Ok(Wanted::Command(Command::AddService { service: Box::new(asked.body()?) }))
    })
    .taking(SchemaGenerator::subschema_for::<Service>, MAX_BODY),
    change("DELETE", "/v1/services/{name}", "Removes a service; its backends stay", |asked| {
        Ok(Wanted::Command(Command::RemoveService { name: asked.name()? }))
    })
    .named(SERVICE),
    route(
        "GET",
        "/v1/backends",
        "Backends and where they are",
        SchemaGenerator::subschema_for::<Backends>,
        Call::Controller(status, |_, answer| text(&Backends { backends: known(answer)?.backends })),
    ),
    change("POST", "/v1/backends", "Adds a backend, and makes it a member of services", |asked| {
        let AddBackend { backend, services } = asked.body()?;
        Ok(Wanted::Command(Command::AddBackend { backend, services }))
    })
    .taking(SchemaGenerator::subschema_for::<AddBackend>, MAX_BODY),
    Route {
        by_service: true,
        ..change(
            "DELETE",
            "/v1/backends/{name}",
            "Ends a backend's part in one service, or in all, and removes it",
            |asked| {
                Ok(Wanted::Command(Command::RemoveBackend { name: asked.name()?, service: asked.service()? }))
            },
        )
        .named(BACKEND)
    },
    change(
        "PUT",
        "/v1/backends/{name}/admin",
        "Enables, drains or disables a backend in one service, or in all",
        |asked| {
            let SetAdmin { service, admin, timeout } = asked.body()?;
            Ok(Wanted::Command(Command::SetAdmin { backend: asked.name()?, service, admin, timeout }))
        },
    )
    .named(BACKEND)
    .taking(SchemaGenerator::subschema_for::<SetAdmin>, MAX_BODY),
    change(
        "PUT",
        "/v1/backends/{name}/maintenance",
        "Takes a whole backend into maintenance, or out of it",
        |asked| {
            let SetMaintenance { maintenance, timeout } = asked.body()?;
            Ok(Wanted::Command(Command::SetMaintenance { backend: asked.name()?, maintenance, timeout }))
        },
    )
    .named(BACKEND)
    .taking(SchemaGenerator::subschema_for::<SetMaintenance>, MAX_BODY),
    change("PUT", "/v1/backends/{name}/weight", "Sets a backend's share of new flows", |asked| {
        let SetWeight { service, weight } = asked.body()?;
        Ok(Wanted::Command(Command::SetWeight { backend: asked.name()?, service, weight }))
    })
    .named(BACKEND)
    .taking(SchemaGenerator::subschema_for::<SetWeight>, MAX_BODY),
    route(
        "GET",
        "/v1/backends/{name}/drain",
        "How far the drain of a backend is",
        SchemaGenerator::subschema_for::<BackendDrain>,
        Call::Controller(drain, drained),
    )
    .named(BACKEND),
    route(
        "GET",
        "/v1/config",
        "What runs, as the text of a configuration without its seed",
        SchemaGenerator::subschema_for::<ConfigText>,
        Call::Controller(|_| Ok(Wanted::Query(Query::Config)), configured),
    ),
    route(
        "POST",
        "/v1/diff",
        "What a reload would change",
        SchemaGenerator::subschema_for::<Differences>,
        Call::Controller(diff, differences),
    )
    .taking(SchemaGenerator::subschema_for::<DiffRequest>, MAX_CONFIG),
    Route {
        right: Right::Change,
        ..route(
            "POST",
            "/v1/reload",
            "Reads the configuration file again, and makes what runs what it says",
            SchemaGenerator::subschema_for::<Differences>,
            Call::Controller(reload, differences),
        )
        .taking(SchemaGenerator::subschema_for::<ReloadRequest>, MAX_BODY)
    },
    change(
        "POST",
        "/v1/detach",
        "Ends forwarding, removes all that is pinned, and ends the controller",
        |_| Ok(Wanted::Command(Command::Detach)),
    ),
    route(
        "GET",
        EVENTS,
        "Changes, one JSON object a line, from now on",
        SchemaGenerator::subschema_for::<Event>,
        Call::Events,
    ),
    Route {
        right: Right::Change,
        ..route(
            "POST",
            TRACE,
            "Live packets and what they get, one JSON object a line, until the trace ends",
            SchemaGenerator::subschema_for::<TraceLine>,
            Call::Trace,
        )
        .taking(SchemaGenerator::subschema_for::<TraceRequest>, MAX_BODY)
    },
    change("DELETE", TRACE, "Ends the trace that goes on", |_| Ok(Wanted::EndTrace)),
    route("GET", "/v1/openapi.json", "This description", anything, Call::Description),
];

/// Where live packets are told.
const TRACE: &str = "/v1/trace";

/// Where changes are told.
pub(super) const EVENTS: &str = "/v1/events";

/// The route of a request and the name in its path.
///
/// # Errors
/// There is no such path, or it is for other methods, which are the refusal's second part.
pub(super) fn find(method: &str, path: &str) -> Result<(&'static Route, String), (Refused, String)> {
    let named: Vec<_> = ROUTES.iter().filter_map(|route| Some((route, name_in(route.path, path)?))).collect();
    let allowed: Vec<_> = named.iter().map(|(route, _)| route.method).collect();
    if named.is_empty() {
        let message = "there is no such path";
        let remedy = "ask for /v1/openapi.json, which names them all";
        return Err((Refused::new(Code::NoSuchPath, message).with_remedy(remedy), String::new()));
    }
    let found = named.into_iter().find(|(route, _)| route.method == method);
    found.ok_or_else(|| {
        let allowed = allowed.join(", ");
        let message = format!("the path is not for this method, but for {allowed}");
        (Refused::new(Code::MethodNotAllowed, message), allowed)
    })
}

/// What stands for the `{…}` of a route's path, nothing where it has none; `None` where the path is another.
fn name_in(route: &str, path: &str) -> Option<String> {
    let (mut wanted, mut given) = (route.split('/'), path.split('/'));
    let mut name = String::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(name),
            (Some(wanted), Some(given)) if wanted.starts_with('{') => {
                name = percent_encoding::percent_decode_str(given).decode_utf8_lossy().into_owned();
            }
            (wanted, given) if wanted == given => {}
            _ => return None,
        }
    }
}

impl Asked {
    fn name<T: FromStr<Err: ToString>>(&self) -> Result<T, Refused> {
        self.name.parse().map_err(|error: T::Err| bad_request(error.to_string()))
    }

    fn service(&self) -> Result<Option<ServiceName>, Refused> {
        let service = self.service.as_deref().map(str::parse).transpose();
        service.map_err(|error| bad_request(format!("the parameter service: {error}")))
    }

    /// The body, as JSON whatever its content type says. An object: that a struct may be an array is serde's own idea.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        let first = self.body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first.is_some_and(|first| matches!(first, b'[' | b'"')) {
            return Err(bad_request("the body: it is no JSON object".to_owned()));
        }
        let read = serde_json::from_slice(&self.body).or_else(|error| {
            let mut value: Value = serde_json::from_slice(&self.body)?;
            if whole_numbers(&mut value) { serde_json::from_value(value) } else { Err(error) }
        });
        read.map_err(|error| bad_request(format!("the body: {error}")))
    }
}

/// Writes 5 for each 5.0: to JSON they are the same number, and to serde they are not. True if there is any.
fn whole_numbers(value: &mut Value) -> bool {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0);
            // As text it has no fraction.
            let whole = whole.and_then(|float| format!("{float}").parse::<u64>().ok());
            whole.is_some_and(|whole| {
                *value = whole.into();
                true
            })
        }
        Value::Object(fields) => fields.values_mut().fold(false, |any, field| whole_numbers(field) | any),
        Value::Array(items) => items.iter_mut().fold(false, |any, item| whole_numbers(item) | any),
        _ => false,
    }
}

pub(super) fn bad_request(message: String) -> Refused {
    Refused::new(Code::BadRequest, message)
}

fn status(_: &Asked) -> Result<Wanted, Refused> {
    Ok(Wanted::Query(Query::Status))
}

fn known(answer: Answer) -> Option<Status> {
    if let Answer::Status(status) = answer { Some(*status) } else { None }
}

fn drain(asked: &Asked) -> Result<Wanted, Refused> {
    Ok(Wanted::Query(Query::Drain { backend: asked.name()? }))
}

fn drained(asked: &Asked, answer: Answer) -> Option<String> {
    let Answer::Drain(members) = answer else { return None };
    text(&BackendDrain { backend: asked.name().ok()?, members })
}

fn configured(_: &Asked, answer: Answer) -> Option<String> {
    if let Answer::Config(config) = answer { text(&ConfigText { config }) } else { None }
}

fn diff(asked: &Asked) -> Result<Wanted, Refused> {
    Ok(Wanted::Query(Query::Diff(asked.body()?)))
}

fn reload(asked: &Asked) -> Result<Wanted, Refused> {
    let ReloadRequest { force, reset } = asked.body()?;
    Ok(Wanted::Command(Command::Reload { force, reset }))
}

fn differences(_: &Asked, answer: Answer) -> Option<String> {
    if let Answer::Differences(differences) = answer { text(&differences) } else { None }
}

#[expect(clippy::needless_pass_by_value, reason = "it has a place in the table")]
fn done(_: &Asked, answer: Answer) -> Option<String> {
    if answer == Answer::Done { text(&Done { done: true }) } else { None }
}

fn text(body: &impl Serialize) -> Option<String> {
    serde_json::to_string(body).ok()
}

fn anything(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}
