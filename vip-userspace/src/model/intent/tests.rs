//! Each refusal is produced once, with its message, and leaves the intent as it was.

use std::time::Duration;

use super::*;
use crate::model::{Affinity, Check, Http, Member, OnDead, Ports, Probe, Protocol, Role, ServiceAddress};

fn backend(name: &str, addresses: &[&str]) -> Backend {
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().expect("an address")).collect();
    Backend {
        ipv4: addresses
            .iter()
            .find_map(|address| if let IpAddr::V4(v4) = address { Some(*v4) } else { None }),
        ipv6: addresses
            .iter()
            .find_map(|address| if let IpAddr::V6(v6) = address { Some(*v6) } else { None }),
        ..Backend::new(name.parse().expect("a name"))
    }
}

fn service(name: &str, address: &str, members: &[&str]) -> Service {
    Service {
        members: members.iter().map(|backend| member(backend, 100)).collect(),
        ..Service::new(name.parse().expect("a name"), address.parse().expect("an address"))
    }
}

fn member(backend: &str, weight: u32) -> Member {
    Member { weight, ..Member::new(backend.parse().expect("a name")) }
}

fn check() -> Check {
    Check::new(Probe::Http(Http::get("/health")))
}

/// Backends b1 (of both families) and b2 (IPv4), and service web with b1.
fn intent() -> Intent {
    let mut intent = Intent::default();
    intent.add_backend(backend("b1", &["10.0.0.11", "fd00::11"])).expect("b1");
    intent.add_backend(backend("b2", &["10.0.0.12"])).expect("b2");
    intent.add_service(service("web", "10.200.0.1:80/tcp", &["b1"])).expect("web");
    intent
}

/// Expects that `change` is refused with this message, and changes nothing.
fn refuses(message: &str, change: impl FnOnce(&mut Intent) -> Result<(), Refusal>) {
    let before = intent();
    let mut after = before.clone();
    let refusal = change(&mut after).expect_err(message);
    assert_eq!(refusal.to_string(), message);
    assert_eq!(after, before, "{message}");
}

fn name<N: std::str::FromStr<Err = crate::model::names::BadName>>(text: &str) -> N {
    text.parse().expect("a name")
}

#[test]
fn backends_that_can_not_be_are_refused() {
    for (message, backend) in [
        ("there is a backend b1 already", backend("b1", &["10.0.0.99"])),
        ("backend b9 has no address", backend("b9", &[])),
        ("backend b9 has the address 10.0.0.12 of backend b2", backend("b9", &["10.0.0.12"])),
        (
            "10.200.0.1 is the VIP of service web and the address of backend b9",
            backend("b9", &["10.200.0.1", "fd00::99"]),
        ),
        (
            "backend b9: the MAC 01:00:5e:00:00:01 is not that of one NIC",
            Backend { mac: Some(super::super::Mac([1, 0, 0x5e, 0, 0, 1])), ..backend("b9", &["10.0.0.99"]) },
        ),
        (
            "backend b9: 3 VLAN tags are too many: a frame has 2 at most",
            Backend { vlans: Some(vec![1, 2, 3]), ..backend("b9", &["10.0.0.99"]) },
        ),
        (
            "backend b9: VLAN 4095 is out of range: 1 to 4094",
            Backend { vlans: Some(vec![4094, 4095]), ..backend("b9", &["10.0.0.99"]) },
        ),
    ] {
        refuses(message, |intent| intent.add_backend(backend));
    }
    for address in
        ["224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.1", "ff02::1", "::", "::1", "::ffff:10.0.0.9"]
    {
        let message = format!("backend b9: {address} is not the address of one machine");
        refuses(&message, |intent| intent.add_backend(backend("b9", &[address])));
    }
}

#[test]
fn services_that_can_not_be_are_refused() {
    let other = || service("other", "10.200.0.2:80/tcp", &["b1"]);
    let at = |port| ServiceAddress {
        vip: "10.200.0.2".parse().expect("an address"),
        ports: Ports::One(port),
        protocol: Protocol::Tcp,
    };
    for (message, service) in [
        ("there is a service web already", service("web", "10.200.0.9:80/tcp", &[])),
        (
            "service other has the address 10.200.0.1:80/tcp of service web",
            service("other", "10.200.0.1:80/tcp", &[]),
        ),
        (
            "service other: 127.0.0.1 is not an address that a VIP can have",
            service("other", "127.0.0.1:80", &[]),
        ),
        (
            "10.0.0.12 is the VIP of service other and the address of backend b2",
            service("other", "10.0.0.12:80", &[]),
        ),
        ("service other: port 0 is out of range: 1 to 65535", Service { address: at(0), ..other() }),
        ("service other: slots 0 is out of range: 1 to 262139", Service { slots: 0, ..other() }),
        ("service other: slots 262140 is out of range: 1 to 262139", Service { slots: 262_140, ..other() }),
        ("there is no backend b9", service("other", "10.200.0.2:80", &["b1", "b9"])),
        (
            "backend b1 is a member of service other already",
            service("other", "10.200.0.2:80", &["b1", "b2", "b1"]),
        ),
        (
            "service other: weight 1001 is out of range: 0 to 1000",
            Service { members: vec![member("b1", 1001)], ..other() },
        ),
        (
            "service other has an IPv6 VIP, but backend b2 has no IPv6 address: give it one (or its `mac`, and the \
             service no check)",
            service("other", "[fd00:200::1]:80", &["b2"]),
        ),
    ] {
        refuses(message, |intent| intent.add_service(service));
    }
}

#[test]
fn checks_that_can_not_be_are_refused() {
    let http = |path: &str, host: Option<&str>, expect| Check {
        probe: Probe::Http(Http { host: host.map(str::to_owned), expect, ..Http::get(path) }),
        ..check()
    };
    let millis = Duration::from_millis;
    for (message, check) in [
        ("interval 9ms is out of range: 10ms to 1h", Check { interval: millis(9), ..check() }),
        (
            "interval 24000h is out of range: 10ms to 1h",
            Check { interval: millis(86_400_000_000), ..check() },
        ),
        ("timeout 1001ms is out of range: 1ms to 1s", Check { timeout: millis(1001), ..check() }),
        ("timeout 0s is out of range: 1ms to 1s", Check { timeout: Duration::ZERO, ..check() }),
        (
            "fast-interval 1001ms is out of range: 10ms to 1s",
            Check { fast_interval: Some(millis(1001)), ..check() },
        ),
        (
            "down-interval 999ms is out of range: 1s to 1h",
            Check { down_interval: Some(millis(999)), ..check() },
        ),
        ("rise 0 is out of range: 1 to 100", Check { rise: 0, ..check() }),
        ("fall 101 is out of range: 1 to 100", Check { fall: 101, ..check() }),
        ("check port 0 is out of range: 1 to 65535", Check { port: Some(0), ..check() }),
        ("\"health\" is no path: it starts with '/' and has no blanks", http("health", None, (200, 399))),
        ("\"/a b\" is no path: it starts with '/' and has no blanks", http("/a b", None, (200, 399))),
        ("\"a\\r\\nb\" is no host name", http("/", Some("a\r\nb"), (200, 399))),
        ("expected status 20 is out of range: 100 to 599", http("/", None, (20, 50))),
        ("highest expected status 600 is out of range: 200 to 599", http("/", None, (200, 600))),
        ("highest expected status 200 is out of range: 399 to 599", http("/", None, (399, 200))),
    ] {
        let service = Service { check: Some(check), ..service("other", "10.200.0.2:80/tcp", &[]) };
        refuses(&format!("service other: {message}"), |intent| intent.add_service(service));
    }
    let udp = Service { check: Some(check()), ..service("dns", "10.200.0.2:53/udp", &[]) };
    refuses(
        "service dns: a UDP service can't be checked on its own port by http: give the check a `port`",
        |intent| intent.add_service(udp),
    );
}

#[test]
fn changes_of_what_is_not_there_are_refused() {
    let (web, b1, b2) = (name("web"), name("b1"), name("b2"));
    refuses("there is no backend b9", |intent| intent.remove_backend(&name("b9")));
    refuses("backend b1 is a member of service web: remove it there first", |intent| {
        intent.remove_backend(&b1)
    });
    refuses("there is no service ftp", |intent| intent.remove_service(&name("ftp")));
    refuses("there is no service ftp", |intent| intent.add_member(&name("ftp"), member("b1", 1)));
    refuses("there is no backend b9", |intent| intent.add_member(&web, member("b9", 1)));
    refuses("backend b1 is a member of service web already", |intent| {
        intent.add_member(&web, member("b1", 1))
    });
    refuses("backend b2 is no member of service web", |intent| intent.remove_member(&web, &b2));
    refuses("backend b2 is a member of no service", |intent| intent.set_admin(&b2, None, Admin::Disabled));
    refuses("there is no service ftp", |intent| intent.set_weight(&b1, Some(&name("ftp")), 1));
    refuses("backend b2 is no member of service web", |intent| intent.set_weight(&b2, Some(&web), 1));
    refuses("service web: weight 1001 is out of range: 0 to 1000", |intent| {
        intent.set_weight(&b1, None, 1001)
    });
}

#[test]
fn a_backend_with_a_mac_serves_the_other_family_where_nothing_is_checked() {
    let mut intent = intent();
    let mac = Some(super::super::Mac([2, 0, 0, 0, 0, 9]));
    intent.add_backend(Backend { mac, ..backend("b9", &["10.0.0.99"]) }).expect("a backend");
    let six = service("six", "[fd00:200::1]:80", &["b9"]);
    intent.add_service(Service { check: Some(check()), ..six.clone() }).expect_err("it can't be probed");
    intent.add_service(six).expect("it can be served");
}

#[test]
fn a_wish_ends_with_its_membership() {
    let mut intent = intent();
    let (web, b1) = (name("web"), name("b1"));
    intent.set_admin(&b1, None, Admin::Disabled).expect("a member");
    assert_eq!(intent.admin(&web, &b1), Admin::Disabled);
    intent.remove_member(&web, &b1).expect("a member");
    intent.add_member(&web, member("b1", 1)).expect("no member");
    assert_eq!(intent.admin(&web, &b1), Admin::Enabled);
    intent.set_admin(&b1, Some(&web), Admin::Disabled).expect("a member");
    intent.remove_service(&web).expect("a service");
    intent.remove_backend(&b1).expect("a backend of no service");
    intent.add_backend(backend("b1", &["10.0.0.11"])).expect("no backend");
    intent.add_service(service("web", "10.200.0.1:80", &["b1"])).expect("no service");
    assert_eq!(intent.admin(&web, &b1), Admin::Enabled);
}

#[test]
fn services_that_contradict_themselves_are_refused() {
    let other = || service("other", "10.200.0.2:80/tcp", &["b1"]);
    let ports = |text: &str, ports| ServiceAddress { ports, ..text.parse().expect("an address") };
    let source = |ipv4_prefix, ipv6_prefix| Affinity::Source { ipv4_prefix, ipv6_prefix };
    let secs = |secs| Some(Duration::from_secs(secs));
    for (message, service) in [
        (
            "service other: any protocol has no port of its own: its port is \"*\"",
            Service { address: ports("10.200.0.2:*/any", Ports::One(80)), ..other() },
        ),
        (
            "service other: port 0 is out of range: 1 to 65535",
            Service { address: ports("10.200.0.2:*", Ports::Range(0, 9)), ..other() },
        ),
        (
            "service other: last port 80 is out of range: 81 to 65535",
            Service { address: ports("10.200.0.2:*", Ports::Range(80, 80)), ..other() },
        ),
        (
            "service other: IPv4 affinity prefix 0 is out of range: 1 to 32",
            Service { affinity: source(0, 128), ..other() },
        ),
        (
            "service other: IPv6 affinity prefix 129 is out of range: 1 to 128",
            Service { affinity: source(32, 129), ..other() },
        ),
        (
            "service other: window 604801s is out of range: 0s to 168h",
            Service { window: secs(604_801), ..other() },
        ),
        (
            "service other: idle 604801s is out of range: 0s to 168h",
            Service { idle: secs(604_801), ..other() },
        ),
        (
            "service other: idle 9s is shorter than its window, 10s: a flow would be forgotten while its slot remembers",
            Service { window: secs(10), idle: secs(9), ..other() },
        ),
        (
            "service other: on-dead keep needs a window: with 0s nothing is remembered of a dead member",
            Service { window: secs(0), on_dead: OnDead::Keep, ..other() },
        ),
    ] {
        refuses(message, |intent| intent.add_service(service));
    }
}

#[test]
fn checks_of_services_without_one_tcp_port_need_a_port() {
    for (what, address) in [
        ("a UDP service", "10.200.0.2:53/udp"),
        ("an SCTP service", "10.200.0.2:80/sctp"),
        ("a service of any protocol", "10.200.0.2:*/any"),
        ("a service of many ports", "10.200.0.2:80-89"),
        ("a service of many ports", "10.200.0.2:*"),
    ] {
        let message = format!(
            "service other: {what} can't be checked on its own port by http: give the check a `port`"
        );
        let checked = |check| Service { check: Some(check), ..service("other", address, &[]) };
        refuses(&message, |intent| intent.add_service(checked(check())));
        let with_port = checked(Check { port: Some(8080), ..check() });
        assert_eq!(with_port.checked_port(), Some(8080));
        intent().add_service(with_port).expect("a service");
    }
}

#[test]
fn a_window_has_a_default_and_the_idle_time_is_no_shorter() {
    let times = |address: &str, change: fn(&mut Service)| {
        let mut service = service("a", address, &[]);
        change(&mut service);
        (service.window().as_secs(), service.idle().as_secs())
    };
    assert_eq!(times("10.0.0.1:80/tcp", |_| {}), (7900, 7900));
    assert_eq!(times("10.0.0.1:80/sctp", |_| {}), (7900, 7900));
    assert_eq!(times("10.0.0.1:*/any", |_| {}), (7900, 7900));
    assert_eq!(times("10.0.0.1:53/udp", |_| {}), (120, 120));
    assert_eq!(times("10.0.0.1:80/tcp", |service| service.window = Some(Duration::from_secs(3))), (3, 3));
    let round_robin = |service: &mut Service| {
        service.scheduler = "round-robin".parse().expect("a scheduler");
        service.window = Some(Duration::ZERO);
    };
    assert_eq!(times("10.0.0.1:53/udp", round_robin), (0, 120));
}

#[test]
fn services_whose_ports_contend_are_refused_and_the_more_exact_goes_beside() {
    let both = |one: &str, other: &str| {
        let mut intent = Intent::default();
        intent.add_service(service("one", one, &[])).expect("the first");
        intent.add_service(service("other", other, &[])).map_err(|refusal| refusal.to_string())
    };
    assert_eq!(
        both("10.200.0.1:80-89", "10.200.0.1:89-99"),
        Err("service other: 10.200.0.1:89-99/tcp overlaps 10.200.0.1:80-89/tcp of service one".to_owned())
    );
    assert_eq!(
        both("10.200.0.1:*/any", "10.200.0.1:*/any"),
        Err("service other has the address 10.200.0.1:*/any of service one".to_owned())
    );
    for (one, other) in [("80-89", "80"), ("80-89", "*"), ("*", "80"), ("80-89", "90-99")] {
        let address = |ports| format!("10.200.0.1:{ports}/udp");
        assert_eq!(both(&address(one), &address(other)), Ok(()));
    }
    assert_eq!(both("10.200.0.1:*/any", "10.200.0.1:*/tcp"), Ok(()));
}

#[test]
fn one_service_of_a_vip_and_protocol_gets_all_that_has_no_ports() {
    let both = |one: &str, other: &str| {
        let mut intent = Intent::default();
        let by_addresses =
            |name, address| Service { fragments: Fragments::Addresses, ..service(name, address, &[]) };
        intent.add_service(by_addresses("one", one)).expect("the first");
        intent.add_service(by_addresses("other", other)).map_err(|refusal| refusal.to_string())
    };
    let refused =
        Err("service other: service one of the same VIP has fragments 3-tuple already: packets without \
                       ports go to one"
            .to_owned());
    assert_eq!(both("10.200.0.1:80/tcp", "10.200.0.1:81/tcp"), refused);
    assert_eq!(both("10.200.0.1:80/tcp", "10.200.0.1:*/any"), refused);
    assert_eq!(both("10.200.0.1:*/any", "10.200.0.1:53/udp"), refused);
    assert_eq!(both("10.200.0.1:80/tcp", "10.200.0.1:80/udp"), Ok(()));
    assert_eq!(both("10.200.0.1:80/tcp", "10.200.0.2:80/tcp"), Ok(()));
}

#[test]
fn settings_are_those_of_a_vip_that_a_service_has_and_outlive_it() {
    let [vip, other] = ["10.200.0.1", "10.200.0.9"].map(|text| text.parse::<IpAddr>().expect("an address"));
    let standby = VipSettings { role: Role::Standby, ..VipSettings::default() };
    refuses("no service has the VIP 10.200.0.9", |intent| intent.set_vip(other, standby));
    let mut intent = intent();
    assert_eq!(intent.vip(vip), VipSettings::default());
    intent.set_vip(vip, standby).expect("a VIP");
    intent.remove_service(&name("web")).expect("a service");
    assert_eq!(intent.vip(vip), standby);
}

#[test]
fn a_draining_member_is_neither_enabled_nor_disabled_and_one_of_a_disabled_backend_is_not_draining() {
    let mut intent = intent();
    let (web, b1) = (name("web"), name("b1"));
    for admin in [Admin::Draining, Admin::Disabled, Admin::Draining, Admin::Enabled] {
        intent.set_admin(&b1, None, admin).expect("a member");
        assert_eq!(intent.admin(&web, &b1), admin);
    }
    intent.set_admin(&b1, Some(&web), Admin::Draining).expect("a member");
    let text = serde_json::to_string(&intent).expect("JSON");
    assert_eq!(serde_json::from_str::<Intent>(&text).expect("the same"), intent);
    intent.remove_service(&web).expect("a service");
    intent.add_service(service("web", "10.200.0.1:80", &["b1"])).expect("no service");
    assert_eq!(intent.admin(&web, &b1), Admin::Enabled);
}
