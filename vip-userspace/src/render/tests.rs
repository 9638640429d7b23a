use anstream::adapter::strip_str;
use serde_json::json;
use vip_common::Reason;
use vip_userspace::{
    control::{
        Code, Refused, Status,
        protocol::{FlowTableStatus, ReasonStatus, Why},
    },
    doctor::{Finding, Report, Severity},
    model::{Affinity, Answer, Cause, Fragments, Ineligible, NoNeighbour, OnDead, Role},
};

use super::{backends, refusal, report, services, status};

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
    let mut members = [
        member("b1", Some("up"), None, 623, 12_345),
        member("b2", Some("down"), Some(Ineligible::Down(Box::new(Cause::PortClosed))), 0, 678),
        member("b3", Some("unknown"), Some(Ineligible::NoNeighbour(no_mac)), 0, 0),
        member("b4", Some("up"), Some(Ineligible::Disabled), 377, 9),
        member("b5", Some("up"), Some(Ineligible::Draining), 0, 9),
        member("b6", Some("up"), Some(Ineligible::Backup), 0, 0),
    ];
    members[0]["bounced"] = json!(1234);
    members[5]["backup"] = json!(true);
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
        "inlet": { "name": "vip-in-80000000", "ifindex": 4, "mode": "generic", "mac": "02:76:69:70:00:01" },
        "services": [{
            "name": "web", "address": "10.200.0.1:80/tcp", "slots": 1000, "ttl": "decrease", "check": check,
            "eligible": 1, "total": 6, "packets": 13_032, "bytes": 1_303_200, "flows": 1302, "members": members
        }],
        "backends": [{
            "name": "b1", "services": ["web", "web6"], "packets": 5, "bytes": 500, "flows": 1,
            "addresses": [
                { "address": "10.200.1.11", "mac": "02:00:00:00:00:01", "interface": "eth0", "why_not": null },
                { "address": "10.200.1.1", "here": true, "mac": null, "interface": null, "why_not": null },
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

INTERFACE        MODE            MAC
eth0             native          02:00:00:00:00:aa
uplink1          generic (slow)  -
vip-in-80000000  local clients   02:76:69:70:00:01

web 10.200.0.1:80/tcp, 1 of 6 eligible, 1000 slots, http /health every 1s
  MEMBER       ADDRESS      WEIGHT  STATE           FOR  SLOTS  PACKETS    BYTES  FLOWS  BOUNCED  WHY NOT
  b1           10.200.1.11     100  up            1m 5s  62.3%    12.3k  1.23 MB  1.23k    1.23k  it sends packets back: does it have the VIP?
  b2           10.200.1.12     100  down          1m 5s   0.0%      678  67.8 kB     67           connection refused
  b3           10.200.1.13     100  no-neighbour  1m 5s   0.0%        0      0 B      0           nobody answers for its address on eth0
  b4           10.200.1.14     100  disabled      1m 5s  37.7%        9    900 B      0
  b5           10.200.1.15     100  draining      1m 5s   0.0%        9    900 B      0
  b6 (backup)  10.200.1.16     100  waiting       1m 5s   0.0%        0      0 B      0

REASON      PACKETS  MEANING
not-for-us       21  The destination MAC is not the port's own: switches flood, and ports are promiscuous.
malformed     1.00M  A header is cut short, a length does not fit, or a version is wrong.
"
    );
}

#[test]
fn somebody_who_claims_a_vip_is_warned_of() {
    let at = |reason: Reason, packets| {
        let mut counts = [0; Reason::ALL.len()];
        counts[reason as usize] = packets;
        Status { reasons: ReasonStatus::all(&counts), ..known() }
    };
    let said = "somebody else says that a VIP is his: 12 packets (duplicate-vip). ";
    assert!(strip_str(&status(&at(Reason::DuplicateVip, 12))).to_string().contains(said));
    assert!(!strip_str(&status(&at(Reason::NotForUs, 12))).to_string().contains("somebody else"));
}

#[test]
fn addresses_that_the_tables_have_no_room_for_are_told() {
    let with = |unlisted_addresses| status(&Status { unlisted_addresses, ..known() });
    assert!(
        strip_str(&with(44))
            .to_string()
            .contains("\nthe tables have no room for 44 of this box's addresses: ")
    );
    assert_eq!(with(0), status(&known()));
}

#[test]
fn a_flow_table_is_told_of_once_it_was_used() {
    let with = |table: FlowTableStatus| status(&Status { flow_table: Some(table), ..known() });
    let unused = FlowTableStatus { capacity: 524_288, ..FlowTableStatus::default() };
    assert_eq!(with(unused), status(&known()));
    let used = FlowTableStatus { live: 1200, inserted: 3400, deleted: 2200, tracked_slots: 24, ..unused };
    let said = "\nflow table: 1.20k of 524k entries live, 24 slots remember; 3.40k inserted, 2.20k deleted, 0 refused, \
                about 0 evicted\n\nweb ";
    assert!(with(used).contains("0 refused, about 0 evicted\n"), "nothing is coloured");
    assert!(strip_str(&with(used)).to_string().contains(said));
    let short = with(FlowTableStatus { refused: 7, evicted: 8, ..used });
    assert!(short.contains("\u{1b}[33m7 refused\u{1b}[0m, \u{1b}[33mabout 8 evicted\u{1b}[0m"), "{short:?}");
}

#[test]
fn what_a_service_does_unlike_others_is_told() {
    let mut status_of = known();
    let service = &mut status_of.services[0];
    service.scheduler = "round-robin".parse().expect("a scheduler");
    service.affinity = Affinity::Source { ipv4_prefix: 24, ipv6_prefix: 128 };
    service.on_dead = OnDead::Reset;
    service.fragments = Fragments::Addresses;
    service.no_backend = Answer::Reset;
    service.role = Role::Standby;
    service.tracked_slots = 24;
    let said = "http /health every 1s, round-robin, by source /24, on-dead reset, placed by addresses, no-backend reset, \
                standby, 24 slots remember\n";
    let text = strip_str(&status(&status_of)).to_string();
    assert!(text.contains(said), "{text}");
}

#[test]
fn a_service_that_is_not_what_it_should_be_says_so_loudly() {
    let mut status_of = known();
    let service = &mut status_of.services[0];
    (service.quorum, service.quorum_hysteresis, service.below_quorum) = (3, 1, true);
    (service.panic_threshold, service.panics) = (Some(50), true);
    service.slow_start = Some(std::time::Duration::from_secs(30));
    let [first, second, ..] = &mut service.members[..] else { panic!("members") };
    (first.weight_part, first.totals.bounced) = (0.375, 0);
    (second.eligible, second.why_not, second.ignored) = (true, None, Some(Why::from(Cause::PortClosed)));
    let text = status(&status_of);
    assert!(text.contains("\u{1b}[1m\u{1b}[31mPANIC: fewer than 50 %"), "{text:?}");
    let text = strip_str(&text).to_string();
    for said in [
        "every 1s, quorum 3+1, panic below 50 %, slow start 30s\n",
        "  below its quorum of 3 eligible members: its backups join in\n",
        "slow start: 37.5% of its weight so far\n",
        "  down, kept  ",
        "  connection refused\n",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn a_backup_that_waits_is_no_fault() {
    let mut calm = known();
    let service = &mut calm.services[0];
    service.members.retain(|member| member.eligible || member.backup);
    (service.eligible, service.total) = (1, 2);
    assert!(status(&calm).contains("\u{1b}[32m1 of 2 eligible\u{1b}[0m"));
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
web      10.200.0.1:80/tcp       1/6   1000  http /health every 1s    13.0k  1.30 MB  1.30k
"
    );
    assert_eq!(
        strip_str(&backends(&known.backends)).to_string(),
        "\
BACKEND  ADDRESS         MAC                INTERFACE  SERVICES  PACKETS  BYTES  FLOWS  NEIGHBOUR
b1       10.200.1.11     02:00:00:00:00:01  eth0       web,web6        5  500 B      1  found
         10.200.1.1      -                  -                                           this box
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
    let said = "\u{1b}[2J\r\nall is well".to_owned();
    hostile.services[0].members[1].why_not = Some(Ineligible::Down(Box::new(Cause::Other { said })).into());
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

#[test]
fn a_doctors_findings_line_up_with_remedies_beneath() {
    let finding = |about: &str, check, severity, code, words: &str, remedy: Option<&str>| Finding {
        about: about.to_owned(),
        check,
        severity,
        code,
        words: words.to_owned(),
        remedy: remedy.map(str::to_owned),
    };
    let findings = vec![
        finding("machine", "kernel", Severity::Good, "good", "Linux 6.1.0", None),
        finding(
            "machine",
            "bpffs",
            Severity::Breaks,
            "no-bpffs",
            "none",
            Some("mount -t bpf bpf /sys/fs/bpf"),
        ),
        finding("eth0", "queue load", Severity::Warning, "queue-skew", "rx-0 99 %", Some("ethtool -x eth0")),
    ];
    let text = report(&Report { findings, load: None });
    let plain = strip_str(&text).to_string();
    let expected = "\
ABOUT    CHECK       IS       FOUND
machine  kernel      good     Linux 6.1.0
         bpffs       breaks   none
                              do: mount -t bpf bpf /sys/fs/bpf
eth0     queue load  warning  rx-0 99 %
                              do: ethtool -x eth0

1 finding breaks traffic; 1 warning, 0 notes, 1 good
";
    assert_eq!(plain, expected);
    assert!(text.contains("\u{1b}[1m\u{1b}[31mbreaks\u{1b}[0m"), "{text:?}");
    let fine = report(&Report { findings: Vec::new(), load: None });
    assert!(strip_str(&fine).to_string().ends_with("nothing breaks traffic; 0 warnings, 0 notes, 0 good\n"));
}
