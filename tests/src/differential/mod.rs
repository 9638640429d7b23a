//! The decision on the host against the decision in the kernel: the same packets in the same order to both, which must
//! agree in what they do, in every byte and in every counter. Decides how they are compared; which packets are sent is in
//! `traffic`.

mod change;
mod report;
mod traffic;

use std::{mem, thread};

use anyhow::{Context as _, Result};
use fastrand::Rng;
use vip_common::{
    Action, Reason,
    host::{HostFrame, HostTables},
    tables::{ANSWERS_A_TICK, TICK_BITS, tick},
};

use vip_userspace::plan::Tables;

use self::{change::change, traffic::Traffic};
pub use self::{report::Report, traffic::random_seed};
use crate::{
    kernel::{Counters, Kernel, Outcome},
    packet::hex,
    world::{PORT, now, on_host, tables},
};

/// A tick of the flow tables' clock, in ns.
const TICK: u64 = 1 << TICK_BITS;
/// What is kept off the end of a tick, in ns: more than the kernel's clock steps at once.
const MARGIN: u64 = 20_000_000;
/// How many packets are sent between two looks at the counters.
const BATCH: u64 = 128;

/// Host and kernel do not agree on a packet, or both do what no packet may get.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Which packet it was, from 0 on.
    pub number: u64,
    /// The packet.
    pub frame: Vec<u8>,
    /// What each of them did.
    pub what: String,
}

/// How many packets are sent before the tables are changed.
const CHANGE: u64 = 4096;

/// What is compared: a director's tables on the host, the same in the kernel, and which packets they get.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What the host decides by.
    pub host: Tables,
    /// What the kernel decides by.
    pub kernel: Tables,
    /// The packets.
    pub seed: u64,
}

impl Comparison {
    /// The director of the packet cases, and the packets of this seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self { host: tables(), kernel: tables(), seed }
    }
}

/// Sends so many packets, and tells `progress` after each batch how many.
///
/// # Errors
/// The kernel refuses the program or a packet. A difference is no error, but the other outcome.
pub fn run(
    comparison: &Comparison,
    packets: u64,
    progress: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Result<Report, Difference>> {
    let mut pair = Pair::new(comparison)?;
    while pair.sent < packets {
        let first = pair.sent;
        for _ in 0..BATCH.min(packets - first) {
            if let Some(difference) = pair.send()? {
                return Ok(Err(difference));
            }
        }
        if pair.kernel.counters()? != pair.counters {
            return Ok(Err(which(comparison, first)?));
        }
        progress(pair.sent)?;
    }
    Ok(Ok(pair.report))
}

/// Sends all again, and looks at the counters after each packet from `first` on: the one that they differ after.
fn which(comparison: &Comparison, first: u64) -> Result<Difference> {
    let mut pair = Pair::new(comparison)?;
    for _ in 0..first {
        pair.send()?;
    }
    for _ in 0..BATCH {
        let before = pair.kernel.counters()?;
        if let Some(difference) = pair.send()? {
            return Ok(difference);
        }
        let after = pair.kernel.counters()?;
        if after != pair.counters {
            let counted = before.raised_once(&after, pair.len);
            let what =
                format!("on the host\n  {:?}\nin the kernel it was counted as\n  {counted:?}", pair.last);
            return Ok(Difference { number: pair.sent - 1, frame: pair.frame, what });
        }
    }
    let packets = first..first + BATCH;
    Ok(Difference {
        number: first,
        frame: Vec::new(),
        what: format!("the counters differ after packets {packets:?}, but not when they are sent again"),
    })
}

/// Host and kernel with the same tables, after the same packets.
struct Pair {
    /// The tables that every change starts from.
    comparison: Comparison,
    /// The tables that it has made of them, on the host and in the kernel.
    published: (Tables, Tables),
    /// Decides the changes.
    rng: Rng,
    traffic: Traffic,
    tables: HostTables,
    kernel: Kernel,
    /// What the kernel must have counted.
    counters: Counters,
    report: Report,
    sent: u64,
    frame: Vec<u8>,
    last: Action,
    /// Bytes that the frame had then.
    len: usize,
}

impl Pair {
    fn new(comparison: &Comparison) -> Result<Self> {
        Ok(Self {
            comparison: comparison.clone(),
            published: (comparison.host.clone(), comparison.kernel.clone()),
            rng: Rng::with_seed(comparison.seed),
            traffic: Traffic::new(comparison.seed),
            tables: on_host(&comparison.host),
            kernel: Kernel::load(&comparison.kernel)?,
            counters: Counters::zero(),
            report: Report::default(),
            sent: 0,
            frame: Vec::new(),
            len: 0,
            last: Action::pass(Reason::NotForUs),
        })
    }

    /// Changes the tables of both in the same way, or puts them back; what they remember stays.
    fn change_tables(&mut self) -> Result<()> {
        let Comparison { mut host, mut kernel, .. } = self.comparison.clone();
        if self.rng.u8(..4) != 0 {
            change(&mut host, &mut self.rng.clone());
            change(&mut kernel, &mut self.rng);
        }
        let old = mem::replace(&mut self.tables, on_host(&host));
        self.tables = HostTables {
            flows4: old.flows4,
            flows6: old.flows6,
            fragments: old.fragments,
            turns: old.turns,
            inserts: old.inserts,
            answers: old.answers,
            ..mem::take(&mut self.tables)
        };
        self.kernel.publish(&kernel)?;
        self.published = (host, kernel);
        // Whether the limit of answers is met must not depend on how many packets this machine sends in a tick.
        let sent = if self.rng.bool() { ANSWERS_A_TICK } else { 0 };
        self.begin_tick(self.early_in_a_tick(), sent)
    }

    /// Sets the host's clock. Around the end of a tick, host and kernel could be in different ones: that is waited for.
    fn early_in_a_tick(&self) -> u64 {
        let mut time = now();
        while time % TICK > TICK - MARGIN {
            thread::yield_now();
            time = now();
        }
        self.tables.now.set(time);
        time
    }

    /// For both, so many answers were sent in this tick up to now.
    fn begin_tick(&mut self, time: u64, sent: u32) -> Result<()> {
        self.tables.answers.set((tick(time), sent));
        self.kernel.set_answers(tick(time), sent)
    }

    /// Both forget all that they remember, and count from 0 on.
    fn begin_anew(&mut self) -> Result<()> {
        self.tables = on_host(&self.published.0);
        self.kernel = Kernel::load(&self.published.1)?;
        self.counters = Counters::zero();
        Ok(())
    }

    /// Sends the next packet to both; tells if they differ in what is seen without a look at the counters.
    fn send(&mut self) -> Result<Option<Difference>> {
        if self.sent > 0 && self.sent.is_multiple_of(CHANGE) {
            self.change_tables()?;
        }
        self.frame = self.traffic.next_frame();
        let before = HostFrame::new(&self.frame, PORT);
        let mut after = before.clone();
        let time = self.early_in_a_tick();
        let action = vip_fuzz::decide(&mut after, &self.tables);
        let (verb, frame) = self
            .kernel
            .send(&self.frame, PORT)
            .with_context(|| format!("packet {}: {}", self.sent, hex(&self.frame)))?;
        (self.last, self.len) = (action, after.bytes.len());
        self.sent += 1;
        if tick(now()) != tick(time) {
            // Something held this thread up for so long that a tick ended between host and kernel: they may have decided in
            // different ones, and remember different things of this packet.
            self.begin_anew()?;
            return Ok(None);
        }
        self.counters.count(action, after.bytes.len());
        self.report.add(action);
        let wrong = if (verb, &frame) != (action.verb, &after.bytes) {
            let wanted = Outcome::of(action, &after.bytes);
            Some(format!("on the host\n  {wanted:?}\nin the kernel\n  {verb:?} {}", hex(&frame)))
        } else {
            let checked = vip_fuzz::properties::check(&before, &after, action, &self.tables);
            checked.err().map(|why| format!("on both\n  {action:?}\n  {}\n{why}", hex(&frame)))
        };
        Ok(wrong.map(|what| Difference { number: self.sent - 1, frame: self.frame.clone(), what }))
    }
}
