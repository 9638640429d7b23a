use clap::{CommandFactory, Parser, error::ErrorKind};
use serde_json::json;
use vip_userspace::{control::Command, model::Scheduler};

use super::{Cli, Verb, service::ServiceVerb};

/// Every example of a verb's help, with the verb.
fn examples(command: &clap::Command, found: &mut Vec<(String, String)>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let own = help.lines().map(str::trim).filter(|line| line.starts_with("vip "));
    found.extend(own.map(|line| (command.get_name().to_owned(), line.to_owned())));
    for below in command.get_subcommands() {
        examples(below, found);
    }
}

/// The command that a line asks for.
fn command(line: &str) -> Command {
    let cli = Cli::try_parse_from(line.split(' ')).expect("a command line");
    match cli.verb {
        Verb::Service(ServiceVerb::Add(add)) => add.command().expect("a command"),
        Verb::Backend(verb) => verb.command().expect("a command").expect("a change"),
        verb => panic!("no command: {verb:?}"),
    }
}

fn error(line: &str) -> clap::Error {
    Cli::try_parse_from(line.split(' ')).expect_err("no command line")
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_has_an_example_that_is_one_of_its_command_lines() {
    fn check(command: &clap::Command, path: &str) {
        let path = format!("{path}{} ", command.get_name());
        if !command.has_subcommands() {
            let mut found = Vec::new();
            examples(command, &mut found);
            assert!(
                found.iter().any(|(_, line)| format!("{line} ").starts_with(&path)),
                "{path}has no example"
            );
        }
        for below in command.get_subcommands() {
            check(below, &path);
        }
    }
    let command = Cli::command();
    check(&command, "");
    let mut found = Vec::new();
    examples(&command, &mut found);
    for (verb, line) in found {
        if let Err(error) = Cli::try_parse_from(line.split(' ')) {
            panic!("the example {line:?} of {verb}: {error}");
        }
    }
}

#[test]
fn a_service_is_added_with_its_members_and_its_check() {
    let line = "vip service add web 10.200.0.1:80 --member b1 --member b2:50 --slots 1021 --ttl keep \
                --check http:/health --interval 200ms --rise 1 --check-host example.org --expect 200";
    let wanted = json!({
        "command": "add-service",
        "service": {
            "name": "web", "address": "10.200.0.1:80/tcp", "slots": 1021, "ttl": "keep",
            "check": {
                "probe": { "kind": "http", "path": "/health", "host": "example.org", "expect": [200, 200] },
                "interval": "200ms", "timeout": "200ms", "rise": 1, "fall": 3
            },
            "members": [{ "backend": "b1", "weight": 100 }, { "backend": "b2", "weight": 50 }]
        }
    });
    assert_eq!(command(line), serde_json::from_value(wanted).expect("a command"));
}

#[test]
fn a_check_speaks_tls_and_looks_at_the_answer() {
    let probe = |options: &str| {
        let line = format!("vip service add web 10.200.0.1:443 --check {options}");
        json!(command(&line))["service"]["check"]["probe"].clone()
    };
    assert_eq!(
        probe(
            "https:/health --check-method POST --check-body fine --check-sni a.example --check-ca /etc/ca.pem"
        ),
        json!({
            "kind": "http", "method": "POST", "path": "/health", "expect": [200, 399], "body": "fine",
            "tls": { "sni": "a.example", "ca": "/etc/ca.pem" }
        })
    );
    assert_eq!(probe("tls --check-insecure"), json!({ "kind": "tls", "insecure": true }));
    assert_eq!(probe("https")["path"], "/");
    assert_eq!(
        probe("grpcs:shop.Cart --check-host a.example"),
        json!({ "kind": "grpc", "service": "shop.Cart", "host": "a.example", "tls": {} })
    );
    assert_eq!(probe("ping"), json!({ "kind": "ping" }));
    assert_eq!(
        probe("dns:a.example --check-record soa"),
        json!({ "kind": "dns", "name": "a.example", "record": "SOA", "rcode": "NOERROR" })
    );
}

#[test]
fn a_service_is_added_with_the_way_that_it_places_flows() {
    let line = "vip service add sip 10.200.0.1:5060-5069/udp --member b1 --backup b2:7 --scheduler round-robin \
                --affinity source --affinity-prefix 24 --on-dead reset --window 10s --idle 2m --fragments 3-tuple \
                --no-backend reset --quorum 2 --quorum-hysteresis 1 --slow-start 30s";
    let wanted = json!({
        "command": "add-service",
        "service": {
            "name": "sip", "address": "10.200.0.1:5060-5069/udp", "scheduler": "round-robin",
            "affinity": { "kind": "source", "ipv4_prefix": 24 }, "on_dead": "reset", "window": "10s", "idle": "2m",
            "fragments": "3-tuple", "no_backend": "reset", "quorum": 2, "quorum_hysteresis": 1, "slow_start": "30s",
            "members": [{ "backend": "b1" }, { "backend": "b2", "weight": 7, "backup": true }]
        }
    });
    assert_eq!(command(line), serde_json::from_value(wanted).expect("a command"));
}

#[test]
fn every_scheduler_can_be_asked_for_and_is_explained() {
    for scheduler in Scheduler::all() {
        let line = format!("vip service add web 10.200.0.1:80 --scheduler {scheduler}");
        let Command::AddService { service, .. } = command(&line) else { panic!("{line}") };
        assert_eq!(service.scheduler, scheduler);
        let help = error("vip service add --help").to_string();
        assert!(help.contains(&format!("- {scheduler}:")), "{help}");
    }
}

#[test]
fn a_backend_is_added_with_its_tags_and_as_a_backup() {
    let add = "vip backend add b1 --address 10.0.0.1";
    let backend = |line: &str| json!(command(line))["backend"].clone();
    assert_eq!(backend(&format!("{add} --vlan 10 --vlan 20 --director"))["vlans"], json!([10, 20]));
    assert_eq!(backend(&format!("{add} --untagged"))["vlans"], json!([]));
    assert_eq!(backend(add), json!({ "name": "b1", "ipv4": "10.0.0.1" }));
    assert_eq!(backend(&format!("{add} --director"))["director"], true);
    let services =
        json!([{ "service": "web", "weight": 100 }, { "service": "dns", "weight": 5, "backup": true }]);
    assert_eq!(json!(command(&format!("{add} --service web --backup-for dns:5")))["services"], services);
}

#[test]
fn a_backend_is_added_with_its_addresses_and_services() {
    let line = "vip backend add b1 --address fd00::1 --address 10.0.0.1 --service web:7 --service dns";
    let wanted = json!({
        "command": "add-backend",
        "backend": { "name": "b1", "ipv4": "10.0.0.1", "ipv6": "fd00::1" },
        "services": [{ "service": "web", "weight": 7 }, { "service": "dns", "weight": 100 }]
    });
    assert_eq!(json!(command(line)), wanted);
}

#[test]
fn a_backend_is_changed_in_one_service_or_in_all() {
    for (line, wanted) in [
        (
            "vip backend disable b1",
            json!({ "command": "set-admin", "backend": "b1", "service": null, "admin": "disabled" }),
        ),
        (
            "vip backend drain b1",
            json!({ "command": "set-admin", "backend": "b1", "service": null, "admin": "draining" }),
        ),
        (
            "vip backend drain b1 --service web --timeout 10m --wait",
            json!({
                "command": "set-admin", "backend": "b1", "service": "web", "admin": "draining", "timeout": "10m"
            }),
        ),
        (
            "vip backend enable b1 --service web",
            json!({ "command": "set-admin", "backend": "b1", "service": "web", "admin": "enabled" }),
        ),
        (
            "vip backend weight b1 0",
            json!({ "command": "set-weight", "backend": "b1", "service": null, "weight": 0 }),
        ),
        (
            "vip backend remove b1 --service web",
            json!({ "command": "remove-backend", "name": "b1", "service": "web" }),
        ),
    ] {
        assert_eq!(json!(command(line)), wanted, "{line}");
    }
}

#[test]
fn a_backend_goes_into_maintenance_and_out_of_it() {
    for (line, wanted) in [
        (
            "vip maintenance on b1 --timeout 90s",
            Some(
                json!({ "command": "set-maintenance", "backend": "b1", "maintenance": "draining", "timeout": "90s" }),
            ),
        ),
        (
            "vip maintenance on b1 --now",
            Some(json!({ "command": "set-maintenance", "backend": "b1", "maintenance": "disabled" })),
        ),
        (
            "vip maintenance off b1",
            Some(json!({ "command": "set-maintenance", "backend": "b1", "maintenance": "off" })),
        ),
        ("vip maintenance list", None),
    ] {
        let cli = Cli::try_parse_from(line.split(' ')).expect("a command line");
        let Verb::Maintenance(verb) = cli.verb else { panic!("{line}") };
        assert_eq!(verb.command().map(|command| json!(command)), wanted, "{line}");
    }
}

#[test]
fn a_bad_word_is_named_with_what_is_wrong_about_it() {
    for (line, said) in [
        ("vip service add web 10.200.0.1", "is no service address"),
        ("vip service add -web 10.200.0.1:80", "unexpected argument '-w'"),
        ("vip service add web 10.200.0.1:80 --member b1:x", "\"x\" is no weight"),
        ("vip service add web 10.200.0.1:80 --member b/1", "is no name"),
        ("vip service add web 10.200.0.1:80 --check script:/bin/sh", "configuration file alone"),
        ("vip service add web 10.200.0.1:80 --check smtp", "write tcp, tls, http:PATH"),
        ("vip service add web 10.200.0.1:80 --check tcp --interval 1", "is no duration"),
        ("vip service add web 10.200.0.1:80 --interval 1s", "--check <PROBE>"),
        ("vip service add web 10.200.0.1:80 --check http:/ --expect ok", "write a status"),
        ("vip backend add b1", "--address <ADDRESS>"),
        ("vip backend add b1 --address 10.0.0.256", "invalid IP address"),
        ("vip backend add b1 --address 10.0.0.1 --mac 1", "is no MAC address"),
        ("vip service add web 10.200.0.1:80/any", "is no service address"),
        ("vip service add web 10.200.0.1:80 --scheduler rr", "[possible values: maglev, "),
        ("vip service add web 10.200.0.1:80 --window 5", "is no duration"),
        ("vip backend add b1 --address 10.0.0.1 --vlan 1 --untagged", "cannot be used with '--untagged'"),
        ("vip backend drain b1 --timeout soon", "is no duration"),
        ("vip backend enable b1 --timeout 1m", "unexpected argument '--timeout'"),
        ("vip maintenance on b1 --now --wait", "cannot be used with"),
        ("vip trace --reason droped", "a similar value exists: 'dropped'"),
        ("vip trace --dst 10.200.0.1:http", "write 10.200.0.1, 10.200.0.1:80"),
        ("vip trace --stop --count 1", "cannot be used with"),
        ("vip backend weight b1 -1", "unexpected argument '-1'"),
        ("vip run", "--config <FILE>"),
        ("vip run --config a --mode fast", "is no mode"),
        ("vip status --instance a/b", "is no instance name"),
        ("vip stauts", "a similar subcommand exists: 'status'"),
    ] {
        let message = error(line).to_string();
        assert!(message.contains(said), "{line}: {message}");
    }
}

#[test]
fn options_that_do_not_belong_together_are_told() {
    let verb = |line: &str| Cli::try_parse_from(line.split(' ')).expect("a command line").verb;
    for (line, said) in [
        ("vip service add web 10.0.0.1:80 --check tcp --check-host a", "--check-host needs"),
        ("vip service add web 10.0.0.1:80 --check tcp --expect 200", "--expect needs"),
        ("vip service add web 10.0.0.1:80 --check tls --check-body a", "--check-body needs"),
        ("vip service add web 10.0.0.1:80 --check http:/ --check-ca /a", "--check-ca needs"),
        ("vip service add web 10.0.0.1:80 --check tcp --check-insecure", "--check-insecure needs"),
        ("vip service add web 10.0.0.1:80 --affinity-prefix 24", "--affinity-prefix needs"),
        ("vip backend add b1 --address 10.0.0.1 --address 10.0.0.2", "one IPv4 address"),
    ] {
        let refused = match verb(line) {
            Verb::Service(ServiceVerb::Add(add)) => add.command().map(|_| ()),
            Verb::Backend(verb) => verb.command().map(|_| ()),
            verb => panic!("{verb:?}"),
        };
        assert!(refused.expect_err("refused").contains(said), "{line}");
    }
}

#[test]
fn the_doctor_looks_at_an_interface_or_prints_a_script() {
    let doctor = |line: &str| {
        let Verb::Doctor(doctor) = Cli::try_parse_from(line.split(' ')).expect("a command line").verb else {
            panic!("{line}")
        };
        format!("{doctor:?}")
    };
    assert!(doctor("vip doctor").contains("interface: None"));
    assert!(doctor("vip doctor eth0 --seconds 0 --config a.toml").contains("interface: Some(\"eth0\")"));
    let script = doctor("vip doctor backend --vip 10.200.0.1 --vip fd00:200::1");
    assert!(
        script.contains("interface: None") && script.contains("vips: [10.200.0.1, fd00:200::1]"),
        "{script}"
    );
    let interface = doctor("vip doctor -- backend");
    assert!(
        interface.contains("interface: Some(\"backend\")") && interface.contains("verb: None"),
        "{interface}"
    );
    for (line, said) in [
        ("vip doctor eth0 backend", "cannot be used with"),
        ("vip doctor --seconds 4000", "4000 is not in 0..=3600"),
        ("vip doctor backend --vip $(reboot)", "invalid IP address"),
        ("vip doctor eth0 eth1", "cannot be used with"),
    ] {
        let message = error(line).to_string();
        assert!(message.contains(said), "{line}: {message}");
    }
}

#[test]
fn options_of_every_verb_may_stand_behind_the_verb() {
    let cli = Cli::try_parse_from(["vip", "status", "--instance", "lab", "--json", "--run-dir", "/tmp/run"])
        .expect("a command line");
    assert_eq!(cli.global.socket().to_str(), Some("/tmp/run/lab.sock"));
    assert!(cli.global.json);
    let cli = Cli::try_parse_from(["vip", "--socket", "/tmp/a.sock", "status"]).expect("a command line");
    assert_eq!(cli.global.socket().to_str(), Some("/tmp/a.sock"));
    assert_eq!(error("vip --help").kind(), ErrorKind::DisplayHelp);
}
