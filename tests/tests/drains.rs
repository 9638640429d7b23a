//! Drains and maintenance, with real connections: who waits for a drain is told how many flows are left and when they are
//! gone, whatever becomes of the controller meanwhile.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use vip_tests::{
    crowd::{Crowd, Kind, Stand, checked, service},
    net::{Signal, Topology, wait_for},
    stage::members,
};
use vip_userspace::control::Status;

const SOON: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(100);
/// Time in which every connection speaks.
const WINDOW: &str = "window = \"3s\"";

/// A TCP service of each VIP over two backends.
fn stand() -> Result<Stand> {
    Stand::new(Topology::builder().backends(2), &[7, 8], |topology| {
        let members: Vec<_> = topology.backends.iter().map(|host| host.name.clone()).collect();
        // Patient: no test is of a death, and a busy machine must not take anybody for dead.
        let rest = format!("{}\n{WINDOW}", checked(7));
        let one = |(vip, family)| service(&format!("tcp{family}"), vip, "tcp", "7", &members, &rest);
        topology.vips.iter().copied().zip([4, 6]).map(one).collect()
    })
}

fn crowd(stand: &Stand, count: u32) -> Result<Crowd> {
    let crowd = Crowd::start(&stand.topology.clients[0].namespace, EVERY)?;
    crowd.open(Kind::Tcp, &stand.servers(7), count);
    wait_for("all to be answered", SOON, || crowd.lasting() == count as usize)?;
    Ok(crowd)
}

/// Connections that last, with that backend.
fn of(crowd: &Crowd, backend: u8) -> usize {
    crowd.talks().iter().filter(|talk| talk.lasts() && talk.home == Some(backend)).count()
}

/// Flows that a backend's drains know of, in all services.
fn left(status: &Status, backend: &str) -> Option<u64> {
    members(status, backend).map(|member| member.drain?.flows_left).sum()
}

/// A `vip` that waits, and the lines of JSON that it has printed so far.
struct Waiting {
    process: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    reader: JoinHandle<()>,
}

impl Waiting {
    fn start(stand: &Stand, words: &str) -> Result<Self> {
        let words: Vec<_> = words.split_whitespace().chain(["--wait", "--json"]).collect();
        let mut command = stand.vip.command(&stand.topology.director.namespace, &words);
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("start vip")?;
        let stdout = process.stdout.take().context("its output")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(Self { process, lines, reader })
    }

    /// Whether it has told of so many flows that are left.
    fn has_told(&self, left: usize) -> bool {
        let flows = |member: &Value| member["drain"]["flows_left"].as_u64();
        let counted = |line: &Value| line["members"].as_array()?.iter().map(flows).sum::<Option<u64>>();
        self.lines().iter().any(|line| counted(line) == Some(left as u64))
    }

    fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn goes_on(&mut self) -> Result<bool> {
        Ok(self.process.try_wait().context("look after it")?.is_none())
    }

    /// Its exit code, all its lines, and what it said on stderr.
    fn end(mut self) -> Result<(Option<i32>, Vec<Value>, String)> {
        wait_for("who waits to be told", SOON, || self.process.try_wait().is_ok_and(|end| end.is_some()))?;
        let lines = Arc::clone(&self.lines);
        let output = self.process.wait_with_output().context("its end")?;
        let _ = self.reader.join();
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((output.status.code(), lines, String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// The controller ends by that signal, and another one takes over.
fn restart(stand: &mut Stand, signal: Signal) -> Result<()> {
    stand.controller.end(signal)?;
    stand.controller = stand.vip.run(&stand.topology.director.namespace)?;
    Ok(())
}

/// `vip flows` knows the flows of the first backend, which drains: so many.
fn lists_just_its_flows(stand: &Stand, its: usize) -> Result<()> {
    let listed = stand
        .vip
        .output(&stand.topology.director.namespace, &["flows", "--backend", "backend1", "--json"])?;
    let listed: Value = serde_json::from_slice(&listed.stdout).context("JSON")?;
    let flows = listed["flows"].as_array().context("flows")?;
    let named = |flow: &&Value| flow["backend"] == "backend1" && flow["port"] == 7 && flow["state"] == "firm";
    assert_eq!((flows.iter().filter(named).count(), &listed["more"]), (its, &0.into()), "{listed}");
    let some = stand.vip.output(&stand.topology.director.namespace, &["flows", "--limit", "1"])?;
    let some = String::from_utf8_lossy(&some.stdout).into_owned();
    assert!(some.contains("backend1") && some.contains(" more: --limit shows them"), "{some}");
    Ok(())
}

#[test]
fn who_waits_for_a_drain_is_told_when_its_last_connection_has_ended_over_a_restart_of_the_controller()
-> Result<()> {
    let mut stand = stand()?;
    let crowd = crowd(&stand, 40)?;
    let its = of(&crowd, 1);
    assert!(its > 5, "{its}");
    let mut waiting = Waiting::start(&stand, "backend drain backend1")?;
    stand.wait_for("all to be counted, and none to be unknown any more", |status| {
        left(status, "backend1") == Some(its as u64)
            && members(status, "backend1")
                .all(|member| member.drain.is_some_and(|one| one.unknown_slots == 0))
    })?;
    lists_just_its_flows(&stand, its)?;
    restart(&mut stand, Signal::KILL)?;
    stand.wait_for("them to be counted again", |status| left(status, "backend1") == Some(its as u64))?;
    wait_for("who waits to be told how many", SOON, || waiting.has_told(its))?;
    assert!(waiting.goes_on()?, "they last");
    assert_eq!(of(&crowd, 1), its);
    let mark = crowd.mark();
    crowd.leave(1);
    let (code, lines, said) = waiting.end()?;
    let last = lines.last().context("a line")?;
    assert_eq!((code, said.as_str()), (Some(0), ""), "{lines:?}");
    assert_eq!((&last["ended"], &last["flows_left"]), (&true.into(), &0.into()), "{lines:?}");
    wait_for("them to have begun anew elsewhere", SOON, || (of(&crowd, 1), crowd.lasting()) == (0, 40))?;
    assert!(crowd.broken(&mark).is_empty(), "{:?}", crowd.broken(&mark));
    assert!(members(&stand.status()?, "backend1").all(|member| member.drain.is_some_and(|one| one.gone)));

    // With a time, what is left then is told, and loses its backend.
    crowd.stay(1);
    stand.command("backend enable backend1")?;
    let its = of(&crowd, 2);
    let waiting = Waiting::start(&stand, "backend drain backend2 --timeout 5s")?;
    let (code, lines, said) = waiting.end()?;
    let last = lines.last().context("a line")?;
    assert_eq!((code, &last["timed_out"], &last["disabled"]), (Some(1), &true.into(), &true.into()));
    assert_eq!(last["flows_left"], its, "{lines:?}");
    assert!(said.contains("flows-left") && said.contains("it is disabled now"), "{said}");
    stand.wait_for("it to be out", |status| {
        members(status, "backend2").all(|member| !member.alive && member.drain.is_none())
    })?;
    wait_for("its clients to be elsewhere", SOON, || of(&crowd, 1) == 40)?;
    Ok(())
}

#[test]
fn maintenance_is_over_all_services_and_restarts_and_gives_back_what_each_member_had() -> Result<()> {
    let mut stand = stand()?;
    stand.command("backend disable backend1 --service tcp6")?;
    let crowd = crowd(&stand, 40)?;
    let its = of(&crowd, 1);
    stand.command("maintenance on backend1")?;
    stand.wait_for("its flows to be counted", |status| left_in(status, "tcp4") == Some(its as u64))?;
    // A service that it joins later is no exception.
    let vip = stand.topology.vips[0];
    stand.command(&format!("service add late {vip}:8/tcp --member backend1 --member backend2"))?;
    restart(&mut stand, Signal::TERM)?;
    let status = stand.status()?;
    let state = |status: &Status, service: &str| {
        let service = status.services.iter().find(|one| one.name.as_str() == service);
        service.and_then(|service| service.members.first()).map(|member| (member.eligible, member.alive))
    };
    for (service, expected) in [("tcp4", (false, true)), ("tcp6", (false, false)), ("late", (false, true))] {
        assert_eq!(state(&status, service), Some(expected), "{service}");
    }
    let listed = stand.vip.output(&stand.topology.director.namespace, &["maintenance", "list", "--json"])?;
    let listed: Value = serde_json::from_slice(&listed.stdout).context("JSON")?;
    assert_eq!(
        (&listed["backends"][0]["name"], &listed["backends"][0]["maintenance"]),
        (&"backend1".into(), &"draining".into())
    );
    let before = crowd.talks().len();
    crowd.open(Kind::Tcp, &stand.servers(7), 40);
    crowd.open(Kind::Tcp, &stand.servers(8)[..1], 20);
    wait_for("new ones to be answered", SOON, || crowd.lasting() == 100)?;
    let new = crowd.talks().split_off(before);
    assert!(new.iter().all(|talk| talk.home == Some(2)), "it gets no new ones");
    assert_eq!(of(&crowd, 1), its, "it keeps its own");

    let mark = crowd.mark();
    stand.command("maintenance off backend1")?;
    stand.wait_for("it to be what it was", |status| {
        let now = ["tcp4", "tcp6", "late"].map(|service| state(status, service));
        now == [Some((true, true)), Some((false, false)), Some((true, true))]
    })?;
    let before = crowd.talks().len();
    crowd.open(Kind::Tcp, &stand.servers(7), 60);
    wait_for("new ones to be answered", SOON, || crowd.lasting() == 160)?;
    let homes = |six: bool| {
        let talks = crowd.talks().split_off(before);
        talks.into_iter().filter(move |talk| talk.server.is_ipv6() == six && talk.home == Some(1)).count()
    };
    assert!(homes(false) > 0 && homes(true) == 0, "{} {}", homes(false), homes(true));
    assert!(crowd.broken(&mark).is_empty(), "{:?}", crowd.broken(&mark));

    stand.command("maintenance on backend1 --now")?;
    stand.wait_for("it to be out", |status| members(status, "backend1").all(|member| !member.alive))?;
    wait_for("its clients to be elsewhere", SOON, || of(&crowd, 1) == 0 && crowd.lasting() == 160)?;
    Ok(())
}

/// Flows that the drain of a service's first member knows of.
fn left_in(status: &Status, service: &str) -> Option<u64> {
    let service = status.services.iter().find(|one| one.name.as_str() == service)?;
    service.members.first()?.drain?.flows_left
}
