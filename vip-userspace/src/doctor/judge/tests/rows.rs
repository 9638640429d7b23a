//! Ways to be broken, one a row.

use super::*;

/// A way to be broken: what it is called, how it comes about, the finding.
pub(super) type Row = (&'static str, fn(&mut Facts), &'static str, Severity);

pub(super) const MACHINE: [Row; 12] = [
    ("an old kernel", |facts| facts.machine.supported = false, "old-kernel", Severity::Breaks),
    ("no JIT", |facts| facts.machine.compiles = Some(false), "interpreted", Severity::Warning),
    ("no root", |facts| facts.machine.permitted = false, "not-permitted", Severity::Warning),
    ("no bpffs", |facts| facts.machine.has_bpffs = false, "no-bpffs", Severity::Breaks),
    ("another layout", |facts| facts.director.pinned = Err("v1".into()), "bad-pins", Severity::Breaks),
    ("no controller", |facts| facts.director.controller = Ok(false), "no-controller", Severity::Warning),
    (
        "a service without members",
        |facts| facts.director.idle_services = vec!["web".into()],
        "no-member",
        Severity::Breaks,
    ),
    ("a bad file", |facts| facts.director.bad_file = Some("line 1".into()), "bad-config", Severity::Warning),
    ("no configuration", |facts| facts.director.config = None, "no-config", Severity::Note),
    (
        "an interface that is not there",
        |facts| facts.missing.push("eth9".into()),
        "no-interface",
        Severity::Breaks,
    ),
    ("a full CPU", |facts| measured(facts).cpus[0].softirq = 0.95, "cpu-full", Severity::Warning),
    ("a full backlog", |facts| measured(facts).cpus[0].dropped = 1, "backlog-full", Severity::Warning),
];

pub(super) const INTERFACE: [Row; 18] = [
    ("no carrier", |facts| facts.interfaces[0].up = false, "link-down", Severity::Breaks),
    ("another program", |facts| program(facts).is_ours = false, "other-program", Severity::Breaks),
    ("generic mode", |facts| program(facts).mode = Mode::Generic, "generic-mode", Severity::Warning),
    ("no program", |facts| facts.interfaces[0].program = None, "not-attached", Severity::Breaks),
    ("an old kernel's silence", |facts| facts.interfaces[0].abilities = Ok(None), "untold", Severity::Note),
    (
        "a driver that takes nothing from others",
        |facts| facts.interfaces[1].abilities = Ok(Some(Abilities { basic: true, ..Abilities::default() })),
        "no-redirect",
        Severity::Breaks,
    ),
    (
        "one queue of several",
        |facts| facts.interfaces[0].queues = Ok(Some(Amount { now: 1, most: 8 })),
        "one-queue",
        Severity::Warning,
    ),
    (
        "the one queue there is",
        |facts| facts.interfaces[0].queues = Ok(Some(Amount { now: 1, most: 1 })),
        "one-queue",
        Severity::Note,
    ),
    (
        "fewer queues than CPUs",
        |facts| facts.interfaces[0].queues = Ok(Some(Amount { now: 2, most: 8 })),
        "few-queues",
        Severity::Note,
    ),
    (
        "a small ring",
        |facts| facts.interfaces[0].ring = Ok(Some(Amount { now: 256, most: 4096 })),
        "small-ring",
        Severity::Note,
    ),
    ("a small MTU on the way out", |facts| facts.interfaces[1].mtu = 1400, "mtu-mismatch", Severity::Breaks),
    ("no room for a second tag", |facts| facts.backends[0].tags = 2, "mtu-mismatch", Severity::Breaks),
    ("LRO", |facts| turn_on(facts, "rx-lro"), "lro", Severity::Breaks),
    ("GRO in hardware", |facts| turn_on(facts, "rx-gro-hw"), "gro-hw", Severity::Breaks),
    ("tags taken off", |facts| turn_on(facts, "rx-vlan-hw-parse"), "rxvlan", Severity::Warning),
    (
        "a strict filter",
        |facts| (facts.interfaces[0].is_strict, facts.vips[0].route) = (true, None),
        "strict-rp-filter",
        Severity::Breaks,
    ),
    (
        "no way for probes",
        |facts| facts.interfaces[0].missing_lane = Ok(vec!["a rule".into()]),
        "no-lane",
        Severity::Breaks,
    ),
    ("missed frames", |facts| measured(facts).interfaces[0].missed = 3, "missed", Severity::Warning),
];

pub(super) const LINK: [Row; 14] = [
    ("a VIP here", |facts| facts.vips[0].local = ["eth0".into()].into(), "vip-local", Severity::Warning),
    (
        "this box as a backend without the VIP",
        |facts| facts.backends[0].way = Ok(Way::Here),
        "vip-not-held",
        Severity::Breaks,
    ),
    (
        "this box as a backend with the VIP on a NIC",
        |facts| {
            facts.backends[0].way = Ok(Way::Here);
            facts.vips[0].local.insert("eth0".into());
        },
        "vip-not-on-lo",
        Severity::Warning,
    ),
    ("a thief", |facts| own(facts, 1, backend()), "backend-answers", Severity::Breaks),
    ("a stranger", |facts| own(facts, 1, Who::Stranger), "duplicate-owner", Severity::Breaks),
    ("two active directors", |facts| own(facts, 1, Who::Director), "duplicate-owner", Severity::Breaks),
    (
        "a standby of two",
        |facts| {
            facts.vips[0].role = Role::Standby;
            own(facts, 1, Who::Director);
            own(facts, 2, Who::Stranger);
        },
        "duplicate-owner",
        Severity::Breaks,
    ),
    ("a standby of none", |facts| facts.vips[0].role = Role::Standby, "no-owner", Severity::Warning),
    (
        "a link that can't be asked",
        |facts| drop(facts.vips[0].unasked.insert("eth0".into(), "no address".into())),
        "unasked",
        Severity::Note,
    ),
    (
        "a backend on another link",
        |facts| facts.backends[0].way = Ok(Way::Out("eth9".into())),
        "other-interface",
        Severity::Breaks,
    ),
    (
        "a backend behind a gateway",
        |facts| facts.backends[0].way = Err(NoNeighbour::NotOnLink { gateway: [10, 0, 0, 1].into() }),
        "not-on-link",
        Severity::Breaks,
    ),
    (
        "a backend without a route",
        |facts| facts.backends[0].way = Err(NoNeighbour::NoRoute),
        "unreachable",
        Severity::Breaks,
    ),
    (
        "a queue that takes nearly all",
        |facts| measured(facts).interfaces[0].queues[1].packets = 100,
        "queue-skew",
        Severity::Warning,
    ),
    ("too little time", |facts| measured(facts).cpus[0].squeezed = 1, "squeezed", Severity::Note),
];
