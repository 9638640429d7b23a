//! The director, loaded once more to see what a packet would get. It reads the very tables that are pinned; of those that
//! packets write it has its own, with copies of just the entries that the packet needs. So it is the same program, and yet
//! nothing that it writes is seen by anybody.

use std::{collections::BTreeSet, path::PathBuf};

use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    maps::{HashMap, Map, MapData, MapError, PerCpuArray},
    programs::{TestRunOptions, Xdp},
};
use bytemuck::{Pod, cast};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use vip_common::{
    MemberId, Reason, Verb,
    host::{HostTables, SharedFlow},
    tables::{FlowEntry, FlowId4, FlowId6, FragmentId, FragmentOwner, InsertCount, MemberCount, names},
};

use super::{
    Capacity,
    error::DataplaneError,
    inspect::open_table,
    maps::{failed, typed},
    object::{DIRECTOR, PROGRAM},
    pins::Pins,
    shapes::shapes,
};
use crate::places::Places;

type Result<T> = std::result::Result<T, DataplaneError>;

/// What packets or the sweeper write.
const OWN: [&str; 11] = [
    names::FLOWS4,
    names::FLOWS6,
    names::FRAGMENTS,
    names::TURNS,
    names::INSERTS,
    names::ANSWERS,
    names::MEMBER_COUNTS,
    names::REASON_COUNTS,
    names::SWEEP,
    names::HELD,
    names::MEMBER_FLOWS,
];
/// Entries of own tables that forget their oldest ones: more than a packet needs.
const FEW: u32 = 1024;
/// Bytes by which an answer may be longer than the packet.
const GROWTH: usize = 2048;

/// An entry that a packet asks for, of a table that packets write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Asked {
    /// Of `FLOWS4`.
    Flow4(FlowId4),
    /// Of `FLOWS6`.
    Flow6(FlowId6),
    /// Of `FRAGMENTS`.
    Fragment(FragmentId),
    /// Turn and allowance of a service, by its number.
    Service(u32),
    /// How many answers were sent.
    Answers,
}

/// What the program did with a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What it returned.
    pub verb: Verb,
    /// The reason that it counted.
    pub reason: Reason,
    /// The member that it counted the packet for.
    pub member: MemberId,
    /// The frame then.
    pub frame: Vec<u8>,
}

/// The program with tables of its own for what it writes. All of it is gone when this is dropped.
pub struct Rehearsal {
    ebpf: Ebpf,
    pins: Pins,
    cpu: usize,
    copied: BTreeSet<Asked>,
    members: u32,
}

impl Rehearsal {
    /// Loads the program over what is pinned. The thread stays on this CPU from now on: turns, allowances and answers are
    /// each CPU's own.
    ///
    /// # Errors
    /// A table is not there, or the kernel refuses the program.
    pub fn load(places: &Places, capacity: Capacity) -> Result<Self> {
        let pins = Pins::new(places);
        let cpu = sched_getcpu();
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus)
            .map_err(|error| DataplaneError::io("stay on this CPU")(std::io::Error::from(error)))?;
        let mut loader = EbpfLoader::new();
        loader.override_global("AYA_LOG_LEVEL", &0_u8, true);
        let forgetting = [names::FLOWS4, names::FLOWS6, names::FRAGMENTS];
        for shape in shapes(capacity, 1) {
            let few = forgetting.contains(&shape.name);
            loader.map_max_entries(shape.name, if few { FEW } else { shape.entries });
            if !OWN.contains(&shape.name) {
                loader.map_pin_path(shape.name, Self::pinned(&pins, shape.name)?);
            }
        }
        let mut ebpf = loader.load(DIRECTOR).map_err(DataplaneError::aya("open the tables in the kernel"))?;
        let program: &mut Xdp = ebpf
            .program_mut(PROGRAM)
            .ok_or_else(|| DataplaneError::Broken(format!("the object has no program {PROGRAM}")))?
            .try_into()
            .map_err(DataplaneError::aya(PROGRAM))?;
        program.load().map_err(DataplaneError::aya(format!("load the program {PROGRAM}")))?;
        Ok(Self { ebpf, pins, cpu, copied: BTreeSet::new(), members: capacity.member_entries() })
    }

    /// A pin that must be there: one that is not would be made.
    fn pinned(pins: &Pins, name: &str) -> Result<PathBuf> {
        let path = pins.table(name);
        if path.exists() { Ok(path) } else { Err(DataplaneError::MissingPin(path)) }
    }

    /// Copies what is asked for, each once, for the program and into `host`. True if anything was new.
    ///
    /// # Errors
    /// A table can't be read or written.
    pub fn copy(&mut self, asked: &BTreeSet<Asked>, host: &mut HostTables) -> Result<bool> {
        let new: Vec<_> = asked.iter().filter(|one| self.copied.insert(**one)).copied().collect();
        for one in &new {
            match one {
                Asked::Flow4(id) => {
                    if let Some(entry) = self.entry::<_, FlowEntry, 12, 24>(names::FLOWS4, id)? {
                        host.flows4.get_mut().insert(*id, SharedFlow::new(entry));
                    }
                }
                Asked::Flow6(id) => {
                    if let Some(entry) = self.entry::<_, FlowEntry, 24, 24>(names::FLOWS6, id)? {
                        host.flows6.get_mut().insert(*id, SharedFlow::new(entry));
                    }
                }
                Asked::Fragment(id) => {
                    let entry = self.entry::<_, FragmentOwner, 40, { size_of::<FragmentOwner>() }>(
                        names::FRAGMENTS,
                        id,
                    )?;
                    host.fragments.get_mut().extend(entry.map(|entry| (*id, entry)));
                }
                Asked::Service(id) => {
                    let turn: [u8; 4] = self.per_cpu(names::TURNS, *id)?;
                    host.turns.get_mut().insert(*id, u32::from_ne_bytes(turn));
                    let count: [u8; size_of::<InsertCount>()] = self.per_cpu(names::INSERTS, *id)?;
                    host.inserts.get_mut().insert(*id, bytemuck::pod_read_unaligned(&count));
                }
                Asked::Answers => {
                    let word = u64::from_ne_bytes(self.per_cpu(names::ANSWERS, 0)?);
                    let half = |half: u64| u32::try_from(half).unwrap_or_default();
                    host.answers.set((half(word >> 32), half(word & u64::from(u32::MAX))));
                }
            }
        }
        Ok(!new.is_empty())
    }

    /// Copies an entry of a hash table, if it is there.
    fn entry<K: Pod, V: Pod, const KEY: usize, const VALUE: usize>(
        &mut self,
        table: &'static str,
        key: &K,
    ) -> Result<Option<V>> {
        let live: HashMap<MapData, [u8; KEY], [u8; VALUE]> = typed(table, open_table(&self.pins, table)?)?;
        let key: [u8; KEY] = bytemuck::pod_read_unaligned(bytemuck::bytes_of(key));
        let value = match live.get(&key, 0) {
            Err(MapError::KeyNotFound) => return Ok(None),
            value => value.map_err(failed("read", table))?,
        };
        let mut own: HashMap<&mut MapData, [u8; KEY], [u8; VALUE]> = own_typed(table, self.own(table)?)?;
        own.insert(key, value, 0).map_err(failed("write", table))?;
        Ok(Some(bytemuck::pod_read_unaligned(&value)))
    }

    /// Copies the values of all CPUs, and tells this one's.
    fn per_cpu<const LEN: usize>(&mut self, table: &'static str, index: u32) -> Result<[u8; LEN]> {
        let live: PerCpuArray<MapData, [u8; LEN]> = typed(table, open_table(&self.pins, table)?)?;
        let values = live.get(&index, 0).map_err(failed("read", table))?;
        let this = values.get(self.cpu).copied();
        let mut own: PerCpuArray<&mut MapData, [u8; LEN]> = own_typed(table, self.own(table)?)?;
        own.set(index, values, 0).map_err(failed("write", table))?;
        this.ok_or_else(|| DataplaneError::Broken(format!("{table} has no value of CPU {}", self.cpu)))
    }

    fn own(&mut self, table: &'static str) -> Result<&mut Map> {
        self.ebpf
            .map_mut(table)
            .ok_or_else(|| DataplaneError::Broken(format!("the object has no table {table}")))
    }

    /// Sends a frame through the program, as if it had come in by the interface `ingress`.
    ///
    /// # Errors
    /// The kernel refuses the run.
    pub fn run(&mut self, frame: &[u8], ingress: u32) -> Result<Outcome> {
        let before = self.counted()?;
        let end = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        // data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        let context: [u8; 24] = cast([0, end, 0, ingress, 0, 0]);
        let mut out = vec![0; frame.len() + GROWTH];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let program: &Xdp = self
            .ebpf
            .program(PROGRAM)
            .ok_or_else(|| DataplaneError::Broken(format!("the object has no program {PROGRAM}")))?
            .try_into()
            .map_err(DataplaneError::aya(PROGRAM))?;
        let what = format!("let the program see a packet of interface {ingress}");
        let result = program.test_run(options).map_err(DataplaneError::aya(what))?;
        let verb = match result.return_value {
            2 => Verb::Pass,
            3 => Verb::Transmit,
            4 => Verb::Redirect,
            1 => Verb::Drop,
            other => return Err(DataplaneError::Broken(format!("the program returned {other}"))),
        };
        out.truncate(result.data_size_out as usize);
        let after = self.counted()?;
        let number = |at: Option<usize>| at.and_then(|at| u32::try_from(at).ok()).unwrap_or_default();
        let member = MemberId(number(risen(&before.0, &after.0)));
        Ok(Outcome { verb, reason: Reason::numbered(number(risen(&before.1, &after.1))), member, frame: out })
    }

    /// Packets by member and by reason.
    fn counted(&mut self) -> Result<(Vec<u64>, Vec<u64>)> {
        let (cpu, entries) = (self.cpu, self.members);
        let members: PerCpuArray<&mut MapData, [u8; size_of::<MemberCount>()]> =
            own_typed(names::MEMBER_COUNTS, self.own(names::MEMBER_COUNTS)?)?;
        let member = |id| {
            let values = members.get(&id, 0).map_err(failed("read", names::MEMBER_COUNTS))?;
            let count = values.get(cpu).map(|value| bytemuck::pod_read_unaligned::<MemberCount>(value));
            Ok(count.map_or(0, |count| count.packets + count.bounced))
        };
        let by_member = (0..entries).map(member).collect::<Result<_>>()?;
        let reasons: PerCpuArray<&mut MapData, u64> =
            own_typed(names::REASON_COUNTS, self.own(names::REASON_COUNTS)?)?;
        let reason = |reason: &Reason| {
            let values = reasons.get(&(*reason as u32), 0).map_err(failed("read", names::REASON_COUNTS))?;
            Ok(values.get(cpu).copied().unwrap_or_default())
        };
        Ok((by_member, Reason::ALL.iter().map(reason).collect::<Result<_>>()?))
    }
}

/// Which counter was raised.
fn risen(before: &[u64], after: &[u64]) -> Option<usize> {
    before.iter().zip(after).position(|(before, after)| before != after)
}

/// An own table with keys and values of the sizes that its type says.
fn own_typed<'a, T: TryFrom<&'a mut Map, Error = MapError>>(
    table: &'static str,
    map: &'a mut Map,
) -> Result<T> {
    T::try_from(map).map_err(failed("open", table))
}
