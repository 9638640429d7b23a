//! How long a dead backend is still sent packets: over many deaths, by silence and by a dead link.

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vip_tests::{
    load::Load,
    net::{Namespace, Tap, Topology, scaled, wait_for},
    stage::{Stage, is_in, is_out},
};

const DEATHS: usize = 20;
/// How many of them may take longer because the machine was busy with something else: the times of all are told.
const BUSY: usize = DEATHS / 5;
/// How much longer than 50 ms a controller that is not optimised may take to compose and to publish. The promise is that of
/// `cargo test --release --package vip-tests --test deaths`, with the optimised `vip`.
const UNOPTIMISED: Duration = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 0 });
/// The stories measure: one at a time.
static ALONE: Mutex<()> = Mutex::new(());
const SOON: Duration = Duration::from_secs(20);
/// New connections a second.
const RATE: u32 = 100;
/// How soon after one change of a carrier the kernel tells of the next one.
const LINK_WATCH: Duration = Duration::from_millis(1100);
/// Who takes that long has met the dead: a SYN is sent again after a second.
const MET_THE_DEAD: Duration = Duration::from_millis(700);

/// Prints how long each death took, and holds all but the [`BUSY`] longest to `most`.
#[expect(clippy::print_stdout, reason = "the times are what the story tells")]
fn judge(what: &str, mut took: Vec<Duration>, most: Duration) -> Result<()> {
    took.sort_unstable();
    let told: Vec<_> = took.iter().map(Duration::as_millis).collect();
    println!("{what}, in ms: {told:?}; worst {:?} ms, at most {} ms", told.last(), most.as_millis());
    let late = took.iter().filter(|took| **took > scaled(most)).count();
    ensure!(late <= BUSY, "{what}: {late} of {DEATHS} took longer than {most:?}: {told:?} ms");
    Ok(())
}

/// Switches the far end of the second cable off, at once: that a process starts takes as long as what is measured.
struct Cutter(Child);

impl Cutter {
    fn ready(far: &Namespace) -> Result<Self> {
        let mut ip = Command::new("ip");
        let ip = ip.args(["-n", far.name(), "-batch", "-"]).stdin(Stdio::piped());
        ip.spawn().map(Self).context("start ip")
    }

    /// When it began to.
    fn cut(&mut self) -> Result<Instant> {
        let mut lines = self.0.stdin.take().context("it is cut")?;
        let now = Instant::now();
        lines.write_all(b"link set eth1 down\n").context("tell ip")?;
        drop(lines);
        ensure!(self.0.wait()?.success(), "ip could not cut it");
        Ok(now)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_falls_silent_gets_no_packet_after_400_ms() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut stage = Stage::build(Topology::builder().backends(2))?;
    let quick = "check = { http = \"/\", interval = \"100ms\", timeout = \"100ms\", rise = 2, fall = 2 }";
    let config = stage.config();
    let lines = config.lines().map(|line| if line.starts_with("check = ") { quick } else { line });
    stage.vip.configure(&lines.collect::<Vec<_>>().join("\n"))?;
    stage.start()?;
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let (director, backend) = (stage.topology.director.mac, stage.topology.backends[1].mac);
    let vips = stage.topology.vips.clone();
    let own = [stage.topology.director.address4.into(), stage.topology.director.address6.into()];
    let mut took = Vec::new();
    for _ in 0..DEATHS {
        stage.wait_for("it to be in", |status| is_in(status, "backend2"))?;
        let stream = load.stream(&stage.services(), RATE);
        let vips = vips.clone();
        // The director's probes go on.
        let tap = Tap::start(stage.topology.switch(), move |seen| {
            let is_sent_on = seen.from_mac == director && seen.to_mac == backend;
            is_sent_on && vips.contains(&seen.to) && !own.contains(&seen.from)
        })?;
        wait_for("packets to it", SOON, || tap.seen().is_ok_and(|seen| seen.len() > 10))?;
        let died = stage.die(1)?;
        stage.wait_for("it to be out", |status| is_out(status, "backend2"))?;
        let since = load.requests().len();
        wait_for("others to be asked", SOON, || load.requests().len() > since + 20)?;
        drop(stream);
        let last = tap.seen()?.iter().map(|seen| seen.at).max();
        took.push(last.unwrap_or(died).saturating_duration_since(died));
        stage.come_back(1)?;
    }
    judge("from a death to the last packet", took, Duration::from_millis(400))
}

#[test]
fn who_is_behind_a_dead_link_gets_no_packet_after_50_ms() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut stage = Stage::build(Topology::builder().backends(2))?;
    let _accepted = stage.lay_second_cable(1)?;
    let far = &stage.topology.backends[1].namespace;
    far.sysctls(&[("ipv6/conf/eth1/keep_addr_on_down", "1")])?;
    let config = stage.config_by_second_cable();
    stage.vip.configure(&format!("egress-interfaces = [\"eth1\"]\n{config}"))?;
    stage.start()?;
    let load = Load::start(&stage.topology.clients[0].namespace)?;
    let mut took = Vec::new();
    for _ in 0..DEATHS {
        stage.wait_for("it to be in", |status| is_in(status, "backend2"))?;
        let stream = load.stream(&stage.services(), RATE);
        // The kernel tells of carriers once a second at most (net/core/link_watch.c): a link that has just come up is not
        // told to be down at once.
        let up = Instant::now();
        wait_for("the link to be up for a while", SOON, || {
            load.requests().iter().any(|request| request.started > up + LINK_WATCH)
        })?;
        let mut cutter = Cutter::ready(&stage.topology.backends[1].namespace)?;
        let died = cutter.cut()?;
        stage.wait_for("it to be out", |status| {
            is_out(status, "backend2") && format!("{status:?}").contains("NoLink")
        })?;
        let since = load.requests().len();
        wait_for("load after it", SOON, || load.requests().len() > since + 20)?;
        drop(stream);
        wait_for("what began to end", SOON, || load.is_idle())?;
        let met = load.requests();
        let met = met
            .iter()
            .filter(|request| request.started >= died)
            .filter(|request| request.outcome.is_err() || request.took >= MET_THE_DEAD);
        let last = met.map(|request| request.started).max();
        took.push(last.unwrap_or(died).saturating_duration_since(died));
        stage.topology.backends[1].namespace.ip(&["link set eth1 up"])?;
    }
    judge("from a dead link to the last packet", took, Duration::from_millis(50) + UNOPTIMISED)
}
