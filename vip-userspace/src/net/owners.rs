//! Asks the link who answers for the VIPs: only directors should. The kernel does the asking, as for any neighbour.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    NetError,
    classify::{Sight, sight},
    kernel::Kernel,
};
use crate::model::Mac;

/// Time between two questions: each is about a few VIPs.
const PACE: Duration = Duration::from_secs(2);
/// VIPs that are asked for at once.
const AT_ONCE: usize = 8;
/// Time that answers have: on a link they take less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(250);

/// What is asked.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Question {
    vips: BTreeSet<IpAddr>,
    /// The links, by interface index.
    ports: BTreeSet<u32>,
}

/// Who answers for a VIP on any of the links, as far as the kernel was told: the MACs.
pub type Owners = (IpAddr, BTreeSet<Mac>);

/// Asks again and again. Ends when dropped.
#[derive(Debug)]
pub struct Asker {
    question: watch::Sender<Question>,
    task: AbortHandle,
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asker {
    /// Starts asking, in the network namespace of this thread, for no VIP yet. What is told is news.
    ///
    /// # Errors
    /// The kernel can't be asked.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start() -> Result<(Self, mpsc::Receiver<Owners>), NetError> {
        let kernel = Kernel::connect()?;
        let (question, questions) = watch::channel(Question::default());
        let (news, told) = mpsc::channel(AT_ONCE);
        let task = tokio::spawn(ask(kernel, questions, news)).abort_handle();
        Ok((Self { question, task }, told))
    }

    /// Makes the VIPs and the links those.
    pub fn about(&self, vips: BTreeSet<IpAddr>, ports: BTreeSet<u32>) {
        let wanted = Question { vips, ports };
        self.question.send_if_modified(|question| {
            let differs = *question != wanted;
            *question = wanted;
            differs
        });
    }
}

async fn ask(kernel: Kernel, questions: watch::Receiver<Question>, news: mpsc::Sender<Owners>) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: BTreeMap<IpAddr, BTreeSet<Mac>> = BTreeMap::new();
    let mut last = None;
    loop {
        pace.tick().await;
        let Question { vips, ports } = questions.borrow().clone();
        told.retain(|vip, _| vips.contains(vip));
        let some = next(&vips, last);
        last = some.last().copied();
        for (vip, macs) in owners(&kernel, &some, &ports).await {
            let before = told.insert(vip, macs.clone()).unwrap_or_default();
            if before != macs && news.send((vip, macs)).await.is_err() {
                return;
            }
        }
    }
}

/// Whose turn it is after `last`, round and round.
fn next(vips: &BTreeSet<IpAddr>, last: Option<IpAddr>) -> Vec<IpAddr> {
    let behind = |vip: &&IpAddr| last.is_none_or(|last| **vip > last);
    let later = vips.iter().filter(behind);
    let earlier = vips.iter().filter(|vip| !behind(vip));
    later.chain(earlier).take(AT_ONCE).copied().collect()
}

/// Asks for some VIPs on all links. What can't be asked just now is asked later.
async fn owners(kernel: &Kernel, vips: &[IpAddr], ports: &BTreeSet<u32>) -> BTreeMap<IpAddr, BTreeSet<Mac>> {
    let mut asked = Vec::new();
    let all: Vec<_> = vips.iter().flat_map(|vip| ports.iter().map(move |port| (*vip, *port))).collect();
    for (vip, port) in all {
        // What somebody else asks for is his, and says as much.
        let is_ours = matches!(kernel.neighbour(port, vip).await, Ok(None));
        if is_ours && kernel.call(port, vip).await.is_err() {
            continue;
        }
        asked.push((vip, port, is_ours));
    }
    sleep(PATIENCE).await;
    let mut owners: BTreeMap<IpAddr, BTreeSet<Mac>> = BTreeMap::new();
    for (vip, port, is_ours) in asked {
        let macs = owners.entry(vip).or_default();
        if let Ok(Some(entry)) = kernel.neighbour(port, vip).await
            && let Sight::At(mac) = sight(&entry)
        {
            macs.insert(mac);
        }
        if is_ours {
            // Left behind, it would be asked for no more, and forgotten by the kernel some time.
            let _ = kernel.forget(port, vip).await;
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vip_has_its_turn() {
        let vip = |n: u8| IpAddr::from([10, 200, 0, n]);
        let vips: BTreeSet<_> = (1..=20).map(vip).collect();
        let (mut last, mut asked) = (None, Vec::new());
        for _ in 0..5 {
            let some = next(&vips, last);
            last = some.last().copied();
            asked.extend(some);
        }
        assert_eq!(asked, (1..=20).chain(1..=20).map(vip).collect::<Vec<_>>());
        assert!(next(&BTreeSet::new(), last).is_empty());
        assert_eq!(next(&[vip(3)].into(), Some(vip(3))), [vip(3)]);
    }
}
