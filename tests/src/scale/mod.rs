//! What control costs at scale: a thousand services of a hundred members each, the real `vip run` over them, and how long
//! it takes, how much CPU time and memory. What must hold of it, `report` says beside each figure.

mod place;
mod plan;
mod report;
mod tables;
mod usage;

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vip_common::MemberId;
use vip_userspace::{
    control::{Command, client::Client},
    controller::Memory,
    model::{Admin, BackendName},
};

pub use self::report::{Figure, table};
use self::{
    place::{Place, find, lose},
    plan::{Checks, Plan},
    tables::Tables,
};
use crate::{
    lab::interrupt::Interrupt,
    net::{Signal, require_root},
    program::{Controller, Vip},
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// For how long CPU time is taken.
const SPELL: Duration = Duration::from_secs(20);
/// The backends that are disabled, fail their checks, are lost on the link; all others live.
const DISABLED: [u32; 3] = [7, 23, 91];
const ILL: [u32; 2] = [11, 42];
const LOST: [u32; 2] = [13, 64];
/// Failures in a row that take a member out.
const FALL: usize = 2;

/// Measures it; `tell` is told what is being done.
///
/// # Errors
/// Something went wrong, or it was interrupted. Whatever was made is removed.
pub fn measure(services: u32, tell: &mut dyn FnMut(&str)) -> Result<Vec<Figure>> {
    require_root()?;
    let interrupt = Interrupt::listen()?;
    let mut bench = Bench::set_up(Plan { services }, interrupt, tell)?;
    bench.starts()?;
    bench.deaths()?;
    bench.checks()?;
    bench.restarts()?;
    Ok(bench.figures)
}

/// The director of all these services.
struct Bench<'a> {
    plan: Plan,
    /// Ended before its installation and its namespace go.
    controller: Option<Controller>,
    vip: Vip,
    place: Place,
    interrupt: Interrupt,
    tell: &'a mut dyn FnMut(&str),
    figures: Vec<Figure>,
    /// How many slots the backends had that were disabled, and how many changed then.
    rewritten: (usize, usize),
}

/// What a backend has of the tables: its numbers, one a service, and the slots whose new flows it gets.
struct Share {
    ids: Vec<MemberId>,
    slots: Vec<u32>,
}

impl<'a> Bench<'a> {
    fn set_up(plan: Plan, interrupt: Interrupt, tell: &'a mut dyn FnMut(&str)) -> Result<Self> {
        tell("makes the network");
        let place = Place::new(plan)?;
        let vip = Vip::install(&place.director.dir()?.join("vip"))?;
        vip.configure(&plan.config(Checks::OnePerBackend))?;
        Ok(Self {
            plan,
            controller: None,
            vip,
            place,
            interrupt,
            tell,
            figures: Vec::new(),
            rewritten: (0, 0),
        })
    }

    fn figure(&mut self, what: &'static str, measured: f64, unit: &'static str, bound: Option<f64>) {
        self.figures.push(Figure { what, measured, unit, bound });
    }

    /// From nothing to all services published, with owners.
    fn starts(&mut self) -> Result<()> {
        (self.tell)("starts");
        let began = Instant::now();
        self.controller = Some(self.vip.run(&self.place.director)?);
        let mut open = None;
        let mut missing: Vec<_> = self.plan.addresses().collect();
        missing.reverse();
        let vip = &self.vip;
        let is_published = || {
            if open.is_none() {
                open = Tables::open(vip).ok().flatten();
            }
            let Some(tables) = &open else { return false };
            while missing.last().is_some_and(|address| tables.has_owners(*address)) {
                missing.pop();
            }
            missing.is_empty()
        };
        let waited = self.interrupt.wait_for("all services to be published", PATIENCE, is_published);
        waited.with_context(|| self.log())?;
        let took = began.elapsed();
        self.settled()?;
        let spent = usage::cpu_time(self.process()?)?;
        self.figure("first start: to all services published", took.as_secs_f64(), "s", Some(5.0));
        self.figure("first start: CPU time until nothing is left to do", spent.as_secs_f64(), "s", None);
        Ok(())
    }

    /// Waits until the controller has taken no more than a quarter of a core for a second.
    fn settled(&mut self) -> Result<()> {
        let process = self.process()?;
        let mut before = usage::cpu_time(process)?;
        let mut since = Instant::now();
        self.interrupt.wait_for("the controller to come to rest", PATIENCE, || {
            if since.elapsed() < Duration::from_secs(1) {
                return false;
            }
            let Ok(now) = usage::cpu_time(process) else { return false };
            let share = (now - before).as_secs_f64() / since.elapsed().as_secs_f64();
            (before, since) = (now, Instant::now());
            share < 0.25
        })?;
        Ok(())
    }

    fn deaths(&mut self) -> Result<()> {
        let bound = Some(300.0);
        let mut worst = 0.0_f64;
        for backend in DISABLED {
            (self.tell)("a backend is disabled");
            worst = worst.max(self.disable(backend)?);
        }
        self.figure("a backend disabled by command: to its last slot rewritten", worst, "ms", bound);
        let (had, changed) = self.rewritten;
        self.figure(
            "… slots that changed in the rings of its services",
            count(changed as u64),
            "",
            Some(count(had as u64)),
        );
        worst = 0.0;
        for backend in ILL {
            (self.tell)("a backend is found ill by its check");
            worst = worst.max(self.die_by_check(backend)?);
        }
        self.figure("a backend's last bad probe: to its last slot rewritten", worst, "ms", bound);
        worst = 0.0;
        for backend in LOST {
            (self.tell)("a backend is lost on the link");
            worst = worst.max(self.die_by_neighbour(backend)?);
        }
        self.figure("a backend's neighbour entry failed: to its last slot rewritten", worst, "ms", bound);
        Ok(())
    }

    fn disable(&mut self, backend: u32) -> Result<f64> {
        let share = self.share(backend)?;
        let before = self.owners(backend)?;
        let began = Instant::now();
        self.set_admin(backend, Admin::Disabled)?;
        let took = self.wait_until_moved(&share, began)?;
        let after = self.owners(backend)?;
        self.rewritten.0 += share.slots.len();
        self.rewritten.1 += before.iter().zip(&after).filter(|(old, new)| old != new).count();
        self.set_admin(backend, Admin::Enabled)?;
        self.settled()?;
        Ok(took)
    }

    fn die_by_check(&mut self, backend: u32) -> Result<f64> {
        let (share, address) = (self.share(backend)?, self.address(backend)?);
        self.place.server.set_ill(address, true);
        let (server, mut told) = (&self.place.server, None);
        self.interrupt.wait_for("the last bad probe", PATIENCE, || {
            told = server.said(address, FALL);
            told.is_some()
        })?;
        let took = self.wait_until_moved(&share, told.unwrap_or_else(Instant::now))?;
        self.place.server.set_ill(address, false);
        self.return_of(&share)?;
        Ok(took)
    }

    fn die_by_neighbour(&mut self, backend: u32) -> Result<f64> {
        let (share, address) = (self.share(backend)?, self.address(backend)?);
        let began = Instant::now();
        lose(&self.place, address)?;
        let took = self.wait_until_moved(&share, began)?;
        find(&self.place, address)?;
        self.return_of(&share)?;
        Ok(took)
    }

    /// Waits until none of its slots is the backend's. In ms since it began.
    fn wait_until_moved(&self, share: &Share, began: Instant) -> Result<f64> {
        self.wait_for_slots("the slots of the dead to move", share, false)?;
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    }

    /// Waits until a backend has all its slots again.
    fn return_of(&mut self, share: &Share) -> Result<()> {
        self.wait_for_slots("the slots of the dead to return", share, true)?;
        self.settled()
    }

    fn wait_for_slots(&self, what: &str, share: &Share, are_its: bool) -> Result<()> {
        let tables = self.tables()?;
        let is_so =
            |slot: &u32| tables.slot(*slot).is_ok_and(|slot| share.ids.contains(&slot.current) == are_its);
        let mut left = share.slots.as_slice();
        let waited = self.interrupt.wait_for(what, PATIENCE, || {
            while let Some((last, others)) = left.split_last()
                && is_so(last)
            {
                left = others;
            }
            left.is_empty()
        });
        waited.map(drop).with_context(|| self.log())
    }

    /// CPU time and memory while all checks run, each its own.
    fn checks(&mut self) -> Result<()> {
        (self.tell)("takes another configuration, of ten times as many checks");
        self.vip.configure(&self.plan.config(Checks::OnePerVip))?;
        let client = Client::new(&self.vip.socket());
        let began = Instant::now();
        block_on(client.reload(false, false))??;
        self.figure(
            "a reload that gives every service another check",
            began.elapsed().as_secs_f64(),
            "s",
            None,
        );
        self.settled_checks()?;
        let (checks, interval) = (f64::from(self.plan.checks(Checks::OnePerVip)), 2.0);
        (self.tell)("counts what the checks take");
        let process = self.process()?;
        let (began, before, counted) =
            (Instant::now(), usage::cpu_time(process)?, self.place.server.probes());
        while began.elapsed() < SPELL {
            self.interrupt.check()?;
            thread::sleep(Duration::from_millis(50));
        }
        let spent = usage::cpu_time(process)? - before;
        let took = began.elapsed().as_secs_f64();
        let rate = count(self.place.server.probes() - counted) / took;
        ensure!(rate >= checks / interval * 0.95, "only {rate:.0} probes a second came in\n{}", self.log());
        self.figure("probes a second, while all checks run", rate, "", None);
        self.figure(
            "CPU time of the controller meanwhile",
            spent.as_secs_f64() / took * 100.0,
            "% core",
            Some(50.0),
        );
        self.memory("resident memory without mapped tables")
    }

    /// Waits until as many probes come in as the checks make.
    fn settled_checks(&mut self) -> Result<()> {
        let wanted = u64::from(self.plan.checks(Checks::OnePerVip));
        let counted = self.place.server.probes();
        let server = &self.place.server;
        self.interrupt.wait_for("all checks to run", PATIENCE, || server.probes() > counted + 2 * wanted)?;
        Ok(())
    }

    fn memory(&mut self, what: &'static str) -> Result<()> {
        let usage::Memory { own, maps } = usage::memory(self.process()?)?;
        let [own, maps] = [own, maps].map(|bytes| count(bytes) / 1e6);
        self.figure(what, own, "MB", Some(200.0));
        self.figure("mapped tables, which are not counted", maps, "MB", None);
        Ok(())
    }

    /// From a crash to a controller that has taken over all that is published.
    fn restarts(&mut self) -> Result<()> {
        (self.tell)("starts again after a crash");
        self.controller = None;
        let began = Instant::now();
        self.controller = Some(self.vip.run(&self.place.director)?);
        let client = Client::new(&self.vip.socket());
        block_on(client.drain(&name(0)?))??;
        self.figure(
            "start after a crash: to all services adopted",
            began.elapsed().as_secs_f64(),
            "s",
            Some(5.0),
        );
        self.settled_checks()?;
        self.memory("resident memory without mapped tables, after that")?;
        let Some(mut controller) = self.controller.take() else { return Ok(()) };
        controller.end(Signal::TERM)?;
        let log = std::fs::read_to_string(self.vip.log())?;
        let dead: Vec<_> =
            DISABLED.iter().chain(&ILL).chain(&LOST).map(|n| format!(": b{n} out: ")).collect();
        let is_false = |line: &&str| line.contains(" out: ") && !dead.iter().any(|dead| line.contains(dead));
        let killed = log.lines().filter(is_false).count();
        self.figure("living members that were taken for dead", count(killed as u64), "", Some(0.0));
        Ok(())
    }

    fn set_admin(&self, backend: u32, admin: Admin) -> Result<()> {
        let client = Client::new(&self.vip.socket());
        let command = Command::SetAdmin { backend: name(backend)?, service: None, admin, timeout: None };
        Ok(block_on(client.command(&command))??)
    }

    fn process(&mut self) -> Result<u32> {
        Ok(self.controller.as_mut().context("a controller runs")?.process().id())
    }

    fn tables(&self) -> Result<Tables> {
        Tables::open(&self.vip)?.context("tables are pinned")
    }

    fn address(&self, backend: u32) -> Result<Ipv4Addr> {
        self.plan.backends().nth(backend as usize).context("a backend")
    }

    /// The numbers that a backend has in the tables, one a service.
    fn ids(&self, backend: u32) -> Result<Vec<MemberId>> {
        let labels = Memory::at(&self.vip.state_dir().join("lab")).labels()?.context("labels are kept")?;
        let backend = name(backend)?;
        let its = labels.members.iter().filter(|(_, (_, name))| *name == backend);
        Ok(its.map(|(id, _)| MemberId(*id)).collect())
    }

    /// What a backend has of the tables.
    fn share(&self, backend: u32) -> Result<Share> {
        let ids = self.ids(backend)?;
        let slots = self.owners(backend)?.into_iter().filter(|(_, owner)| ids.contains(owner));
        Ok(Share { slots: slots.map(|(slot, _)| slot).collect(), ids })
    }

    /// Who gets new flows, slot by slot of the services that a backend is a member of.
    fn owners(&self, backend: u32) -> Result<Vec<(u32, MemberId)>> {
        let services: Vec<_> = self.plan.services_of(backend).collect();
        self.tables()?.owners(self.plan, &services)
    }

    /// The end of what the controller logged.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.vip.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        format!("vip run logged at last:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count here comes near to 2^52")]
fn count(of: u64) -> f64 {
    of as f64
}

fn name(backend: u32) -> Result<BackendName> {
    Ok(format!("b{backend}").parse()?)
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}
