use crate::{
    config::parse,
    control::Command,
    control::protocol::{Change, ChangeAction, Fate},
    controller::{commands::lay_over, differences::differences},
    model::Admin,
};

const RUNNING: &str = r#"
interfaces = ["eth0"]
peers = ["02:00:00:00:00:09"]
[service.web]
vip = "10.200.0.1"
port = 80
members = ["b1", "b2"]
check = { http = "/health", interval = "1s" }
[service.dns]
vip = "10.200.0.1"
port = 53
protocol = "udp"
members = ["b1"]
[backend.b1]
address = "10.0.0.11"
[backend.b2]
address = "10.0.0.12"
"#;

const NEXT: &str = r#"
interfaces = ["eth1"]
egress-interfaces = ["eth0"]
local-clients = true
mode = "native"
virtual-router = 7
capacity.flows = 1024
vip."10.200.0.1".role = "standby"
[service.web]
vip = "10.200.0.1"
port = 80
slots = 1021
affinity = "source"
window = "1m"
members = [{ backend = "b1", weight = 50, admin = "draining" }, "b3"]
check = { tcp = true, interval = "1s" }
[service.sip]
vip = "10.200.0.2"
port = 5060
members = ["b3"]
[backend.b1]
address = ["10.0.0.11", "fd00::11"]
vlans = [100]
[backend.b3]
address = "10.0.0.13"
"#;

/// A row as a line.
fn line(change: &Change) -> String {
    let sign = match change.action {
        ChangeAction::Added => "+",
        ChangeAction::Removed => "-",
        ChangeAction::Changed => "~",
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let key = change.key.as_ref().map_or_else(String::new, |key| format!(" {key}"));
    let moves = if change.moves_flows { " moves flows" } else { "" };
    let (thing, name) = (change.thing.word(), &change.name);
    format!("{sign} {thing} {name}{key}: {} → {}{moves}", text(&change.before), text(&change.after))
}

#[test]
fn each_difference_is_a_row_of_its_own() {
    let (running, next) = (parse(RUNNING).expect("good"), parse(NEXT).expect("good"));
    let lines: Vec<_> = differences(&running, &next, true).iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "- interface eth0: - → -",
            "+ interface eth1: - → -",
            "+ egress-interface eth0: - → -",
            "- peer 02:00:00:00:00:09: - → -",
            "~ setting local-clients: false → true",
            "~ setting mode: auto → native",
            "~ setting virtual-router: - → 7",
            "~ setting capacity.flows: 262144 → 1024",
            "~ setting seed: - → - moves flows",
            "~ vip 10.200.0.1 role: active → standby",
            "- service dns: 10.200.0.1:53/udp, 1 member → -",
            "+ service sip: - → 10.200.0.2:5060/tcp, 1 member",
            "~ service web affinity.ipv4-prefix: - → 32 moves flows",
            "~ service web affinity.ipv6-prefix: - → 128 moves flows",
            "~ service web affinity.kind: flow → source moves flows",
            "~ service web check.probe.expect: [200,399] → -",
            "~ service web check.probe.kind: http → tcp",
            "~ service web check.probe.path: /health → -",
            "~ service web slots: 16381 → 1021 moves flows",
            "~ service web window: - → 1m",
            "- member web/b2: weight 100 → -",
            "~ member web/b1 admin: enabled → draining",
            "~ member web/b1 weight: 100 → 50",
            "+ member web/b3: - → weight 100",
            "- backend b2: 10.0.0.12 → -",
            "~ backend b1 ipv6: - → fd00::11",
            "~ backend b1 vlans: - → [100]",
            "+ backend b3: - → 10.0.0.13",
        ]
    );
}

#[test]
fn what_asks_for_the_same_has_no_differences() {
    let running = parse(RUNNING).expect("good");
    let shuffled = RUNNING.replace(r#"["b1", "b2"]"#, r#"["b2", { backend = "b1", weight = 100 }]"#);
    let next = parse(&shuffled).expect("good");
    assert_eq!(differences(&running, &next, false), []);
}

#[test]
fn a_wish_holds_or_is_the_files_or_is_lost() {
    let names = |text: &str| text.parse().expect("a name");
    let drain = |backend| Command::SetAdmin {
        backend: names(backend),
        service: None,
        admin: Admin::Draining,
        timeout: None,
    };
    let weigh = |weight| Command::SetWeight { backend: names("b1"), service: None, weight };
    let removed = Command::RemoveService { name: "gone".parse().expect("a name") };
    let mut intent = parse(RUNNING).expect("good").intent;
    let there = intent.services().values().next().expect("a service").clone();
    let added = Command::AddService { service: Box::new(there) };
    let wishes = vec![drain("b1"), weigh(100), drain("b9"), removed, added, weigh(7)];
    let (kept, told) = lay_over(&mut intent, wishes);
    assert_eq!(kept, [drain("b1"), weigh(7)]);
    let fates: Vec<_> = told.iter().map(|wish| wish.fate).collect();
    assert_eq!(
        fates,
        [Fate::Holds, Fate::Fulfilled, Fate::Lost, Fate::Fulfilled, Fate::Fulfilled, Fate::Holds]
    );
    assert_eq!(told[0].wish, "backend b1 draining in all its services");
    assert_eq!(told[2].why.as_deref(), Some("there is no backend b9"));
    assert!(intent.services().values().all(|service| service.members[0].weight == 7));
}
