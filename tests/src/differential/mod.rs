//! The decision on the host against the decision in the kernel: the same packets in the same order to both, which must
//! agree in what they do, in every byte and in every counter. Decides how they are compared; which packets are sent is in
//! `traffic`.

mod report;
mod traffic;

use anyhow::{Context as _, Result};
use vip_common::{
    Action, Reason,
    host::{HostFrame, HostTables},
};

use vip_userspace::plan::Tables;

use self::traffic::Traffic;
pub use self::{report::Report, traffic::random_seed};
use crate::{
    kernel::{Counters, Kernel, Outcome},
    packet::hex,
    world::{PORT, on_host, tables},
};

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

    /// Sends the next packet to both; tells if they differ in what is seen without a look at the counters.
    fn send(&mut self) -> Result<Option<Difference>> {
        self.frame = self.traffic.next_frame();
        let before = HostFrame::new(&self.frame, PORT);
        let mut after = before.clone();
        let action = vip_fuzz::decide(&mut after, &self.tables);
        let (verb, frame) = self
            .kernel
            .send(&self.frame, PORT)
            .with_context(|| format!("packet {}: {}", self.sent, hex(&self.frame)))?;
        self.counters.count(action, after.bytes.len());
        self.report.add(action);
        (self.last, self.len) = (action, after.bytes.len());
        self.sent += 1;
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
