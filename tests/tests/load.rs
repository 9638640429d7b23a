//! The client that other tests put under load: it counts answers and failures right, without a director in between.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Result;
use vip_tests::{
    load::{Failure, Load, shares},
    net::{Nginx, Seen, Tap, Topology, wait_for},
};

const SOON: Duration = Duration::from_secs(20);

/// A client that sends to the backend's own addresses.
struct Direct {
    load: Load,
    nginx: Nginx,
    topology: Topology,
}

impl Direct {
    fn new() -> Result<Self> {
        let topology = Topology::builder().backends(1).build()?;
        let backend = &topology.backends[0];
        let nginx = Nginx::start(&backend.namespace, &backend.name)?;
        let load = Load::start(&topology.clients[0].namespace)?;
        Ok(Self { load, nginx, topology })
    }

    fn servers(&self) -> [SocketAddr; 2] {
        let backend = &self.topology.backends[0];
        [(backend.address4, 80).into(), (backend.address6, 80).into()]
    }
}

#[test]
fn each_request_of_a_burst_is_answered_and_seen_on_the_wire() -> Result<()> {
    let direct = Direct::new()?;
    let tap = Tap::start(direct.topology.switch(), Seen::opens)?;
    let burst = direct.load.burst(&direct.servers(), 50);
    wait_for("the burst to end", SOON, || burst.is_done())?;
    let requests = direct.load.requests();
    let shares = shares(&requests);
    for server in direct.servers() {
        assert_eq!(shares.get(&(server.ip(), "backend1".to_owned())), Some(&50), "{shares:?}");
    }
    let seen = tap.seen()?;
    for request in requests {
        let opening =
            seen.iter().find(|seen| seen.from_port == request.port && seen.to == request.server.ip());
        let opening = opening.unwrap_or_else(|| panic!("{request:?} was not seen"));
        assert_eq!(opening.to_mac, direct.topology.backends[0].mac);
        assert!(opening.at >= request.started, "{opening:?} before {request:?}");
    }
    Ok(())
}

#[test]
fn a_dead_server_refuses_new_requests_and_breaks_open_connections() -> Result<()> {
    let mut direct = Direct::new()?;
    let opened = direct.load.keep_open(&direct.servers(), 10, Duration::from_millis(20));
    wait_for("the connections to be open", SOON, || opened.is_done())?;
    assert!(direct.load.connections().iter().all(|connection| connection.broken.is_none()));
    let died = Instant::now();
    direct.nginx.process().kill();
    wait_for("all connections to break", SOON, || {
        direct.load.connections().iter().all(|connection| connection.broken.is_some())
    })?;
    for connection in direct.load.connections() {
        assert_eq!(connection.backend.as_deref(), Some("backend1"));
        assert!(connection.broken.is_some_and(|(at, failure)| at >= died && failure == Failure::Reset));
    }
    let burst = direct.load.burst(&direct.servers(), 1);
    wait_for("the burst to end", SOON, || burst.is_done())?;
    assert!(direct.load.requests().iter().all(|request| request.failure() == Some(&Failure::Refused)));
    Ok(())
}

#[test]
fn a_server_without_a_cable_leaves_requests_unanswered() -> Result<()> {
    let mut direct = Direct::new()?;
    direct.load = Load::impatient(&direct.topology.clients[0].namespace)?;
    direct.topology.unplug(&direct.topology.backends[0])?;
    let burst = direct.load.burst(&direct.servers(), 1);
    wait_for("the burst to end", SOON, || burst.is_done())?;
    assert!(direct.load.requests().iter().all(|request| request.failure() == Some(&Failure::Timeout)));
    Ok(())
}

#[test]
fn a_stream_keeps_its_pace_until_it_is_dropped() -> Result<()> {
    let direct = Direct::new()?;
    // From before its first request on: a busy machine may hold this thread up when that has begun.
    let began = Instant::now();
    let stream = direct.load.stream(&direct.servers(), 100);
    wait_for("50 requests", SOON, || direct.load.requests().len() >= 50)?;
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
    drop(stream);
    assert!(direct.load.requests().iter().all(|request| request.outcome.is_ok()));
    Ok(())
}
