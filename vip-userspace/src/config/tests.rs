//! Good configurations are read as they are meant.

mod bad;

use std::time::Duration;

use super::*;
use crate::model::{Check, Mac, Member, Probe, Protocol, Ttl, service::DEFAULT_SLOTS};

/// The file that documents every key.
const EXAMPLE: &str = include_str!("../../../docs/vip.toml");

#[test]
fn the_example_is_read_as_its_comments_say() {
    let config = parse(EXAMPLE).expect("a good configuration");
    assert_eq!(config.interfaces, ["eth0"]);
    assert_eq!((config.mode, config.capacity), (AttachMode::Auto, Capacity::default()));
    assert_eq!(config.seed.map(|seed| seed.reveal()).as_deref(), Some("00112233445566778899aabbccddeeff"));
    let service = |name: &str| &config.intent.services()[&name.parse().expect("a name")];
    let backend = |name: &str| &config.intent.backends()[&name.parse().expect("a name")];
    let (web, web6) = (service("web"), service("web6"));
    assert_eq!(web.address.to_string(), "10.200.0.1:80/tcp");
    assert_eq!((web.slots, web.ttl), (DEFAULT_SLOTS, Ttl::Decrease));
    let member = |backend: &str, weight| Member { weight, ..Member::new(backend.parse().expect("a name")) };
    assert_eq!(web.members, [member("b1", 100), member("b2", 50)]);
    let check = Check {
        probe: Probe::Http {
            path: "/health".to_owned(),
            host: Some("example.org".to_owned()),
            expect: Check::DEFAULT_EXPECT,
        },
        interval: Check::DEFAULT_INTERVAL,
        timeout: Check::DEFAULT_TIMEOUT,
        rise: Check::DEFAULT_RISE,
        fall: Check::DEFAULT_FALL,
        port: Some(8080),
    };
    assert_eq!(web.check, Some(check.clone()));
    assert_eq!(web6.address.to_string(), "[fd00:200::1]:80/tcp");
    assert_eq!(web6.check, Some(Check { probe: Probe::Tcp, port: None, ..check }));
    assert_eq!(backend("b1").addresses().count(), 2);
    assert_eq!(backend("b2").mac, Some(Mac([2, 0, 0, 0, 0, 0x12])));
}

#[test]
fn what_the_example_calls_a_default_is_one() {
    let defaults = [
        "mode",
        "slots",
        "members = 4096",
        "services",
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
    assert_eq!(without.len(), EXAMPLE.lines().count() - defaults.len() - 1, "slots are there twice");
    assert_eq!(parse(&without.join("\n")), parse(EXAMPLE));
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
    assert_eq!(check.probe, Probe::Http { path: "/".to_owned(), host: None, expect: (204, 204) });
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(60), Check::DEFAULT_TIMEOUT));
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
