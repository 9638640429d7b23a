//! From times to figures: rows, the bars that must be met, and how they are shown. Pure.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::scenario::{BARE, FLOOR, LOOK_UP, MANY, ONE, Scenario};

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
    /// What is asked for.
    pub limit: Limit,
    /// Measured: the worst of all rows that it is about.
    pub figure: f64,
}

/// What a bar asks for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Limit {
    /// No more than that.
    AtMost(f64),
    /// No less than that.
    AtLeast(f64),
}

impl Bar {
    /// True if it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.limit {
            Limit::AtMost(most) => self.figure <= most,
            Limit::AtLeast(least) => self.figure >= least,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, limit) = match self.limit {
            Limit::AtMost(most) => ("at most", most),
            Limit::AtLeast(least) => ("at least", least),
        };
        let verdict = if self.holds() { "ok" } else { "MISSED" };
        write!(f, "{:<48} {:>5.2} ({words} {limit:.2}) {verdict}", self.name, self.figure)
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

/// The bars, as far as what they are about was measured, and the names of the others.
#[must_use]
pub fn bars(scenarios: &[Scenario], times: &[Vec<f64>]) -> (Vec<Bar>, Vec<&'static str>) {
    let (mut bars, mut unmeasured) = (Vec::new(), Vec::new());
    for rule in RULES {
        match rule.figure(scenarios, times) {
            Some(figure) => bars.push(Bar { name: rule.name, limit: Limit::AtMost(rule.most), figure }),
            None => unmeasured.push(rule.name),
        }
    }
    (bars, unmeasured)
}

/// The scenarios that a bar needs besides those that are named like `only`.
#[must_use]
pub fn compared_with(only: &str) -> Vec<&'static str> {
    let about = |rule: &&Rule| rule.of.iter().any(|name| name.contains(only));
    RULES.iter().filter(about).filter_map(|rule| rule.over.scenario()).collect()
}

/// What a bar is about: the worst of some ratios.
struct Rule {
    name: &'static str,
    most: f64,
    /// Scenarios, each at every number of flows that it is measured at, unless `over` says otherwise.
    of: &'static [&'static str],
    over: Over,
}

/// What a scenario is compared with.
#[derive(Clone, Copy)]
enum Over {
    /// The floor at the same number of flows.
    Floor,
    /// The floor, at this number of flows alone.
    FloorAt(u32),
    /// Itself: a million flows with one.
    OneFlow,
    /// Another one, at the same number of flows.
    Other(&'static str),
    /// Another one, at this number of flows alone.
    OtherAt(&'static str, u32),
}

impl Over {
    const fn scenario(self) -> Option<&'static str> {
        match self {
            Self::Other(name) | Self::OtherAt(name, _) => Some(name),
            Self::Floor | Self::FloorAt(_) => Some(FLOOR),
            Self::OneFlow => None,
        }
    }

    /// What a scenario at a number of flows is compared with, if it is.
    fn of(self, name: &'static str, flows: u32) -> Option<(&'static str, u32)> {
        match self {
            Self::Floor => Some((FLOOR, flows)),
            Self::FloorAt(at) => (flows == at).then_some((FLOOR, at)),
            Self::OneFlow => (flows == MILLION).then_some((name, 1)),
            Self::Other(other) => Some((other, flows)),
            Self::OtherAt(other, at) => (flows == at).then_some((other, at)),
        }
    }
}

const MILLION: u32 = 1_000_000;

/// All bars but that of live traffic.
const RULES: [Rule; 11] = [
    Rule { name: "established IPv4 TCP, over the floor", most: 1.9, of: &["tcp-v4-ch"], over: Over::Floor },
    Rule { name: "IPv4 UDP, over the floor", most: 1.9, of: &["udp-v4-ch"], over: Over::Floor },
    Rule { name: "IPv4 SYN, over the floor", most: 1.9, of: &["tcp-v4-syn"], over: Over::Floor },
    Rule {
        name: "established IPv6 TCP, over the IPv4 floor",
        most: 2.3,
        of: &["tcp-v6-ch"],
        over: Over::Floor,
    },
    Rule { name: "IPv6 UDP, over the IPv4 floor", most: 2.3, of: &["udp-v6-ch"], over: Over::Floor },
    Rule { name: "IPv6 SYN, over the IPv4 floor", most: 2.3, of: &["tcp-v6-syn"], over: Over::Floor },
    Rule {
        name: "a million flows, over one flow",
        most: 1.2,
        of: &["tcp-v4-ch", "tcp-v4-syn", "udp-v4-ch", "tcp-v6-ch", "tcp-v6-syn", "udp-v6-ch"],
        over: Over::OneFlow,
    },
    Rule {
        name: "no VIP, over the floor",
        most: 1.0,
        of: &["pass-v4-no-vip", "pass-v6-no-vip"],
        over: Over::Floor,
    },
    Rule {
        name: "1,000 tracked flows, over the floor",
        most: 4.5,
        of: &["tcp-v4-lru-hit", "udp-v4-lru-hit", "tcp-v6-lru-hit"],
        over: Over::FloorAt(1000),
    },
    Rule {
        name: "a million tracked flows, over a bare look-up",
        most: 1.15,
        of: &["tcp-v4-lru-hit"],
        over: Over::OtherAt(LOOK_UP, MILLION),
    },
    Rule { name: "10,000 services, over one", most: 1.2, of: &[MANY], over: Over::Other(ONE) },
];

impl Rule {
    /// The worst ratio; `None` if nothing of it was measured.
    fn figure(&self, scenarios: &[Scenario], times: &[Vec<f64>]) -> Option<f64> {
        let measured = scenarios.iter().enumerate().filter(|(_, row)| self.of.contains(&row.name));
        let ratio = |(at, row): (usize, &Scenario)| {
            let (name, flows) = self.over.of(row.name, row.flows)?;
            let below = net_of(scenarios, times, position(scenarios, name, flows)?);
            Some(median(ratios(&net_of(scenarios, times, at), &below)))
        };
        measured.filter_map(ratio).max_by(f64::total_cmp)
    }
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
pub(super) fn median(mut values: Vec<f64>) -> f64 {
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
        let (bars, unmeasured) = bars(&all(), &times(steady));
        assert_eq!(
            bars.iter().map(|bar| bar.figure).collect::<Vec<_>>(),
            [1.25, 0.25, 0.25, 0.25, 0.25, 0.25, 1.0, 0.25, 0.25, 1.0, 1.0]
        );
        assert!(bars.iter().all(Bar::holds));
        assert_eq!(unmeasured, [""; 0]);
    }

    #[test]
    fn each_bar_is_missed_by_what_it_is_about() {
        let slow = |name, flows| {
            times(
                move |scenario| {
                    if scenario.name == name && scenario.flows == flows { 190.0 } else { steady(scenario) }
                },
            )
        };
        let missed = |times: &[Vec<f64>]| -> Vec<&str> {
            bars(&all(), times).0.iter().filter(|bar| !bar.holds()).map(|bar| bar.name).collect()
        };
        let established = "established IPv4 TCP, over the floor";
        assert_eq!(missed(&slow("tcp-v4-ch", 1000)), [established]);
        let million = "a million flows, over one flow";
        assert_eq!(missed(&slow("tcp-v4-ch", 1_000_000)), [established, million]);
        assert_eq!(missed(&slow("tcp-v6-syn", 1_000_000)), ["IPv6 SYN, over the IPv4 floor", million]);
        assert_eq!(missed(&slow("pass-v6-no-vip", 1)), ["no VIP, over the floor"]);
        assert_eq!(missed(&slow("udp-v4-ch", 1)), ["IPv4 UDP, over the floor"]);
        assert_eq!(missed(&slow("tcp-v6-lru-hit", 1000)), ["1,000 tracked flows, over the floor"]);
        let tracked = "a million tracked flows, over a bare look-up";
        assert_eq!(missed(&slow("tcp-v4-lru-hit", 1_000_000)), [tracked]);
        assert_eq!(missed(&slow("tcp-v4-10000-services", 1)), ["10,000 services, over one"]);
        assert_eq!(missed(&slow("tcp-v4-options", 1)), [""; 0]);
    }

    #[test]
    fn bars_of_what_was_not_measured_are_named() {
        let few: Vec<_> = all().into_iter().filter(|row| [BARE, FLOOR].contains(&row.name)).collect();
        let (bars, unmeasured) = bars(&few, &[vec![20.0, 60.0, 60.0, 60.0, 60.0]]);
        assert_eq!(bars, []);
        assert_eq!(unmeasured.len(), RULES.len());
    }

    #[test]
    fn each_bar_is_about_scenarios_that_there_are() {
        for rule in RULES {
            let names = rule.of.iter().copied().chain(rule.over.scenario());
            for name in names {
                assert!(all().iter().any(|row| row.name == name), "{}: there is no {name}", rule.name);
            }
        }
    }

    #[test]
    fn what_a_bar_needs_is_measured_as_well() {
        assert_eq!(compared_with("tcp-v4-lru-hit"), [FLOOR, LOOK_UP]);
        assert_eq!(compared_with("10000"), [ONE]);
    }
}
