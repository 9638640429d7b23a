//! Keeps asking the kernel where the wanted addresses are, and tells what changed. Which addresses those are, and
//! what a change leads to, is the controller's.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    Links, NetError, NetEvent,
    classify::{Care, Own, Sight, Way, asks_from, care, sight},
    events::{Events, Hint},
    kernel::Kernel,
    place::Finder,
    reach::{Finding, Reach, Target},
};
use crate::model::NoNeighbour;

/// Shortest time between two looks at everything: routes may change thousands of times a second.
const PACE: Duration = Duration::from_millis(50);
/// Time between two attempts at a neighbour that does not answer. By itself the kernel pauses for up to 5 s
/// (`interval_probe_time_ms`).
const NUDGE: Duration = Duration::from_secs(1);
/// Time between two glances at the carriers of ways out.
const GLANCE: Duration = Duration::from_millis(10);
/// Events that wait for the controller before the watcher does.
const WAITING: usize = 256;

/// Watches links and the places of addresses. Its task ends when this or the receiver of its events is dropped; what
/// the kernel was asked to keep resolved stays so until [`release`], for forwarding outlives the controller.
#[derive(Debug)]
pub struct Watcher {
    wanted: watch::Sender<BTreeSet<IpAddr>>,
    /// Whether there is an address that is watched.
    keeps: watch::Receiver<bool>,
    task: AbortHandle,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watcher {
    /// Starts watching, in the network namespace of this thread, with no address yet.
    ///
    /// The first events tell of all links. The stream of events ends after an `Err`: the kernel can't be asked any
    /// more.
    ///
    /// # Errors
    /// The kernel can't be asked.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start() -> Result<(Self, mpsc::Receiver<Result<NetEvent, NetError>>), NetError> {
        let events = Events::subscribe()?;
        let kernel = Kernel::connect()?;
        let (wanted, changes) = watch::channel(BTreeSet::new());
        let (news, receiver) = mpsc::channel(WAITING);
        let (keeping, keeps) = watch::channel(false);
        let (reach, findings) = Reach::start();
        let watch = Watch {
            kernel,
            reach,
            links: Links::default(),
            own: Vec::new(),
            places: BTreeMap::new(),
            keeping,
            news,
        };
        let task = tokio::spawn(watch.run(events, changes, findings)).abort_handle();
        Ok((Self { wanted, keeps, task }, receiver))
    }

    /// Makes the watched addresses those of `wanted`. What is known of the ones that stay is kept and not told again;
    /// the kernel stops looking after the others.
    pub fn watch(&self, wanted: BTreeSet<IpAddr>) {
        self.wanted.send_if_modified(|watched| {
            let differs = *watched != wanted;
            *watched = wanted;
            differs
        });
    }

    /// Watches nothing any more, and waits until the kernel will not be asked to look after anything: what
    /// [`release`] takes away then stays away. Events have to be received meanwhile, or be few.
    pub async fn let_go(&self) {
        self.watch(BTreeSet::new());
        // An error says that the task has ended.
        let _ = self.keeps.clone().wait_for(|keeps| !keeps).await;
    }
}

/// Asks once for the way to each of `addresses`: by which interface, or why it is not on the link.
///
/// # Errors
/// The kernel can't be asked.
pub async fn routes(
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<BTreeMap<IpAddr, Result<Way, NoNeighbour>>, NetError> {
    let kernel = Kernel::connect()?;
    let mut routes = BTreeMap::new();
    for address in addresses {
        routes.insert(address, kernel.route(address).await?.way);
    }
    Ok(routes)
}

/// Asks once for the addresses of this box.
///
/// # Errors
/// The kernel can't be asked.
pub async fn addresses() -> Result<BTreeSet<IpAddr>, NetError> {
    Ok(Kernel::connect()?.addresses().await?.into_iter().map(|own| own.address).collect())
}

/// Ends the kernel's care for the neighbours among `addresses` that a [`Watcher`] asked for, in this run or an
/// earlier one. Entries of others are left alone.
///
/// # Errors
/// The kernel can't be asked, or refuses.
pub async fn release(addresses: &BTreeSet<IpAddr>) -> Result<(), NetError> {
    release_with(&Kernel::connect()?, addresses).await
}

async fn release_with(kernel: &Kernel, addresses: &BTreeSet<IpAddr>) -> Result<(), NetError> {
    for (ifindex, address) in kernel.managed().await? {
        if addresses.contains(&address) {
            kernel.forget(ifindex, address).await?;
        }
    }
    Ok(())
}

/// Why the task ends.
enum End {
    /// Nobody listens any more.
    Unheard,
    /// The kernel can't be asked.
    Failed(NetError),
}

impl From<NetError> for End {
    fn from(error: NetError) -> Self {
        Self::Failed(error)
    }
}

/// The task's knowledge.
struct Watch {
    kernel: Kernel,
    reach: Reach,
    links: Links,
    /// The addresses of this box.
    own: Vec<Own>,
    places: BTreeMap<IpAddr, Watched>,
    keeping: watch::Sender<bool>,
    news: mpsc::Sender<Result<NetEvent, NetError>>,
}

#[derive(Default)]
struct Watched {
    place: Finder,
    /// Where it is asked whether it is still there.
    asked: Option<Target>,
    /// The kernel has to be asked again to find it, or to look after it.
    unsettled: bool,
}

impl Watch {
    async fn run(
        mut self,
        events: Events,
        changes: watch::Receiver<BTreeSet<IpAddr>>,
        findings: mpsc::Receiver<Finding>,
    ) {
        if let Err(End::Failed(error)) = self.follow(&events, changes, findings).await {
            let _ = self.news.send(Err(error)).await;
        }
    }

    async fn follow(
        &mut self,
        events: &Events,
        mut changes: watch::Receiver<BTreeSet<IpAddr>>,
        mut findings: mpsc::Receiver<Finding>,
    ) -> Result<(), End> {
        let mut nudges = interval(NUDGE);
        nudges.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut glances = interval(GLANCE);
        glances.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stale = true;
        let mut not_before = Instant::now();
        loop {
            tokio::select! {
                changed = changes.changed() => {
                    changed.map_err(|_| End::Unheard)?;
                    let wanted = changes.borrow_and_update().clone();
                    self.want(wanted).await?;
                }
                hints = events.next() => {
                    for hint in hints? {
                        match hint {
                            Hint::Everything => stale = true,
                            Hint::Neighbour(address) => self.look(address, false).await?,
                        }
                    }
                }
                () = sleep_until(not_before), if stale => {
                    stale = false;
                    let started = Instant::now();
                    self.look_at_everything().await?;
                    // However many addresses and changes there are, most of the time is left for others.
                    not_before = Instant::now() + PACE.max(started.elapsed() * 4);
                }
                _ = nudges.tick(), if self.places.values().any(|watched| watched.unsettled) => {
                    self.nudge().await?;
                }
                _ = glances.tick() => self.glance().await?,
                Some(finding) = findings.recv() => self.find(finding).await?,
                () = self.news.closed() => return Err(End::Unheard),
            }
        }
    }

    async fn want(&mut self, wanted: BTreeSet<IpAddr>) -> Result<(), End> {
        // Before the first one is looked at, and after the last one is released.
        if !wanted.is_empty() {
            self.keeping.send_replace(true);
        }
        let known: BTreeSet<_> = self.places.keys().copied().collect();
        let dropped: BTreeSet<_> = known.difference(&wanted).copied().collect();
        dropped.iter().for_each(|address| self.reach.ask(*address, None));
        self.places.retain(|address, _| wanted.contains(address));
        if !dropped.is_empty() {
            release_with(&self.kernel, &dropped).await?;
        }
        for address in wanted.difference(&known) {
            self.places.insert(*address, Watched::default());
            self.locate(*address).await?;
        }
        self.keeping.send_replace(!self.places.is_empty());
        Ok(())
    }

    async fn look_at_everything(&mut self) -> Result<(), End> {
        let links = self.kernel.links().await?.into_iter().collect();
        let changes = self.links.changes(&links);
        self.links = links;
        self.own = self.kernel.addresses().await?;
        for change in changes {
            self.tell(change).await?;
        }
        let addresses: Vec<_> = self.places.keys().copied().collect();
        for address in addresses {
            self.locate(address).await?;
        }
        Ok(())
    }

    /// Looks whether a way out has lost its carrier. The kernel tells of that as well, but up to a second later if the carrier
    /// of any other interface has changed within the last one (net/core/link_watch.c).
    async fn glance(&mut self) -> Result<(), End> {
        let ways: BTreeSet<_> = self.places.values().filter_map(|watched| watched.place.egress()).collect();
        for ifindex in ways {
            if !self.links.by_index(ifindex).is_some_and(|link| link.up) {
                continue;
            }
            if let Some(link) = self.kernel.link(ifindex).await?.filter(|link| !link.up) {
                let lost = NetEvent::Link(link);
                self.links.apply(&lost);
                self.tell(lost).await?;
            }
        }
        Ok(())
    }

    async fn nudge(&mut self) -> Result<(), End> {
        let unsettled = self.places.iter().filter(|(_, watched)| watched.unsettled);
        let addresses: Vec<_> = unsettled.map(|(address, _)| *address).collect();
        for address in addresses {
            self.look(address, true).await?;
        }
        Ok(())
    }

    /// Asks for the way to an address, then for what is at its end.
    async fn locate(&mut self, address: IpAddr) -> Result<(), End> {
        let way = self.kernel.route(address).await?.way;
        if let Some(watched) = self.places.get_mut(&address) {
            watched.place.route(way);
        }
        self.look(address, true).await
    }

    /// Asks for the neighbour entry of an address, and with `mend` sees to it that the kernel looks after it. Events
    /// of neighbours alone never write: they could answer themselves for ever.
    async fn look(&mut self, address: IpAddr, mend: bool) -> Result<(), End> {
        let Some(watched) = self.places.get_mut(&address) else { return Ok(()) };
        watched.unsettled = false;
        let (mut asked, mut found) = (None, false);
        if let Some(ifindex) = watched.place.egress() {
            let entry = self.kernel.neighbour(ifindex, address).await?;
            let (seen, care) =
                entry.map_or((Sight::Open, Care::Nobody), |entry| (sight(&entry), care(&entry)));
            watched.place.see(seen);
            found = matches!(seen, Sight::At(_));
            watched.unsettled = care == Care::Nobody || (care == Care::Ours && !found);
            // A refusal shows as an entry that stays unsettled, and is tried again.
            if mend && watched.unsettled && self.kernel.manage(ifindex, address).await.is_ok() {
                watched.unsettled = !found;
            }
            if let (Sight::At(mac), Some(own)) = (seen, asks_from(&self.own, ifindex, address))
                && care != Care::Operators
            {
                let own_mac = self.links.by_index(ifindex).and_then(|link| link.mac);
                asked = own_mac.map(|own_mac| Target { ifindex, mac, own_mac, own });
            }
        }
        if watched.asked != asked {
            watched.asked = asked;
            self.reach.ask(address, asked);
            if found {
                watched.place.silence(false);
            }
        }
        self.tell_of(address).await
    }

    /// A neighbour has fallen silent, or answers again.
    async fn find(&mut self, finding: Finding) -> Result<(), End> {
        let Finding { address, target, is_silent } = finding;
        let watched = self.places.get_mut(&address).filter(|watched| watched.asked == Some(target));
        let Some(watched) = watched else { return Ok(()) };
        watched.place.silence(is_silent);
        self.tell_of(address).await
    }

    /// Tells where an address is, if that is news.
    async fn tell_of(&mut self, address: IpAddr) -> Result<(), End> {
        let Some(watched) = self.places.get_mut(&address) else { return Ok(()) };
        match watched.place.news(|ifindex| self.links.name_of(ifindex)) {
            Some(result) => self.tell(NetEvent::Neighbour { address, result }).await,
            None => Ok(()),
        }
    }

    async fn tell(&self, event: NetEvent) -> Result<(), End> {
        self.news.send(Ok(event)).await.map_err(|_| End::Unheard)
    }
}
