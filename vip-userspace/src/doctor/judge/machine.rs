//! Findings about the box, and about the director as a whole.

use super::super::{
    facts::{Director, Machine},
    finding::{Finding, Sheet},
};
use crate::dataplane::preflight::OLDEST_KERNEL;

pub(super) fn findings(machine: &Machine, director: &Director) -> Vec<Finding> {
    let mut sheet = Sheet::about("machine");
    box_itself(machine, &mut sheet);
    director_itself(machine, director, &mut sheet);
    sheet.finish()
}

/// Interfaces that should be there.
pub(super) fn missing(names: &[String]) -> Vec<Finding> {
    let about_one = |name: &String| {
        let mut sheet = Sheet::about(name);
        sheet.breaks(
            "link",
            "no-interface",
            "there is no interface of that name, but the configuration has it",
            "plug it in, or name another one in `interfaces` or `egress-interfaces`",
        );
        sheet.finish()
    };
    names.iter().flat_map(about_one).collect()
}

fn box_itself(machine: &Machine, sheet: &mut Sheet) {
    let (major, minor) = OLDEST_KERNEL;
    if machine.supported {
        sheet.good("kernel", format!("Linux {}", machine.release));
    } else {
        sheet.breaks(
            "kernel",
            "old-kernel",
            format!("Linux {} is older than {major}.{minor}", machine.release),
            format!("boot Linux {major}.{minor} or newer"),
        );
    }
    match machine.compiles {
        Some(true) => sheet.good("bpf jit", "programs are compiled"),
        Some(false) => sheet.warning(
            "bpf jit",
            "interpreted",
            "programs are interpreted, which costs several times as much a packet",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        None => {}
    }
    if machine.permitted {
        sheet.good("privileges", "as `vip run` needs them");
    } else {
        sheet.warning(
            "privileges",
            "not-permitted",
            "this is not root: much can't be looked at, and nothing can be asked on the wire",
            "run it as root, for example with sudo",
        );
    }
    if machine.has_bpffs {
        sheet.good("bpffs", format!("at {}", machine.bpffs));
    } else {
        sheet.breaks(
            "bpffs",
            "no-bpffs",
            format!("there is no BPF file system at {}", machine.bpffs),
            format!("mount -t bpf bpf {}", machine.bpffs),
        );
    }
}

fn director_itself(machine: &Machine, director: &Director, sheet: &mut Sheet) {
    match &director.pinned {
        Ok(true) => sheet.good("pins", "tables and links are pinned"),
        Ok(false) => sheet.note("pins", "nothing-pinned", "nothing is pinned: nothing is forwarded yet"),
        Err(why) if !machine.permitted => sheet.unknown("pins", why),
        Err(why) => sheet.breaks(
            "pins",
            "bad-pins",
            why,
            "look at what is said there; `vip detach` removes what is pinned",
        ),
    }
    match (&director.controller, &director.pinned) {
        (Ok(true), _) => sheet.good("controller", "it runs"),
        (Ok(false), Ok(true)) => sheet.warning(
            "controller",
            "no-controller",
            "none runs: what is pinned goes on forwarding, but a backend that dies stays in",
            "vip run --config FILE",
        ),
        (Ok(false), _) => sheet.note("controller", "no-controller", "none runs"),
        (Err(why), _) => sheet.unknown("controller", why),
    }
    for service in &director.idle_services {
        sheet.breaks(
            "services",
            "no-member",
            format!("service {service} has no eligible member: its new flows go nowhere"),
            "see `vip status` for what keeps its members out",
        );
    }
    if let Some(problem) = &director.bad_file {
        sheet.warning("configuration", "bad-config", problem, "mend it: the next start or reload refuses it");
    }
    match &director.config {
        Some(_) => sheet.good("configuration", format!("taken from {}", director.source)),
        None => sheet.advise(
            "configuration",
            "no-config",
            "there is none: VIPs and backends are not looked at",
            "vip doctor --config FILE",
        ),
    }
}
