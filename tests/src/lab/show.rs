//! The show: the stage, the load on it, who watches, and what all of them have in common. Each step is a file of its
//! own.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    comeback, death, interrupt::Interrupt, place::Place, report::Report, restart, screen::Screen, spread,
};
use crate::{
    load::{Load, Request, Stream},
    net::Topology,
    stage::{Checks, Stage},
    witness::Witness,
};

/// How members are checked: a death is to be noticed while people watch.
pub(super) const CHECKS: Checks = Checks::QUICK;
/// Steps of the show, setting up included.
pub(super) const STEPS: u64 = 5;
/// The backend that dies, counted from 0.
pub(super) const VICTIM: usize = 1;
/// Connections that stay open.
pub(super) const OPEN: usize = 200;
/// How often each of them asks.
pub(super) const EVERY: Duration = Duration::from_millis(100);

const BACKENDS: u8 = 4;
/// New connections a second, under load.
const PER_SECOND: u32 = 120;
/// Failed requests that are shown one by one.
const LISTED: usize = 20;
/// How long members may take to come in at first.
const READY: Duration = Duration::from_secs(30);

/// Everything on the stage, and around it.
#[derive(Debug)]
pub(super) struct Show {
    pub(super) load: Load,
    pub(super) witness: Witness,
    pub(super) stage: Stage,
    pub(super) report: Report,
    pub(super) screen: Screen,
    pub(super) interrupt: Interrupt,
    /// Numbers of the open connections that the death must not have broken, nor what follows.
    pub(super) survivors: Vec<usize>,
    stream: Option<Stream>,
}

impl Show {
    /// Sets up: when this returns, all members get flows.
    pub(super) fn set_up(place: &Place, mut screen: Screen, interrupt: Interrupt) -> Result<Self> {
        screen.step(&format!(
            "set up: a client, a switch, a director and {BACKENDS} backends, each a network namespace"
        ));
        screen.doing("making the network");
        let began = Instant::now();
        let topology = Topology::builder().prefix(place.name()).backends(BACKENDS);
        let mut stage = Stage::build_with(topology, Some(&place.vip()), CHECKS)?;
        interrupt.check()?;
        screen.doing("starting the controller");
        stage.start()?;
        interrupt.wait_for("all members to be in", READY, || {
            stage
                .status()
                .is_ok_and(|status| status.services.iter().all(|service| service.eligible == service.total))
        })?;
        let load = Load::impatient(&stage.topology.clients[0].namespace)?;
        let witness = Witness::listen(&stage.topology)?;
        let report = Report::default();
        let mut show =
            Self { load, witness, stage, report, screen, interrupt, survivors: Vec::new(), stream: None };
        show.describe(began.elapsed())?;
        Ok(show)
    }

    /// All steps but the first.
    pub(super) fn play(&mut self) -> Result<()> {
        for step in [spread::run, death::run, restart::run, comeback::run] {
            step(self)?;
            self.interrupt.check()?;
        }
        self.stream = None;
        Ok(())
    }

    /// Takes the load away, and returns what stays.
    pub(super) fn end(self) -> (Stage, Report, Screen) {
        let Self { stage, report, mut screen, .. } = self;
        screen.clear();
        (stage, report, screen)
    }

    /// Name of the backend that dies.
    pub(super) fn victim(&self) -> String {
        self.stage.topology.backends[VICTIM].name.clone()
    }

    /// Begins a steady stream of new connections.
    pub(super) fn begin_stream(&mut self) {
        self.stream = Some(self.load.stream(&self.stage.services(), PER_SECOND));
    }

    /// Lets the load go on for that time.
    pub(super) fn pass(&self, what: &str, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        self.interrupt.wait_for(what, time * 2, || {
            self.screen.doing(format!("{what}: {} requests", self.load.requests().len()));
            Instant::now() >= until
        })?;
        Ok(())
    }

    /// Requests that began within that time.
    pub(super) fn requests(&self, from: Instant, until: Instant) -> Vec<Request> {
        self.load.requests().into_iter().filter(|request| request.began_in(from, until)).collect()
    }

    /// Shows failed requests one by one: when each began, counted from `origin`, where it came from and went, and how it
    /// failed.
    pub(super) fn list(&self, failed: &[Request], origin: Instant) -> Result<()> {
        let testimony = self.witness.testimony()?;
        for request in failed.iter().take(LISTED) {
            let (sign, time) = match request.started.checked_duration_since(origin) {
                Some(after) => ('+', after),
                None => ('-', origin - request.started),
            };
            let time = format!("{sign}{:>4} ms", time.as_millis());
            let (port, vip) = (request.port, request.server.ip().to_string());
            let owner = testimony.owner(request).unwrap_or("nobody");
            let failure = request.failure().map(ToString::to_string).unwrap_or_default();
            self.screen
                .say(&format!("      {time}  port {port:>5} to {vip:<11}  sent to {owner}: {failure}"));
        }
        if failed.len() > LISTED {
            self.screen.say(&format!("      and {} more", failed.len() - LISTED));
        }
        Ok(())
    }

    /// How many of the survivors have broken, and of how many.
    pub(super) fn broken_survivors(&self) -> (usize, usize) {
        let connections = self.load.connections();
        let broken = self.survivors.iter().filter(|number| connections[**number].broken.is_some()).count();
        (broken, self.survivors.len())
    }

    /// Writes down an expectation, and says it.
    pub(super) fn expect(
        &mut self,
        step: &'static str,
        expected: impl Into<String>,
        seen: impl Display,
        held: bool,
    ) {
        let expected = expected.into();
        let verdict = if held { "ok" } else { "FAILED" };
        self.screen.say(&format!("    {verdict}: {expected}: {seen}"));
        self.report.expect(step, expected, seen, held);
    }

    fn describe(&mut self, took: Duration) -> Result<()> {
        let status = self.stage.status()?;
        let vips: Vec<_> = self.stage.topology.vips.iter().map(ToString::to_string).collect();
        self.screen.say(&format!(
            "    VIPs {}, port 80; up after {:.1} s",
            vips.join(" and "),
            took.as_secs_f64()
        ));
        let modes: Vec<_> =
            status.interfaces.iter().map(|port| format!("{} {}", port.name, port.mode)).collect();
        let native = status.interfaces.iter().all(|port| port.mode == vip_userspace::dataplane::Mode::Native);
        self.expect("set up", "the director has native XDP", modes.join(", "), native && !modes.is_empty());
        let (eligible, total): (Vec<_>, Vec<_>) =
            status.services.iter().map(|service| (service.eligible, service.total)).unzip();
        let (eligible, total): (u32, u32) = (eligible.iter().sum(), total.iter().sum());
        self.expect("set up", "all members get flows", format!("{eligible} of {total}"), eligible == total);
        Ok(())
    }
}

/// After how many probes in a row a verdict falls, how long that takes, and what a busy machine is granted.
pub(super) fn promise(probes: u32, slack: Duration) -> String {
    let (interval, timeout) = (CHECKS.interval().as_millis(), CHECKS.timeout().as_millis());
    let whole = CHECKS.time_of(probes).as_millis();
    format!("{whole} ms ({interval} × {probes} + {timeout}), slack {} ms", slack.as_millis())
}
