//! The loop: waits for an event, lets the heart act on it, and answers after the effect. The only place where all
//! systems meet.

use std::{
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use log::{error, info, warn};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep_until,
};

use super::{
    Controller,
    bouncing::Bouncing,
    inlet::Inlet,
    lanes::Lanes,
    memory::Labels,
    start::{Net, Started},
    trace::{Traced, Tracing},
};
use crate::{
    config::Config,
    control::{
        Code, Command, Herald, Refused, Request,
        protocol::{InterfaceStatus, Rules, TraceEndWhy},
        socket::Bound,
    },
    dataplane::KernelDataplane,
    health::{self, Checker, Exits, Verdict},
    model::{AttachMode, Drains, Intent, Shared},
    net::{NetError, NetEvent, Owners},
    places::Places,
    plan::Numbers,
    ring::RingKey,
};

/// How often what nobody tells of is looked after: failed publications, addresses of this box.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// Longest time that is left for others after a publication: it is as long as that took. So a thousand members that come in
/// one by one are published a few times, not a thousand times.
const REST: Duration = Duration::from_millis(200);

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

/// The loop, with all that it talks to.
pub(super) struct Loop {
    pub(super) places: Places,
    pub(super) options: RunOptions,
    /// What the file said when it was read last; its intent is that of the controller's world.
    pub(super) config: Config,
    pub(super) key: RingKey,
    pub(super) began: Instant,
    pub(super) controller: Controller<KernelDataplane>,
    pub(super) memory: super::Memory,
    pub(super) wishes: Vec<Command>,
    /// The drains that go on, as they are kept.
    pub(super) drains: Drains,
    pub(super) interfaces: Vec<InterfaceStatus>,
    pub(super) net: Net,
    pub(super) checker: Checker,
    pub(super) verdicts: mpsc::Receiver<Verdict>,
    pub(super) requests: mpsc::Receiver<Request>,
    server: JoinHandle<()>,
    /// Tells of changes whoever listens.
    pub(super) herald: Herald,
    /// Who may do what at the control socket, as the server knows it.
    pub(super) rules: watch::Sender<Rules>,
    pub(super) labels: Labels,
    /// The numbers that they tell of.
    pub(super) labeled: Option<Numbers>,
    /// The intent that is followed.
    pub(super) followed: Option<Shared<Intent>>,
    /// Where probes leave, as the checker knows it.
    pub(super) exits: watch::Sender<Exits>,
    /// They may be other ones now.
    pub(super) places_changed: bool,
    /// Nothing but commands is published before.
    pub(super) rests_until: Instant,
    /// Something may be to be published then.
    is_unsettled: bool,
    pub(super) lanes: Lanes,
    pub(super) inlet: Inlet,
    /// The part of the tables that is looked at next.
    pub(super) part: usize,
    pub(super) bouncing: Bouncing,
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
                Event::Verdict(verdict) => self.verdict(&verdict),
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
            self.verdict(&verdict);
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
}
