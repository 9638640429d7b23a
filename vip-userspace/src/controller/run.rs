//! The loop: waits for an event, lets the heart act on it, and answers after the effect. The only place where all
//! systems meet.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use log::{error, info, warn};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep_until, timeout},
};

use super::{
    Controller,
    bouncing::{self, Bouncing},
    inlet::Inlet,
    lanes::Lanes,
    memory::Labels,
    start::{Net, Started},
    status::Sources,
    trace::{Traced, Tracing},
};
use crate::{
    config::Config,
    control::{
        Answer, Caller, Code, Command, Herald, Query, Refused, Request, Wanted,
        protocol::{InterfaceStatus, News, Rules, TraceEndWhy},
        socket::Bound,
    },
    dataplane::{Dataplane as _, KernelDataplane},
    health::{self, Checker, Exits, Verdict},
    model::{AttachMode, BackendName, Cause, Drains, Health, Intent, Mac, NotHeld, Refusal, Shared},
    net::{Groups, NetError, NetEvent, Owners, Way, addresses, routes},
    places::Places,
    plan::Numbers,
    ring::RingKey,
};

/// How often what nobody tells of is looked after: failed publications, addresses of this box.
const TICK: Duration = Duration::from_secs(1);
/// The tables are looked at in so many parts, one a tick: what somebody else changes is found within as many seconds.
const PARTS: usize = 10;
/// Longest time that is left for others after a publication: it is as long as that took. So a thousand members that come in
/// one by one are published a few times, not a thousand times.
const REST: Duration = Duration::from_millis(200);
/// How long the watcher may take to let go of the neighbours.
const LET_GO: Duration = Duration::from_secs(5);

/// What `vip run` was asked to do.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where the instance keeps its things.
    pub places: Places,
    /// The configuration file.
    pub config: PathBuf,
    /// Where it listens for commands.
    pub socket: PathBuf,
    /// Overrides the configuration's attach mode.
    pub mode: Option<AttachMode>,
    /// The operator's wishes by command are dropped.
    pub reset: bool,
    /// Packets are logged one by one: slow, for looking into a problem.
    pub log_packets: bool,
}

/// An error that is nobody's refusal.
pub(super) fn failed(error: impl Into<anyhow::Error>) -> Refused {
    Refused::new(Code::Failed, format!("{:#}", error.into()))
}

/// One thing that happened.
#[derive(Debug)]
enum Event {
    Request(Request),
    Verdict(Verdict),
    Net(Result<NetEvent, NetError>),
    Owners(Owners),
    Traced(Traced),
    Rested,
    Reload,
    Tick,
    End(&'static str),
}

/// Runs a controller until a signal or `vip detach` ends it. After a signal, forwarding stays in place.
///
/// # Errors
/// Why it could not start; nothing has changed then.
pub async fn run(options: RunOptions) -> Result<(), Refused> {
    if let Err(error) = health::allow_sockets() {
        warn!("few probes can be under way at once: {error}");
    }
    let started = super::start::start(&options).await?;
    let mut running = Loop::new(options, started);
    let ended = running.follow().await.map_err(failed);
    running.answer_the_last().await;
    ended
}

/// The addresses of this box, and those VIPs that it takes for its own without having them.
async fn local(vips: BTreeSet<IpAddr>) -> Result<BTreeSet<IpAddr>, NetError> {
    let here = routes(vips).await?.into_iter().filter(|(_, route)| *route == Ok(Way::Here));
    let mut local = addresses().await?;
    local.extend(here.map(|(vip, _)| vip));
    Ok(local)
}

/// The loop, with all that it talks to.
pub(super) struct Loop {
    pub(super) places: Places,
    pub(super) options: RunOptions,
    /// What the file said when it was read last; its intent is that of the controller's world.
    pub(super) config: Config,
    pub(super) key: RingKey,
    began: Instant,
    pub(super) controller: Controller<KernelDataplane>,
    pub(super) memory: super::Memory,
    pub(super) wishes: Vec<Command>,
    /// The drains that go on, as they are kept.
    drains: Drains,
    pub(super) interfaces: Vec<InterfaceStatus>,
    pub(super) net: Net,
    checker: Checker,
    verdicts: mpsc::Receiver<Verdict>,
    requests: mpsc::Receiver<Request>,
    server: JoinHandle<()>,
    /// Tells of changes whoever listens.
    pub(super) herald: Herald,
    /// Who may do what at the control socket, as the server knows it.
    pub(super) rules: watch::Sender<Rules>,
    pub(super) labels: Labels,
    /// The numbers that they tell of.
    labeled: Option<Numbers>,
    /// The intent that is followed.
    followed: Option<Shared<Intent>>,
    /// Where probes leave, as the checker knows it.
    exits: watch::Sender<Exits>,
    /// They may be other ones now.
    places_changed: bool,
    /// Nothing but commands is published before.
    pub(super) rests_until: Instant,
    /// Something may be to be published then.
    is_unsettled: bool,
    lanes: Lanes,
    pub(super) inlet: Inlet,
    /// The part of the tables that is looked at next.
    part: usize,
    bouncing: Bouncing,
    pub(super) trace: Tracing,
    /// Nobody else is the controller of this instance while this lives.
    pub(super) place: Bound,
}

impl Loop {
    fn new(options: RunOptions, started: Started) -> Self {
        let (to_us, verdicts) = mpsc::channel(1024);
        let (exits, probed) = watch::channel(Exits::new());
        let mut controller = started.controller;
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        controller.begin_drains(epoch, started.drains.clone());
        let led = started.labels.intent.services().values().map(|service| service.address.vip).collect();
        let inlet = Inlet::new(&options.places.instance, led);
        Self {
            places: options.places.clone(),
            options,
            config: started.config,
            key: started.key,
            began: Instant::now(),
            controller,
            memory: started.memory,
            wishes: started.wishes,
            drains: started.drains,
            interfaces: started.interfaces,
            net: started.net,
            checker: Checker::new(to_us, probed),
            verdicts,
            requests: started.requests,
            server: started.server,
            herald: started.herald,
            rules: started.rules,
            followed: None,
            exits,
            places_changed: true,
            rests_until: Instant::now(),
            is_unsettled: false,
            lanes: Lanes::new(started.labels.opened.clone()),
            inlet,
            labels: started.labels,
            labeled: None,
            part: 0,
            bouncing: Bouncing::default(),
            trace: Tracing::default(),
            place: started.place,
        }
    }

    /// Follows events until one ends it.
    async fn follow(&mut self) -> anyhow::Result<()> {
        let mut interrupted = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let mut terminated = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut hung_up = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
        let mut ticks = tokio::time::interval(TICK);
        self.intent_changed();
        // One that is adopted stays a port.
        self.keep_inlet().await;
        self.settle().await;
        loop {
            let event = tokio::select! {
                Some(request) = self.requests.recv() => Event::Request(request),
                Some(verdict) = self.verdicts.recv() => Event::Verdict(verdict),
                Some(event) = self.net.events.recv() => Event::Net(event),
                Some(owners) = self.net.owners.recv() => Event::Owners(owners),
                traced = self.trace.next() => Event::Traced(traced),
                () = sleep_until(self.rests_until.into()), if self.is_unsettled => Event::Rested,
                _ = ticks.tick() => Event::Tick,
                _ = hung_up.recv() => Event::Reload,
                _ = interrupted.recv() => Event::End("SIGINT"),
                _ = terminated.recv() => Event::End("SIGTERM"),
            };
            self.controller.time(self.began.elapsed());
            match event {
                Event::Request(request) => {
                    // Nobody is told of what the kernel does not know yet.
                    if std::mem::take(&mut self.is_unsettled) {
                        self.rests_until = Instant::now();
                        self.settle().await;
                    }
                    if self.request(request).await {
                        return Ok(());
                    }
                }
                Event::Verdict(verdict) => self.verdict(verdict),
                Event::Net(event) => {
                    self.link_or_neighbour(event.context("follow links and neighbours")?).await;
                    // Many may be found, or lost, at once.
                    while let Ok(event) = self.net.events.try_recv() {
                        self.link_or_neighbour(event.context("follow links and neighbours")?).await;
                    }
                }
                Event::Owners((vip, macs)) => self.owners(vip, macs),
                Event::Traced(traced) => self.traced(traced),
                Event::Rested => {}
                Event::Reload => self.reload_on_signal().await,
                Event::Tick => {
                    self.lanes.tick();
                    self.inlet.tick();
                    self.look_after().await;
                }
                Event::End(signal) => {
                    info!("{signal}: the controller ends; forwarding stays in place until `vip detach`");
                    return Ok(());
                }
            }
            self.settle().await;
            self.keep_inlet().await;
        }
    }

    /// Lets the answers that are under way get out.
    async fn answer_the_last(mut self) {
        self.end_trace(Some(TraceEndWhy::Ending));
        drop(self.requests);
        drop(self.herald);
        if let Err(error) = self.server.await {
            warn!("the control socket's task: {error}");
        }
    }

    /// What is ready together is published together, and everybody who depends on it is told. Packets come first: probes
    /// get their lanes, and where to go, once packets go there.
    pub(super) async fn settle(&mut self) {
        while let Ok(verdict) = self.verdicts.try_recv() {
            self.verdict(verdict);
        }
        let began = Instant::now();
        self.is_unsettled = began < self.rests_until;
        if self.is_unsettled {
            return;
        }
        let published = self.controller.publish();
        self.rests_until = Instant::now() + began.elapsed().min(REST);
        self.keep_lanes().await;
        match published {
            Ok(transitions) => {
                if std::mem::take(&mut self.places_changed) {
                    self.tell_exits();
                }
                self.tell(transitions);
                self.keep_drains();
            }
            Err(error) => error!("{error:#}; trying again in {} s", TICK.as_secs()),
        }
    }

    /// Probes go where packets go, once these can.
    fn tell_exits(&mut self) {
        let exits = super::probing::exits(self.controller.world(), &self.exits.borrow());
        self.exits.send_if_modified(|told| {
            let differs = *told != exits;
            *told = exits;
            differs
        });
    }

    /// All that follows the intent follows it.
    pub(super) fn intent_changed(&mut self) {
        self.inlet.changed();
        let intent = self.controller.world().intent.clone();
        let before = self.followed.replace(intent.clone());
        // Wishes for members change nothing of whom is looked after, and how.
        if !before.is_some_and(|before| intent.has_same_parts(&before)) {
            self.net.watcher.watch(self.controller.world().watched());
            let Self { checker, controller, .. } = self;
            checker.reconcile(super::probing::wanted_checks(controller.world(), controller.numbers()));
        }
        self.places_changed = true;
        self.listen();
        let ports = self.interfaces.iter().map(|interface| interface.ifindex).collect();
        self.net.asker.about(self.controller.world().vips(), ports);
        self.keep_labels();
    }

    fn verdict(&mut self, verdict: Verdict) {
        let Verdict { ids, target, health, cause } = verdict;
        for id in ids {
            // One on a target that is no longer wanted says nothing of the member.
            if self.checker.target(&id) == Some(target) {
                let member = (id.service, id.backend);
                let known =
                    self.controller.world().checked.get(&member).and_then(|checked| checked.cause.as_deref());
                let cause = bouncing::cause_after(known, cause.clone());
                self.controller.verdict(member, health, cause);
            }
        }
    }

    async fn link_or_neighbour(&mut self, event: NetEvent) {
        let before = match &event {
            NetEvent::Link(link) => self.net.links.by_index(link.ifindex).cloned(),
            _ => None,
        };
        if self.is_urgent(&event) {
            self.rests_until = Instant::now();
        }
        self.tell_of_net(&event);
        self.net.links.apply(&event);
        self.places_changed = true;
        if !matches!(event, NetEvent::Neighbour { .. }) {
            self.inlet.changed();
        }
        match event {
            NetEvent::Neighbour { address, result } => self.controller.neighbour(address, result),
            NetEvent::Link(link) => {
                if self.is_missing(&link) {
                    return self.attach_again(&link.name).await;
                }
                if let Some(before) = before.filter(|_| self.is_attached(link.ifindex)) {
                    for (is_bad, line) in super::words::of_link(&before, &link) {
                        if is_bad { warn!("{line}") } else { info!("{line}") }
                    }
                }
                self.controller.link(link.ifindex, link.name, link.mac.unwrap_or(Mac([0; 6])), link.up);
            }
            NetEvent::LinkGone(link) => {
                self.detach_gone(&link);
                self.controller.link_gone(link.ifindex);
            }
        }
    }

    /// True for what packets get lost by until it is published: a link that is down, a neighbour with another MAC.
    fn is_urgent(&self, event: &NetEvent) -> bool {
        match event {
            NetEvent::Neighbour { address, result: Ok(place) } => {
                let known = self.controller.world().neighbours.get(address);
                matches!(known, Some(Ok(known)) if known != place)
            }
            NetEvent::Neighbour { .. } => false,
            NetEvent::Link(link) => !link.up && self.is_attached(link.ifindex),
            NetEvent::LinkGone(link) => self.is_attached(link.ifindex),
        }
    }

    /// True for an interface that the configuration names, and that is none of the director's.
    fn is_missing(&self, link: &crate::net::Link) -> bool {
        let mut named = self.config.interfaces.iter().chain(&self.config.egress_interfaces);
        named.any(|name| *name == link.name) && !self.is_attached(link.ifindex)
    }

    /// True for an interface that the director is attached to.
    pub(super) fn is_attached(&self, ifindex: u32) -> bool {
        let known = self.controller.world().links.get(&ifindex);
        known.is_some_and(crate::model::Link::is_attached)
    }

    /// Others answer for a VIP than before.
    fn owners(&mut self, vip: IpAddr, macs: BTreeSet<Mac>) {
        let before: BTreeSet<_> = self.controller.world().thieves(vip).collect();
        self.controller.owners(vip, macs);
        let now: BTreeSet<_> = self.controller.world().thieves(vip).collect();
        for mac in now.difference(&before) {
            self.tell_of_thief(vip, *mac, true);
        }
        for mac in before.difference(&now) {
            self.tell_of_thief(vip, *mac, false);
        }
    }

    /// What nobody tells of: the addresses of this box, and how full the flow table is.
    async fn look_after(&mut self) {
        match local(self.controller.world().vips()).await {
            Ok(local) => {
                if let Some(more) = self.controller.local(local) {
                    warn!("{}", super::words::of_unlisted_addresses(more));
                }
            }
            Err(error) => warn!("{error}: a VIP on this box may not be noticed"),
        }
        match self.controller.resync(self.part, PARTS) {
            Ok(strays) => {
                for (table, entries) in strays {
                    let words = super::words::of_strays(table, entries);
                    warn!("{words}");
                    self.herald.tell(News::Mended { table: table.to_owned(), entries }, words);
                }
            }
            Err(error) => error!("{error:#}; trying again in {PARTS} s"),
        }
        self.part = (self.part + 1) % PARTS;
        match self.controller.look_after_flows() {
            Ok(refusals) => {
                for (service, flows) in refusals {
                    let words = super::words::of_refusals(&service, flows);
                    warn!("{words}");
                    self.herald.tell(News::FlowTableFull { service, flows }, words);
                }
            }
            Err(error) => error!("{error:#}; trying again in {} s", TICK.as_secs()),
        }
        match self.bouncing.news(&self.controller) {
            Ok(bouncing::News { doubted, explained }) => {
                doubted.iter().for_each(|id| self.checker.hasten(id));
                for member in explained {
                    let cause = Cause::VipNotHeld { sign: NotHeld::Bounced };
                    self.controller.verdict(member, Health::Down, Some(cause));
                }
            }
            Err(error) => error!("{error:#}; trying again in {} s", TICK.as_secs()),
        }
        for ended in self.controller.ended_drains() {
            self.tell_of_drain(&ended);
            if let Some(command) = ended.then
                && let Err(refused) = self.command(&command, None).await
            {
                error!("{refused}; trying again in {} s", TICK.as_secs());
            }
        }
    }

    /// What drains is kept as it is.
    fn keep_drains(&mut self) {
        if self.controller.world().drains == self.drains {
            return;
        }
        match self.memory.keep_drains(&self.controller.world().drains) {
            Ok(()) => self.drains = self.controller.world().drains.clone(),
            Err(error) => error!("{error:#}: after a restart drains begin anew"),
        }
    }

    /// Answers a request; true if it was the last one.
    async fn request(&mut self, request: Request) -> bool {
        let (answer, ends) = match &request.what {
            Wanted::Query(Query::Status) => (self.status(), false),
            Wanted::Query(Query::Config) => (Ok(Answer::Config(self.config_text())), false),
            Wanted::Query(Query::Diff(wanted)) => {
                (self.diff(wanted).await.map(|found| Answer::Differences(Box::new(found))), false)
            }
            Wanted::Command(Command::Reload { force, reset }) => {
                let reloaded = self.reload(*force, *reset, Some(request.caller)).await;
                (reloaded.map(|changed| Answer::Differences(Box::new(changed))), false)
            }
            Wanted::Query(Query::Drain { backend }) => (self.drain(backend), false),
            Wanted::Trace(wanted) => (self.begin_trace(wanted, request.caller, request.lines.clone()), false),
            Wanted::EndTrace => (self.stop_trace(), false),
            Wanted::Command(Command::Detach) => {
                let detached = self.detach(request.caller).await;
                let ends = detached.is_ok();
                (detached, ends)
            }
            Wanted::Command(command) => (self.command(command, Some(request.caller)).await, false),
        };
        // Who does not wait any more does not mind.
        let _ = request.answer.send(answer);
        ends
    }

    async fn command(&mut self, command: &Command, by: Option<Caller>) -> Result<Answer, Refused> {
        if let Command::AddBackend { backend, .. } = command {
            super::start::refuse_gateways(backend.addresses()).await?;
        }
        let transitions = self.controller.command(command)?;
        self.intent_changed();
        self.keep_drains();
        super::memory::add_wish(&mut self.wishes, command.clone());
        self.memory.keep_wishes(&self.wishes).map_err(|error| {
            let done = "the change holds, but will be forgotten at the next start";
            Refused::new(Code::Failed, format!("{done}: {error:#}"))
        })?;
        let words = super::words::of_command(command);
        info!("{words}{}", super::words::by(by));
        self.herald.tell(News::Command { by }, words);
        self.tell(transitions);
        Ok(Answer::Done)
    }

    async fn detach(&mut self, by: Caller) -> Result<Answer, Refused> {
        let interfaces: Vec<_> = self.interfaces.iter().map(|interface| interface.name.clone()).collect();
        // It would answer the changes of the interfaces by looking after the neighbours again.
        let let_go = timeout(LET_GO, self.net.watcher.let_go()).await;
        if let Err(error) = super::offline::detach(&self.places).await {
            self.followed = None;
            self.intent_changed();
            return Err(failed(error));
        }
        if let_go.is_err() {
            warn!("the kernel may go on looking after neighbours: the watcher did not end in time");
        }
        let words = format!("detached from {}; the controller ends", interfaces.join(", "));
        info!("{words}{}", super::words::by(Some(by)));
        self.herald.tell(News::Command { by: Some(by) }, words);
        Ok(Answer::Done)
    }

    fn drain(&self, backend: &BackendName) -> Result<Answer, Refused> {
        if !self.controller.world().intent.backends().contains_key(backend) {
            return Err(Refusal::NoBackend(backend.clone()).into());
        }
        Ok(Answer::Drain(self.controller.drain_of(backend)))
    }

    fn status(&self) -> Result<Answer, Refused> {
        let counts = self.controller.dataplane().counts().map_err(failed)?;
        let now = self.began.elapsed();
        let age = |(key, since)| (key, now.saturating_sub(since).as_secs());
        let ages = self.controller.standing_since().map(age).collect();
        let sources = Sources {
            instance: self.places.instance.as_str(),
            controller: Some((std::process::id(), self.began.elapsed().as_secs())),
            interfaces: self.interfaces.clone(),
            inlet: self.inlet.port.clone(),
            world: self.controller.world(),
            numbers: self.controller.numbers(),
            published: self.controller.published(),
            counts: &counts,
            flow_entries: self.controller.dataplane().capacity().flows,
            ages,
            now,
            drains: self.controller.drains(),
        };
        Ok(Answer::Status(Box::new(sources.status())))
    }

    /// Probes get out, and their answers in.
    async fn keep_lanes(&mut self) {
        if self.lanes.keep(self.controller.world(), &self.net.links).await {
            self.keep_labels();
        }
    }

    /// Each port listens to the solicitations for each IPv6 VIP.
    fn listen(&mut self) {
        let (ports, vips) = self.listeners();
        for error in self.net.groups.join(&ports, &vips, &self.net.links) {
            warn!("{error}: neighbours may not find the VIP");
        }
    }

    fn listeners(&self) -> (BTreeSet<u32>, BTreeSet<Ipv6Addr>) {
        let ports = self.interfaces.iter().map(|interface| interface.ifindex).collect();
        let vips = self.controller.world().vips().into_iter().filter_map(|vip| match vip {
            IpAddr::V6(vip) => Some(vip),
            IpAddr::V4(_) => None,
        });
        (ports, vips.collect())
    }

    fn keep_labels(&mut self) {
        let (ports, vips) = self.listeners();
        let numbers = self.controller.numbers();
        let members = match &self.labeled {
            Some(labeled) if labeled.has_same_members(numbers) => self.labels.members.clone(),
            _ => Shared::new(numbers.labels().into_iter().map(|(id, key)| (id.0, key)).collect()),
        };
        let numbers = numbers.clone();
        let labels = Labels {
            intent: self.controller.world().intent.clone(),
            members,
            groups: Groups::memberships(&ports, &vips),
            took_tags: self.labels.took_tags.clone(),
            opened: self.lanes.opened().clone(),
        };
        if labels != self.labels {
            match self.memory.keep_labels(&labels) {
                Ok(()) => (self.labels, self.labeled) = (labels, Some(numbers)),
                Err(error) => error!("{error:#}: without it, a restart gives members new ids"),
            }
        }
    }
}
