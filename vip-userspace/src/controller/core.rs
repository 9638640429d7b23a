//! The heart of the controller: what each event does to the world, and how the world gets into the tables. It knows
//! no socket and no clock.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use vip_common::tables::Member as Entry;

use super::{
    commands,
    drains::DrainLog,
    flows::{FlowTable, Refusals},
};
use crate::{
    control::protocol::{Code, Command, Refused},
    dataplane::Dataplane,
    model::{
        BackendName, Cause, Checked, Health, Ineligible, Intent, Judgement, Link, Mac, MemberKey, Neighbour,
        NoNeighbour, Place, Service, ServiceName, Standing, Touched, World,
    },
    plan::{Budget, Composer, Numbers, Tables, plan},
    ring::RingKey,
};

/// A member's standing is another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transition {
    /// The member.
    pub member: MemberKey,
    /// What flows it gets.
    pub now: Standing,
}

impl Transition {
    /// True for what is so before anything is known: nobody need be told.
    #[must_use]
    pub fn is_beginning(&self) -> bool {
        is_beginning(&self.now)
    }
}

/// True for what is so before anything is known.
fn is_beginning(standing: &Standing) -> bool {
    matches!(standing, Standing::Down(Ineligible::NotProbed | Ineligible::NoNeighbour(NoNeighbour::Pending)))
}

/// How far a service is from what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Alarm {
    /// Its quorum is short.
    pub is_short: bool,
    /// The health of its members is ignored.
    pub panics: bool,
}

/// What was told last of a service.
#[derive(Default, Debug)]
struct Told {
    /// Its members, in their order.
    members: Vec<BackendName>,
    /// How they stood.
    judged: Arc<Judgement>,
    /// Since when, in the same order; nothing of who has never been told of.
    since: Vec<Option<Duration>>,
    alarm: Alarm,
}

/// The state of the loop: the world, and what of it is published.
#[derive(Debug)]
pub struct Controller<D> {
    pub(super) world: World,
    pub(super) numbers: Numbers,
    pub(super) composer: Composer,
    dataplane: D,
    published: Tables,
    /// The last apply failed half-way: what is published must be read anew.
    in_doubt: bool,
    /// How the members of each service stood when that was told last.
    told: BTreeMap<ServiceName, Told>,
    /// The services that may stand otherwise since then.
    untold: Touched,
    /// Those that have changed since they were last asked for, as they were then.
    news: BTreeMap<ServiceName, Alarm>,
    pub(super) flows: FlowTable,
    pub(super) drain_log: DrainLog,
    /// Time since the controller's beginning.
    pub(super) now: Duration,
}

impl<D: Dataplane> Controller<D> {
    /// A controller whose tables are those that `dataplane` has.
    ///
    /// # Errors
    /// The tables can't be read.
    pub fn new(world: World, numbers: Numbers, key: RingKey, dataplane: D) -> anyhow::Result<Self> {
        let published = dataplane.read().context("read the published tables")?;
        let now = Duration::ZERO;
        let mut composer = Composer::new(key, Budget::new(dataplane.capacity().flows, dataplane.cpus()));
        composer.adopt(&published, &numbers, now);
        Ok(Self {
            world,
            numbers,
            composer,
            dataplane,
            published,
            in_doubt: false,
            told: BTreeMap::new(),
            untold: Touched::All,
            news: BTreeMap::new(),
            flows: FlowTable::default(),
            drain_log: DrainLog::default(),
            now,
        })
    }

    /// Whatever comes next happens at `now`, counted from the controller's beginning.
    pub fn time(&mut self, now: Duration) {
        self.now = now;
    }

    /// Intent and knowledge.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Which numbers are whose.
    #[must_use]
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// What is published.
    #[must_use]
    pub fn published(&self) -> &Tables {
        &self.published
    }

    /// Where it is published.
    #[must_use]
    pub fn dataplane(&self) -> &D {
        &self.dataplane
    }

    /// The same, for attaching.
    pub fn dataplane_mut(&mut self) -> &mut D {
        &mut self.dataplane
    }

    /// Carries out a command, up to the kernel. Where it is refused, or the kernel refuses it, nothing has changed.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn command(&mut self, command: &Command) -> Result<Vec<Transition>, Refused> {
        let before = (self.world.clone(), self.numbers.clone(), self.composer.clone());
        let done = self.try_command(command);
        if done.is_err() {
            (self.world, self.numbers, self.composer) = before;
        }
        done
    }

    /// Makes another world what is wanted, and `key` the secret, up to the kernel. Where the kernel refuses it, or there is
    /// no room, nothing has changed.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn reconfigure(&mut self, world: World, key: RingKey) -> Result<Vec<Transition>, Refused> {
        let before = (std::mem::replace(&mut self.world, world), self.numbers.clone(), self.composer.clone());
        self.composer.rekey(key);
        let done = self.follow_intent(&before.0.intent);
        if done.is_err() {
            (self.world, self.numbers, self.composer) = before;
        }
        done
    }

    fn try_command(&mut self, command: &Command) -> Result<Vec<Transition>, Refused> {
        let before = self.world.intent.clone();
        commands::apply(&mut self.world.intent, command)?;
        let now = self.unix_time();
        for (draining, timeout) in commands::drains(&self.world.intent, command) {
            self.world.drains.set_end(draining, timeout.map(|timeout| now.saturating_add(timeout)), now);
        }
        self.follow_intent(&before)
    }

    fn follow_intent(&mut self, before: &Intent) -> Result<Vec<Transition>, Refused> {
        self.numbers.take_back_ways(&self.published);
        if !self.world.intent.has_same_parts(before) {
            self.world.forget_the_gone();
            self.numbers
                .assign(&self.world.intent, &self.published)
                .map_err(|full| Refused::new(Code::TableFull, full.to_string()))?;
        }
        self.publish().map_err(|error| Refused::new(Code::Kernel, format!("{error:#}")))
    }

    /// A probe's verdict, or a new cause of an old one.
    pub fn verdict(&mut self, member: MemberKey, health: Health, cause: Option<Cause>) {
        self.world.checked.insert(member, Checked { health, cause: cause.map(Box::new) });
    }

    /// Where a backend's address is now.
    pub fn neighbour(&mut self, address: IpAddr, found: Result<Place, NoNeighbour>) {
        if let Ok(Place::Link(neighbour)) = found {
            self.world.last_ways.insert(address, neighbour.ifindex);
        }
        self.world.neighbours.insert(address, found);
    }

    /// An interface is there, with this name and MAC, and is up or not.
    pub fn link(&mut self, ifindex: u32, name: String, mac: Mac, is_up: bool) {
        let known = self.world.links.get(&ifindex);
        let part = known.map_or((false, false, false), |link| (link.is_port, link.is_egress, link.is_inlet));
        let (is_port, is_egress, is_inlet) = part;
        self.world.links.insert(ifindex, Link { name, mac, is_port, is_egress, is_inlet, is_up });
    }

    /// An interface is gone.
    pub fn link_gone(&mut self, ifindex: u32) {
        self.world.links.remove(&ifindex);
    }

    /// The director is attached to an interface.
    pub fn port(&mut self, ifindex: u32, name: String, mac: Mac) {
        let link = Link { name, mac, is_port: true, is_egress: false, is_inlet: false, is_up: true };
        self.world.links.insert(ifindex, link);
    }

    /// The director takes in by this interface alone what local programs send; by none without one.
    pub(super) fn inlet(&mut self, inlet: Option<(u32, String, Mac)>) {
        self.world.links.retain(|_, link| !link.is_inlet);
        if let Some((ifindex, name, mac)) = inlet {
            let link = Link { name, mac, is_port: false, is_egress: false, is_inlet: true, is_up: true };
            self.world.links.insert(ifindex, link);
        }
    }

    /// These answer for a VIP on the link.
    pub fn owners(&mut self, vip: IpAddr, macs: std::collections::BTreeSet<Mac>) {
        self.world.owners.insert(vip, macs);
    }

    /// The addresses of this box. Returns how many of them the tables have no room for, where those are more than before.
    pub fn local(&mut self, addresses: std::collections::BTreeSet<IpAddr>) -> Option<usize> {
        let (_, before) = self.world.own_addresses();
        self.world.local = addresses;
        let (_, more) = self.world.own_addresses();
        (more > before).then_some(more)
    }

    /// Brings the tables to what the world asks for, and tells which members that concerned.
    ///
    /// # Errors
    /// The dataplane failed; what is published is read anew before the next attempt.
    pub fn publish(&mut self) -> anyhow::Result<Vec<Transition>> {
        if self.in_doubt {
            self.published = self.dataplane.read().context("read the published tables")?;
            self.in_doubt = false;
            self.composer.repair(&self.published, &self.numbers, self.now);
            self.flows.repaired(self.now);
        }
        self.follow_drains();
        self.world.note(self.now);
        let before = self.composer.clone();
        let wanted = self.composer.compose(&self.world, &mut self.numbers, &self.published, self.now);
        let operations = plan(&self.published, &wanted);
        if !operations.is_empty() {
            self.in_doubt = true;
            if let Err(error) = self.dataplane.apply(&operations) {
                self.composer = before;
                return Err(error.context("publish tables"));
            }
            self.in_doubt = false;
        }
        self.published = wanted;
        Ok(self.transitions())
    }

    /// Looks whether the tables are what was published, at one part of `parts`, and puts right what somebody else has
    /// changed. Tells of which tables how many entries that was.
    ///
    /// # Errors
    /// The dataplane failed.
    pub fn resync(&mut self, part: usize, parts: usize) -> anyhow::Result<BTreeMap<&'static str, usize>> {
        let mut strays = BTreeMap::new();
        // What is in doubt is read anew before long.
        if self.in_doubt {
            return Ok(strays);
        }
        let operations = self.dataplane.strays(&self.published, part, parts).context("look for changes")?;
        for operation in &operations {
            let (table, entries) = operation.table();
            *strays.entry(table).or_default() += entries;
        }
        if !operations.is_empty() {
            self.dataplane.apply(&operations).context("put right what somebody else has changed")?;
        }
        Ok(strays)
    }

    /// Looks after the flow table, once a second: sweeps it if it is time, lets slots go that need not be tracked any more,
    /// and shares out what may be written in the next second. What follows is published with the next
    /// [`publish`](Self::publish). Tells which services had flows that were not tracked, after a sweep.
    ///
    /// # Errors
    /// The dataplane failed.
    pub fn look_after_flows(&mut self) -> anyhow::Result<Refusals> {
        if self.in_doubt {
            return Ok(Refusals::new());
        }
        let unknown = self.look_at_drains();
        let Self { flows, dataplane, composer, numbers, published, now, .. } = self;
        let before = flows.last_sweep();
        let refusals = flows.look_after(dataplane, composer, numbers, published, *now)?;
        if flows.last_sweep() != before {
            self.drain_log.unknown = unknown;
        }
        Ok(refusals)
    }

    /// Since when each member has stood as it was told of last; nothing of who has never been told of.
    pub fn standing_since(&self) -> impl Iterator<Item = (MemberKey, Duration)> {
        self.told.iter().flat_map(|(service, told)| {
            let members = told.members.iter().zip(&told.since);
            members.filter_map(|(backend, since)| Some(((service.clone(), backend.clone()), (*since)?)))
        })
    }

    /// The services whose alarms are others than at the last call: how they were then, and are now.
    pub fn take_alarms(&mut self) -> Vec<(ServiceName, Alarm, Alarm)> {
        let now = |name: &ServiceName| self.told.get(name).map(|told| told.alarm).unwrap_or_default();
        let news = std::mem::take(&mut self.news).into_iter();
        news.map(|(name, before)| (name.clone(), before, now(&name))).collect()
    }

    /// The members whose standing differs from that at the last call.
    fn transitions(&mut self) -> Vec<Transition> {
        self.untold.add(self.composer.take_touched());
        let untold = std::mem::take(&mut self.untold);
        let services = self.world.intent.services();
        self.told.retain(|name, _| services.contains_key(name));
        let mut transitions = Vec::new();
        for service in services.values().filter(|service| untold.contains(&service.name)) {
            let Some(judged) = self.composer.judged(&service.name) else { continue };
            let Judgement { standings, is_short, panics } = &**judged;
            // Who is about to be looked at is nobody's alarm, nor is a service that has lost its last member: that is told.
            let has_more = service.quorum > 1 || service.members.iter().any(|member| member.backup);
            let is_short = *is_short && has_more && !standings.iter().any(is_beginning);
            let told = self.told.entry(service.name.clone()).or_default();
            let (before, now) = (told.alarm, Alarm { is_short, panics: *panics });
            if before != now {
                self.news.entry(service.name.clone()).or_insert(before);
            }
            transitions.extend(told.take(service, judged, self.now));
            told.alarm = now;
        }
        transitions
    }
}

impl Told {
    /// Takes how the members of a service stand at `now`; tells which of them stand otherwise than before.
    fn take(&mut self, service: &Service, judged: &Arc<Judgement>, now: Duration) -> Vec<Transition> {
        let Self { members, judged: last, since, .. } = std::mem::take(self);
        let known = last.standings.iter().zip(since);
        let before: BTreeMap<_, _> = members.iter().zip(known).collect();
        let mut transitions = Vec::new();
        for (member, standing) in service.members.iter().zip(&judged.standings) {
            let (was, since) = before.get(&member.backend).copied().unzip();
            let mut since = since.flatten();
            if was != Some(standing) {
                if !is_beginning(standing) {
                    since = Some(now);
                }
                let member = (service.name.clone(), member.backend.clone());
                transitions.push(Transition { member, now: standing.clone() });
            }
            self.since.push(since);
        }
        let names = service.members.iter().map(|member| &member.backend);
        self.members = if members.iter().eq(names.clone()) { members } else { names.cloned().collect() };
        self.judged = Arc::clone(judged);
        transitions
    }
}

/// What tables that were published before say of the world: who was up and where, until somebody knows better.
pub(super) fn adopt(
    world: &mut World,
    published: &Tables,
    labels: &BTreeMap<vip_common::MemberId, MemberKey>,
) {
    let mut shortages = Vec::new();
    for (id, key) in labels {
        let Some(entry) = published.members.get(id).map(|entry| entry.member) else { continue };
        let (service, backend) = (world.intent.services().get(&key.0), world.intent.backends().get(&key.1));
        let (Some(service), Some(backend)) = (service, backend) else { continue };
        let place = match (entry.state, published.egresses.get(&entry.egress)) {
            (Entry::HERE, _) => Place::Here,
            (_, Some(egress)) => Place::Link(Neighbour { mac: Mac(entry.mac), ifindex: egress.ifindex }),
            (_, None) => continue,
        };
        // A dead one keeps the way that led to it: without a check, that it leads nowhere may be why it is dead.
        if let Some(address) = backend.address_for(service.address.vip)
            && (entry.is_alive() || service.check.is_some())
        {
            world.neighbours.entry(address).or_insert(Ok(place));
        }
        let is_backup = |member: &crate::model::Member| member.backup && member.backend == key.1;
        if entry.state == Entry::UP && service.members.iter().any(is_backup) {
            shortages.push(key.0.clone());
        }
        if service.check.is_some() {
            let wanted = world.intent.admin(&key.0, &key.1) != crate::model::Admin::Disabled;
            let health = match (entry.is_alive(), wanted) {
                (true, _) => Health::Up,
                (false, true) => Health::Down,
                (false, false) => Health::Unknown,
            };
            let cause = (!entry.is_alive()).then_some(Box::new(Cause::BeforeStart));
            world.checked.insert(key.clone(), Checked { health, cause });
        }
    }
    // Backups that are in say that a quorum was short.
    shortages.iter().for_each(|service| world.adopt_shortage(service));
}
