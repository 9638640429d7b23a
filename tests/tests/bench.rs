//! The measurement measures what it says: every packet gets what its scenario expects, and flows differ.

use anyhow::{Context as _, Result};
use vip_tests::bench::{Live, Rig, Scenario, all};

fn scenario(name: &str, flows: u32) -> Result<Scenario> {
    let mut scenarios = all().into_iter();
    scenarios.find(|row| row.name == name && row.flows == flows).context("a scenario of that name")
}

#[test]
fn every_scenario_takes_time_and_gets_what_it_expects() -> Result<()> {
    let mut rig = Rig::load()?;
    for scenario in all() {
        let time = rig.time(&scenario, 1000).with_context(|| format!("scenario {}", scenario.name))?;
        assert!(time > 0.0, "{}: {time} ns", scenario.name);
    }
    Ok(())
}

#[test]
fn a_packet_that_gets_something_else_is_not_measured() -> Result<()> {
    let mut scenario = scenario("tcp-v4-ch", 1)?;
    // To a port that no service has.
    scenario.frame[36..38].copy_from_slice(&[1, 1]);
    let error = Rig::load()?.time(&scenario, 1000).unwrap_err();
    assert!(error.to_string().contains("tcp-v4-ch"), "{error}");
    Ok(())
}

#[test]
fn many_flows_go_to_all_backends_and_one_flow_to_one() -> Result<()> {
    for name in ["tcp-v4-ch", "tcp-v6-ch"] {
        let mut rig = Rig::load()?;
        rig.time(&scenario(name, 1)?, 8000)?;
        let mut shares = rig.shares()?;
        shares.sort_unstable();
        assert_eq!(shares, [0, 0, 0, 0, 0, 0, 0, 8000], "{name}");
        rig.time(&scenario(name, 1000)?, 8000)?;
        let mut more = rig.shares()?;
        more.sort_unstable();
        assert_eq!(more.iter().sum::<u64>(), 16_000, "{name}");
        // 1,000 each, of whole flows of 8 packets.
        assert!(more[0] > 500 && more[6] < 1500, "{name}: {more:?}");
    }
    Ok(())
}

#[test]
fn live_packets_come_back_from_both_programs() -> Result<()> {
    let mut live = Live::start()?;
    let rates = vec![live.round(1000)?, live.round(1000)?];
    let rows = Live::rows(&rates);
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert!(row.packets_a_second > 0.0 && row.ratio > 0.0, "{row:?}");
    }
    Ok(())
}
