//! What the tables hold, and what packets have left in them.

use std::collections::BTreeMap;

use aya::maps::{MapData, PerCpuArray};
use bytemuck::Zeroable as _;
use vip_common::{
    FlowKey, MemberId, Reason,
    tables::{Egress, EgressId, InsertCount, MemberCount, MemberEntry, Slot, Sweep, Terms, names},
};

use super::{
    Maps, Result,
    entries::{all, all_wide, failed, station_mac},
};
use crate::{
    dataplane::{Counts, FlowCounts, Swept, error::DataplaneError, mapping::Words},
    plan::Tables,
    ring::Ring,
};

impl Maps {
    pub(in crate::dataplane) fn read(&self) -> Result<Tables> {
        let stations: BTreeMap<u64, _> = all(names::STATIONS, self.stations.iter())?;
        let members: BTreeMap<_, MemberEntry> = pairs(&self.members);
        let terms: BTreeMap<_, Terms> = pairs(&self.terms);
        let mut tables = Tables {
            ports: self.ports.set_words().map(|(index, word)| (index, bytemuck::cast(word))).collect(),
            services4: all(names::SERVICES4, self.services4.iter())?,
            services6: all(names::SERVICES6, self.services6.iter())?,
            wide4: all_wide(names::WIDE4, &self.wide4)?,
            wide6: all_wide(names::WIDE6, &self.wide6)?,
            rings: BTreeMap::new(),
            members: members.into_iter().map(|(id, entry)| (MemberId(id), entry)).collect(),
            egresses: self.read_egresses()?,
            stations: stations.into_iter().map(|(key, station)| (station_mac(key), station)).collect(),
            terms,
            flow_key: self.read_flow_key()?,
        };
        tables.rings = tables.places().into_iter().map(|place| self.ring(place)).collect::<Result<_>>()?;
        Ok(tables)
    }

    fn ring(&self, (first, len): (u32, u32)) -> Result<(u32, Ring)> {
        let room = self.rings.len();
        let end = first.checked_add(len).filter(|end| *end <= room).ok_or_else(|| {
            let table = names::RINGS;
            DataplaneError::Broken(format!(
                "a service has {len} slots from {first} on, but {table} has {room}"
            ))
        })?;
        let slots = (first..end).filter_map(|index| self.rings.get(index));
        Ok((first, slots.map(bytemuck::cast::<u64, Slot>).collect()))
    }

    pub(super) fn read_egresses(&self) -> Result<BTreeMap<EgressId, Egress>> {
        let mut egresses = BTreeMap::new();
        for id in 0..=u8::MAX {
            let value = self.egresses.get(&u32::from(id), 0).map_err(failed("read", names::EGRESSES))?;
            if value != [0; 16] {
                egresses.insert(EgressId(id), bytemuck::cast(value));
            }
        }
        Ok(egresses)
    }

    pub(super) fn read_flow_key(&self) -> Result<Option<FlowKey>> {
        let value = self.flow_key.get(&0, 0).map_err(failed("read", names::FLOW_KEY))?;
        Ok(value.iter().any(|byte| *byte != 0).then(|| bytemuck::pod_read_unaligned(&value)))
    }

    pub(in crate::dataplane) fn counts(&self) -> Result<Counts> {
        let mut members = BTreeMap::new();
        for id in 1..self.member_counts.len() {
            let sum = self.member_count(id)?;
            if sum.packets > 0 || sum.bounced > 0 {
                members.insert(MemberId(id), sum);
            }
        }
        let reasons = Reason::ALL.iter().map(|reason| self.reason_count(*reason)).collect::<Result<_>>()?;
        Ok(Counts { members, reasons, flows: self.flow_counts()? })
    }

    /// Packets of one reason, on all CPUs.
    pub(in crate::dataplane) fn reason_count(&self, reason: Reason) -> Result<u64> {
        let values = self.reason_counts.get(&(reason as u32), 0);
        Ok(values.map_err(failed("read", names::REASON_COUNTS))?.iter().sum())
    }

    fn member_count(&self, id: u32) -> Result<MemberCount> {
        let mut sum = MemberCount::zeroed();
        for value in per_cpu::<MemberCount, _>(names::MEMBER_COUNTS, &self.member_counts, id)? {
            sum.packets += value.packets;
            sum.bytes += value.bytes;
            sum.flows += value.flows;
            sum.bounced += value.bounced;
        }
        Ok(sum)
    }

    fn flow_counts(&self) -> Result<FlowCounts> {
        let Sweep { live, deleted, inserted } = self.read_sweep()?;
        let evicted = inserted.saturating_sub(live).saturating_sub(deleted);
        let mut counts = FlowCounts { live, deleted, evicted, inserted: 0, refused: 0 };
        for id in 1..self.inserts.len() {
            let count = self.inserts(id)?;
            counts.inserted += count.inserted;
            counts.refused += count.refused;
        }
        Ok(counts)
    }

    /// What a service wrote to the flow table, on all CPUs; the period is not told.
    pub(in crate::dataplane) fn inserts(&self, service: u32) -> Result<InsertCount> {
        let mut sum = InsertCount::zeroed();
        for value in per_cpu::<InsertCount, _>(names::INSERTS, &self.inserts, service)? {
            sum.inserted += value.inserted;
            sum.refused += value.refused;
        }
        Ok(sum)
    }

    /// Forgets what the last sweep found, and notes what there is for the next one to find.
    pub(in crate::dataplane) fn prepare_sweep(&mut self) -> Result<()> {
        self.held.clear();
        self.member_flows.clear();
        let inserted = self.flow_counts()?.inserted;
        let value: [u8; size_of::<Sweep>()] = bytemuck::cast(Sweep { inserted, ..self.read_sweep()? });
        self.sweep.set(0, value, 0).map_err(failed("write", names::SWEEP))
    }

    fn read_sweep(&self) -> Result<Sweep> {
        let value = self.sweep.get(&0, 0).map_err(failed("read", names::SWEEP))?;
        Ok(bytemuck::cast(value))
    }

    /// What the last sweep found.
    pub(in crate::dataplane) fn swept(&self) -> Result<Swept> {
        Ok(Swept {
            live: self.read_sweep()?.live,
            held: self.held.set_words().collect(),
            flows: self.member_flows.set_words().map(|(id, flows)| (MemberId(id), flows)).collect(),
        })
    }
}

/// The values of a table whose values have two words, but for those that are zero.
fn pairs<T: bytemuck::Pod>(words: &Words) -> BTreeMap<u32, T> {
    let word = |index| words.get(index).unwrap_or_default();
    let value = |index: u32| [word(index * 2), word(index * 2 + 1)];
    let all = (0..words.len() / 2).map(|index| (index, value(index)));
    all.filter(|(_, value)| *value != [0; 2]).map(|(index, value)| (index, bytemuck::cast(value))).collect()
}

/// The value of each CPU.
fn per_cpu<T: bytemuck::Pod, const LEN: usize>(
    table: &'static str,
    map: &PerCpuArray<MapData, [u8; LEN]>,
    index: u32,
) -> Result<Vec<T>> {
    let values = map.get(&index, 0).map_err(failed("read", table))?;
    Ok(values.iter().map(|value| bytemuck::pod_read_unaligned(value)).collect())
}
