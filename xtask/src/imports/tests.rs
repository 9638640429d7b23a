//! The import rule, by rows of a file, its text and the verdict.

use super::*;

/// What the rule says about one file of `vip-userspace/src`.
fn check(file: &str, text: &str) -> Vec<String> {
    let source = Source::parse(&format!("vip-userspace/src/{file}"), text).expect("valid tokens");
    violations(&[source])
}

#[test]
fn imports_that_point_down_pass() {
    let rows = [
        ("main.rs", "use vip_userspace::{cli, controller};"),
        ("cli.rs", "use crate::{control::client::Client, render::Style, model::Model};"),
        ("controller.rs", "use crate::{control::protocol::Command, dataplane::Dataplane, plan::plan};"),
        ("control/server.rs", "use super::protocol::Answer; use tokio::net::UnixListener;"),
        ("controller/run.rs", "use crate::{control::server::Request, places::Places};"),
        ("health/tcp.rs", "use super::state::State; use crate::model::Member; use tokio::net::TcpStream;"),
        ("dataplane/kernel.rs", "use super::Dataplane; use crate::plan::Operation; use aya::Ebpf;"),
        ("plan/mod.rs", "use crate::ring::Ring; use vip_common::tables::Slot;"),
        ("model/service.rs", "use super::backend::Backend; use std::{net::IpAddr, time::Duration};"),
        ("health/state.rs", "use std::time::Instant; fn f(now: Instant) {}"),
        ("ring/mod.rs", "mod maglev; pub use self::maglev::Maglev;"),
        ("ring/mod.rs", "pub use schedulers::maglev; use crate::model::Part;"),
        ("ring/schedulers/mod.rs", "use super::key::RingKey;"),
        ("model/placing.rs", "pub use crate::ring::schedulers::Scheduler;"),
    ];
    for (file, text) in rows {
        assert_eq!(check(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}

#[test]
fn imports_that_point_up_or_sideways_are_found() {
    let rows = [
        ("model/mod.rs", "use crate::plan::Operation;", "model may not import from plan"),
        ("model/mod.rs", "use crate::ring::stand_in;", "model may not import from ring"),
        (
            "ring/schedulers/maglev.rs",
            "use crate::model::Part;",
            "ring::schedulers may not import from model",
        ),
        ("ring/schedulers/mod.rs", "use super::Slots;", "ring::schedulers may not import from ring"),
        ("ring/mod.rs", "use crate::plan::Operation;", "ring may not import from plan"),
        ("plan.rs", "fn f() { crate::controller::g() }", "plan may not import from controller"),
        ("health/tcp.rs", "use crate::net::Link;", "health may not import from net"),
        ("net/links.rs", "use super::super::controller::Event;", "net may not import from controller"),
        ("controller.rs", "use crate::{cli::Arguments};", "controller may not import from cli"),
        ("control/server.rs", "use crate::controller::Event;", "control may not import from controller"),
        (
            "control/protocol.rs",
            "use super::server::Server;",
            "control::protocol may not import from control",
        ),
        ("model/mod.rs", "use crate::Error;", "the root of the crate is above every module"),
        ("surprise.rs", "use crate::model::Model;", "module surprise has no level"),
    ];
    for (file, text, expected) in rows {
        let found = check(file, text);
        assert_eq!(found.len(), 1, "{file}: {text}: {found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn a_pure_module_names_nothing_of_the_outer_world() {
    let rows = [
        ("model/mod.rs", "use tokio::sync::mpsc;"),
        ("plan/mod.rs", "use std::{collections::BTreeMap, fs};"),
        ("config.rs", "fn f() { std::fs::read(\"a\") }"),
        ("ring/mod.rs", "use aya::maps::Array;"),
        ("health/state.rs", "use std::time::Instant; fn f() { Instant::now(); }"),
        ("health/state.rs", "fn f() { std::time::SystemTime::now(); }"),
        ("control/protocol.rs", "use std::net::{IpAddr, TcpStream};"),
        ("model/mod.rs", "use std::net::*;"),
    ];
    for (file, text) in rows {
        let found = check(file, text);
        assert_eq!(found.len(), 1, "{file}: {text}: {found:?}");
        assert!(found[0].ends_with("is pure"), "{found:?}");
    }
}

#[test]
fn tests_of_a_pure_module_may_do_anything() {
    assert!(
        check("ring/mod.rs", "#[cfg(test)] mod tests { use std::time::Instant; use tokio::time; }")
            .is_empty()
    );
    let parent =
        Source::parse("a/src/ring/mod.rs", "#[cfg(test)]\nmod quality;\nmod maglev;").expect("valid tokens");
    let clock = |path: &str| Source::parse(path, "fn f() { Instant::now(); }").expect("valid tokens");
    let found = violations(&[parent, clock("a/src/ring/quality.rs"), clock("a/src/ring/maglev.rs")]);
    assert_eq!(found, ["a/src/ring/maglev.rs:1: Instant::now: ring is pure"]);
}

#[test]
fn a_violation_names_its_file_and_line() {
    let found = check("model/mod.rs", "//! About.\n\nuse crate::{\n    plan::Plan,\n};");
    assert_eq!(
        found,
        ["vip-userspace/src/model/mod.rs:4: crate::plan::Plan: model may not import from plan"]
    );
}

#[test]
fn modules_on_the_same_level_never_import_both_ways() {
    for (from, to) in BESIDE {
        assert!(!BESIDE.contains(&(to, from)), "{from} and {to} import from each other");
        assert_eq!(level(from).map(|entry| entry.1), level(to).map(|entry| entry.1), "{from} and {to}");
    }
}
