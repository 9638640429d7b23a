//! From times to figures: rows, the bars that must be met, and how they are shown. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use super::scenario::{BARE, FLOOR, LOOK_UP, Scenario};

/// The figures of one scenario.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// What was sent.
    pub scenario: &'static str,
    /// Number of flows.
    pub flows: u32,
    /// Median of a packet with the driver, in ns.
    pub median_ns: f64,
    /// Least of a packet with the driver, in ns.
    pub min_ns: f64,
    /// Median of a packet without the driver, in ns.
    pub net_ns: f64,
    /// Median ratio to the floor of the same round and number of flows.
    pub ratio: f64,
}

/// Something that must hold.
#[derive(Clone, PartialEq, Debug)]
pub struct Bar {
    /// In words.
    pub name: &'static str,
    /// At most.
    pub limit: f64,
    /// Measured: the worst of all rows that it is about.
    pub figure: f64,
}

impl Bar {
    /// True if it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.figure <= self.limit
    }
}

/// The rows of all scenarios. `times[round][scenario]`, in ns.
#[must_use]
pub fn rows(scenarios: &[Scenario], times: &[Vec<f64>]) -> Vec<Row> {
    scenarios
        .iter()
        .enumerate()
        .map(|(at, scenario)| {
            let raw: Vec<_> = times.iter().map(|round| round[at]).collect();
            let net = net_of(scenarios, times, at);
            let floor = position(scenarios, FLOOR, scenario.flows).or(position(scenarios, FLOOR, 1));
            let floor = net_of(scenarios, times, floor.unwrap_or_default());
            Row {
                scenario: scenario.name,
                flows: scenario.flows,
                median_ns: median(raw.clone()),
                min_ns: raw.into_iter().fold(f64::INFINITY, f64::min),
                ratio: median(ratios(&net, &floor)),
                net_ns: median(net),
            }
        })
        .collect()
}

/// The bars whose scenarios were measured.
#[must_use]
pub fn bars(scenarios: &[Scenario], times: &[Vec<f64>]) -> Vec<Bar> {
    let rows = rows(scenarios, times);
    let worst = |names: &[&str]| {
        let ratios = rows.iter().filter(|row| names.contains(&row.scenario)).map(|row| row.ratio);
        ratios.max_by(f64::total_cmp)
    };
    let row = |name, flows| Some(net_of(scenarios, times, position(scenarios, name, flows)?));
    let against = |above: Option<Vec<f64>>, below: Option<Vec<f64>>| {
        above.zip(below).map(|(above, below)| median(ratios(&above, &below)))
    };
    let million = |name| against(row(name, 1_000_000), row(name, 1));
    let few_hits = rows.iter().find(|row| row.scenario == "tcp-v4-lru-hit" && row.flows == 1000);
    let most = |figures: [Option<f64>; 4]| figures.into_iter().flatten().max_by(f64::total_cmp);
    let services = super::scenario::FLOWS
        .map(|flows| against(row("tcp-v4-10000-services", flows), row("tcp-v4-ch", flows)));
    [
        ("established IPv4 TCP, over the floor", 1.9, worst(&["tcp-v4-ch"])),
        ("IPv4 UDP, over the floor", 1.9, worst(&["udp-v4-ch"])),
        ("IPv4 SYN, over the floor", 1.9, worst(&["tcp-v4-syn"])),
        ("established IPv6 TCP, over the IPv4 floor", 2.3, worst(&["tcp-v6-ch"])),
        ("IPv6 UDP, over the IPv4 floor", 2.3, worst(&["udp-v6-ch"])),
        ("a million flows of IPv4 TCP, over one flow", 1.2, million("tcp-v4-ch")),
        ("no VIP, over the floor", 1.0, worst(&["pass-v4-no-vip", "pass-v6-no-vip"])),
        ("1,000 tracked flows, over the floor", 4.5, few_hits.map(|row| row.ratio)),
        (
            "a million tracked flows, over a bare LRU look-up",
            1.15,
            against(row("tcp-v4-lru-hit", 1_000_000), row(LOOK_UP, 1_000_000)),
        ),
        ("10,000 services, over one", 1.2, most(services)),
    ]
    .into_iter()
    .filter_map(|(name, limit, figure)| Some(Bar { name, limit, figure: figure? }))
    .collect()
}

/// All of it as text.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<22} {:>9} {:>9} {:>9} {:>9} {:>7}\n",
        "scenario", "flows", "median ns", "min ns", "net ns", "ratio"
    );
    for Row { scenario, flows, median_ns, min_ns, net_ns, ratio } in rows {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{scenario:<22} {flows:>9} {median_ns:>9.1} {min_ns:>9.1} {net_ns:>9.1} {ratio:>7.2}"
        );
    }
    text
}

/// The times of a scenario without the driver's in the same round, by round. `times[round][scenario]`, in ns.
fn net_of(scenarios: &[Scenario], times: &[Vec<f64>], at: usize) -> Vec<f64> {
    let bare = position(scenarios, BARE, 1).unwrap_or_default();
    times.iter().map(|round| round[at] - round[bare]).collect()
}

fn position(scenarios: &[Scenario], name: &str, flows: u32) -> Option<usize> {
    scenarios.iter().position(|scenario| scenario.name == name && scenario.flows == flows)
}

/// Pairs of one round each.
fn ratios(above: &[f64], below: &[f64]) -> Vec<f64> {
    above.iter().zip(below).map(|(above, below)| above / below).collect()
}

/// The middle one; the upper of two. NaN for none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::all;

    /// Rounds in which a scenario takes 20 ns for the driver and what `net` says, but ten times that in one of them.
    fn times(net: impl Fn(&Scenario) -> f64) -> Vec<Vec<f64>> {
        let round = |slow: f64| all().iter().map(|scenario| slow * (20.0 + net(scenario))).collect();
        vec![round(1.0), round(10.0), round(1.0)]
    }

    fn steady(scenario: &Scenario) -> f64 {
        match scenario.name {
            BARE => 0.0,
            FLOOR => 40.0,
            "tcp-v4-ch" => 50.0,
            _ => 10.0,
        }
    }

    #[test]
    fn rows_are_medians_without_the_driver() {
        let rows = rows(&all(), &times(steady));
        let row = rows.iter().find(|row| row.scenario == "tcp-v4-ch" && row.flows == 1000).unwrap();
        let wanted = Row {
            scenario: "tcp-v4-ch",
            flows: 1000,
            median_ns: 70.0,
            min_ns: 70.0,
            net_ns: 50.0,
            ratio: 1.25,
        };
        assert_eq!(*row, wanted);
        assert_eq!(rows[0].net_ns, 0.0);
    }

    #[test]
    fn bars_hold_where_the_figures_are_good() {
        let bars = bars(&all(), &times(steady));
        assert_eq!(
            bars.iter().map(|bar| bar.figure).collect::<Vec<_>>(),
            [1.25, 0.25, 0.25, 0.25, 0.25, 1.0, 0.25, 0.25, 1.0, 0.2]
        );
        assert!(bars.iter().all(Bar::holds));
    }

    #[test]
    fn each_bar_is_missed_by_what_it_is_about() {
        let slow = |name, flows| {
            times(
                move |scenario| {
                    if scenario.name == name && scenario.flows == flows { 90.0 } else { steady(scenario) }
                },
            )
        };
        let missed = |times: &[Vec<f64>]| -> Vec<&str> {
            bars(&all(), times).iter().filter(|bar| !bar.holds()).map(|bar| bar.name).collect()
        };
        let established = "established IPv4 TCP, over the floor";
        assert_eq!(missed(&slow("tcp-v4-ch", 1000)), [established]);
        let million = "a million flows of IPv4 TCP, over one flow";
        assert_eq!(missed(&slow("tcp-v4-ch", 1_000_000)), [established, million]);
        assert_eq!(missed(&slow("pass-v6-no-vip", 1)), ["no VIP, over the floor"]);
        assert_eq!(missed(&slow("udp-v4-ch", 1)), ["IPv4 UDP, over the floor"]);
        let tracked = "a million tracked flows, over a bare LRU look-up";
        assert_eq!(missed(&slow("tcp-v4-lru-hit", 1_000_000)), [tracked]);
        assert_eq!(missed(&slow("tcp-v4-10000-services", 1)), ["10,000 services, over one"]);
        assert_eq!(missed(&slow("tcp-v4-options", 1)), [""; 0]);
    }

    #[test]
    fn bars_of_what_was_not_measured_are_left_out() {
        let few: Vec<_> = all().into_iter().filter(|row| [BARE, FLOOR].contains(&row.name)).collect();
        assert_eq!(bars(&few, &[vec![20.0, 60.0, 60.0, 60.0, 60.0]]), []);
    }
}
