//! The tables in the kernel, open: how each is read and written. It knows neither who made them nor why.

mod entries;
mod flows;
mod read;
mod strays;

use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use bytemuck::cast;
use vip_common::{
    FlowKey, MemberId,
    tables::{InsertCount, Member, MemberCount, Slot, Sweep, Terms, names},
};

use self::entries::{Prefix, Value, bytes, put, put_wide, size_of_table, station_key, store, words};
pub(super) use self::entries::{failed, typed};
pub use self::flows::FlowEntries;
use super::{Capacity, error::DataplaneError, mapping::Words};
use crate::plan::Operation;

type Result<T> = std::result::Result<T, DataplaneError>;

/// All tables but those that packets alone write. Keys and values are bytes to the BPF library; `vip-common` says what
/// they mean.
pub(super) struct Maps {
    ports: Words,
    vips: Words,
    rings: Words,
    /// Two words a member.
    members: Words,
    /// Two words a service.
    terms: Words,
    services4: HashMap<MapData, [u8; 8], Value>,
    services6: HashMap<MapData, [u8; 20], Value>,
    wide4: LpmTrie<MapData, Prefix<8>, Value>,
    wide6: LpmTrie<MapData, Prefix<20>, Value>,
    stations: HashMap<MapData, u64, u64>,
    egresses: Array<MapData, [u8; 16]>,
    flow_key: Array<MapData, [u8; size_of::<FlowKey>()]>,
    inserts: PerCpuArray<MapData, [u8; size_of::<InsertCount>()]>,
    member_counts: PerCpuArray<MapData, [u8; size_of::<MemberCount>()]>,
    reason_counts: PerCpuArray<MapData, u64>,
    sweep: Array<MapData, [u8; size_of::<Sweep>()]>,
    held: Words,
    member_flows: Words,
    flow_entries: u32,
    fragment_entries: u32,
}

impl Maps {
    /// Opens every table that `open` gives by its name.
    pub(super) fn new(mut open: impl FnMut(&'static str) -> Result<Map>) -> Result<Self> {
        Ok(Self {
            ports: words(names::PORTS, 1, open(names::PORTS)?)?,
            vips: words(names::VIPS, 1, open(names::VIPS)?)?,
            rings: words(names::RINGS, 1, open(names::RINGS)?)?,
            members: words(names::MEMBERS, 2, open(names::MEMBERS)?)?,
            terms: words(names::TERMS, 2, open(names::TERMS)?)?,
            services4: typed(names::SERVICES4, open(names::SERVICES4)?)?,
            services6: typed(names::SERVICES6, open(names::SERVICES6)?)?,
            wide4: typed(names::WIDE4, open(names::WIDE4)?)?,
            wide6: typed(names::WIDE6, open(names::WIDE6)?)?,
            stations: typed(names::STATIONS, open(names::STATIONS)?)?,
            egresses: typed(names::EGRESSES, open(names::EGRESSES)?)?,
            flow_key: typed(names::FLOW_KEY, open(names::FLOW_KEY)?)?,
            inserts: typed(names::INSERTS, open(names::INSERTS)?)?,
            member_counts: typed(names::MEMBER_COUNTS, open(names::MEMBER_COUNTS)?)?,
            reason_counts: typed(names::REASON_COUNTS, open(names::REASON_COUNTS)?)?,
            sweep: typed(names::SWEEP, open(names::SWEEP)?)?,
            held: words(names::HELD, 1, open(names::HELD)?)?,
            member_flows: words(names::MEMBER_FLOWS, 1, open(names::MEMBER_FLOWS)?)?,
            flow_entries: size_of_table(names::FLOWS4, &open(names::FLOWS4)?)?,
            fragment_entries: size_of_table(names::FRAGMENTS, &open(names::FRAGMENTS)?)?,
        })
    }

    /// How much they hold.
    pub(super) fn capacity(&self) -> Capacity {
        Capacity {
            slots: self.rings.len(),
            members: (self.members.len() / 2).saturating_sub(1),
            services: (self.terms.len() / 2).saturating_sub(1),
            flows: self.flow_entries,
            fragments: self.fragment_entries,
        }
    }

    /// Number of entries of `PORTS`.
    pub(super) fn port_entries(&self) -> u32 {
        self.ports.len()
    }

    /// Sets the bits of `VIPS` that the services call for, and clears all others: they may differ after a controller
    /// died between two operations, and whoever reads the tables takes them as agreeing.
    pub(super) fn repair_vips(&mut self) -> Result<()> {
        let wanted = self.read()?.vip_words();
        for index in 0..self.vips.len() {
            let word = wanted.get(&index).copied().unwrap_or_default();
            if self.vips.get(index) != Some(word) {
                store(names::VIPS, &mut self.vips, index, word)?;
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::Port(index, port) => {
                store(names::PORTS, &mut self.ports, *index, port.map(cast).unwrap_or_default())
            }
            Operation::Member(id, member) => self.write_member(*id, *member),
            Operation::Generation(id, generation) => self.write_generation(*id, *generation),
            Operation::VipWord(index, word) => store(names::VIPS, &mut self.vips, *index, *word),
            Operation::Slots(first, slots) => self.write_slots(*first, slots.iter().copied()),
            Operation::Ring(first, ring) => self.write_slots(*first, ring.iter()),
            Operation::FlowKey(key) => {
                let result = self.flow_key.set(0, bytes::<{ size_of::<FlowKey>() }>(key), 0);
                result.map_err(failed("write", names::FLOW_KEY))
            }
            Operation::Egress(id, egress) => {
                let value: [u8; 16] = egress.map(cast).unwrap_or_default();
                let result = self.egresses.set(u32::from(id.0), value, 0);
                result.map_err(failed("write", names::EGRESSES))
            }
            Operation::Terms(id, terms) => self.write_terms(*id, *terms),
            Operation::Station(mac, station) => {
                put(names::STATIONS, &mut self.stations, station_key(*mac), station.map(cast))
            }
            Operation::Service4(key, service) => {
                put(names::SERVICES4, &mut self.services4, bytes(key), service.map(cast))
            }
            Operation::Service6(key, service) => {
                put(names::SERVICES6, &mut self.services6, bytes(key), service.map(cast))
            }
            Operation::Wide4(key, service) => put_wide(names::WIDE4, &mut self.wide4, key, *service),
            Operation::Wide6(key, service) => put_wide(names::WIDE6, &mut self.wide6, key, *service),
            Operation::ClearCounts(id) => self.clear_counts(*id),
        }
    }

    fn write_member(&mut self, id: MemberId, member: Option<Member>) -> Result<()> {
        let index = id.0.saturating_mul(2);
        store(names::MEMBERS, &mut self.members, index, member.map(cast).unwrap_or_default())
    }

    fn write_generation(&mut self, id: MemberId, generation: u32) -> Result<()> {
        let index = id.0.saturating_mul(2).saturating_add(1);
        store(names::MEMBERS, &mut self.members, index, cast([generation, 0]))
    }

    /// The word with the allowance last: what it allows is written by the rest.
    fn write_terms(&mut self, id: u32, terms: Option<Terms>) -> Result<()> {
        let [allowance, rest]: [u64; 2] = terms.map(cast).unwrap_or_default();
        let index = id.saturating_mul(2);
        store(names::TERMS, &mut self.terms, index.saturating_add(1), rest)?;
        store(names::TERMS, &mut self.terms, index, allowance)
    }

    fn write_slots(&mut self, first: u32, slots: impl Iterator<Item = Slot>) -> Result<()> {
        for (index, slot) in (first..).zip(slots) {
            store(names::RINGS, &mut self.rings, index, cast(slot))?;
        }
        Ok(())
    }

    fn clear_counts(&mut self, id: MemberId) -> Result<()> {
        let cpus = nr_cpus().map_err(|(path, error)| DataplaneError::io(path)(error))?;
        let zeros = PerCpuValues::try_from(vec![[0; size_of::<MemberCount>()]; cpus]);
        let zeros = zeros.map_err(DataplaneError::io("make room for a counter of every CPU"))?;
        self.member_counts.set(id.0, zeros, 0).map_err(failed("write", names::MEMBER_COUNTS))
    }
}
