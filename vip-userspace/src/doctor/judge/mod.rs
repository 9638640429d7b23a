//! Findings from facts. Pure: each of its parts looks at some of the facts, none of them asks anybody.

mod interface;
mod load;
mod machine;
mod offloads;
#[cfg(test)]
mod tests;
mod vip;

use super::{
    facts::Facts,
    finding::{Finding, Report},
};

/// Judges everything that was looked at.
#[must_use]
pub fn judge(facts: &Facts) -> Report {
    let mut findings: Vec<Finding> = machine::findings(&facts.machine, &facts.director);
    findings.extend(machine::missing(&facts.missing));
    for interface in &facts.interfaces {
        findings.extend(interface::findings(interface, facts));
        findings.extend(load::of_interface(interface, facts));
    }
    findings.extend(load::of_cpus(facts));
    for vip in &facts.vips {
        findings.extend(vip::findings(vip, facts));
    }
    findings.extend(vip::of_backends(facts));
    // Things are told in the order in which they were looked at, all about one thing together.
    let load = facts.load.as_ref().and_then(|told| told.as_ref().ok()).cloned();
    Report { findings, load }
}
