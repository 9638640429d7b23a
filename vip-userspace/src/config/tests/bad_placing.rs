//! The same of what says how flows are placed, of VIPs, of the director's network, of backends' VLANs, and of
//! sizes.

use super::bad::{refuses, refuses_file};
use crate::model::Scheduler;

#[test]
fn the_director_s_network_is_looked_at() {
    refuses_file(
        r#"interfaces = ["eth0"]
egress-interfaces = ["eth1", "eth 2", "eth1", "eth0", 5]
virtual-router = 0
peers = ["02:00:00:00:00:09", "02-00-00-00-00-09", "01:00:5e:00:00:01", "09", 9]
egress-interface = ["eth3"]
peer = 1"#,
        r#"line 2: "eth 2" is no name of an interface: it has 1 to 15 bytes, no blanks, no '/' and no ':'
line 2: interface eth1 is stated twice
line 2: interface eth0 is one of "interfaces": those lead to backends as well
line 2: "egress-interfaces" takes names, not a whole number
line 3: virtual-router 0 is out of range: 1 to 255
line 4: peers: 02:00:00:00:00:09 is stated twice
line 4: peers: the MAC 01:00:5e:00:00:01 is not that of one NIC
line 4: peers: "09" is no MAC address, like 02:00:00:00:00:01
line 4: "peers" takes MAC addresses, not a whole number
line 5: unknown key "egress-interface": did you mean "egress-interfaces"?
line 6: unknown key "peer": did you mean "peers"?"#,
    );
    refuses_file(
        "interfaces = ['eth0']\negress-interfaces = 'eth1'\nvirtual-router = 256\npeers = 'no'\n",
        r#"line 2: "egress-interfaces" takes a list, like ["eth1"], not a string
line 3: virtual-router 256 is out of range: 1 to 255
line 4: "peers" takes a list, like ["02:00:00:00:00:09"], not a string"#,
    );
}

#[test]
fn settings_of_vips_are_looked_at() {
    refuses(
        r#"[vip."10.200.0.1"]
role = "master"
echo = "yes"
unknown-prot = "drop"
[vip.web]
role = "active"
[vip."10.200.0.9"]
role = "standby""#,
        r#"line 11: vip 10.200.0.1: role: "master" is no role: active or standby
line 12: vip 10.200.0.1: echo: "yes" is no way to treat echo requests: answer or backend
line 13: vip 10.200.0.1: unknown key "unknown-prot": did you mean "unknown-port"?
line 14: [vip]: "web" is no IP address (it needs quotes: [vip."10.200.0.1"])
line 16: no service has the VIP 10.200.0.9"#,
    );
    refuses(
        "vip = '10.200.0.1'\n",
        r#"line 10: "vip" takes tables with a name, like [vip."ADDRESS"], not a string"#,
    );
    refuses(
        "service.b = { vip = 'fd00:200::1', port = 80 }\nvip.'fd00:200::1'.role = 'standby'\n\
         vip.'FD00:200:0::1'.role = 'active'\n",
        "line 12: vip fd00:200::1: it is stated a second time, in other letters",
    );
}

#[test]
fn settings_of_a_vip_whose_service_is_bad_are_not_blamed_for_it() {
    refuses(
        "[vip.'10.200.0.9']\nrole = 'standby'\n[service.b]\nvip = '10.200.0.09'\nport = 80\n",
        r#"line 13: service b: vip: "10.200.0.09" is no IP address"#,
    );
    refuses(
        "[vip.'10.0.0.11']\nrole = 'standby'\n[service.b]\nvip = '10.0.0.11'\nport = 80\n",
        "line 13: 10.0.0.11 is the VIP of service b and the address of backend b1",
    );
}

#[test]
fn ports_that_can_not_be_are_refused() {
    refuses(
        r#"[service.b]
vip = "10.200.0.2"
port = "8999-8000"
[service.c]
vip = "10.200.0.2"
port = "http"
[service.d]
vip = "10.200.0.2"
port = 80
protocol = "any"
[service.e]
vip = "10.200.0.2"
protocol = "any"
check = { tcp = true }
[service.f]
vip = "10.200.0.2"
port = "80-89"
check = { http = "/" }
[service.g]
vip = "10.200.0.2"
port = 80
protocol = "sctp"
check = { tcp = true }"#,
        r#"line 12: service b: port: "8999-8000" is no port: 80, 8000-8999, or * for any
line 15: service c: port: "http" is no port: 80, 8000-8999, or * for any
line 18: service d: any protocol has no port of its own: leave "port" out
line 23: service e: a service of any protocol can't be checked on its own port by tcp: give the check a `port`
line 27: service f: a service of many ports can't be checked on its own port by http: give the check a `port`
line 32: service g: an SCTP service can't be checked on its own port by tcp: give the check a `port`"#,
    );
}

#[test]
fn services_whose_ports_contend_are_refused() {
    refuses(
        r#"[service.b]
vip = "10.200.0.1"
port = "70-79"
[service.c]
vip = "10.200.0.1"
port = "79-90"
[service.d]
vip = "10.200.0.1"
port = "*"
[service.e]
vip = "10.200.0.1"
port = "*"
[service.f]
vip = "10.200.0.1"
protocol = "any"
fragments = "3-tuple"
[service.g]
vip = "10.200.0.1"
port = 53
protocol = "udp"
fragments = "3-tuple""#,
        r#"line 15: service c: 10.200.0.1:79-90/tcp overlaps 10.200.0.1:70-79/tcp of service b
line 20: service e has the address 10.200.0.1:*/tcp of service d
line 30: service g: service f of the same VIP has fragments 3-tuple already: packets without ports go to one"#,
    );
}

#[test]
fn ways_to_place_flows_that_are_none_are_refused() {
    refuses(
        r#"[service.b]
vip = "10.200.0.2"
port = 80
scheduler = "rr"
affinity = "client"
affinity-prefix = 24
on-dead = "kill"
window = "forever"
idle = "1s"
fragments = "yes"
no-backend = "503""#,
        &r#"line 13: service b: scheduler: SCHEDULER
line 14: service b: affinity: "client" is no affinity: flow or source
line 16: service b: on-dead: "kill" is no wish for a dead member's flows: move, reset, drop or keep
line 17: service b: window: "forever" is no duration: write a whole number and a unit, like 500ms, 2s, 1m or 1h
line 19: service b: fragments: "yes" is no way to place fragments: ports or 3-tuple
line 20: service b: no-backend: "503" is no answer: drop or reset"#
            .replace("SCHEDULER", &"rr".parse::<Scheduler>().expect_err("no scheduler").to_string()),
    );
    refuses(
        r#"[service.b]
vip = "10.200.0.2"
port = 80
affinity-prefix = 24
[service.c]
vip = "10.200.0.3"
port = 80
affinity = "source"
affinity-prefix = 33
[service.d]
vip = "fd00:200::1"
port = 80
affinity = "source"
affinity-prefix = 129
scheduler = 1
window = 5
on-daed = "reset"
backend = "b1""#,
        r#"line 13: service b: "affinity-prefix" needs affinity = "source"
line 18: service c: affinity-prefix 33 is out of range: 1 to 32
line 23: service d: affinity-prefix 129 is out of range: 1 to 128
line 24: service d: "scheduler" takes a string, not a whole number
line 25: service d: "window" takes a duration, like "500ms" or "2s", not a whole number
line 26: service d: unknown key "on-daed": did you mean "on-dead"?
line 27: service d: unknown key "backend": did you mean "no-backend"?"#,
    );
}

#[test]
fn times_that_contradict_each_other_are_refused() {
    refuses(
        r#"[service.b]
vip = "10.200.0.2"
port = 80
idle = "1h"
[service.c]
vip = "10.200.0.3"
port = 80
window = "0s"
on-dead = "reset"
[service.d]
vip = "10.200.0.4"
port = 80
window = "169h"
idle = "170h"
[service.e]
vip = "10.200.0.5"
port = 80
protocol = "upd"
idle = "2m""#,
        r#"line 13: service b: idle 1h is shorter than its window, 7900s: a flow would be forgotten while its slot remembers
line 18: service c: on-dead reset needs a window: with 0s nothing is remembered of a dead member
line 22: service d: window 169h is out of range: 0s to 168h
line 23: service d: idle 170h is out of range: 0s to 168h
line 27: service e: protocol: "upd" is no protocol: tcp, udp, sctp or any; did you mean "udp"?"#,
    );
}

#[test]
fn vlans_and_backups_that_can_not_be_are_refused() {
    refuses(
        r#"[backend.b3]
address = "10.0.0.13"
vlans = [1, 2, 3]
[backend.b4]
address = "10.0.0.14"
vlans = [0, 4095, "1"]
director = "yes"
[backend.b5]
address = "10.0.0.15"
vlans = 100
[service.b]
vip = "10.200.0.2"
port = 80
members = [{ backend = "b1", backup = 1 }]"#,
        r#"line 12: backend b3: 3 VLAN tags are too many: a frame has 2 at most
line 15: backend b4: vlans 0 is out of range: 1 to 4094
line 15: backend b4: vlans 4095 is out of range: 1 to 4094
line 15: backend b4: "vlans" takes a whole number, not a string
line 16: backend b4: "director" takes true or false, not a string
line 19: backend b5: "vlans" takes a list, like [100] or [], which is untagged, not a whole number
line 23: service b: member: "backup" takes true or false, not a whole number"#,
    );
}

#[test]
fn sizes_of_the_flow_table_are_looked_at() {
    refuses(
        "[capacity]\nflows = 0\nfragments = 1048577\nflow = 1\n",
        r#"line 11: capacity: flows 0 is out of range: 1 to 16777216
line 12: capacity: fragments 1048577 is out of range: 1 to 1048576
line 13: capacity: unknown key "flow": did you mean "flows"?"#,
    );
}

#[test]
fn what_does_not_fit_into_the_tables_is_refused() {
    refuses(
        "[capacity]\nslots = 10\nmembers = 1\nservices = 1\n[service.b]\nvip = '10.200.0.2'\nport = 80\n",
        "line 11: 32762 slots are taken by the rings of all services, but capacity.slots is 10\n\
         line 12: 2 members are in all services together, but capacity.members is 1\n\
         line 13: 2 services are stated, but capacity.services is 1",
    );
    let many: String =
        (0..129).map(|n| format!("service.s{n} = {{ vip = '10.200.1.{n}', port = 80 }}\n")).collect();
    refuses(&many, "2129530 slots are taken by the rings of all services, but capacity.slots is 2097152");
}

#[test]
fn what_a_service_says_of_its_members_is_looked_at() {
    refuses(
        "[service.a]\nvip = '10.200.0.2'\nport = 80\nquorum = 0\nquorum-hysteresis = 1001\npanic-threshold = 101\n\
         slow-start = '1'\ncheck = { tcp = true }\n\
         [service.b]\nvip = '10.200.0.3'\nport = 80\nquorum = 'two'\npanic-threshold = 50\nslow-start = '25h'\n\
         [service.c]\nvip = '10.200.0.4'\nport = 80\npanic-treshold = 50\nslow-start = '10ms'\n",
        r#"line 13: service a: quorum 0 is out of range: 1 to 1000
line 14: service a: quorum-hysteresis 1001 is out of range: 0 to 1000
line 15: service a: panic-threshold 101 is out of range: 1 to 100
line 16: service a: slow-start: "1" is no duration: write a whole number and a unit, like 500ms, 2s, 1m or 1h
line 21: service b: "quorum" takes a whole number, not a string
line 22: service b: a panic threshold needs a check: without one nobody knows who is healthy
line 23: service b: slow-start 25h is out of range: 1s to 24h
line 27: service c: unknown key "panic-treshold": did you mean "panic-threshold"?
line 28: service c: slow-start 10ms is out of range: 1s to 24h"#,
    );
}
