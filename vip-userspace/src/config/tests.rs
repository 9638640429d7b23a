//! Good configurations are read as they are meant.

mod bad;
mod bad_checks;
mod bad_placing;
mod control;

use std::time::Duration;

use super::*;
use crate::model::{
    Access, Affinity, Answer, Check, Echo, Fragments, Http, Mac, Maintenance, Member, OnDead, Others, Probe,
    Protocol, Role, Target, Ttl, VipSettings,
    service::{DEFAULT_SLOTS, DEFAULT_WINDOW},
};

/// The file that documents every key.
const EXAMPLE: &str = include_str!("../../../docs/vip.toml");

#[test]
fn the_example_says_who_may_use_the_control_socket() {
    let config = parse(EXAMPLE).expect("a good configuration");
    assert_eq!(config.access, Access { group: Some("root".to_owned()), others: Others::None });
}

#[test]
fn the_example_is_read_as_its_comments_say() {
    let config = parse(EXAMPLE).expect("a good configuration");
    assert_eq!(config.interfaces, ["eth0"]);
    assert_eq!((config.mode, config.capacity), (AttachMode::Auto, Capacity::default()));
    assert_eq!(config.egress_interfaces, ["eth1"]);
    assert_eq!((config.virtual_router, config.peers), (Some(51), [Mac([2, 0, 0, 0, 0, 9])].into()));
    let settings: Vec<_> =
        config.intent.services().values().map(|service| config.intent.vip(service.address.vip)).collect();
    assert_eq!(settings, [VipSettings::default(); 2]);
    assert_eq!(config.seed.map(|seed| seed.reveal()).as_deref(), Some("00112233445566778899aabbccddeeff"));
    let service = |name: &str| &config.intent.services()[&name.parse().expect("a name")];
    let backend = |name: &str| &config.intent.backends()[&name.parse().expect("a name")];
    let (web, web6) = (service("web"), service("web6"));
    assert_eq!(web.address.to_string(), "10.200.0.1:80/tcp");
    assert_eq!((web.slots, web.ttl), (DEFAULT_SLOTS, Ttl::Decrease));
    let member = |backend: &str, weight| Member { weight, ..Member::new(backend.parse().expect("a name")) };
    assert_eq!(
        web.members,
        [member("b1", 100), member("b2", 50), Member { backup: true, ..member("b3", 100) }]
    );
    assert_eq!((web.quorum, web.quorum_hysteresis, web.panic_threshold), (1, 0, Some(50)));
    assert_eq!((web.slow_start, web6.slow_start), (Some(Duration::from_secs(30)), None));
    assert_eq!(web.affinity, Affinity::Source { ipv4_prefix: 24, ipv6_prefix: 128 });
    assert_eq!((web.window, web.idle), (Some(DEFAULT_WINDOW), Some(DEFAULT_WINDOW)));
    assert_eq!((web6.affinity, web6.window, web6.window()), (Affinity::Flow, None, DEFAULT_WINDOW));
    let check = Check {
        probe: Probe::Http(Http {
            host: Some("example.org".to_owned()),
            body: Some("fine".to_owned()),
            ..Http::get("/health")
        }),
        fast_interval: Some(Duration::from_millis(500)),
        down_interval: Some(Duration::from_secs(5)),
        port: Some(8080),
        target: Target::Vip,
        interval: Check::DEFAULT_INTERVAL,
        timeout: Check::DEFAULT_TIMEOUT,
        rise: Check::DEFAULT_RISE,
        fall: Check::DEFAULT_FALL,
    };
    assert_eq!(web.check, Some(check.clone()));
    assert_eq!(web6.address.to_string(), "[fd00:200::1]:80/tcp");
    assert_eq!(web6.check, Some(Check::new(Probe::Tcp)));
    assert_eq!(backend("b1").addresses().count(), 2);
    assert_eq!((backend("b3").vlans.as_deref(), backend("b3").director), (Some(&[100][..]), true));
    assert_eq!((backend("b2").vlans.as_ref(), backend("b2").director), (None, false));
    let in_maintenance: Vec<_> = config.intent.in_maintenance().collect();
    assert_eq!(in_maintenance, [(&backend("b3").name, Maintenance::Disabled)]);
    assert_eq!(backend("b2").mac, Some(Mac([2, 0, 0, 0, 0, 0x12])));
}

#[test]
fn the_example_has_every_key() {
    let named = |key: &str| EXAMPLE.contains(&format!("{key} = ")) || EXAMPLE.contains(&format!("[{key}"));
    let (members, capacity) = (&service::MEMBER_KEYS[..], &CAPACITY_KEYS[..]);
    for keys in [
        &KEYS[..],
        &backend::KEYS,
        &check::keys(),
        &placing::KEYS,
        &service::KEYS,
        &vip::KEYS,
        members,
        capacity,
    ] {
        // A check stands in a table of its own.
        for key in keys.iter().filter(|key| **key != "check") {
            assert!(named(key), "{key}");
        }
    }
    assert!(EXAMPLE.contains("[service.web.check]"));
}

#[test]
fn what_the_example_calls_a_default_is_one() {
    let defaults = [
        "mode",
        "slots",
        "members = 4096",
        "services",
        "flows",
        "fragments",
        "role",
        "echo",
        "unknown-port",
        "scheduler",
        "on-dead",
        "no-backend",
        "quorum",
        "protocol",
        "ttl",
        "expect",
        "interval",
        "timeout",
        "rise",
        "fall",
    ];
    let is_stated = |line: &&str| !defaults.iter().any(|default| line.starts_with(default));
    let without: Vec<_> = EXAMPLE.lines().filter(is_stated).collect();
    let twice = ["slots", "fragments", "quorum"];
    assert_eq!(without.len(), EXAMPLE.lines().count() - defaults.len() - twice.len());
    let (without, mut example) = (parse(&without.join("\n")).expect("good"), parse(EXAMPLE).expect("good"));
    let address = "10.200.0.1".parse().expect("an address");
    example.intent.set_vip(address, VipSettings::default()).expect("a VIP");
    assert_eq!(without, example);
}

#[test]
fn other_ways_to_say_it_are_read_as_well() {
    let config = parse(
        r#"
        interfaces = ["eth0", "eth1.100"]
        mode = "generic"
        capacity.slots = 1_009
        service.dns = { vip = "10.200.0.1", port = 0x35, protocol = "udp", slots = 1009, ttl = "keep", members = [
            { backend = "b1", weight = 0 },
        ], check = { http = "/", expect = 204, port = 8080, interval = "1m" } }
        [backend]
        b1.address = "10.0.0.11"
        "#,
    )
    .expect("a good configuration");
    assert_eq!(config.interfaces, ["eth0", "eth1.100"]);
    assert_eq!((config.mode, config.seed), (AttachMode::Generic, None));
    assert_eq!(config.capacity, Capacity { slots: 1009, ..Capacity::default() });
    let service = config.intent.services().values().next().expect("a service");
    assert_eq!((service.address.to_string().as_str(), service.ttl), ("10.200.0.1:53/udp", Ttl::Keep));
    assert_eq!(service.members.iter().map(|member| member.weight).collect::<Vec<_>>(), [0]);
    let check = service.check.as_ref().expect("a check");
    assert_eq!(check.probe, Probe::Http(Http { expect: (204, 204), ..Http::get("/") }));
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(60), Check::DEFAULT_TIMEOUT));
}

#[test]
fn ports_and_protocols_are_read_in_every_form() {
    let address = |lines: &str| {
        let config = parse(&format!("interfaces = ['eth0']\n[service.a]\nvip = 'fd00:200::1'\n{lines}"));
        let intent = config.expect(lines).intent;
        intent.services().values().next().map(|service| service.address.to_string()).unwrap_or_default()
    };
    assert_eq!(address("port = 80"), "[fd00:200::1]:80/tcp");
    assert_eq!(address("port = '80'\nprotocol = 'sctp'"), "[fd00:200::1]:80/sctp");
    assert_eq!(address("port = '8000-8999'"), "[fd00:200::1]:8000-8999/tcp");
    assert_eq!(address("port = '*'\nprotocol = 'udp'"), "[fd00:200::1]:*/udp");
    assert_eq!(address("protocol = 'any'"), "[fd00:200::1]:*/any");
    assert_eq!(address("port = '*'\nprotocol = 'any'"), "[fd00:200::1]:*/any");
}

#[test]
fn how_flows_are_placed_is_read() {
    let config = parse(
        r#"
        interfaces = ["eth0"]
        [vip."fd00:200::1"]
        role = "standby"
        echo = "backend"
        unknown-port = "reset"
        [service.dns]
        vip = "fd00:200::1"
        port = 53
        protocol = "udp"
        scheduler = "round-robin"
        affinity = "source"
        affinity-prefix = 56
        window = "1s"
        on-dead = "reset"
        fragments = "3-tuple"
        no-backend = "reset"
        [service.web]
        vip = "fd00:200::1"
        port = 80
        fragments = "3-tuple"
        window = "0s"
        "#,
    );
    let intent = config.expect("a good configuration").intent;
    let settings = VipSettings { role: Role::Standby, echo: Echo::Backend, unknown_port: Answer::Reset };
    assert_eq!(intent.vip("fd00:200::1".parse().expect("an address")), settings);
    let [dns, web] = ["dns", "web"].map(|name| &intent.services()[&name.parse().expect("a name")]);
    assert_eq!(dns.scheduler.word(), "round-robin");
    assert_eq!(dns.affinity, Affinity::Source { ipv4_prefix: 32, ipv6_prefix: 56 });
    assert_eq!(dns.source_bits(), 56);
    assert_eq!((dns.on_dead, dns.no_backend), (OnDead::Reset, Answer::Reset));
    assert_eq!((dns.fragments, web.fragments), (Fragments::Addresses, Fragments::Addresses));
    assert_eq!((dns.window(), dns.idle()), (Duration::from_secs(1), Duration::from_secs(120)));
    assert_eq!((web.window(), web.idle()), (Duration::ZERO, Duration::ZERO));
}

#[test]
fn a_default_timeout_is_no_longer_than_the_interval() {
    let config = parse(
        "interfaces = ['eth0']\n[service.a]\nvip = 'fd00:200::1'\nport = 1\ncheck = { tcp = true, interval = '20ms' }",
    );
    let intent = config.expect("a good configuration").intent;
    let check = intent.services().values().next().and_then(|service| service.check.clone()).expect("a check");
    assert_eq!(check.timeout, Duration::from_millis(20));
    assert_eq!(
        intent.services().values().next().map(|service| service.address.protocol),
        Some(Protocol::Tcp)
    );
}
