use anstream::adapter::strip_str;
use serde_json::json;
use vip_userspace::{
    control::{Code, Refused, Status, protocol::ReasonStatus},
    model::{Ineligible, NoNeighbour},
};

use super::{backends, refusal, services, status};

/// A service with a member of every kind, as the controller would tell it.
fn known() -> Status {
    let why = |cause: Ineligible| {
        let words = cause.to_string();
        let mut why = json!(cause);
        why["words"] = json!(words);
        why
    };
    let member = |name: &str, health: Option<&str>, why_not: Option<Ineligible>, slots: u32, packets: u64| {
        json!({
            "backend": name, "id": 1, "address": format!("10.200.1.1{}", &name[1..]), "weight": 100,
            "admin": "enabled", "health": health, "eligible": why_not.is_none(), "why_not": why_not.map(why),
            "mac": "02:00:00:00:00:01", "interface": "eth0", "slots": slots, "share": f64::from(slots) / 1000.0,
            "packets": packets, "bytes": packets * 100, "flows": packets / 10, "last_change_seconds": 65
        })
    };
    let no_mac = NoNeighbour::NoMac { interface: "eth0".into() };
    let members = [
        member("b1", Some("up"), None, 623, 12_345),
        member("b2", Some("down"), Some(Ineligible::Down { cause: "connection refused".into() }), 0, 678),
        member("b3", Some("unknown"), Some(Ineligible::NoNeighbour(no_mac)), 0, 0),
        member("b4", Some("up"), Some(Ineligible::Disabled), 377, 9),
    ];
    let check = json!({
        "probe": { "kind": "http", "path": "/health", "expect": [200, 399] },
        "interval": "1s", "timeout": "500ms", "rise": 2, "fall": 3
    });
    let lost = NoNeighbour::NotOnLink { gateway: "10.200.1.1".parse().expect("an address") };
    let status = json!({
        "instance": "lab", "version": "0.1.0", "controller": true, "pid": 4711, "uptime_seconds": 3725, "layout": 1,
        "interfaces": [
            { "name": "eth0", "ifindex": 2, "mode": "native", "mac": "02:00:00:00:00:aa" },
            { "name": "uplink1", "ifindex": 3, "mode": "generic", "mac": null }
        ],
        "services": [{
            "name": "web", "address": "10.200.0.1:80/tcp", "slots": 1000, "ttl": "decrease", "check": check,
            "eligible": 1, "total": 4, "packets": 13_032, "bytes": 1_303_200, "flows": 1302, "members": members
        }],
        "backends": [{
            "name": "b1", "services": ["web", "web6"], "packets": 5, "bytes": 500, "flows": 1,
            "addresses": [
                { "address": "10.200.1.11", "mac": "02:00:00:00:00:01", "interface": "eth0", "why_not": null },
                { "address": "fd00:200:1::11", "mac": null, "interface": null, "why_not":
                  { "code": "not-on-link", "gateway": "10.200.1.1", "words": lost.to_string() } }
            ]
        }],
        "reasons": ReasonStatus::all(&[0, 21, 0, 0, 1_000_000])
    });
    serde_json::from_value(status).expect("a status")
}

#[test]
fn the_status_shows_what_matters_and_lines_up() {
    let text = strip_str(&status(&known())).to_string();
    assert_eq!(
        text,
        "\
instance lab, controller 4711, up 1h 2m, vip 0.1.0, layout 1

INTERFACE  MODE            MAC
eth0       native          02:00:00:00:00:aa
uplink1    generic (slow)  -

web 10.200.0.1:80/tcp, 1 of 4 eligible, 1000 slots, http /health every 1s
  MEMBER  ADDRESS      WEIGHT  STATE           FOR  SLOTS  PACKETS    BYTES  FLOWS  WHY NOT
  b1      10.200.1.11     100  up            1m 5s  62.3%    12.3k  1.23 MB  1.23k
  b2      10.200.1.12     100  down          1m 5s   0.0%      678  67.8 kB     67  connection refused
  b3      10.200.1.13     100  no-neighbour  1m 5s   0.0%        0      0 B      0  nobody answers for its address on eth0: its MAC is not known
  b4      10.200.1.14     100  disabled      1m 5s  37.7%        9    900 B      0

REASON      PACKETS  MEANING
not-for-us       21  The destination MAC is not the port's own: switches flood, and ports are promiscuous.
malformed     1.00M  A header is cut short, a length does not fit, or a version is wrong.
"
    );
}

#[test]
fn without_a_controller_the_status_says_so() {
    let gone = Status {
        controller: false,
        pid: None,
        uptime_seconds: None,
        interfaces: Vec::new(),
        services: Vec::new(),
        reasons: Vec::new(),
        ..known()
    };
    assert_eq!(
        strip_str(&status(&gone)).to_string(),
        "instance lab, no controller, vip 0.1.0, layout 1\n\
         attached to no interface: nothing is forwarded\nno services\n"
    );
}

#[test]
fn a_generic_interface_and_a_dead_member_stand_out() {
    let text = status(&known());
    assert!(text.contains("\u{1b}[33mgeneric (slow)\u{1b}[0m"), "{text:?}");
    assert!(text.contains("\u{1b}[1m\u{1b}[31mdown\u{1b}[0m"), "{text:?}");
    assert!(text.contains("\u{1b}[32mup\u{1b}[0m"), "{text:?}");
}

#[test]
fn services_and_backends_have_a_line_each() {
    let known = known();
    assert_eq!(
        strip_str(&services(&known.services)).to_string(),
        "\
SERVICE  ADDRESS            ELIGIBLE  SLOTS  CHECK                  PACKETS    BYTES  FLOWS
web      10.200.0.1:80/tcp       1/4   1000  http /health every 1s    13.0k  1.30 MB  1.30k
"
    );
    assert_eq!(
        strip_str(&backends(&known.backends)).to_string(),
        "\
BACKEND  ADDRESS         MAC                INTERFACE  SERVICES  PACKETS  BYTES  FLOWS  NEIGHBOUR
b1       10.200.1.11     02:00:00:00:00:01  eth0       web,web6        5  500 B      1  found
         fd00:200:1::11  -                  -                                           \
         it is behind the gateway 10.200.1.1: direct server return needs it on the same link
"
    );
    assert_eq!(
        strip_str(&services(&[])).to_string(),
        "SERVICE  ADDRESS  ELIGIBLE  SLOTS  CHECK  PACKETS  BYTES  FLOWS\n"
    );
}

#[test]
fn what_a_backend_says_can_not_write_on_the_terminal() {
    let mut hostile = known();
    let cause = "\u{1b}[2J\r\nall is well".to_owned();
    hostile.services[0].members[1].why_not = Some(Ineligible::Down { cause }.into());
    let text = status(&hostile);
    assert!(!text.contains("\u{1b}[2J") && text.contains(" [2J  all is well"), "{text:?}");
}

#[test]
fn a_refusal_is_told_with_what_helps() {
    let refused =
        Refused::new(Code::NoBackend, "there is no backend b9").with_remedy("see `vip backend list`");
    assert_eq!(
        strip_str(&refusal(&refused)).to_string(),
        "error: there is no backend b9\nhelp: see `vip backend list`\n"
    );
}
