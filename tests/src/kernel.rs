//! The decision in the kernel: the program `director` with tables of one's own, fed through `BPF_PROG_TEST_RUN`. It is
//! attached nowhere and pinned nowhere.

mod publish;
mod traced;

use std::fmt;

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, PerCpuArray, PerCpuValues},
    programs::{TestRun as _, TestRunOptions, Xdp},
    util::nr_cpus,
};
use bytemuck::{bytes_of, cast};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use vip_common::{
    Action, MemberId, Reason, Verb,
    tables::{MemberCount, names},
};
use vip_userspace::{dataplane::object, plan::Tables};

pub use self::{publish::publish, traced::Traced};
use crate::{
    net::require_root,
    packet::hex,
    world::{MEMBER_ENTRIES, RING_ENTRIES, SERVICE_NUMBERS},
};

/// The shortest frame that the kernel takes for a test run, in bytes.
pub const SHORTEST: usize = 14;
/// More than any frame of a test, grown by an answer, in bytes.
const LONGEST: usize = 4096;
/// Bytes in front of the frame in a test run, which metadata takes up (`XDP_PACKET_HEADROOM`) …
const HEADROOM: usize = 256;
/// … and of the kernel's own record at their start (`struct xdp_frame`), which is left alone.
const FRAME_RECORD: usize = 40;
/// Bytes of a `struct xdp_md`.
const CONTEXT: usize = 24;

/// What a packet got in the kernel.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the program returned.
    pub verb: Verb,
    /// The reason whose counter was raised, or the member that it was counted for.
    pub reason: Reason,
    /// The member that it was counted for.
    pub member: MemberId,
    /// It was counted as a new flow.
    pub opens: bool,
    /// The frame after the run.
    pub frame: Vec<u8>,
}

/// The program `director`, or the one that traces, loaded with tables.
pub struct Kernel {
    ebpf: Ebpf,
    name: &'static str,
    members: PerCpuArray<MapData, [u64; 4]>,
    reasons: PerCpuArray<MapData, u64>,
    seen: Counters,
}

/// Sums over all CPUs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counters {
    /// `MEMBER_COUNTS` by member id.
    pub members: Vec<MemberCount>,
    /// `REASON_COUNTS` by reason.
    pub reasons: Vec<u64>,
}

impl Kernel {
    /// Loads the program and publishes `tables`. From then on the thread stays on one CPU: turns, allowances and answers
    /// are counted by CPU.
    ///
    /// # Errors
    /// The kernel refuses the program or a table, or this process is not root.
    pub fn load(tables: &Tables) -> Result<Self> {
        Self::load_object((object::DIRECTOR, object::PROGRAM), tables)
    }

    fn load_object(object: Object, tables: &Tables) -> Result<Self> {
        require_root()?;
        stay_on_one_cpu()?;
        let mut ebpf = load_object(object, SERVICE_NUMBERS, RING_ENTRIES, MEMBER_ENTRIES, 1 << 18)?;
        publish(&mut ebpf, tables)?;
        let mut take = |name| ebpf.take_map(name).with_context(|| format!("the object has no map {name}"));
        let members = PerCpuArray::try_from(take(names::MEMBER_COUNTS)?)?;
        let reasons = PerCpuArray::try_from(take(names::REASON_COUNTS)?)?;
        let seen = Counters::read(&members, &reasons)?;
        Ok(Self { ebpf, name: object.1, members, reasons, seen })
    }

    /// Sends one frame through the program, as if it had come in by the interface `ingress` of this network.
    ///
    /// # Errors
    /// The kernel refuses the run, the program returned something unknown, or the packet was not counted exactly once.
    pub fn run(&mut self, frame: &[u8], ingress: u32) -> Result<Outcome> {
        let (verb, out) = self.send(frame, ingress)?;
        self.outcome(verb, out)
    }

    /// The same, as if its driver had left no room in front of the frame.
    ///
    /// # Errors
    /// As of [`run`](Kernel::run); also before Linux 6.3, which takes no metadata of this length.
    pub fn run_without_headroom(&mut self, frame: &[u8], ingress: u32) -> Result<Outcome> {
        let metadata = [0; HEADROOM - FRAME_RECORD];
        let mut context = context(metadata.len() + frame.len(), ingress);
        context[..4].copy_from_slice(&u32::try_from(metadata.len())?.to_ne_bytes());
        let (verb, out) = self.test(&[&metadata, frame].concat(), &context)?;
        self.outcome(verb, out[metadata.len()..].to_vec())
    }

    fn outcome(&mut self, verb: Verb, out: Vec<u8>) -> Result<Outcome> {
        let now = Counters::read(&self.members, &self.reasons)?;
        let counted = self.seen.raised_once(&now, out.len());
        self.seen = now;
        let (reason, member, opens) = counted?;
        Ok(Outcome { verb, reason, member, opens, frame: out })
    }

    /// Sends frames through the program as [`run`](Kernel::run) does, for what it remembers of them.
    ///
    /// # Errors
    /// The kernel refuses a run, or the program returned something unknown.
    pub fn feed(&mut self, frames: &[Vec<u8>], ingress: u32) -> Result<()> {
        for frame in frames {
            self.send(frame, ingress)?;
        }
        self.seen = Counters::read(&self.members, &self.reasons)?;
        Ok(())
    }

    /// Sends one frame through the program without a look at the counters, which takes longer than the frame: what the
    /// program returned, and the frame after the run.
    ///
    /// # Errors
    /// The kernel refuses the run, or the program returned something unknown.
    pub fn send(&self, frame: &[u8], ingress: u32) -> Result<(Verb, Vec<u8>)> {
        self.test(frame, &context(frame.len(), ingress))
    }

    fn test(&self, data: &[u8], context: &[u8]) -> Result<(Verb, Vec<u8>)> {
        let mut out = vec![0; LONGEST];
        let mut options = TestRunOptions::new();
        options.data_in = Some(data);
        options.data_out = Some(&mut out);
        options.ctx_in = Some(context);
        let result = program(&self.ebpf, self.name)?.test_run(options).context("test run")?;
        out.truncate(result.data_size_out as usize);
        let verb = match result.return_value {
            1 => Verb::Drop,
            2 => Verb::Pass,
            3 => Verb::Transmit,
            4 => Verb::Redirect,
            other => anyhow::bail!("the program returned {other}"),
        };
        Ok((verb, out))
    }

    /// Publishes other tables, with entries for the same keys.
    ///
    /// # Errors
    /// The kernel refuses a table.
    pub fn publish(&mut self, tables: &Tables) -> Result<()> {
        publish(&mut self.ebpf, tables)
    }

    /// Begins a tick in which so many answers were sent already, on each CPU.
    ///
    /// # Errors
    /// The kernel does not let the answers be written.
    pub fn set_answers(&mut self, tick: u32, sent: u32) -> Result<()> {
        let mut answers: PerCpuArray<_, u64> = map_mut(&mut self.ebpf, names::ANSWERS)?.try_into()?;
        let cpus = nr_cpus().map_err(|(file, error)| anyhow!("read {file}: {error}"))?;
        let word = u64::from(tick) << 32 | u64::from(sent);
        answers.set(0, PerCpuValues::try_from(vec![word; cpus])?, 0).context("write ANSWERS")
    }

    /// What has been counted since the program was loaded.
    ///
    /// # Errors
    /// The kernel does not let the counters be read.
    pub fn counters(&self) -> Result<Counters> {
        Counters::read(&self.members, &self.reasons)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, reason, member, opens, frame } = self;
        write!(f, "{verb:?} {} {member:?} opens {opens} {}", reason.name(), hex(frame))
    }
}

impl Outcome {
    /// What `action` looks like from outside. The way out of a redirected packet is not to be seen in a test run, but the
    /// source MAC tells.
    #[must_use]
    pub fn of(action: Action, frame: &[u8]) -> Self {
        let Action { verb, reason, member, opens, .. } = action;
        Self { verb, reason, member, opens, frame: frame.to_vec() }
    }
}

impl Counters {
    /// Nothing was counted yet.
    #[must_use]
    pub fn zero() -> Self {
        Self { members: vec![cast([0_u64; 4]); MEMBER_ENTRIES as usize], reasons: vec![0; Reason::ALL.len()] }
    }

    /// Counts a packet as the program does, which then had `len` bytes.
    pub fn count(&mut self, action: Action, len: usize) {
        if action.member != MemberId::NOBODY {
            if let Some(count) = self.members.get_mut(action.member.0 as usize) {
                if action.reason == Reason::Bounced {
                    count.bounced += 1;
                } else {
                    count.packets += 1;
                    count.bytes += len as u64;
                    count.flows += u64::from(action.opens);
                }
            }
            if action.reason == Reason::Forwarded {
                return;
            }
        }
        self.reasons[action.reason as usize] += 1;
    }

    fn read(members: &PerCpuArray<MapData, [u64; 4]>, reasons: &PerCpuArray<MapData, u64>) -> Result<Self> {
        let member = |id| -> Result<MemberCount> {
            let cpus = members.get(&id, 0)?;
            let sum =
                cpus.iter().fold([0; 4], |sum, cpu| std::array::from_fn(|field| sum[field] + cpu[field]));
            Ok(cast(sum))
        };
        let reason = |reason: &Reason| -> Result<u64> { Ok(reasons.get(&(*reason as u32), 0)?.iter().sum()) };
        Ok(Self {
            members: (0..MEMBER_ENTRIES).map(member).collect::<Result<_>>()?,
            reasons: Reason::ALL.iter().map(reason).collect::<Result<_>>()?,
        })
    }

    /// What one packet of `len` bytes was counted as, between `self` and `now`: once under its member, if it got to one or
    /// bounced from one, and once under its reason, if that is another one.
    ///
    /// # Errors
    /// It was counted otherwise.
    pub fn raised_once(&self, now: &Self, len: usize) -> Result<(Reason, MemberId, bool)> {
        let mut reasons = Vec::new();
        for (before, (after, reason)) in self.reasons.iter().zip(now.reasons.iter().zip(Reason::ALL)) {
            reasons.extend((*before..*after).map(|_| *reason));
        }
        let mut members = Vec::new();
        for (id, (before, after)) in (0..).zip(self.members.iter().zip(&now.members)) {
            let opens = after.flows != before.flows;
            members.extend((before.packets..after.packets).map(|_| (MemberId(id), opens)));
            members.extend((before.bounced..after.bounced).map(|_| (MemberId(id), false)));
            let bytes = (after.packets - before.packets) * len as u64;
            ensure!(after.bytes - before.bytes == bytes, "member {id}: {before:?}, then {after:?}");
        }
        match (members.as_slice(), reasons.as_slice()) {
            ([(member, opens)], []) => Ok((Reason::Forwarded, *member, *opens)),
            ([(member, opens)], [reason]) => Ok((*reason, *member, *opens)),
            ([], [reason]) => Ok((*reason, MemberId::NOBODY, false)),
            _ => anyhow::bail!("a packet was counted as {reasons:?}, for {members:?}"),
        }
    }
}

fn stay_on_one_cpu() -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(sched_getcpu());
    sched_setaffinity(None, &cpus).context("stay on this CPU")
}

/// Loads the object of the director with tables of so many entries, and the program in it.
///
/// # Errors
/// The kernel refuses the program or a table.
pub fn load(services: u32, slots: u32, members: u32, flows: u32) -> Result<Ebpf> {
    load_object((object::DIRECTOR, object::PROGRAM), services, slots, members, flows)
}

/// An object, and the name of its XDP program.
type Object = (&'static [u8], &'static str);

fn load_object((object, name): Object, services: u32, slots: u32, members: u32, flows: u32) -> Result<Ebpf> {
    let sizes = [
        (names::PORTS, 64),
        (names::SERVICES4, services),
        (names::SERVICES6, services),
        (names::RINGS, slots),
        (names::MEMBERS, members),
        (names::MEMBER_COUNTS, members),
        (names::WIDE4, services),
        (names::WIDE6, services),
        (names::STATIONS, members),
        (names::FLOWS4, flows),
        (names::FLOWS6, flows),
        (names::FRAGMENTS, flows),
        (names::TERMS, services),
        (names::TURNS, services),
        (names::INSERTS, services),
        (names::HELD, slots.div_ceil(64)),
        (names::MEMBER_FLOWS, members),
    ];
    let mut loader = EbpfLoader::new();
    // What the controller does unless it is asked to log packets.
    loader.override_global("AYA_LOG_LEVEL", &0_u8, false);
    for (name, entries) in sizes {
        loader.map_max_entries(name, entries);
    }
    let mut ebpf = loader.load(object).with_context(|| format!("load the object of {name}"))?;
    let program: &mut Xdp =
        ebpf.program_mut(name).with_context(|| format!("the object has no {name}"))?.try_into()?;
    program.load().with_context(|| format!("load the program {name}"))?;
    Ok(ebpf)
}

/// A loaded XDP program.
///
/// # Errors
/// There is none of that name.
pub fn program<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a Xdp> {
    let program = ebpf.program(name).with_context(|| format!("the object has no program {name}"))?;
    Ok(program.try_into()?)
}

/// The `struct xdp_md` of a frame of `len` bytes that came in by the interface `ingress`.
#[must_use]
pub fn context(len: usize, ingress: u32) -> [u8; CONTEXT] {
    let end = u32::try_from(len).unwrap_or(u32::MAX);
    // data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
    let words = [0, end, 0, ingress, 0, 0];
    let mut context = [0; CONTEXT];
    context.copy_from_slice(bytes_of(&words));
    context
}

fn map_mut<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Map> {
    ebpf.map_mut(name).with_context(|| format!("the object has no map {name}"))
}
