//! Runs the checks of all members as tasks, and tells of each change of health. Which members have a check, and
//! what a verdict leads to, is the controller's.

use std::{
    collections::{BTreeMap, btree_map},
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    sync::Arc,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use super::{Exits, Schedule, Tracker, Way, probe::probe, schedule::interval};
use crate::model::{BackendName, Cause, Check, Health, ServiceName};

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
    pub check: Check,
    /// Where the probes go.
    pub target: SocketAddr,
    /// By which way they get there.
    pub way: Way,
    /// Health that an earlier run left behind. It is read when the check starts, never after.
    pub adopted: Option<Health>,
}

/// A change of a member's health, or of what its last failed probe met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The member.
    pub id: CheckId,
    /// Where the probes went: a verdict on a target that is no longer wanted may still be under way.
    pub target: SocketAddr,
    /// Its health now.
    pub health: Health,
    /// What the last failed probe met; nothing when it is up. Also there, whatever the health, when this box could not
    /// make the probe.
    pub cause: Option<Cause>,
}

/// The running checks. Their tasks end with it.
///
/// When a check's probes start, its [`Schedule`] says: a dead backend is told of within [`Check::detection`].
#[derive(Debug)]
pub struct Checker {
    running: BTreeMap<CheckId, Running>,
    verdicts: mpsc::Sender<Verdict>,
    exits: watch::Receiver<Exits>,
}

impl Checker {
    /// A checker without checks, which will send to `verdicts`; `exits` says where backends are.
    #[must_use]
    pub const fn new(verdicts: mpsc::Sender<Verdict>, exits: watch::Receiver<Exits>) -> Self {
        Self { running: BTreeMap::new(), verdicts, exits }
    }

    /// Makes the running checks those of `wanted`: starts, stops and alters only what differs.
    ///
    /// An altered check keeps its health. If it probes something else from now on (target, port, kind), its next
    /// probe is made at once and decides alone. Sockets are made in the network namespace of the runtime's threads.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn reconcile(&mut self, mut wanted: BTreeMap<CheckId, CheckSpec>) {
        self.running.retain(|id, _| wanted.contains_key(id));
        while let Some((id, spec)) = wanted.pop_first() {
            match self.running.entry(id) {
                btree_map::Entry::Occupied(running) => running.get().alter(spec),
                btree_map::Entry::Vacant(place) => {
                    let running =
                        Running::start(place.key().clone(), spec, self.verdicts.clone(), self.exits.clone());
                    place.insert(running);
                }
            }
        }
    }

    /// Makes the next probe of a check at once, unless one is under way: something speaks against its member.
    pub fn hasten(&self, id: &CheckId) {
        if let Some(running) = self.running.get(id) {
            running.doubt.notify_one();
        }
    }

    /// The checks that run.
    pub fn ids(&self) -> impl Iterator<Item = &CheckId> {
        self.running.keys()
    }
}

#[derive(Debug)]
struct Running {
    spec: watch::Sender<CheckSpec>,
    /// Ends the wait for the next probe.
    doubt: Arc<Notify>,
    task: AbortHandle,
}

impl Running {
    fn start(
        id: CheckId,
        spec: CheckSpec,
        verdicts: mpsc::Sender<Verdict>,
        exits: watch::Receiver<Exits>,
    ) -> Self {
        let member = Member::new(id, &spec);
        let (spec, specs) = watch::channel(spec);
        let doubt = Arc::new(Notify::new());
        let task = tokio::spawn(member.run(specs, verdicts, exits, Arc::clone(&doubt))).abort_handle();
        Self { spec, doubt, task }
    }

    fn alter(&self, wanted: CheckSpec) {
        self.spec.send_if_modified(|spec| {
            let differs =
                (&spec.check, spec.target, &spec.way) != (&wanted.check, wanted.target, &wanted.way);
            *spec = wanted;
            differs
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a check's task knows of its member.
struct Member {
    id: CheckId,
    tracker: Tracker,
    cause: Option<Cause>,
    schedule: Schedule,
}

impl Member {
    fn new(id: CheckId, spec: &CheckSpec) -> Self {
        let adopted = spec.adopted.unwrap_or(Health::Unknown);
        let tracker = Tracker::adopted(spec.check.rise, spec.check.fall, adopted);
        let schedule = Schedule::starting(Instant::now().into_std(), seed(&id));
        Self { id, tracker, cause: None, schedule }
    }

    async fn run(
        mut self,
        mut specs: watch::Receiver<CheckSpec>,
        verdicts: mpsc::Sender<Verdict>,
        mut exits: watch::Receiver<Exits>,
        doubt: Arc<Notify>,
    ) {
        let mut spec = specs.borrow_and_update().clone();
        loop {
            let at = Instant::from_std(self.schedule.next());
            let attempt = async {
                let wait = timeout_at(at, doubt.notified());
                let early = wait.await.is_ok();
                let Check { probe: kind, timeout, .. } = &spec.check;
                // Without a way to the backend there is nothing to be learned of it.
                let started = Instant::now();
                let result = match spec.way.find(spec.target, &mut exits, *timeout).await {
                    Some(path) => Some(probe(kind, spec.target, &path, *timeout).await),
                    None => None,
                };
                (result, early.then_some(started))
            };
            let result = tokio::select! {
                changed = specs.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
                attempted = attempt => Some(attempted),
            };
            let Some((result, early)) = result else {
                let wanted = specs.borrow_and_update().clone();
                self.alter(&spec, &wanted);
                spec = wanted;
                continue;
            };
            // The next one follows this one, not the one that was planned.
            if let Some(started) = early {
                self.schedule.moved(started.into_std());
            }
            let verdict = result.and_then(|result| self.judge(result, spec.target));
            self.schedule.advance(interval(&spec.check, self.tracker.pace()), Instant::now().into_std());
            if let Some(verdict) = verdict
                && verdicts.send(verdict).await.is_err()
            {
                return;
            }
        }
    }

    /// Goes over to another check of the same member. A probe under way is given up.
    fn alter(&mut self, old: &CheckSpec, new: &CheckSpec) {
        let now = Instant::now().into_std();
        self.tracker.set_thresholds(new.check.rise, new.check.fall);
        if (&old.check.probe, old.target) == (&new.check.probe, new.target) {
            self.schedule.hasten(interval(&new.check, self.tracker.pace()), now);
        } else {
            self.tracker.start_over();
            self.schedule = Schedule::starting(now, seed(&self.id));
        }
    }

    /// Takes the result of one probe; returns what there is to tell.
    fn judge(&mut self, result: Result<(), Cause>, target: SocketAddr) -> Option<Verdict> {
        let before = (self.tracker.health(), self.cause.clone());
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
        let (health, cause) = (self.tracker.health(), self.cause.clone());
        (before != (health, cause.clone())).then(|| Verdict { id: self.id.clone(), target, health, cause })
    }
}

/// What a member's schedule goes its own way by.
fn seed(id: &CheckId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
