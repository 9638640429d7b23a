//! What `vip doctor` says of a director, and the exit code with it: of a healthy one, and of one that is broken in each way that
//! can be made here.

use std::{
    fs,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vip_tests::{
    net::{DEFAULT_VIPS, Host, Namespace, Signal, Topology, accept_xdp, run, wait_for},
    stage::Stage,
};

const SOON: Duration = Duration::from_secs(20);

/// What the doctor said.
#[derive(Debug)]
struct Told {
    exit: i32,
    findings: Vec<Value>,
}

impl Told {
    /// Severity, words and remedy of a finding, by its code.
    fn found(&self, code: &str) -> Option<(&str, &str, &str)> {
        let finding = self.findings.iter().find(|finding| finding["code"] == code)?;
        let text = |key: &str| finding[key].as_str().unwrap_or_default();
        Some((text("severity"), text("words"), text("remedy")))
    }

    /// Codes of all that is not good, but for what the machine is to blame for: a veth on several CPUs, and who else uses them.
    fn codes(&self) -> Vec<&str> {
        let of_the_machine =
            ["untold", "one-queue", "few-queues", "cpu-full", "backlog-full", "squeezed", "missed"];
        let bad = self.findings.iter().filter(|finding| finding["severity"] != "good");
        let codes = bad.filter_map(|finding| finding["code"].as_str());
        codes.filter(|code| !of_the_machine.contains(code)).collect()
    }
}

/// Asks the doctor on the director, without looking at the load.
fn doctor(stage: &Stage, words: &[&str]) -> Result<Told> {
    let words = [&["doctor", "--json"], words].concat();
    let output = stage.vip.output(&stage.topology.director.namespace, &words)?;
    let told: Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("{words:?}: {output:?}"))?;
    let findings = told["findings"].as_array().context("findings")?.clone();
    Ok(Told { exit: output.status.code().unwrap_or(-1), findings })
}

const QUICK: [&str; 2] = ["--seconds", "0"];

/// While it is broken so, the doctor says that code with that severity, and words; before and afterwards it does not.
fn is_told(
    stage: &Stage,
    code: &str,
    severity: &str,
    said: &str,
    breaking: impl FnOnce() -> Result<()>,
    mending: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let before = doctor(stage, &QUICK)?;
    ensure!(before.exit == 0 && before.found(code).is_none(), "before {code}: {before:?}");
    breaking()?;
    let told = doctor(stage, &QUICK)?;
    let (found, words, remedy) = told.found(code).with_context(|| format!("{code} is not told: {told:?}"))?;
    ensure!(found == severity && words.contains(said) && !remedy.is_empty(), "{code}: {told:?}");
    let exit = i32::from(severity == "breaks");
    ensure!(told.exit == exit, "{code}: {told:?}");
    mending()?;
    let after = doctor(stage, &QUICK)?;
    ensure!(after.exit == 0 && after.found(code).is_none(), "after {code}: {after:?}");
    Ok(())
}

fn set(host: &Host, key: &str, value: &str) -> Result<()> {
    host.namespace.sysctls(&[(key, value)])
}

fn ip(host: &Host, line: &str) -> Result<()> {
    host.namespace.ip(&[line])
}

#[test]
fn a_healthy_director_has_nothing_that_breaks_traffic_and_is_left_as_it_is() -> Result<()> {
    let stage = Stage::ready(Topology::builder().backends(2).clients(0))?;
    let traces = || -> Result<_> {
        let rules = run(stage.topology.director.namespace.command("ip").args(["rule"]))?;
        Ok((stage.traces()?, rules))
    };
    let before = traces()?;
    let told = doctor(&stage, &[])?;
    assert_eq!((told.exit, told.codes()), (0, vec![]), "{told:?}");
    for check in [
        "kernel",
        "bpffs",
        "pins",
        "controller",
        "configuration",
        "link",
        "xdp program",
        "driver",
        "queues",
        "mtu",
        "lro",
        "gro",
        "vlan offload",
        "rp_filter",
        "probes",
        "queue load",
        "load",
        "local address",
        "owner",
        "way",
    ] {
        assert!(told.findings.iter().any(|finding| finding["check"] == check), "{check}: {told:?}");
    }
    assert_eq!(traces()?, before);
    let named = doctor(&stage, &["eth0", "--seconds", "0"])?;
    assert_eq!(named.exit, 0, "{named:?}");
    let output = stage.vip.output(&stage.topology.director.namespace, &["doctor", "eth7"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("there is no interface eth7"), "{said}");
    let output = stage.vip.output(&stage.topology.director.namespace, &["doctor", "--seconds", "0"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("\nnothing breaks traffic; "), "{text}");
    Ok(())
}

#[test]
fn what_is_wrong_with_a_running_director_is_told_with_its_remedy() -> Result<()> {
    let stage = Stage::ready(Topology::builder().backends(2).clients(0))?;
    let director = &stage.topology.director;
    let filter = "ipv4/conf/eth0/rp_filter";
    is_told(
        &stage,
        "strict-rp-filter",
        "breaks",
        "the route to the VIP 10.200.0.1 does not lead out here",
        || set(director, filter, "1"),
        || set(director, filter, "0"),
    )?;
    is_told(
        &stage,
        "vip-local",
        "warning",
        "on lo",
        || {
            ip(director, "address add 10.200.0.1/32 dev lo")?;
            // The controller lets answers to probes in, which now look as if they were this box's own.
            wait_for("accept_local", SOON, || is_accepting(&director.namespace)).map(drop)
        },
        || ip(director, "address delete 10.200.0.1/32 dev lo"),
    )?;
    let tags = |value: &'static str| {
        move || run(director.namespace.command("ethtool").args(["-K", "eth0", "rxvlan", value])).map(drop)
    };
    is_told(&stage, "rxvlan", "warning", "takes tags off", tags("on"), tags("off"))?;
    is_told(
        &stage,
        "no-lane",
        "breaks",
        "the IPv6 rule of its mark",
        || {
            run(director.namespace.command("ip").args(["-6", "rule", "delete", "preference", "118"]))
                .map(drop)
        },
        || wait_for("the rule to be back", SOON, || has_rule(director)).map(drop),
    )
}

#[test]
fn whoever_else_answers_for_a_vip_is_told() -> Result<()> {
    let stage = Stage::ready(Topology::builder().backends(2).clients(1))?;
    let (thief, client) = (&stage.topology.backends[1], &stage.topology.clients[0]);
    let [four, six] = DEFAULT_VIPS;
    let ignore = "ipv4/conf/all/arp_ignore";
    is_told(
        &stage,
        "backend-answers",
        "breaks",
        "backend backend2 (02:00:5e:77:00:66) answers ARP",
        || set(thief, ignore, "0"),
        || set(thief, ignore, "1"),
    )?;
    is_told(
        &stage,
        "backend-answers",
        "breaks",
        "answers neighbour solicitations",
        || ip(thief, &format!("address add {six}/128 dev eth0 nodad")),
        || ip(thief, &format!("address delete {six}/128 dev eth0")),
    )?;
    is_told(
        &stage,
        "duplicate-owner",
        "breaks",
        "somebody at 02:00:5e:77:00:0b answers for it as well",
        || ip(client, &format!("address add {four}/32 dev eth0")),
        || ip(client, &format!("address delete {four}/32 dev eth0")),
    )
}

fn is_accepting(director: &Namespace) -> bool {
    director
        .run(|| fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/accept_local"))
        .is_ok_and(|text| text.is_ok_and(|text| text.trim() == "1"))
}

fn has_rule(director: &Host) -> bool {
    run(director.namespace.command("ip").args(["-6", "rule"])).is_ok_and(|rules| rules.contains("118:"))
}

#[test]
fn what_would_keep_a_director_from_starting_is_told_without_a_controller() -> Result<()> {
    let stage = Stage::build(Topology::builder().backends(2).clients(0))?;
    let director = &stage.topology.director.namespace;
    let file = stage.vip.config().display().to_string();
    let words = ["--config", &file, "--seconds", "0"];
    let fine = doctor(&stage, &words)?;
    assert_eq!((fine.exit, fine.codes()), (0, vec!["nothing-pinned", "no-controller", "rxvlan"]), "{fine:?}");

    let other = accept_xdp(director, "eth0")?;
    let told = doctor(&stage, &words)?;
    let (severity, said, remedy) = told.found("other-program").with_context(|| format!("{told:?}"))?;
    assert_eq!((told.exit, severity), (1, "breaks"), "{told:?}");
    assert!(said.contains("pass (id ") && remedy.contains("ip link set dev eth0 xdp off"), "{told:?}");
    drop(other);

    let second = stage.lay_second_cable(1)?;
    let config = stage.config_by_second_cable();
    stage.vip.configure(&config)?;
    let told = doctor(&stage, &words)?;
    let (_, said, _) = told.found("other-interface").with_context(|| format!("{told:?}"))?;
    assert!(told.exit == 1 && said.contains("10.78.0.2 is reached by eth1"), "{told:?}");
    stage.vip.configure(&format!("egress-interfaces = [\"eth1\"]\n{config}"))?;
    let told = doctor(&stage, &words)?;
    assert_eq!(told.exit, 0, "{told:?}");
    director.ip(&["link set eth1 mtu 1400"])?;
    let told = doctor(&stage, &words)?;
    let (severity, said, _) = told.found("mtu-mismatch").with_context(|| format!("{told:?}"))?;
    assert_eq!((told.exit, severity), (1, "breaks"), "{told:?}");
    assert!(said.contains("packets of up to 1500 bytes come in by eth0"), "{told:?}");
    drop(second);

    director.ip(&[
        "link set eth1 down",
        "address delete 10.77.0.1/24 dev eth0",
        "address add 10.77.0.1/32 dev eth0",
    ])?;
    director.ip(&["route add 10.77.0.254 dev eth0", "route add 10.77.0.0/24 via 10.77.0.254"])?;
    stage.vip.configure(&format!("egress-interfaces = [\"eth1\", \"eth9\"]\n{config}"))?;
    let told = doctor(&stage, &words)?;
    for code in ["link-down", "not-on-link", "no-interface", "unreachable"] {
        assert_eq!(told.found(code).map(|(severity, ..)| severity), Some("breaks"), "{code}: {told:?}");
    }
    Ok(())
}

#[test]
fn without_a_controller_what_is_pinned_says_what_is_wanted() -> Result<()> {
    let mut stage = Stage::ready(Topology::builder().backends(2).clients(0).vips(&DEFAULT_VIPS[..1]))?;
    stage.stop(Signal::KILL)?;
    let told = doctor(&stage, &QUICK)?;
    assert_eq!((told.exit, told.codes()), (0, vec!["no-controller"]), "{told:?}");
    let (severity, ..) = told.found("no-controller").context("it is told")?;
    assert_eq!(severity, "warning", "a backend that dies stays in");
    let thief = &stage.topology.backends[0].namespace;
    thief.sysctls(&[("ipv4/conf/all/arp_ignore", "0")])?;
    let told = doctor(&stage, &QUICK)?;
    let (_, words, _) = told.found("backend-answers").with_context(|| format!("{told:?}"))?;
    assert!(told.exit == 1 && words.contains("backend1"), "{told:?}");
    Ok(())
}

#[test]
fn generic_mode_is_warned_of_and_a_standby_hears_the_active_director() -> Result<()> {
    let mut stage = Stage::build(Topology::builder().backends(1).clients(1).vips(&DEFAULT_VIPS[..1]))?;
    let vip = stage.topology.vips[0];
    let config = stage.config();
    stage.vip.configure(&format!("{config}\n[vip.\"{vip}\"]\nrole = \"standby\"\n"))?;
    stage.start_with(&["--mode", "generic"])?;
    stage.wait_for("the member to be in", |status| status.services.iter().all(|one| one.eligible == 1))?;
    let told = doctor(&stage, &QUICK)?;
    let warned = ["generic-mode", "no-owner"].map(|code| told.found(code).map(|(severity, ..)| severity));
    assert_eq!((told.exit, warned), (0, [Some("warning"); 2]), "{told:?}");
    // Somebody else is the active one.
    ip(&stage.topology.clients[0], &format!("address add {vip}/32 dev eth0"))?;
    let told = doctor(&stage, &QUICK)?;
    assert_eq!((told.exit, told.codes()), (0, vec!["generic-mode"]), "{told:?}");
    Ok(())
}

#[test]
fn a_queue_that_takes_nearly_all_is_told_with_its_share() -> Result<()> {
    let stage = Stage::build(Topology::builder().backends(1).clients(0))?;
    let (director, sender) = (&stage.topology.director.namespace, &stage.topology.backends[0].namespace);
    director.ip(&[
        format!("link add eth1 numrxqueues 2 numtxqueues 2 type veth peer name eth1 netns {}", sender.name()),
        "address add 10.79.0.1/24 dev eth1".to_owned(),
        "link set eth1 up".to_owned(),
    ])?;
    sender.ip(&["address add 10.79.0.2/24 dev eth1", "link set eth1 up"])?;
    // With a program a veth counts by queue.
    let _program = accept_xdp(director, "eth1")?;
    let ended = Arc::new(AtomicBool::new(false));
    let flood = sender.spawn({
        let ended = Arc::clone(&ended);
        move || -> std::io::Result<()> {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            while !ended.load(Ordering::Relaxed) {
                // Nobody listens, and the socket is told so.
                let _ = socket.send_to(&[0; 64], "10.79.0.1:9");
            }
            Ok(())
        }
    })?;
    let told = doctor(&stage, &["eth1", "--seconds", "1"]);
    ended.store(true, Ordering::Relaxed);
    flood.join().expect("the flood")??;
    let told = told?;
    let (severity, words, remedy) = told.found("queue-skew").with_context(|| format!("{told:?}"))?;
    assert_eq!(severity, "warning", "{told:?}");
    let [all, nothing] = ["packets a second: rx-", " 100 %, rx-"].map(|said| words.contains(said));
    assert!(all && nothing && words.ends_with(" 0 %: one queue takes nearly all"), "{words}");
    assert!(remedy.contains("ethtool -x eth1"), "{remedy}");
    Ok(())
}
