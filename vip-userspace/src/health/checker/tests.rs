//! Checks of real servers on the loopback that die and return. Each test has a loopback address of its own, so that
//! nobody else takes a dead server's port.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncReadExt as _,
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::*;
use crate::model::{Http, Probe, Stage, Target};

const DEADLINE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(20);

/// A server that accepts, counts, and holds each connection until the other side ends it.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(address: impl Into<SocketAddr>) -> Self {
        let listener = TcpListener::bind(address.into()).await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (accepted, most_at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counter, most) = (accepted.clone(), most_at_once.clone());
        let task = tokio::spawn(async move {
            let now = Arc::new(AtomicUsize::new(0));
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                counter.fetch_add(1, Ordering::Relaxed);
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                let now = now.clone();
                tokio::spawn(async move {
                    while stream.read_u8().await.is_ok() {}
                    now.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, accepted, most_at_once, task }
    }

    async fn die(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    async fn is_probed(&self, times: usize) {
        let enough = async {
            while self.accepted() < times {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, enough).await.expect("probes go on");
    }
}

fn loopback(last: u8) -> (Ipv4Addr, u16) {
    (Ipv4Addr::new(127, 0, 7, last), 0)
}

fn id(backend: &str) -> CheckId {
    CheckId { service: "web".parse().expect("a name"), backend: backend.parse().expect("a name") }
}

fn spec(target: SocketAddr, rise: u32, fall: u32) -> CheckSpec {
    let check = Check {
        interval: INTERVAL,
        timeout: INTERVAL,
        rise,
        fall,
        target: Target::Address,
        ..Check::new(Probe::Tcp)
    };
    CheckSpec { check: check.into(), target, way: Way::Routed, adopted: None }
}

/// Where the probes of a member go, if it is checked.
fn checked(checker: &Checker, id: &CheckId) -> Option<SocketAddr> {
    checker.of(id).map(|running| running.job.borrow().spec.target)
}

fn one(spec: CheckSpec) -> [(CheckId, CheckSpec); 1] {
    [(id("b1"), spec)]
}

fn checker() -> (Checker, mpsc::Receiver<Verdict>) {
    let (sender, receiver) = mpsc::channel(16);
    (Checker::new(sender, watch::channel(Exits::new()).1), receiver)
}

async fn next(verdicts: &mut mpsc::Receiver<Verdict>) -> (Health, Option<Cause>) {
    let verdict = timeout(DEADLINE, verdicts.recv()).await.expect("a verdict in time").expect("a verdict");
    (verdict.health, verdict.cause)
}

fn up() -> (Health, Option<Cause>) {
    (Health::Up, None)
}

fn refused() -> (Health, Option<Cause>) {
    (Health::Down, Some(Cause::PortClosed))
}

#[tokio::test]
async fn a_server_that_dies_is_told_of_and_told_of_again_when_it_returns() {
    let (mut checker, mut verdicts) = checker();
    let server = Server::start(loopback(1)).await;
    let wanted = spec(server.address, 2, 3);
    let bound = wanted.check.detection();
    checker.reconcile(one(wanted));
    assert_eq!(next(&mut verdicts).await, up());
    let address = server.die().await;
    let death = Instant::now();
    assert_eq!(next(&mut verdicts).await, refused());
    // The machine is shared with other tests, hence the seconds.
    assert!(death.elapsed() <= bound + Duration::from_secs(5), "{:?}", death.elapsed());
    let server = Server::start(address).await;
    assert_eq!(next(&mut verdicts).await, up());
    // It took rise probes; a server may accept one after that has succeeded.
    server.is_probed(2).await;
}

#[tokio::test]
async fn an_unknown_member_is_decided_by_its_first_probe() {
    let (mut checker, mut verdicts) = checker();
    let server = Server::start(loopback(2)).await;
    checker.reconcile(one(spec(server.address, 100, 100)));
    assert_eq!(next(&mut verdicts).await, up());
    checker.reconcile([]);
    let address = server.die().await;
    checker.reconcile(one(spec(address, 100, 100)));
    assert_eq!(next(&mut verdicts).await, refused());
}

#[tokio::test]
async fn adopted_health_is_told_only_if_the_first_probe_says_otherwise() {
    let (mut checker, mut verdicts) = checker();
    let server = Server::start(loopback(3)).await;
    checker.reconcile(one(CheckSpec { adopted: Some(Health::Up), ..spec(server.address, 2, 100) }));
    server.is_probed(3).await;
    assert!(verdicts.try_recv().is_err(), "nothing has changed");
    checker.reconcile([]);
    let address = server.die().await;
    for adopted in [Health::Up, Health::Down] {
        checker.reconcile(one(CheckSpec { adopted: Some(adopted), ..spec(address, 100, 100) }));
        assert_eq!(next(&mut verdicts).await, refused());
        checker.reconcile([]);
    }
}

#[tokio::test]
async fn another_cause_is_told_while_it_is_down() {
    let (mut checker, mut verdicts) = checker();
    let address = Server::start(loopback(4)).await.die().await;
    let mut wanted = spec(address, 1, 1);
    wanted.check.probe = Probe::Http(Http::get("/"));
    checker.reconcile(one(wanted));
    assert_eq!(next(&mut verdicts).await, refused());
    let _server = Server::start(address).await;
    let late = Some(Cause::Timeout { timeout: INTERVAL, stage: Stage::Answer });
    assert_eq!(next(&mut verdicts).await, (Health::Down, late));
}

#[tokio::test]
async fn an_altered_check_keeps_its_health_and_another_target_is_decided_by_its_next_probe() {
    let (mut checker, mut verdicts) = checker();
    let server = Server::start(loopback(5)).await;
    let wanted = spec(server.address, 100, 100);
    checker.reconcile(one(wanted.clone()));
    assert_eq!(next(&mut verdicts).await, up());
    let mut altered = wanted.clone();
    altered.check.interval = INTERVAL * 2;
    altered.check.rise = 50;
    checker.reconcile(one(altered.clone()));
    server.is_probed(server.accepted() + 3).await;
    assert!(verdicts.try_recv().is_err(), "its health has not changed");

    let dead = Server::start(loopback(6)).await.die().await;
    checker.reconcile(one(CheckSpec { target: dead, ..altered }));
    let verdict = timeout(DEADLINE, verdicts.recv()).await.expect("in time").expect("a verdict");
    assert_eq!((verdict.target, verdict.health), (dead, Health::Down));
}

#[tokio::test]
async fn who_was_told_to_be_down_by_another_probe_is_told_to_be_up_whatever_was_known_meanwhile() {
    let (mut checker, mut verdicts) = checker();
    let server = Server::start(loopback(13)).await;
    let connects = spec(server.address, 1, 1);
    let mut asks = connects.clone();
    asks.check.probe = Probe::Http(Http::get("/"));
    asks.check.timeout = INTERVAL;
    checker.reconcile(one(asks));
    // It never answers. That is told, and nobody has listened yet when the check becomes another one.
    timeout(DEADLINE, async {
        while verdicts.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a verdict in time");
    checker.reconcile(one(CheckSpec { adopted: Some(Health::Up), ..connects }));
    let down = verdicts.recv().await.expect("a verdict");
    assert_eq!((down.health, checker.holds(&down, &id("b1"))), (Health::Down, true));
    assert_eq!(next(&mut verdicts).await, up());
}

#[tokio::test]
async fn what_a_task_said_does_not_hold_for_who_is_checked_by_another_one_now() {
    let (mut checker, mut verdicts) = checker();
    let server = Server::start(loopback(14)).await;
    let of = |service: &str| CheckId { service: service.parse().expect("a name"), ..id("b1") };
    let both = ["a", "b"].map(|service| (of(service), spec(server.address, 1, 1)));
    checker.reconcile(both.clone());
    let before = timeout(DEADLINE, verdicts.recv()).await.expect("in time").expect("a verdict");
    assert_eq!(before.ids, [of("a"), of("b")]);
    assert!(["a", "b"].iter().all(|service| checker.holds(&before, &of(service))));
    // Its task was that of the one who leaves.
    checker.reconcile(both.into_iter().skip(1));
    assert!(["a", "b"].iter().all(|service| !checker.holds(&before, &of(service))));
    let after = timeout(DEADLINE, verdicts.recv()).await.expect("in time").expect("a verdict");
    assert_eq!((after.ids.as_slice(), checker.holds(&after, &of("b"))), ([of("b")].as_slice(), true));
}

#[tokio::test]
async fn a_removed_check_makes_no_more_probes() {
    let (mut checker, _verdicts) = checker();
    let (removed, kept) = (Server::start(loopback(7)).await, Server::start(loopback(8)).await);
    let both = [(id("b1"), spec(removed.address, 1, 1)), (id("b2"), spec(kept.address, 1, 1))];
    checker.reconcile(both.clone());
    removed.is_probed(2).await;
    checker.reconcile(both.into_iter().skip(1));
    assert_eq!([checked(&checker, &id("b1")), checked(&checker, &id("b2"))], [None, Some(kept.address)]);
    // One probe may have been under way.
    kept.is_probed(kept.accepted() + 2).await;
    let before = removed.accepted();
    kept.is_probed(kept.accepted() + 5).await;
    assert_eq!(removed.accepted(), before);

    drop(checker);
    // With a checker its tasks end, and so does what they send to.
    let (sender, mut receiver) = mpsc::channel(1);
    let mut checker = Checker::new(sender, watch::channel(Exits::new()).1);
    checker.reconcile(one(spec(kept.address, 1, 1)));
    assert_eq!(next(&mut receiver).await, up());
    drop(checker);
    assert_eq!(timeout(DEADLINE, receiver.recv()).await.expect("in time"), None);
}

#[tokio::test]
async fn probes_that_hang_end_before_the_next_one_starts() {
    let (mut checker, mut verdicts) = checker();
    let server = Server::start(loopback(9)).await;
    let mut wanted = spec(server.address, 1, 1);
    wanted.check.probe = Probe::Http(Http::get("/"));
    checker.reconcile(one(wanted));
    assert_eq!(next(&mut verdicts).await.0, Health::Down);
    server.is_probed(10).await;
    // The server may hear of an end only after the next beginning, never later.
    assert!(server.most_at_once.load(Ordering::Relaxed) <= 2);
}

#[tokio::test]
async fn a_member_that_may_be_about_to_change_is_probed_at_another_pace() {
    let (mut checker, mut verdicts) = checker();
    let server = Server::start(loopback(10)).await;
    let mut wanted = spec(server.address, 3, 3);
    let slowly = Duration::from_secs(3600);
    // It would take hours if each of those probes waited for an interval.
    (wanted.check.interval, wanted.check.fast_interval) = (slowly, Some(INTERVAL));
    wanted.adopted = Some(Health::Up);
    let address = server.die().await;
    checker.reconcile(one(wanted.clone()));
    assert_eq!(next(&mut verdicts).await, refused());
    checker.reconcile([]);
    wanted.check.down_interval = Some(INTERVAL);
    wanted.adopted = Some(Health::Down);
    checker.reconcile(one(wanted));
    assert_eq!(next(&mut verdicts).await, refused());
    let _server = Server::start(address).await;
    assert_eq!(next(&mut verdicts).await, up());
}

#[tokio::test]
async fn a_check_that_several_services_of_a_backend_share_runs_once_and_is_told_to_each() {
    let (mut checker, mut verdicts) = checker();
    let server = Server::start(loopback(11)).await;
    let mut hourly = spec(server.address, 1, 1);
    // Whoever waited for an interval would be late.
    (hourly.check.interval, hourly.check.fast_interval) = (Duration::from_secs(3600), Some(INTERVAL));
    let of = |service: &str| CheckId { service: service.parse().expect("a name"), ..id("b1") };
    let members =
        |services: &[&str]| -> Vec<_> { services.iter().map(|name| (of(name), hourly.clone())).collect() };
    checker.reconcile(members(&["a", "b"]));
    let told = async |verdicts: &mut mpsc::Receiver<Verdict>| {
        let verdict = timeout(DEADLINE, verdicts.recv()).await.expect("in time").expect("a verdict");
        let names: Vec<_> = verdict.ids.iter().map(|id| id.service.to_string()).collect();
        (names.join(" "), verdict.health)
    };
    assert_eq!(told(&mut verdicts).await, ("a b".to_owned(), Health::Up));
    server.is_probed(1).await;
    assert_eq!(server.accepted(), 1);
    // One that joins them is told of the next probe, which is made at once.
    checker.reconcile(members(&["a", "b", "c"]));
    assert_eq!(told(&mut verdicts).await, ("c".to_owned(), Health::Up));
    let targets = |checker: &Checker| ["a", "b", "c"].map(|service| checked(checker, &of(service)));
    assert_eq!(targets(&checker), [Some(server.address); 3]);
    // The others go on without the one that the task was started for.
    checker.reconcile(members(&["b", "c"]));
    assert_eq!(targets(&checker), [None, Some(server.address), Some(server.address)]);
    assert_eq!(told(&mut verdicts).await, ("b c".to_owned(), Health::Up));
    server.die().await;
    checker.hasten(&of("c"));
    assert_eq!(told(&mut verdicts).await, ("b c".to_owned(), Health::Down));
    assert!(verdicts.try_recv().is_err(), "nobody else is told");
}

#[tokio::test]
async fn checks_that_differ_in_anything_are_not_shared() {
    let (mut checker, mut verdicts) = checker();
    let server = Server::start(loopback(12)).await;
    let one = spec(server.address, 1, 1);
    let patient = CheckSpec { check: Check { fall: 2, ..Check::clone(&one.check) }.into(), ..one.clone() };
    let of = |service: &str, backend| CheckId { service: service.parse().expect("a name"), ..id(backend) };
    checker.reconcile([(of("a", "b1"), one.clone()), (of("b", "b1"), patient), (of("a", "b2"), one)]);
    for _ in 0..3 {
        assert_eq!(next(&mut verdicts).await, up());
    }
    assert_eq!(checker.running.values().flatten().count(), 3);
}
