//! What a packet would get now, step by step. The decision itself tells its steps: it runs here on the values of the pinned
//! tables, which note what it asks them; and the program in the kernel, over the same tables, must say the same.

mod observed;
mod packet;
mod words;

use std::{collections::BTreeSet, time::Duration};

use vip_common::{
    Action, Reason, direct,
    host::{HostFrame, HostTables},
    tables::Port,
};

pub use self::packet::Packet;
use self::{
    observed::{Observed, Seen},
    words::Told,
};
use super::{Memory, memory::Labels, tracked::Names};
use crate::{
    control::protocol::{Code, Explanation, Refused},
    dataplane::{self, Inspection, Rehearsal, rehearsal::Outcome},
    model::Mac,
    places::Places,
    plan::Numbers,
};

/// Whoever changes the tables between two looks is done by the third.
const TRIES: usize = 3;

/// The packet that is asked about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// Made from addresses.
    Packet(Packet),
    /// As it was captured.
    Frame(Vec<u8>),
}

/// Tells what a packet would get that came in by an interface; by the first one that forwards, if none is named. `None` where
/// nothing is pinned. Nothing changes by it.
///
/// # Errors
/// What is pinned can't be read, there is no such interface, or the kernel refuses the test run.
pub fn explain(
    places: &Places,
    question: &Question,
    interface: Option<&str>,
) -> Result<Option<Explanation>, Refused> {
    let mut last = None;
    for _ in 0..TRIES {
        let look = Look::take(places).map_err(failed)?;
        let Some(look) = look else { return Ok(None) };
        let (ifindex, mac) = look.port(interface)?;
        let frame = match question {
            Question::Packet(packet) => packet.frame(mac),
            Question::Frame(frame) => frame.clone(),
        };
        let explanation = look.explain(places, &frame, ifindex).map_err(failed)?;
        if explanation.agrees {
            return Ok(Some(explanation));
        }
        last = Some(explanation);
    }
    Ok(last)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: anyhow::Error) -> Refused {
    Refused::new(Code::Failed, format!("{error:#}"))
}

/// What is pinned, and whose the numbers are.
struct Look {
    pinned: Inspection,
    labels: Labels,
    numbers: Numbers,
}

impl Look {
    fn take(places: &Places) -> anyhow::Result<Option<Self>> {
        let Some(pinned) = dataplane::inspect(places)? else { return Ok(None) };
        let labels = Memory::at(&places.state_dir()).labels()?.unwrap_or_default();
        let numbers = Numbers::adopt(pinned.capacity, &pinned.tables, &labels.by_id(), &labels.intent)?;
        Ok(Some(Self { pinned, labels, numbers }))
    }

    /// Index and MAC of the interface of that name, or of the first one.
    fn port(&self, name: Option<&str>) -> Result<(u32, Mac), Refused> {
        let ports = &self.pinned.tables.ports;
        let is_it = |found: &&dataplane::inspect::Attached| match name {
            None => !ports.get(&found.ifindex).is_some_and(Port::is_inlet),
            named => found.name.as_deref() == named,
        };
        let seen = self.pinned.interfaces.iter().filter(|attached| attached.name.is_some());
        let attached = seen.clone().find(is_it).ok_or_else(|| {
            let what = name
                .map_or_else(|| "no interface".to_owned(), |name| format!("interface {name} is none that"));
            let names: Vec<_> = seen.filter_map(|attached| attached.name.as_deref()).collect();
            Refused::new(Code::NoInterface, format!("{what} forwards here"))
                .with_remedy(format!("name one of these: {}", names.join(", ")))
        })?;
        Ok((attached.ifindex, ports.get(&attached.ifindex).map_or(Mac([0; 6]), |port| Mac(port.mac))))
    }

    fn explain(&self, places: &Places, frame: &[u8], ifindex: u32) -> anyhow::Result<Explanation> {
        let mut rehearsal = Rehearsal::load(places, self.pinned.capacity)?;
        let mut host = self.pinned.tables.in_memory();
        // The clock of the director: `bpf_ktime_get_coarse_ns`.
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        let now = Duration::try_from(clock).unwrap_or_default();
        host.now.set(u64::try_from(now.as_nanos()).unwrap_or_default());
        let mut frame_here = HostFrame::new(frame, ifindex);
        let (action, seen) = loop {
            frame_here = HostFrame { bytes: frame.to_vec(), ..frame_here };
            let (action, seen, asked) = decide(&host, &mut frame_here);
            // What it finds may lead it to ask for more.
            if !rehearsal.copy(&asked, &mut host)? {
                break (action, seen);
            }
        };
        let outcome = rehearsal.run(frame, ifindex)?;
        let names = Names::new(&self.labels.intent, &self.numbers);
        let told = Told { names: &names, host: &host };
        Ok(told.explanation(
            &seen,
            &action,
            &frame_here.bytes,
            &outcome,
            agrees(&action, &frame_here, &outcome),
        ))
    }
}

/// Decides on a copy of the tables, and tells what it saw and asked for.
fn decide(
    host: &HostTables,
    frame: &mut HostFrame,
) -> (Action, Vec<Seen>, BTreeSet<dataplane::rehearsal::Asked>) {
    let tables = host.clone().with_own_flows();
    let observed = Observed::new(&tables);
    let action = direct(frame, &observed);
    let (seen, asked) = observed.end();
    (action, seen, asked.into_iter().collect())
}

/// A packet that is forwarded, for whatever reason, is counted for its member.
fn agrees(action: &Action, frame: &HostFrame, outcome: &Outcome) -> bool {
    let same = action.verb == outcome.verb && action.member == outcome.member && frame.bytes == outcome.frame;
    let counted = action.reason == Reason::Forwarded || action.reason == outcome.reason;
    same && counted
}
