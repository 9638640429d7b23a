//! The tables in the kernel, open: how each is read and written. It knows neither who made them nor why.

use std::{collections::BTreeMap, os::fd::AsFd as _, sync::Arc};

use aya::{
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use bytemuck::Zeroable as _;
use vip_common::{
    FlowKey, MemberId, Reason,
    tables::{Egress, EgressId, MemberCount, Service, Slot, names},
};

use super::{Capacity, Counts, error::DataplaneError, mapping::Words};
use crate::plan::{Operation, Tables};

type Result<T> = std::result::Result<T, DataplaneError>;
/// A value of 16 bytes: of `SERVICES4`, `SERVICES6` and `EGRESSES`.
type Value = [u8; 16];

/// All tables. Keys and values are bytes to the BPF library; `vip-common` says what they mean.
pub(super) struct Maps {
    ports: Words,
    vips: Words,
    rings: Words,
    members: Words,
    services4: HashMap<MapData, [u8; 8], Value>,
    services6: HashMap<MapData, [u8; 20], Value>,
    egresses: Array<MapData, Value>,
    flow_key: Array<MapData, [u8; size_of::<FlowKey>()]>,
    member_counts: PerCpuArray<MapData, [u8; size_of::<MemberCount>()]>,
    reason_counts: PerCpuArray<MapData, u64>,
    service_entries: u32,
}

impl Maps {
    /// Opens every table that `open` gives by its name.
    pub(super) fn new(mut open: impl FnMut(&'static str) -> Result<Map>) -> Result<Self> {
        let services4 = open(names::SERVICES4)?;
        let service_entries = match &services4 {
            Map::HashMap(data) => data.info().map_err(failed("look at", names::SERVICES4))?.max_entries(),
            _ => 0,
        };
        Ok(Self {
            ports: words(names::PORTS, open(names::PORTS)?)?,
            vips: words(names::VIPS, open(names::VIPS)?)?,
            rings: words(names::RINGS, open(names::RINGS)?)?,
            members: words(names::MEMBERS, open(names::MEMBERS)?)?,
            services4: typed(names::SERVICES4, services4)?,
            services6: typed(names::SERVICES6, open(names::SERVICES6)?)?,
            egresses: typed(names::EGRESSES, open(names::EGRESSES)?)?,
            flow_key: typed(names::FLOW_KEY, open(names::FLOW_KEY)?)?,
            member_counts: typed(names::MEMBER_COUNTS, open(names::MEMBER_COUNTS)?)?,
            reason_counts: typed(names::REASON_COUNTS, open(names::REASON_COUNTS)?)?,
            service_entries,
        })
    }

    /// How much they hold.
    pub(super) fn capacity(&self) -> Capacity {
        Capacity {
            slots: self.rings.len(),
            members: self.members.len().saturating_sub(1),
            services: self.service_entries / 2,
            ..Capacity::default()
        }
    }

    /// Number of entries of `PORTS`.
    pub(super) fn port_entries(&self) -> u32 {
        self.ports.len()
    }

    pub(super) fn read(&self) -> Result<Tables> {
        let services4 = entries(names::SERVICES4, self.services4.iter())?;
        let services6 = entries(names::SERVICES6, self.services6.iter())?;
        let rings = services4.values().chain(services6.values()).filter(|service| service.ring_size > 0);
        Ok(Tables {
            ports: self.ports.set_words().map(|(index, word)| (index, bytemuck::cast(word))).collect(),
            rings: rings.map(|service| self.ring(service)).collect::<Result<_>>()?,
            members: self
                .members
                .set_words()
                .map(|(id, word)| (MemberId(id), bytemuck::cast(word)))
                .collect(),
            egresses: self.read_egresses()?,
            flow_key: self.read_flow_key()?,
            services4,
            services6,
        })
    }

    fn ring(&self, service: &Service) -> Result<(u32, Arc<[Slot]>)> {
        let end = service.ring_first.checked_add(service.ring_size).filter(|end| *end <= self.rings.len());
        let end = end.ok_or_else(|| {
            let Service { id, ring_first, ring_size, .. } = service;
            let room = self.rings.len();
            DataplaneError::Broken(format!(
                "service {id} has {ring_size} slots from {ring_first} on, but {} has {room}",
                names::RINGS
            ))
        })?;
        let slots = (service.ring_first..end).filter_map(|index| self.rings.get(index));
        Ok((service.ring_first, slots.map(bytemuck::cast).collect()))
    }

    fn read_egresses(&self) -> Result<BTreeMap<EgressId, Egress>> {
        let mut egresses = BTreeMap::new();
        for id in 0..=u8::MAX {
            let value = self.egresses.get(&u32::from(id), 0).map_err(failed("read", names::EGRESSES))?;
            if value != [0; 16] {
                egresses.insert(EgressId(id), bytemuck::cast(value));
            }
        }
        Ok(egresses)
    }

    fn read_flow_key(&self) -> Result<Option<FlowKey>> {
        let value = self.flow_key.get(&0, 0).map_err(failed("read", names::FLOW_KEY))?;
        Ok(value.iter().any(|byte| *byte != 0).then(|| bytemuck::pod_read_unaligned(&value)))
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
                let word = port.map(bytemuck::cast).unwrap_or_default();
                store(names::PORTS, &mut self.ports, *index, word)
            }
            Operation::Member(id, member) => {
                let word = member.map(bytemuck::cast).unwrap_or_default();
                store(names::MEMBERS, &mut self.members, id.0, word)
            }
            Operation::VipWord(index, word) => store(names::VIPS, &mut self.vips, *index, *word),
            Operation::Slots(first, slots) => self.write_slots(*first, slots),
            Operation::FlowKey(key) => {
                let result = self.flow_key.set(0, bytes::<88>(key), 0);
                result.map_err(failed("write", names::FLOW_KEY))
            }
            Operation::Egress(id, egress) => {
                let value: Value = egress.map(bytemuck::cast).unwrap_or_default();
                let result = self.egresses.set(u32::from(id.0), value, 0);
                result.map_err(failed("write", names::EGRESSES))
            }
            Operation::Service4(key, service) => {
                put(names::SERVICES4, &mut self.services4, bytes(key), *service)
            }
            Operation::Service6(key, service) => {
                put(names::SERVICES6, &mut self.services6, bytes(key), *service)
            }
            Operation::ClearCounts(id) => self.clear_counts(*id),
        }
    }

    fn write_slots(&mut self, first: u32, slots: &[Slot]) -> Result<()> {
        for (index, slot) in (first..).zip(slots) {
            store(names::RINGS, &mut self.rings, index, bytemuck::cast(*slot))?;
        }
        Ok(())
    }

    fn clear_counts(&mut self, id: MemberId) -> Result<()> {
        let cpus = nr_cpus().map_err(|(path, error)| DataplaneError::io(path)(error))?;
        let zeros = PerCpuValues::try_from(vec![[0; size_of::<MemberCount>()]; cpus]);
        let zeros = zeros.map_err(DataplaneError::io("make room for a counter of every CPU"))?;
        self.member_counts.set(id.0, zeros, 0).map_err(failed("write", names::MEMBER_COUNTS))
    }

    pub(super) fn counts(&self) -> Result<Counts> {
        let mut members = BTreeMap::new();
        for id in 1..self.member_counts.len() {
            let values = self.member_counts.get(&id, 0).map_err(failed("read", names::MEMBER_COUNTS))?;
            let mut sum = MemberCount::zeroed();
            for value in values.iter() {
                let value: MemberCount = bytemuck::pod_read_unaligned(value);
                sum.packets += value.packets;
                sum.bytes += value.bytes;
                sum.flows += value.flows;
            }
            if sum.packets > 0 {
                members.insert(MemberId(id), sum);
            }
        }
        let reason = |reason: &Reason| {
            let values = self.reason_counts.get(&(*reason as u32), 0);
            Ok(values.map_err(failed("read", names::REASON_COUNTS))?.iter().sum())
        };
        Ok(Counts { members, reasons: Reason::ALL.iter().map(reason).collect::<Result<_>>()? })
    }
}

/// A table of words, mapped. The map's descriptor is not needed any more.
fn words(table: &'static str, map: Map) -> Result<Words> {
    let Map::Array(data) = map else {
        return Err(DataplaneError::Broken(format!("table {table} is no array")));
    };
    let info = data.info().map_err(failed("look at", table))?;
    if info.value_size() != 8 {
        return Err(DataplaneError::Broken(format!("table {table} does not hold words")));
    }
    Words::map(data.fd().as_fd(), info.max_entries())
        .map_err(DataplaneError::io(format!("map table {table}")))
}

/// A table with keys and values of the sizes that its type says.
fn typed<T: TryFrom<Map, Error = MapError>>(table: &'static str, map: Map) -> Result<T> {
    T::try_from(map).map_err(failed("open", table))
}

fn store(table: &'static str, words: &mut Words, index: u32, word: u64) -> Result<()> {
    let entries = words.len();
    words.set(index, word).ok_or(DataplaneError::NoRoom { table, index, entries })
}

/// All entries of a table of services.
fn entries<K: bytemuck::Pod, R: bytemuck::Pod + Ord>(
    table: &'static str,
    entries: impl Iterator<Item = std::result::Result<(K, Value), MapError>>,
) -> Result<BTreeMap<R, Service>> {
    entries
        .map(|entry| entry.map(|(key, value)| (bytemuck::cast(key), bytemuck::cast(value))))
        .collect::<std::result::Result<_, _>>()
        .map_err(failed("read", table))
}

/// Writes or removes an entry of a table of services.
fn put<K: aya::Pod>(
    table: &'static str,
    map: &mut HashMap<MapData, K, Value>,
    key: K,
    service: Option<Service>,
) -> Result<()> {
    match service {
        Some(service) => {
            map.insert(key, bytemuck::cast::<_, Value>(service), 0).map_err(failed("write", table))
        }
        None => match map.remove(&key) {
            Err(error) if !is_missing(&error) => Err(failed("remove from", table)(error)),
            _ => Ok(()),
        },
    }
}

/// True where an entry can't be removed because it is not there.
fn is_missing(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}

/// The bytes of a value, for the BPF library.
fn bytes<const LEN: usize>(value: &impl bytemuck::NoUninit) -> [u8; LEN] {
    bytemuck::pod_read_unaligned(bytemuck::bytes_of(value))
}

fn failed(verb: &str, table: &'static str) -> impl FnOnce(MapError) -> DataplaneError {
    DataplaneError::aya(format!("{verb} table {table}"))
}
