//! The description of the control socket by OpenAPI 3.1, from the table of routes and the very types that are read and
//! written. Pure.

use std::sync::LazyLock;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    protocol::{ErrorBody, Right},
    routes::{Call, ROUTES, Route, SERVICE},
};

/// Each status that a refusal has, and what it means.
const REFUSALS: [(&str, &str); 8] = [
    ("400", "The request is not one that could be asked"),
    ("403", "The caller may not do that"),
    ("404", "There is no such service, backend, member or path"),
    ("409", "It contradicts what is there, or can't be"),
    ("413", "The body is too long"),
    ("500", "The kernel, or the controller, failed"),
    ("503", "The controller is ending, or has too many who listen"),
    ("504", "The controller did not answer in time"),
];

/// The description.
pub(super) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    &TEXT
}

fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut schemas = settings.into_generator();
    let error = schemas.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for route in &ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation(route, &mut schemas);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "vip",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The control socket of a packet director's controller: HTTP and JSON over a Unix socket.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": { "Refused": { "description": "Refused", "content": { "application/json": { "schema": error } } } },
        },
    });
    bound_integers(&mut document);
    document
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let answer = (route.answer)(schemas);
    let content_type = match route.call {
        Call::Events | Call::Trace => "application/x-ndjson",
        _ => "application/json",
    };
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({ "description": "Done", "content": { content_type: { "schema": answer } } }),
    );
    for (status, description) in REFUSALS {
        let content =
            json!({ "application/json": { "schema": { "$ref": "#/components/schemas/ErrorBody" } } });
        responses.insert(status.to_owned(), json!({ "description": description, "content": content }));
    }
    let (verb, tag) = match route.right {
        Right::Read => ("read", "read"),
        Right::Change => ("change", "change"),
    };
    let words = route.path.trim_start_matches("/v1/").replace(['/', '.'], "-").replace(['{', '}'], "");
    let mut operation = json!({
        "operationId": format!("{}-{words}", route.method.to_lowercase()),
        "summary": route.summary,
        "description": format!("Needs the right to {verb}."),
        "tags": [tag],
        "parameters": parameters(route, schemas),
        "responses": responses,
    });
    if let Some((body, _)) = route.body {
        let schema = body(schemas);
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn parameters(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let mut parameters = Vec::new();
    if let Some(name) = route.name {
        parameters.push(json!({ "name": "name", "in": "path", "required": true, "schema": name(schemas) }));
    }
    if let (true, Some(service)) = (route.by_service, SERVICE) {
        parameters
            .push(json!({ "name": "service", "in": "query", "required": false, "schema": service(schemas) }));
    }
    Value::from(parameters)
}

/// Says of each integer how large it may be: its format alone, `uint32` say, binds nobody.
fn bound_integers(value: &mut Value) {
    if let Some(most) = value.get("format").and_then(Value::as_str).and_then(most)
        && let Some(schema) = value.as_object_mut()
    {
        schema.entry("maximum").or_insert_with(|| json!(most));
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(bound_integers),
        Value::Array(items) => items.iter_mut().for_each(bound_integers),
        _ => {}
    }
}

fn most(format: &str) -> Option<u64> {
    match format {
        "uint8" => Some(u8::MAX.into()),
        "uint16" => Some(u16::MAX.into()),
        "uint32" => Some(u32::MAX.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        for route in &ROUTES {
            let operation = &document["paths"][route.path][route.method.to_lowercase()];
            assert_eq!(operation["summary"], route.summary, "{} {}", route.method, route.path);
        }
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in found {
            let path = reference.strip_prefix('#').expect("a reference within");
            assert!(document.pointer(path).is_some(), "{reference}");
        }
    }

    #[test]
    fn unknown_fields_are_refused_by_the_description_as_well() {
        let document = document();
        for name in ["Service", "Backend", "SetAdmin", "SetWeight", "ReloadRequest", "Membership"] {
            let schema = &document["components"]["schemas"][name];
            assert_eq!(schema["additionalProperties"], false, "{name}: {schema}");
        }
    }
}
