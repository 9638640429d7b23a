//! What the task of one check does: probes, again and again, and tells what has changed for the members that share it.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, timeout_at},
};

use super::{CheckId, CheckSpec, Job, Verdict, has};
use crate::{
    health::{Exits, Path, Schedule, Tracker, Way, probe::probe, schedule::interval},
    model::{Cause, Check, Health, NotHeld, ServiceName},
};

/// What a check's task knows of its member, and of those that share it.
pub(super) struct Member {
    /// The number of the task.
    pub(super) task: u64,
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
    pub(super) fn new(task: u64, id: CheckId, job: &Job) -> Self {
        let Job { spec, members } = job;
        let tracker =
            Tracker::adopted(spec.check.rise, spec.check.fall, spec.adopted.unwrap_or(Health::Unknown));
        let schedule = Schedule::starting(Instant::now().into_std(), seed(&id));
        let (members, others) = (Arc::clone(members), others(members));
        Self { task, id, tracker, cause: None, schedule, members, told: known(None), others }
    }

    pub(super) async fn run(
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
