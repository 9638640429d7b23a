//! A verdict says what is wrong, layer by layer: each of them by a backend that is really broken so.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, TcpListener},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use vip_tests::{
    net::{DEFAULT_VIPS, Namespace, Topology},
    stage::{Stage, members},
};
use vip_userspace::control::Status;

/// Takes the VIP from a host.
fn lose(host: &Namespace, vip: IpAddr) -> Result<()> {
    host.ip(&[format!("address delete {vip}/32 dev lo")])
}

/// Why a backend gets no new flows, as programs are told.
fn why(status: &Status, backend: &str) -> Value {
    members(status, backend).map(|member| json!(member.why_not)).next().unwrap_or_default()
}

/// A server that answers every connection with those bytes; with none, it never answers.
fn serve(host: &Namespace, answer: &'static [u8]) -> Result<()> {
    let listener = host.run(|| TcpListener::bind("0.0.0.0:80"))?.context("listen on port 80")?;
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            if answer.is_empty() {
                held.push(stream);
                continue;
            }
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        }
    });
    Ok(())
}

#[test]
fn each_way_to_be_broken_has_a_verdict_of_its_own() -> Result<()> {
    let topology = Topology::builder().backends(6).clients(0).vips(&DEFAULT_VIPS[..1]);
    let mut stage = Stage::ready(topology)?;
    let vip = stage.topology.vips[0];
    for gone in [3, 4, 5] {
        stage.end_server(gone);
    }
    let host = |number: usize| &stage.topology.backends[number - 1].namespace;
    // backend1 is whole.
    lose(host(2), vip)?;
    // backend3 forwards what it should take, to whom it hears that has the VIP.
    host(3).sysctls(&[("ipv4/ip_forward", "1"), ("ipv4/conf/all/send_redirects", "0")])?;
    lose(host(3), vip)?;
    host(3).ip(&[format!("route add {vip} dev eth0")])?;
    // Of backend4 the server has ended; that of backend5 never answers, that of backend6 is in trouble.
    serve(host(5), b"")?;
    serve(host(6), b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")?;
    let expected = [
        (2, json!({ "reason": "down", "code": "vip-not-held", "sign": "silent" })),
        (3, json!({ "reason": "down", "code": "vip-not-held", "sign": "bounced" })),
        (4, json!({ "reason": "down", "code": "port-closed" })),
        (5, json!({ "reason": "down", "code": "timeout", "stage": "answer" })),
        (6, json!({ "reason": "down", "code": "http-status", "got": 503 })),
    ];
    for (number, expected) in &expected {
        let name = format!("backend{number}");
        let is = |status: &Status| {
            let why = why(status, &name);
            expected.as_object().is_some_and(|all| all.iter().all(|(key, value)| why.get(key) == Some(value)))
        };
        let waited = stage.wait_for(&format!("the verdict on {name}"), is);
        let met = stage.status()?;
        waited.with_context(|| format!("it is {}", why(&met, &name)))?;
    }
    let status = stage.status()?;
    assert_eq!(why(&status, "backend1"), Value::Null, "whole");
    Ok(())
}

#[test]
fn a_backend_that_answers_for_the_vip_is_told_to_steal_it() -> Result<()> {
    let stage = Stage::ready(Topology::builder().backends(2).clients(0).vips(&DEFAULT_VIPS[..1]))?;
    let (vip, thief) = (stage.topology.vips[0], &stage.topology.backends[1]);
    let steals = |status: &Status, backend: &str| {
        members(status, backend).map(|member| json!(member.steals)).next().unwrap_or_default()
    };
    thief.namespace.sysctls(&[("ipv4/conf/all/arp_ignore", "0"), ("ipv4/conf/eth0/arp_ignore", "0")])?;
    stage.wait_for("the thief to be told", |status| steals(status, "backend2") != Value::Null)?;
    let told = steals(&stage.status()?, "backend2");
    assert_eq!((&told["code"], &told["vip"]), (&json!("steals-vip"), &json!(vip)), "{told}");
    assert_eq!(steals(&stage.status()?, "backend1"), Value::Null);
    thief.namespace.sysctls(&[("ipv4/conf/all/arp_ignore", "1")])?;
    stage.wait_for("it to be over", |status| steals(status, "backend2") == Value::Null)?;
    Ok(())
}
