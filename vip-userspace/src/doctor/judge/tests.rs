mod rows;

use std::collections::BTreeSet;

use self::rows::{INTERFACE, LINK, MACHINE};
use super::{
    super::{
        facts::{
            Abilities, Amount, Backend, Director, Interface, Machine, Offloads, Part, Program, Vip, Way, Who,
        },
        finding::{Report, Severity},
        load::{CpuLoad, InterfaceLoad, Load, QueueLoad},
    },
    *,
};
use crate::{
    config,
    model::{AttachMode, Mac, Mode, NoNeighbour, Role},
};

const CONFIG: &str = r#"
interfaces = ["eth0"]
egress-interfaces = ["eth1"]
[service.web]
vip = "10.200.0.1"
port = 80
members = ["b1"]
check = { tcp = true }
[backend.b1]
address = "10.0.0.11"
"#;

const CHANGEABLE: [&str; 4] = ["rx-lro", "rx-gro-hw", "rx-gro", "rx-vlan-hw-parse"];

fn interface(name: &str, ifindex: u32, part: Part) -> Interface {
    Interface {
        name: name.to_owned(),
        ifindex,
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        mtu: 1500,
        up: true,
        part,
        program: Some(Program {
            id: 7,
            name: Some("director".to_owned()),
            mode: Mode::Native,
            is_ours: true,
        }),
        driver: Ok("ice".to_owned()),
        abilities: Ok(Some(Abilities { basic: true, redirect: true, transmit: true, fragments: true })),
        queues: Ok(Some(Amount { now: 4, most: 8 })),
        ring: Ok(Some(Amount { now: 2048, most: 4096 })),
        offloads: Ok(Offloads {
            on: ["rx-gro".to_owned()].into(),
            changeable: CHANGEABLE.map(str::to_owned).into(),
        }),
        is_strict: false,
        accepts_local: true,
        missing_lane: Ok(Vec::new()),
    }
}

fn load() -> Load {
    let queue = |queue, packets| QueueLoad { queue, packets };
    Load {
        seconds: 1.0,
        interfaces: vec![InterfaceLoad {
            name: "eth0".to_owned(),
            queues: vec![queue(0, 60_000), queue(1, 40_000)],
            by_interrupts: false,
            missed: 0,
        }],
        cpus: vec![CpuLoad { cpu: 0, busy: 0.5, softirq: 0.4, dropped: 0, squeezed: 0 }],
    }
}

/// A director that is as it should be.
fn healthy() -> Facts {
    let vip = "10.200.0.1".parse().expect("an address");
    Facts {
        machine: Machine {
            release: "6.1.0".to_owned(),
            supported: true,
            permitted: true,
            bpffs: "/sys/fs/bpf".to_owned(),
            has_bpffs: true,
            compiles: Some(true),
            cpus: 4,
        },
        director: Director {
            config: config::parse(CONFIG).ok(),
            source: "a test".to_owned(),
            bad_file: None,
            controller: Ok(true),
            pinned: Ok(true),
            idle_services: Vec::new(),
        },
        interfaces: vec![interface("eth0", 2, Part::Port), interface("eth1", 3, Part::Egress)],
        missing: Vec::new(),
        vips: vec![Vip {
            address: vip,
            role: Role::Active,
            local: BTreeSet::new(),
            route: Some(2),
            is_probed: true,
            owners: [("eth0".to_owned(), [].into())].into(),
            unasked: [].into(),
        }],
        backends: vec![Backend {
            name: "b1".parse().expect("a name"),
            address: "10.0.0.11".parse().expect("an address"),
            vips: [vip].into(),
            way: Ok(Way::Out("eth1".to_owned())),
            tags: 0,
        }],
        load: Some(Ok(load())),
    }
}

/// Codes and severities of all that is not good.
fn bad(report: &Report) -> Vec<(&'static str, Severity)> {
    let bad = report.findings.iter().filter(|finding| finding.severity != Severity::Good);
    bad.filter(|finding| {
        (finding.code, finding.about.as_str()) != ("untold", "eth1") && finding.code != "unknown"
    })
    .map(|finding| (finding.code, finding.severity))
    .collect()
}

#[test]
fn a_healthy_director_has_nothing_but_good_findings() {
    let report = judge(&healthy());
    assert_eq!(bad(&report), [], "{report:?}");
    assert!(!report.breaks());
    assert!(
        report.findings.iter().all(|finding| finding.severity != Severity::Good || finding.remedy.is_none())
    );
}

fn program(facts: &mut Facts) -> &mut Program {
    facts.interfaces[0].program.as_mut().expect("a program")
}

fn offloads(facts: &mut Facts) -> &mut Offloads {
    facts.interfaces[0].offloads.as_mut().expect("offloads")
}

fn turn_on(facts: &mut Facts, feature: &str) {
    offloads(facts).on.insert(feature.to_owned());
}

fn own(facts: &mut Facts, mac: u8, who: Who) {
    let owners = facts.vips[0].owners.get_mut("eth0").expect("it was asked");
    owners.insert(Mac([2, 0, 0, 0, 1, mac]), who);
}

fn measured(facts: &mut Facts) -> &mut Load {
    facts.load.as_mut().and_then(|load| load.as_mut().ok()).expect("a load")
}

fn backend() -> Who {
    Who::Backend("b1".parse().expect("a name"))
}

#[test]
fn each_way_to_be_broken_has_a_finding_of_its_own_and_a_remedy() {
    for (name, breaking, code, severity) in MACHINE.into_iter().chain(INTERFACE).chain(LINK) {
        let mut facts = healthy();
        breaking(&mut facts);
        let report = judge(&facts);
        assert_eq!(bad(&report), [(code, severity)], "{name}: {report:?}");
        assert_eq!(report.breaks(), severity == Severity::Breaks, "{name}");
        let finding = report.findings.iter().find(|finding| finding.code == code).expect("it");
        assert!(finding.remedy.is_some() || severity == Severity::Note, "{name}: {finding:?}");
    }
}

#[test]
fn the_operators_guide_has_every_code() {
    let guide = include_str!("../../../../docs/operate.md");
    for (name, _, code, _) in MACHINE.into_iter().chain(INTERFACE).chain(LINK) {
        assert!(guide.contains(&format!("`{code}`")), "{name}: {code}");
    }
}

/// The only finding that is not good.
fn only(breaking: impl FnOnce(&mut Facts)) -> Option<(&'static str, Severity)> {
    let mut facts = healthy();
    breaking(&mut facts);
    let report = judge(&facts);
    let bad = bad(&report);
    assert!(bad.len() < 2, "{report:?}");
    bad.first().copied()
}

#[test]
fn what_is_no_fault_is_none() {
    assert_eq!(only(own_as_standby), None, "the active one answers");
    let strict_but_right = only(|facts| facts.interfaces[0].is_strict = true);
    assert_eq!(strict_but_right, None, "the route to the VIP leads out there");
    let little = only(|facts| {
        measured(facts).interfaces[0].queues =
            vec![QueueLoad { queue: 0, packets: 9 }, QueueLoad { queue: 1, packets: 0 }];
    });
    assert_eq!(little, None, "nine packets say nothing");
    let one_tag = only(|facts| facts.backends[0].tags = 1);
    assert_eq!(one_tag, None, "one tag is let through");
    let on_lo = only(|facts| {
        facts.backends[0].way = Ok(Way::Here);
        facts.vips[0].local.insert("lo".into());
    });
    assert_eq!(on_lo, None, "this box is a backend, and holds the VIP");
    let small_but_unused = only(|facts| {
        facts.interfaces[1].mtu = 1400;
        facts.backends[0].way = Ok(Way::Out("eth0".to_owned()));
    });
    assert_eq!(small_but_unused, None, "no backend is there");
    let tags_on_the_way_out = only(|facts| {
        facts.interfaces[1].offloads.as_mut().expect("offloads").on.insert("rx-vlan-hw-parse".into());
    });
    assert_eq!(tags_on_the_way_out, None, "nothing is forwarded that comes in there");
}

fn own_as_standby(facts: &mut Facts) {
    facts.vips[0].role = Role::Standby;
    own(facts, 1, Who::Director);
}

#[test]
fn what_is_worse_where_it_is_used_is_told_so() {
    let tagged = |facts: &mut Facts| {
        facts.backends[0].tags = 1;
        offloads(facts).on.extend(["rx-vlan-hw-parse".to_owned(), "rx-vlan-filter".to_owned()]);
    };
    let mut facts = healthy();
    tagged(&mut facts);
    assert_eq!(bad(&judge(&facts)), [("rxvlan", Severity::Breaks), ("vlan-filter", Severity::Note)]);
    let local = only(|facts| facts.vips[0].local = ["lo".into()].into());
    assert_eq!(local, Some(("vip-local", Severity::Warning)));
    let forged = only(|facts| {
        facts.vips[0].local = ["lo".into()].into();
        facts.interfaces[1].part = Part::Candidate;
        facts.interfaces[0].accepts_local = false;
        facts.director.config.as_mut().expect("a configuration").interfaces.push("eth1".to_owned());
        // It holds the VIP rightly.
        facts.backends[0].way = Ok(Way::Here);
    });
    assert_eq!(forged, Some(("no-accept-local", Severity::Breaks)), "answers to probes are dropped");
    let unprobed = only(|facts| {
        (facts.interfaces[0].is_strict, facts.vips[0].route, facts.vips[0].is_probed) = (true, None, false);
    });
    assert_eq!(unprobed, Some(("strict-rp-filter", Severity::Warning)), "no probe goes there");
}

/// Before anything is attached.
fn fresh() -> Facts {
    let mut facts = healthy();
    (facts.director.controller, facts.director.pinned) = (Ok(false), Ok(false));
    facts.interfaces.iter_mut().for_each(|one| one.program = None);
    facts
}

#[test]
fn before_the_start_only_what_will_hurt_is_told() {
    let started = [("nothing-pinned", Severity::Note), ("no-controller", Severity::Note)];
    let told = |breaking: fn(&mut Facts)| {
        let mut facts = fresh();
        breaking(&mut facts);
        bad(&judge(&facts)).into_iter().filter(|one| !started.contains(one)).collect::<Vec<_>>()
    };
    let incapable = |facts: &mut Facts| facts.interfaces[0].abilities = Ok(Some(Abilities::default()));
    assert_eq!(told(|_| ()), []);
    assert_eq!(told(incapable), [("no-native", Severity::Warning)]);
    assert_eq!(
        told(|facts| {
            facts.interfaces[0].abilities = Ok(Some(Abilities::default()));
            facts.director.config.as_mut().expect("a configuration").mode = AttachMode::Native;
        }),
        [("no-native", Severity::Breaks)]
    );
    assert_eq!(
        told(|facts| {
            facts.interfaces[0].abilities = Ok(Some(Abilities { basic: true, ..Abilities::default() }));
            facts.interfaces[1].mtu = 9000;
            facts.interfaces[0].mtu = 9000;
        }),
        [("mtu-too-large", Severity::Warning)]
    );
    assert_eq!(told(|facts| turn_on(facts, "rx-lro")), [("lro", Severity::Warning)]);
    let fixed = told(|facts| {
        turn_on(facts, "rx-vlan-hw-parse");
        offloads(facts).changeable.clear();
    });
    assert_eq!(fixed, [("rxvlan", Severity::Warning)], "`vip run` can't turn it off");
    assert_eq!(told(|facts| turn_on(facts, "rx-vlan-hw-parse")), [("rxvlan", Severity::Note)]);
}

#[test]
fn what_cant_be_read_is_told_and_breaks_nothing() {
    let mut facts = healthy();
    let why = || "no".to_owned();
    facts.director.controller = Err(why());
    (facts.director.pinned, facts.machine.permitted) = (Err(why()), false);
    let one = &mut facts.interfaces[0];
    (one.driver, one.abilities, one.queues, one.ring) = (Err(why()), Err(why()), Err(why()), Err(why()));
    (one.offloads, one.missing_lane) = (Err(why()), Err(why()));
    facts.load = Some(Err(why()));
    let report = judge(&facts);
    assert!(!report.breaks(), "{report:?}");
    let unknown =
        report.findings.iter().filter(|finding| finding.code == "unknown" && finding.about != "eth1");
    assert_eq!(
        unknown.map(|finding| finding.check).collect::<Vec<_>>(),
        ["pins", "controller", "driver", "queues", "ring", "offloads", "load"]
    );
    facts.load = None;
    let checks: Vec<_> = judge(&facts).findings.into_iter().map(|finding| finding.check).collect();
    assert!(!checks.contains(&"load") && !checks.contains(&"backlog"), "{checks:?}");
}
