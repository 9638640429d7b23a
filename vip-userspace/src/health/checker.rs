//! Runs the checks of all members as tasks, and tells of each change of health. Which members have a check, and
//! what a verdict leads to, is the controller's.

use std::{
    collections::{BTreeMap, HashMap, btree_map},
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use super::{Exits, Path, Schedule, Tracker, Way, probe::probe, schedule::interval};
use crate::model::{BackendName, Cause, Check, Health, NotHeld, ServiceName, Shared};

/// The member that a check is of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CheckId {
    /// Its service.
    pub service: ServiceName,
    /// Its backend.
    pub backend: BackendName,
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.backend)
    }
}

/// A check that is to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckSpec {
    /// What is probed, how often, and what counts.
    pub check: Shared<Check>,
    /// Where the probes go.
    pub target: SocketAddr,
    /// By which way they get there.
    pub way: Way,
    /// Health that an earlier run left behind. It is read when the check starts, never after.
    pub adopted: Option<Health>,
}

/// A change of the health of members that share a check, or of what its last failed probe met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The members: one at least, of one backend.
    pub ids: Vec<CheckId>,
    /// Where the probes went.
    pub target: SocketAddr,
    /// The task that made them, by its number.
    task: u64,
    /// Its health now.
    pub health: Health,
    /// What the last failed probe met; nothing when it is up. Also there, whatever the health, when this box could not
    /// make the probe.
    pub cause: Option<Cause>,
}

/// The running checks. Their tasks end with it. Members of one backend whose checks differ in nothing share one task.
///
/// When a check's probes start, its [`Schedule`] says: a dead backend is told of within [`Check::detection`].
#[derive(Debug)]
pub struct Checker {
    /// By backend and the service that the task was started for.
    running: BTreeMap<BackendName, BTreeMap<ServiceName, Running>>,
    /// How many tasks were started.
    started: u64,
    verdicts: mpsc::Sender<Verdict>,
    exits: watch::Receiver<Exits>,
}

impl Checker {
    /// A checker without checks, which will send to `verdicts`; `exits` says where backends are.
    #[must_use]
    pub const fn new(verdicts: mpsc::Sender<Verdict>, exits: watch::Receiver<Exits>) -> Self {
        Self { running: BTreeMap::new(), started: 0, verdicts, exits }
    }

    /// Makes the running checks those of `wanted`, one at most for a member: starts, stops and alters only what differs.
    ///
    /// An altered check keeps its health. If it probes something else from now on (target, port, kind), its next
    /// probe is made at once and decides alone. Sockets are made in the network namespace of the runtime's threads.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn reconcile(&mut self, wanted: impl IntoIterator<Item = (CheckId, CheckSpec)>) {
        let jobs = self.jobs(wanted);
        self.running.retain(|backend, running| {
            running.retain(|service, _| jobs.contains_key(&(backend.clone(), service.clone())));
            !running.is_empty()
        });
        for ((backend, service), job) in jobs {
            match self.running.entry(backend.clone()).or_default().entry(service) {
                btree_map::Entry::Occupied(running) => running.get().alter(job),
                btree_map::Entry::Vacant(place) => {
                    self.started += 1;
                    let id = CheckId { service: place.key().clone(), backend };
                    let member = Member::new(self.started, id, &job);
                    place.insert(Running::start(member, job, self.verdicts.clone(), self.exits.clone()));
                }
            }
        }
    }

    /// What is wanted, once where several members want the same: by one of them, whose task runs already if any does.
    fn jobs(
        &self,
        wanted: impl IntoIterator<Item = (CheckId, CheckSpec)>,
    ) -> BTreeMap<(BackendName, ServiceName), Job> {
        let runs = |id: &CheckId| {
            self.running.get(&id.backend).is_some_and(|running| running.contains_key(&id.service))
        };
        let mut alike: HashMap<_, Group> = HashMap::new();
        for (id, spec) in wanted {
            let through = matches!(spec.way, Way::Through { .. });
            let same = (id.backend.clone(), spec.check.clone(), spec.target, through);
            let (runs, member) = (runs(&id), (id.service.clone(), spec.adopted));
            let group = alike.entry(same).or_insert_with(|| Group::of(id.clone(), spec.clone(), runs));
            group.members.push(member);
            if runs && !group.runs {
                (group.leader, group.spec, group.runs) = (id, spec, true);
            }
        }
        alike.into_values().map(Group::into_job).collect()
    }

    /// Makes the next probe of a check at once, unless one is under way: something speaks against its member.
    pub fn hasten(&self, id: &CheckId) {
        if let Some(running) = self.of(id) {
            running.doubt.notify_one();
        }
    }

    /// Whether a verdict still says something of one of its members. It may have been under way while another task took over
    /// its check, which knows nothing of it, or another target.
    #[must_use]
    pub fn holds(&self, verdict: &Verdict, id: &CheckId) -> bool {
        self.of(id).is_some_and(|running| {
            running.number == verdict.task && running.job.borrow().spec.target == verdict.target
        })
    }

    fn of(&self, id: &CheckId) -> Option<&Running> {
        let running = self.running.get(&id.backend)?;
        let does = |running: &&Running| running.job.borrow().has(&id.service);
        // Its own task, where it shares none.
        running.get(&id.service).filter(does).or_else(|| running.values().find(does))
    }
}

/// Members that want the same.
struct Group {
    /// The one whose task it is, or will be.
    leader: CheckId,
    /// Its check.
    spec: CheckSpec,
    /// Its task runs already.
    runs: bool,
    members: Vec<(ServiceName, Option<Health>)>,
}

impl Group {
    fn of(leader: CheckId, spec: CheckSpec, runs: bool) -> Self {
        Self { leader, spec, runs, members: Vec::new() }
    }

    fn into_job(self) -> ((BackendName, ServiceName), Job) {
        let Self { leader, spec, mut members, .. } = self;
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        ((leader.backend, leader.service), Job { spec, members: members.into() })
    }
}

/// What one task does.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Job {
    /// The check of the member that the task was started for.
    spec: CheckSpec,
    /// The services whose members it is done for, in their order, each with the health that is known of it from before.
    members: Arc<[(ServiceName, Option<Health>)]>,
}

impl Job {
    fn has(&self, service: &ServiceName) -> bool {
        has(&self.members, service)
    }

    fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.members.iter().map(|(service, _)| service)
    }
}

fn has(members: &[(ServiceName, Option<Health>)], service: &ServiceName) -> bool {
    members.binary_search_by(|(its, _)| its.cmp(service)).is_ok()
}

#[derive(Debug)]
struct Running {
    /// Its number among all that were started.
    number: u64,
    job: watch::Sender<Job>,
    /// Ends the wait for the next probe.
    doubt: Arc<Notify>,
    task: AbortHandle,
}

impl Running {
    fn start(
        member: Member,
        job: Job,
        verdicts: mpsc::Sender<Verdict>,
        exits: watch::Receiver<Exits>,
    ) -> Self {
        let number = member.task;
        let (job, jobs) = watch::channel(job);
        let doubt = Arc::new(Notify::new());
        let task = tokio::spawn(member.run(jobs, verdicts, exits, Arc::clone(&doubt))).abort_handle();
        Self { number, job, doubt, task }
    }

    fn alter(&self, wanted: Job) {
        self.job.send_if_modified(|job| {
            let (its, new) = (&job.spec, &wanted.spec);
            let differs = (&its.check, its.target, &its.way) != (&new.check, new.target, &new.way)
                || !job.services().eq(wanted.services());
            *job = wanted;
            differs
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a check's task knows of its member, and of those that share it.
struct Member {
    /// The number of the task.
    task: u64,
    id: CheckId,
    tracker: Tracker,
    cause: Option<Cause>,
    schedule: Schedule,
    /// Those that share it, by their services.
    members: Arc<[(ServiceName, Option<Health>)]>,
    /// What was told last of all members but the others.
    told: Known,
    /// What is known of those that were told something else, from before.
    others: BTreeMap<ServiceName, Known>,
}

/// Health, and what the last failed probe met.
type Known = (Health, Option<Cause>);

impl Member {
    fn new(task: u64, id: CheckId, job: &Job) -> Self {
        let Job { spec, members } = job;
        let tracker =
            Tracker::adopted(spec.check.rise, spec.check.fall, spec.adopted.unwrap_or(Health::Unknown));
        let schedule = Schedule::starting(Instant::now().into_std(), seed(&id));
        let (members, others) = (Arc::clone(members), others(members));
        Self { task, id, tracker, cause: None, schedule, members, told: known(None), others }
    }

    async fn run(
        mut self,
        mut jobs: watch::Receiver<Job>,
        verdicts: mpsc::Sender<Verdict>,
        mut exits: watch::Receiver<Exits>,
        doubt: Arc<Notify>,
    ) {
        let mut spec = jobs.borrow_and_update().spec.clone();
        loop {
            let at = Instant::from_std(self.schedule.next());
            let attempt = async {
                let wait = timeout_at(at, doubt.notified());
                let early = wait.await.is_ok();
                let Check { probe: kind, timeout, .. } = &*spec.check;
                // Without a way to the backend there is nothing to be learned of it.
                let started = Instant::now();
                let result = match spec.way.find(spec.target, &mut exits, *timeout).await {
                    // On the heap while it goes on: most checks wait, most of the time.
                    Some(path) => Some(Box::pin(probe(kind, spec.target, &path, *timeout)).await),
                    None => None,
                };
                (result, early.then_some(started))
            };
            let result = tokio::select! {
                changed = jobs.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
                attempted = attempt => Some(attempted),
            };
            let Some((result, early)) = result else {
                let job = jobs.borrow_and_update().clone();
                self.alter(&spec, &job);
                spec = job.spec;
                continue;
            };
            // The next one follows this one, not the one that was planned.
            if let Some(started) = early {
                self.schedule.moved(started.into_std());
            }
            let result = match result {
                Some(Err(cause)) => Some(Err(Box::pin(self.explained(cause, &spec)).await)),
                result => result,
            };
            let news = result.and_then(|result| self.judge(result, spec.target));
            self.schedule.advance(interval(&spec.check, self.tracker.pace()), Instant::now().into_std());
            if let Some(verdict) = news
                && verdicts.send(verdict).await.is_err()
            {
                return;
            }
        }
    }

    /// Goes over to another check of the same member, or to other members that share it. A probe under way is given up;
    /// who is new is not left waiting for an interval.
    fn alter(&mut self, old: &CheckSpec, job: &Job) {
        let (now, new) = (Instant::now().into_std(), &job.spec);
        self.others.retain(|service, _| job.has(service));
        for (service, health) in job.members.iter().filter(|(service, _)| !has(&self.members, service)) {
            self.others.insert(service.clone(), known(*health));
            self.schedule.hasten(Duration::ZERO, now);
        }
        self.members = Arc::clone(&job.members);
        self.tracker.set_thresholds(new.check.rise, new.check.fall);
        if (&old.check.probe, old.target) == (&new.check.probe, new.target) {
            self.schedule.hasten(interval(&new.check, self.tracker.pace()), now);
        } else {
            // What was told of another target may not have been listened to any more.
            if old.target != new.target {
                (self.told, self.others) = (known(None), others(&job.members));
            }
            self.tracker.start_over();
            self.schedule = Schedule::starting(now, seed(&self.id));
        }
    }

    /// A better word for a failure through the backend, if there is one: where its own address answers, and the VIP through it
    /// does not, it is the VIP that is missing. Asked only of who is down: nobody's death is told later for that.
    async fn explained(&self, cause: Cause, spec: &CheckSpec) -> Cause {
        let Way::Through { address, .. } = spec.way else { return cause };
        if self.tracker.health() != Health::Down || !cause.is_silence() {
            return cause;
        }
        let own = SocketAddr::new(address, spec.target.port());
        match probe(&spec.check.probe, own, &Path::Routed, spec.check.timeout).await {
            Err(other) if other.is_silence() || !other.counts() => cause,
            // Whatever it is, it is an answer.
            _ => Cause::VipNotHeld { sign: NotHeld::Silent },
        }
    }

    /// Takes the result of one probe; returns what there is to tell.
    fn judge(&mut self, result: Result<(), Cause>, target: SocketAddr) -> Option<Verdict> {
        match result {
            Err(cause) if !cause.counts() => self.cause = Some(cause),
            Ok(()) => {
                self.tracker.observe(true);
                if self.tracker.health() == Health::Up {
                    self.cause = None;
                }
            }
            Err(cause) => {
                self.tracker.observe(false);
                if self.tracker.health() == Health::Down {
                    self.cause = Some(cause);
                }
            }
        }
        let now = (self.tracker.health(), self.cause.clone());
        if self.told == now && self.others.is_empty() {
            return None;
        }
        let told = |service| self.others.get(service).unwrap_or(&self.told);
        let untold = self.members.iter().map(|(service, _)| service).filter(|service| *told(service) != now);
        let id =
            |service: &ServiceName| CheckId { service: service.clone(), backend: self.id.backend.clone() };
        let ids: Vec<_> = untold.map(id).collect();
        self.told.clone_from(&now);
        self.others.clear();
        let (health, cause) = now;
        (!ids.is_empty()).then_some(Verdict { ids, target, task: self.task, health, cause })
    }
}

/// Those of whom something is known from before.
fn others(members: &[(ServiceName, Option<Health>)]) -> BTreeMap<ServiceName, Known> {
    let known_ones = members.iter().filter(|(_, health)| health.is_some());
    known_ones.map(|(service, health)| (service.clone(), known(*health))).collect()
}

fn known(adopted: Option<Health>) -> Known {
    (adopted.unwrap_or(Health::Unknown), None)
}

/// What a member's schedule goes its own way by.
fn seed(id: &CheckId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
