//! Runs the checks of all members as tasks, and tells of each change of health. Which members have a check, and
//! what a verdict leads to, is the controller's.

mod task;

use std::{
    collections::{BTreeMap, HashMap, btree_map},
    fmt,
    net::SocketAddr,
    sync::Arc,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
};

use self::task::Member;
use super::{Exits, Way};
use crate::model::{BackendName, Cause, Check, Health, ServiceName, Shared};

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
/// When a check's probes start, its [`Schedule`](super::Schedule) says: a dead backend is told of within [`Check::detection`].
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

#[cfg(test)]
mod tests;
