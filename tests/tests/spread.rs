//! Stories of a director whose backends all live: who answers, which way, and whom clients take for the VIP.

use std::time::Duration;

use anyhow::Result;
use vip_tests::{
    load::{Load, shares},
    net::{Topology, run, wait_for},
    stage::Stage,
    witness::Witness,
};

const SOON: Duration = Duration::from_secs(20);
const BACKENDS: u8 = 3;
/// New connections to each VIP.
const CONNECTIONS: usize = 150;

#[test]
fn new_connections_of_both_families_spread_over_all_backends_and_are_answered_straight() -> Result<()> {
    let stage = Stage::ready(Topology::builder().backends(BACKENDS))?;
    let witness = Witness::listen(&stage.topology)?;
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let burst = load.burst(&stage.services(), CONNECTIONS);
    wait_for("the burst to end", SOON, || burst.is_done())?;

    let requests = load.requests();
    let failed: Vec<_> = requests.iter().filter(|request| request.outcome.is_err()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    // A third each, and five standard deviations.
    let (fair, slack) = (CONNECTIONS as f64 / 3.0, 5.0 * (CONNECTIONS as f64 * 2.0 / 9.0).sqrt());
    let shares = shares(&requests);
    assert_eq!(shares.len(), usize::from(BACKENDS) * stage.services().len(), "{shares:?}");
    assert!(shares.values().all(|share| (*share as f64 - fair).abs() < slack), "{shares:?}");

    let testimony = witness.testimony()?;
    for request in &requests {
        assert_eq!(request.outcome.as_deref().ok(), testimony.owner(request), "{request:?}");
    }
    assert!(testimony.straight >= requests.len(), "{} answers went straight", testimony.straight);
    assert_eq!(testimony.by_director, 0);

    let counted: u64 = stage.status()?.services.iter().map(|service| service.totals.flows).sum();
    assert_eq!(counted, requests.len() as u64, "flows that the director counted");
    Ok(())
}

#[test]
fn clients_take_the_directors_mac_for_that_of_the_vip() -> Result<()> {
    let stage = Stage::ready(Topology::builder().backends(1))?;
    let client = &stage.topology.clients[0].namespace;
    let mac = "02:00:5e:77:00:01";
    for service in stage.services() {
        let vip = service.ip().to_string();
        run(client.command("curl").args(["-sS", "-m", "5", &format!("http://{service}/")]))?;
        let neighbour = run(client.command("ip").args(["neighbour", "show", &vip]))?;
        assert!(neighbour.contains(&format!("lladdr {mac}")), "{vip}: {neighbour}");
    }
    let addresses = run(stage.topology.director.namespace.command("ip").args(["address", "show"]))?;
    assert!(!addresses.contains("10.200.0.1") && !addresses.contains("fd00:200::1"), "{addresses}");
    Ok(())
}
