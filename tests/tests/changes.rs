//! What changes of a service cost those who talk with it: thousands of connections over twenty backends, of which one
//! after the other is added, drained, weighed, removed, killed and brought back. Nobody else's talk may break.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use vip_tests::{
    crowd::{Crowd, Kind, Mark, Stand, checked, service},
    net::{Topology, wait_for},
    stage::{is_in, is_out, members},
};
use vip_userspace::control::Status;

const PORT: u16 = 7;
const BACKENDS: u8 = 20;
const EVERY: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(40);
/// How often is tried to begin at rest.
const STARTS: u32 = 6;
/// Answers that everybody must get after a change.
const TIMES: u32 = 2;

/// Services of both families over the first twenty backends.
fn services(topology: &Topology, protocols: &[&str], rest: &str) -> String {
    let members: Vec<_> =
        topology.backends.iter().take(BACKENDS.into()).map(|host| host.name.clone()).collect();
    let rest = format!("slots = 4099\n{}\n{rest}", checked(PORT));
    let of_protocol = |protocol: &&str| {
        let one =
            |(vip, family)| service(&format!("{protocol}{family}"), vip, protocol, "7", &members, &rest);
        topology.vips.iter().copied().zip([4, 6]).map(one).collect::<String>()
    };
    protocols.iter().map(of_protocol).collect()
}

/// A director with all members in and nothing to remember. On a busy machine some may come in after the first ring, which is a
/// change: until its window ends, datagrams would still go to those who were first. Then all of it is made anew.
fn at_rest(protocols: &[&str], rest: &str) -> Result<Stand> {
    for _ in 0..STARTS {
        let topology = Topology::builder().backends(BACKENDS + 1);
        let stand = Stand::new(topology, &[PORT], |topology| services(topology, protocols, rest))?;
        if stand.status()?.flow_table.is_some_and(|flows| flows.tracked_slots == 0) {
            return Ok(stand);
        }
    }
    bail!("in {STARTS} starts, never were all members in before the first ring")
}

/// One story at a time has the machine.
static STAGE: Mutex<()> = Mutex::new(());

/// A service under change, and those who talk with it. Each moment from the first question on belongs to one line of its
/// table.
struct Story {
    stand: Stand,
    crowd: Crowd,
    /// How many talk.
    count: usize,
    table: String,
    /// The window is so short that a drain comes to its end while somebody waits for it.
    awaits_drains: bool,
    /// Where the last line ended.
    noted: (Mark, Instant),
    /// Talks of others that broke, in words.
    wrongs: Vec<String>,
    _alone: MutexGuard<'static, ()>,
}

impl Story {
    fn new(protocols: &[&str], rest: &str, talks: &[(Kind, u32)]) -> Result<Self> {
        let alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        let stand = at_rest(protocols, rest)?;
        let made = began.elapsed();
        let crowd = Crowd::start(&stand.topology.clients[0].namespace, EVERY)?;
        let noted = (crowd.mark(), Instant::now());
        for (kind, talks) in talks {
            crowd.open(*kind, &stand.servers(PORT), *talks);
        }
        let count = talks.iter().map(|(_, talks)| *talks as usize).sum();
        wait_for("everybody to be answered", SOON, || crowd.lasting() >= count)?;
        for kind in talks.iter().map(|(kind, _)| *kind) {
            let homes: BTreeSet<_> =
                crowd.talks().iter().filter(|talk| talk.kind == kind).map(|talk| talk.home).collect();
            assert_eq!(homes.len(), usize::from(BACKENDS), "{kind:?} spreads over all: {homes:?}");
        }
        let mut table = format!(
            "{count} talks of both families, each asks once a second; {BACKENDS} backends made in {:.1} s\n",
            made.as_secs_f32()
        );
        writeln!(
            table,
            "{:26} {:>6} {:>14} {:>14} {:>8} {:>8} {:>8}",
            "change", "talks", "broken: others", "broken: its own", "slots", "entries", "took"
        )?;
        let mut story = Self {
            awaits_drains: rest.contains("window"),
            stand,
            crowd,
            count,
            table,
            noted,
            wrongs: Vec::new(),
            _alone: alone,
        };
        story.note("none yet", None)?;
        Ok(story)
    }

    /// Makes a change that may cost the talks of `victim` alone, waits until it has taken effect and everybody has spoken
    /// since, those who lost their backend with another one, and writes a line.
    fn step(
        &mut self,
        what: &str,
        victim: Option<u8>,
        change: impl FnOnce(&mut Self) -> Result<()>,
        is: impl Fn(&Status) -> bool,
    ) -> Result<()> {
        change(self).with_context(|| what.to_owned())?;
        self.stand.wait_for(what, is)?;
        let changed = self.crowd.mark();
        wait_for("all to speak", SOON, || {
            self.crowd.have_spoken(&changed, TIMES, None) && self.crowd.lasting() >= self.count
        })?;
        self.note(what, victim)
    }

    /// Writes a line of what broke since the last one.
    fn note(&mut self, what: &str, victim: Option<u8>) -> Result<()> {
        let now = (self.crowd.mark(), Instant::now());
        let (before, start) = std::mem::replace(&mut self.noted, now);
        let broken = self.crowd.broken_between(&before, &self.noted.0);
        // Who was never answered was not the victim's, which answered all its talks while it lived.
        let (own, others): (Vec<_>, Vec<_>) =
            broken.iter().partition(|talk| victim.is_some() && talk.home == victim);
        let flows = self.stand.status()?.flow_table.context("no flow table")?;
        writeln!(
            self.table,
            "{what:26} {:>6} {:>14} {:>14} {:>8} {:>8} {:>6.1} s",
            self.crowd.lasting(),
            others.len(),
            own.len(),
            flows.tracked_slots,
            flows.live,
            start.elapsed().as_secs_f32()
        )?;
        self.wrongs.extend(others.iter().map(|talk| format!("{what}: {talk:?}")));
        Ok(())
    }

    /// The clients of a backend that drains end, and find others.
    fn leave(&self, backend: u8) -> Result<()> {
        self.crowd.leave(backend);
        wait_for("its clients to leave a backend that drains", SOON, || {
            !self.crowd.talks().iter().any(|talk| talk.lasts() && talk.home == Some(backend))
        })?;
        if self.awaits_drains {
            let name = format!("backend{backend}");
            self.stand.wait_for("its drain to be over", |status| {
                members(status, &name).all(|member| member.drain.is_some_and(|drain| drain.gone))
            })?;
        }
        Ok(())
    }

    fn all_changes(&mut self) -> Result<()> {
        let added = self.stand.topology.backends[usize::from(BACKENDS)].address4;
        let added6 = self.stand.topology.backends[usize::from(BACKENDS)].address6;
        let services: Vec<_> =
            self.stand.status()?.services.iter().map(|it| format!("--service {}", it.name)).collect();
        let add =
            format!("backend add backend21 --address {added} --address {added6} {}", services.join(" "));
        self.step(
            "backend21 added",
            None,
            |story| story.stand.command(&add),
            |status| {
                slots(status, "backend21").all(|slots| slots > 0) && slots(status, "backend21").count() > 0
            },
        )?;
        self.step(
            "backend2 drained",
            None,
            |story| story.stand.command("backend drain backend2"),
            |status| slots(status, "backend2").all(|slots| slots == 0),
        )?;
        let before: u32 = slots(&self.stand.status()?, "backend3").sum();
        self.step(
            "backend3 weighed 300",
            None,
            |story| story.stand.command("backend weight backend3 300"),
            |status| slots(status, "backend3").sum::<u32>() > 2 * before,
        )?;
        self.leave(2)?;
        self.step(
            "backend2 removed",
            None,
            |story| story.stand.command("backend remove backend2"),
            |status| slots(status, "backend2").count() == 0,
        )?;
        let out = |status: &Status| is_out(status, "backend4");
        self.step("backend4 killed", Some(4), |story| story.stand.die(4).map(drop), out)?;
        let back = |status: &Status| is_in(status, "backend4");
        self.step("backend4 brought back", None, |story| story.stand.come_back(4), back)
    }

    /// All talks end, and nothing is remembered of them.
    fn all_end(&mut self) -> Result<()> {
        self.crowd.go();
        let is_over = |status: &Status| {
            status.flow_table.is_some_and(|flows| flows.tracked_slots == 0 && flows.live == 0)
        };
        self.stand.wait_for("everything to be forgotten", is_over)?;
        self.note("all ended", None)
    }

    /// Tells the story as far as it went, and whether anybody broke who must not.
    #[expect(clippy::print_stdout, reason = "the table is what the story tells")]
    fn end(mut self, went: Result<()>) -> Result<()> {
        let noted = self.note("nothing more", None);
        println!("{}", self.table);
        let mut ends = BTreeMap::new();
        for talk in self.crowd.talks() {
            *ends.entry(talk.ended.map_or("lasts".to_owned(), |(_, end)| end.to_string())).or_insert(0) += 1;
        }
        println!("all talks: {ends:?}");
        went.and(noted)?;
        let some = &self.wrongs[..self.wrongs.len().min(10)];
        ensure!(self.wrongs.is_empty(), "{} broke: {some:#?}", self.wrongs.len());
        Ok(())
    }
}

fn slots<'a>(status: &'a Status, backend: &'a str) -> impl Iterator<Item = u32> + 'a {
    members(status, backend).map(|member| member.slots)
}

#[test]
fn no_change_breaks_a_connection_of_another_backend() -> Result<()> {
    let mut story = Story::new(&["tcp"], "", &[(Kind::Tcp, 2000)])?;
    let went = story.all_changes();
    story.end(went)
}

#[test]
fn no_change_moves_a_flow_of_datagrams_of_another_backend() -> Result<()> {
    let mut story = Story::new(&["udp"], "", &[(Kind::Udp, 200)])?;
    let went = story.all_changes();
    story.end(went)
}

#[test]
fn with_a_window_of_three_seconds_nothing_breaks_and_nothing_is_left() -> Result<()> {
    let rest = "window = \"3s\"\nidle = \"3s\"";
    let mut story = Story::new(&["tcp", "udp"], rest, &[(Kind::Tcp, 2000), (Kind::Udp, 200)])?;
    let went = story.all_changes().and_then(|()| story.all_end());
    story.end(went)
}
