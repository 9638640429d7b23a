//! Stories of a configuration that changes while the controller runs: what a reload would do is shown, a good file is applied
//! as far as it differs, a bad one changes nothing, and what was wished by command holds until it is dropped.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Output, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData};
use serde_json::Value;
use vip_common::tables::names;
use vip_tests::{
    net::{Signal, Topology, wait_for},
    stage::Stage,
};
use vip_userspace::control::{Status, protocol::ServiceStatus};

const SOON: Duration = Duration::from_secs(30);
const DIFFERS: i32 = 4;

fn stage() -> Result<Stage> {
    Stage::ready(Topology::builder())
}

fn vip(stage: &Stage, words: &str) -> Result<Output> {
    stage.vip.output(&stage.topology.director.namespace, &words.split_whitespace().collect::<Vec<_>>())
}

/// Runs `vip` with these words, which must end with that code; what it prints on both ways.
#[track_caller]
fn says(stage: &Stage, words: &str, code: i32) -> String {
    let output = vip(stage, words).expect("vip runs");
    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    assert_eq!(output.status.code(), Some(code), "vip {words}: {said}");
    said
}

fn json(stage: &Stage, words: &str) -> Result<Value> {
    let output = vip(stage, &format!("{words} --json"))?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("vip {words}: {output:?}"))
}

fn service<'a>(status: &'a Status, name: &str) -> Option<&'a ServiceStatus> {
    status.services.iter().find(|service| service.name.as_str() == name)
}

fn weights(status: &Status) -> Vec<Option<u32>> {
    status.services.iter().flat_map(|service| &service.members).map(|member| member.weight).collect()
}

/// All that a status tells but for what packets and time change.
fn settled(stage: &Stage) -> Result<Value> {
    let mut status = serde_json::to_value(stage.status()?)?;
    for name in ["uptime_seconds", "reasons", "flow_table"] {
        status[name] = Value::Null;
    }
    let forget = |thing: &mut Value| {
        for name in ["packets", "bytes", "flows", "bounced", "last_change_seconds", "drain"] {
            thing[name] = Value::Null;
        }
    };
    for services in ["services", "backends"] {
        for thing in status[services].as_array_mut().into_iter().flatten() {
            forget(thing);
            thing["members"].as_array_mut().into_iter().flatten().for_each(forget);
        }
    }
    Ok(status)
}

fn log(stage: &Stage) -> String {
    fs::read_to_string(stage.vip.log()).unwrap_or_default()
}

#[test]
fn a_changed_file_is_shown_before_and_applied_as_far_as_it_differs() -> Result<()> {
    let mut stage = stage()?;
    assert!(says(&stage, "diff", 0).contains("no differences"));
    let before = stage.status()?;
    let text = stage.config();
    let changed = text.replacen(
        "[\"backend1\", \"backend2\"]",
        "[\"backend1\", { backend = \"backend2\", weight = 50 }]",
        1,
    ) + "\n[service.more]\nvip = \"10.200.0.1\"\nport = 81\nmembers = [\"backend2\"]\n";
    stage.vip.configure(&changed)?;
    let shown = says(&stage, "diff", DIFFERS);
    for words in
        ["changed", "web4/backend2", "weight", "100", "50", "added", "more", "10.200.0.1:81/tcp, 1 member"]
    {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    assert_eq!(stage.status()?.services.len(), 2, "to show it changes nothing");
    let said = says(&stage, "reload", 0);
    assert!(said.contains("reloaded: 1 added, 0 removed, 1 changed"), "{said}");
    let status = stage.status()?;
    assert_eq!(weights(&status), [100, 100, 50, 100, 100].map(Some));
    let ids = |status: &Status, name: &str| {
        service(status, name).map(|one| one.members.iter().map(|one| one.id).collect::<Vec<_>>())
    };
    assert_eq!(
        ids(&status, "web4"),
        ids(&before, "web4"),
        "members keep their numbers, and so their counters"
    );
    assert!(says(&stage, "diff", 0).contains("no differences"));
    // By a signal, and back.
    stage.vip.configure(&text)?;
    stage.controller.as_mut().context("a controller")?.process().signal(Signal::HUP)?;
    stage.wait_for("the file's former state", |status| status.services.len() == 2)?;
    wait_for("it to be said", SOON, || log(&stage).contains("reload: done: 0 added, 1 removed, 1 changed"))?;
    assert!(log(&stage).contains("reload: service more removed: 10.200.0.1:81/tcp, 1 member"));
    Ok(())
}

#[test]
fn a_file_beside_is_compared_with_what_runs() -> Result<()> {
    let stage = stage()?;
    let beside = stage.vip.dir().join("beside.toml");
    fs::write(&beside, stage.config().replacen("rise = 2", "rise = 3", 1))?;
    let diff = format!("diff {}", beside.display());
    assert!(says(&stage, &diff, DIFFERS).contains("check.rise"));
    let found = json(&stage, &diff)?;
    assert_eq!(found["changes"][0]["key"], "check.rise");
    assert_eq!((&found["changes"][0]["before"], &found["changes"][0]["after"]), (&"2".into(), &"3".into()));
    fs::write(&beside, "interfaces = 7")?;
    let said = says(&stage, &diff, 1);
    assert!(said.contains("beside.toml: line 1"), "{said}");
    says(&stage, "diff /nowhere/at/all", 1);
    Ok(())
}

/// Each file that a reload refuses, with what must be said of it.
fn bad_files(stage: &Stage) -> Vec<(String, Vec<&'static str>)> {
    let good = stage.config();
    let port = "port = 80";
    let one = |from: &str, to: &str| good.replacen(from, to, 1);
    vec![
        (one("interfaces", "interfaces interfaces"), vec!["line 1"]),
        (one("interval", "intervall"), vec!["line 8", "\"interval\""]),
        (one(port, "port = 0"), vec!["line 6", "port"]),
        (one("10.77.0.101", "10.200.0.1"), vec!["10.200.0.1", "VIP"]),
        (one("\"eth0\"", "\"eth7\""), vec!["no interface eth7", "eth0"]),
        (one("10.77.0.101", "10.88.0.9"), vec!["10.88.0.9", "gateway 10.77.0.101"]),
        (good.clone() + "\n[capacity]\nmembers = 64\n", vec!["4096 members", "64 members", "vip detach"]),
        ("seed = \"00112233445566778899aabbccddeeff\"\n".to_owned() + &good, vec!["another seed", "--force"]),
        (one(port, "port = 80\nslots = 1021"), vec!["service web4: slots 16381 → 1021", "--force"]),
        (
            one(port, "port = 80\nscheduler = \"round-robin\""),
            vec!["scheduler maglev → round-robin", "--force"],
        ),
        (one(port, "port = 80\naffinity = \"source\""), vec!["affinity.kind flow → source", "--force"]),
        (one(port, "port = 80\nfragments = \"3-tuple\""), vec!["fragments ports → 3-tuple", "--force"]),
        (one("native", "generic"), vec!["eth0", "native", "generic"]),
    ]
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() -> Result<()> {
    let mut stage = stage()?;
    stage.topology.director.namespace.ip(&["route add 10.88.0.0/24 via 10.77.0.101"])?;
    let (before, traces) = (settled(&stage)?, stage.traces()?);
    for (text, words) in bad_files(&stage) {
        stage.vip.configure(&text)?;
        let said = says(&stage, "reload", 1);
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
        assert!(!said.contains("0011"), "a seed is never printed: {said}");
        assert_eq!(settled(&stage)?, before, "{said}");
        let said_so_far = log(&stage).len();
        stage.controller.as_mut().context("a controller")?.process().signal(Signal::HUP)?;
        wait_for("the log to say it", SOON, || {
            let log = log(&stage)[said_so_far..].to_owned();
            log.contains("reload: refused, and nothing has changed")
                && words.iter().all(|word| log.contains(word))
        })?;
    }
    fs::remove_file(stage.vip.config())?;
    assert!(says(&stage, "reload", 1).contains("can't read the configuration"));
    assert_eq!((settled(&stage)?, stage.traces()?), (before, traces));
    Ok(())
}

#[test]
fn what_moves_flows_is_done_by_force_alone() -> Result<()> {
    let stage = stage()?;
    let seed = "seed = \"00112233445566778899aabbccddeeff\"\n".to_owned();
    stage.vip.configure(&(seed + &stage.config().replacen("port = 80", "port = 80\nslots = 1021", 1)))?;
    assert!(says(&stage, "diff", DIFFERS).contains("moves flows"));
    says(&stage, "reload --force", 0);
    let status = stage.status()?;
    let web4 = service(&status, "web4").context("web4")?;
    assert_eq!((web4.slots, web4.members.iter().map(|member| member.slots).sum::<u32>()), (1021, 1021));
    assert!(says(&stage, "diff", 0).contains("no differences"));
    Ok(())
}

#[test]
fn interfaces_are_attached_and_released_by_a_reload() -> Result<()> {
    let stage = stage()?;
    let director = &stage.topology.director.namespace;
    director.ip(&["link add eth1 type veth peer name far", "link set eth1 up", "link set far up"])?;
    let interfaces = |stage: &Stage| -> Result<Vec<String>> {
        Ok(stage.status()?.interfaces.into_iter().map(|interface| interface.name).collect())
    };
    stage.vip.configure(&stage.config().replacen("[\"eth0\"]", "[\"eth0\", \"eth1\"]", 1))?;
    assert!(says(&stage, "diff", DIFFERS).contains("eth1"));
    says(&stage, "reload", 0);
    assert_eq!(interfaces(&stage)?, ["eth0", "eth1"]);
    stage.vip.configure(&("egress-interfaces = [\"eth1\"]\n".to_owned() + &stage.config()))?;
    says(&stage, "reload", 0);
    assert_eq!(interfaces(&stage)?, ["eth0"]);
    stage.vip.configure(&stage.config())?;
    says(&stage, "reload", 0);
    let shown = vip_tests::net::run(director.command("ip").args(["link", "show", "dev", "eth1"]))?;
    assert!(!shown.contains("xdp"), "{shown}");
    Ok(())
}

#[test]
fn wishes_by_command_hold_over_reloads_until_they_are_dropped() -> Result<()> {
    let mut stage = stage()?;
    says(&stage, "backend drain backend1", 0);
    says(&stage, "backend weight backend2 7 --service web6", 0);
    says(&stage, "service add extra 10.200.0.1:82/tcp --member backend1", 0);
    let is_wished = |status: &Status| {
        let drained = status.services.iter().flat_map(|service| &service.members);
        let drained =
            drained.filter(|member| member.backend.as_str() == "backend1" && !member.eligible).count();
        let extra = service(status, "extra").is_some();
        (drained, weights(status).contains(&Some(7)), extra)
    };
    stage.vip.configure(&stage.config().replacen("rise = 2", "rise = 3", 1))?;
    let said = says(&stage, "reload", 0);
    assert!(said.contains("wish by command, which holds over the file: backend backend1 draining"), "{said}");
    assert_eq!(is_wished(&stage.status()?), (2, true, true));
    stage.stop(Signal::TERM)?;
    stage.start()?;
    assert_eq!(is_wished(&stage.status()?), (2, true, true), "over a restart as well");
    // A file in which one of them can't hold.
    let without = stage.config().replacen("[\"backend1\", \"backend2\"]", "[\"backend1\"]", 2);
    stage.vip.configure(&without)?;
    let shown = says(&stage, "diff", DIFFERS);
    assert!(shown.contains("can't hold any more: backend backend2 has weight 7 in service web6"), "{shown}");
    says(&stage, "reload --reset", 0);
    assert_eq!(is_wished(&stage.status()?), (0, false, false));
    stage.stop(Signal::TERM)?;
    stage.start()?;
    assert_eq!(is_wished(&stage.status()?), (0, false, false), "they do not come back");
    Ok(())
}

#[test]
fn what_runs_is_saved_and_is_what_a_new_start_without_wishes_gives() -> Result<()> {
    let mut stage = stage()?;
    says(&stage, "backend drain backend1", 0);
    says(&stage, "service add extra 10.200.0.1:82/tcp --member backend2:9", 0);
    let saved = stage.vip.dir().join("saved.toml");
    says(&stage, &format!("save {}", saved.display()), 0);
    let text = fs::read_to_string(&saved)?;
    ensure!(fs::metadata(&saved)?.permissions().mode() & 0o777 == 0o600, "it is for its owner alone");
    assert_eq!(says(&stage, "save", 0), text);
    assert_eq!(json(&stage, "save")?["config"], text.as_str());
    let before = settled(&stage)?;
    stage.vip.configure(&text)?;
    let said = says(&stage, "reload", 0);
    assert!(said.contains("reloaded: 0 added, 0 removed, 0 changed"), "{said}");
    assert!(said.contains("which the file has too"), "{said}");
    stage.stop(Signal::TERM)?;
    stage.start_with(&["--reset"])?;
    stage.wait_for("the members to be as before", |status| {
        status.services.iter().map(|service| service.eligible).eq([1, 1, 1])
    })?;
    let mut after = settled(&stage)?;
    after["pid"] = before["pid"].clone();
    assert_eq!(after["services"], before["services"]);
    Ok(())
}

#[test]
fn what_somebody_else_writes_to_a_pinned_table_is_said_and_put_right() -> Result<()> {
    let stage = stage()?;
    let open = || -> Result<Array<MapData, u64>> {
        let data = MapData::from_pin(stage.vip.pin(names::RINGS))?;
        Ok(Array::try_from(Map::from_map_data(data)?)?)
    };
    let slots = |table: &Array<MapData, u64>| -> Vec<u64> { table.iter().take(16_000).flatten().collect() };
    let mut table = open()?;
    let before = slots(&table);
    // Slot 0 is nobody's.
    let taken = (1..16_000).filter(|at| before[*at as usize] != before[1]).take(3);
    for at in taken {
        table.set(at, before[1], 0)?;
    }
    assert_ne!(slots(&table), before);
    wait_for("it to be said", Duration::from_secs(20), || {
        log(&stage).contains("table RINGS: somebody else has changed 3 entries, and they are put right")
    })?;
    assert_eq!(slots(&table), before);
    Ok(())
}
