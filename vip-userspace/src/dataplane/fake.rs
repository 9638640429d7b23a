//! A dataplane in memory: for tests and for the simulator. It keeps what was written, not what should have been,
//! so that a forgotten operation shows.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use vip_common::{
    MemberId,
    host::HostTables,
    tables::{Service, Slot},
};

use super::{Capacity, Counts, Dataplane};
use crate::plan::{Operation, Tables};

/// Tables in memory. Clones share them: a test keeps one and gives the controller another.
#[derive(Clone, Default, Debug)]
pub struct FakeDataplane(Arc<Mutex<State>>);

#[derive(Default, Debug)]
struct State {
    capacity: Capacity,
    /// All but the rings, which are `slots` here as in the kernel.
    written: Tables,
    slots: Vec<Slot>,
    vip_words: BTreeMap<u32, u64>,
    counts: Counts,
    applied: Vec<Operation>,
    /// Operations that still succeed before one fails.
    until_failure: Option<usize>,
}

impl FakeDataplane {
    /// Empty tables of a capacity.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self(Arc::new(Mutex::new(State { capacity, ..State::default() })))
    }

    /// Lets `operations` more of them succeed, and the one after them fail, once.
    pub fn fail_after(&self, operations: usize) {
        self.state().until_failure = Some(operations);
    }

    /// All operations that were carried out, in their order.
    #[must_use]
    pub fn applied(&self) -> Vec<Operation> {
        self.state().applied.clone()
    }

    /// Forgets which operations were carried out; the tables stay.
    pub fn forget_applied(&self) {
        self.state().applied.clear();
    }

    /// Sets what [`Dataplane::counts`] gives.
    pub fn set_counts(&self, counts: Counts) {
        self.state().counts = counts;
    }

    /// The tables as [`direct`](vip_common::direct()) reads them.
    #[must_use]
    pub fn host_tables(&self) -> HostTables {
        let state = self.state();
        let written = &state.written;
        let bits = state.vip_words.iter().flat_map(|(index, word)| {
            (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| (index * 64 + bit, true))
        });
        HostTables {
            ports: written.ports.iter().map(|(index, port)| (*index, *port)).collect(),
            vip_bits: bits.collect(),
            services4: written.services4.iter().map(|(key, service)| (*key, *service)).collect(),
            services6: written.services6.iter().map(|(key, service)| (*key, *service)).collect(),
            flow_key: written.flow_key,
            rings: state.slots.clone(),
            members: written.members.iter().map(|(id, member)| (*id, *member)).collect(),
            egresses: written.egresses.iter().map(|(id, egress)| (*id, *egress)).collect(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dataplane for FakeDataplane {
    fn read(&self) -> anyhow::Result<Tables> {
        let state = self.state();
        let services = state.written.services4.values().chain(state.written.services6.values());
        let rings = services.filter(|service| service.ring_size > 0).map(|service| state.ring(service));
        let rings = rings.collect::<anyhow::Result<_>>()?;
        Ok(Tables { rings, ..state.written.clone() })
    }

    fn apply(&mut self, operations: &[Operation]) -> anyhow::Result<()> {
        let mut state = self.state();
        for operation in operations {
            if state.until_failure == Some(0) {
                state.until_failure = None;
                anyhow::bail!("the fake dataplane was told to fail");
            }
            state.until_failure = state.until_failure.map(|left| left - 1);
            state.carry_out(operation)?;
            state.applied.push(operation.clone());
        }
        Ok(())
    }

    fn counts(&self) -> anyhow::Result<Counts> {
        Ok(self.state().counts.clone())
    }
}

impl State {
    fn ring(&self, service: &Service) -> anyhow::Result<(u32, Arc<[Slot]>)> {
        let end = service.ring_first.saturating_add(service.ring_size);
        anyhow::ensure!(end <= self.capacity.slots, "service {} has slots up to {end}", service.id);
        let slot = |index: u32| self.slots.get(index as usize).copied().unwrap_or(Slot::of(MemberId::NOBODY));
        Ok((service.ring_first, (service.ring_first..end).map(slot).collect()))
    }

    fn carry_out(&mut self, operation: &Operation) -> anyhow::Result<()> {
        match operation {
            Operation::Port(index, port) => put(&mut self.written.ports, *index, *port),
            Operation::FlowKey(key) => self.written.flow_key = Some(*key),
            Operation::Egress(id, egress) => put(&mut self.written.egresses, *id, *egress),
            Operation::Member(id, member) => {
                anyhow::ensure!(id.0 < self.capacity.member_entries(), "no room for member {}", id.0);
                put(&mut self.written.members, *id, *member);
            }
            Operation::ClearCounts(id) => {
                self.counts.members.remove(id);
            }
            Operation::Slots(first, slots) => self.write_slots(*first as usize, slots)?,
            Operation::Service4(key, service) => put(&mut self.written.services4, *key, *service),
            Operation::Service6(key, service) => put(&mut self.written.services6, *key, *service),
            Operation::VipWord(index, word) => {
                self.vip_words.insert(*index, *word);
            }
        }
        let room = self.capacity.service_entries() as usize;
        let used = self.written.services4.len().max(self.written.services6.len());
        anyhow::ensure!(used <= room, "no room for {used} entries of services and VIPs");
        Ok(())
    }

    fn write_slots(&mut self, first: usize, slots: &[Slot]) -> anyhow::Result<()> {
        let end = first + slots.len();
        anyhow::ensure!(end <= self.capacity.slots as usize, "no room for slots up to {end}");
        if self.slots.len() < end {
            self.slots.resize(end, Slot::of(MemberId::NOBODY));
        }
        self.slots[first..end].copy_from_slice(slots);
        Ok(())
    }
}

/// Writes or removes an entry, as a table in the kernel would.
fn put<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => table.insert(key, value),
        None => table.remove(&key),
    };
}

#[cfg(test)]
mod tests {
    use vip_common::tables::{EgressId, Member, ServiceKey4, vip_bit4};

    use super::*;

    fn operations() -> Vec<Operation> {
        let member = Member { mac: [2, 0, 0, 0, 0, 1], egress: EgressId(1), state: Member::UP };
        let service = Service { ring_first: 4, ring_size: 2, flags: 0, id: 1 };
        let bit = vip_bit4([10, 0, 0, 1]);
        vec![
            Operation::Member(MemberId(1), Some(member)),
            Operation::Slots(4, vec![Slot::of(MemberId(1)); 2]),
            Operation::Service4(ServiceKey4::vip([10, 0, 0, 1]), Some(service)),
            Operation::VipWord(bit / 64, 1 << (bit % 64)),
        ]
    }

    #[test]
    fn what_was_written_is_read_back() {
        let mut fake = FakeDataplane::default();
        fake.apply(&operations()).expect("apply");
        let tables = fake.read().expect("read");
        assert_eq!(tables.rings.get(&4), Some(&[Slot::of(MemberId(1)); 2].into()));
        assert_eq!(tables.members.len(), 1);
        let host = fake.host_tables();
        assert!(vip_common::Tables::may_be_vip(&host, vip_bit4([10, 0, 0, 1])));
        assert!(!vip_common::Tables::may_be_vip(&host, vip_bit4([10, 0, 0, 2])));
        assert_eq!(host.rings.len(), 6);
    }

    #[test]
    fn it_fails_when_told_to_and_once() {
        let mut fake = FakeDataplane::default();
        fake.fail_after(2);
        assert!(fake.apply(&operations()).is_err());
        assert_eq!(fake.applied(), operations()[..2]);
        fake.apply(&operations()).expect("a second try");
        assert_eq!(fake.read().expect("read").services4.len(), 1);
    }

    #[test]
    fn what_is_beyond_its_capacity_is_refused() {
        let mut fake =
            FakeDataplane::new(Capacity { slots: 4, members: 1, services: 1, ..Capacity::default() });
        let too_far =
            [Operation::Slots(3, vec![Slot::of(MemberId(1)); 2]), Operation::Member(MemberId(2), None)];
        for operation in too_far {
            assert!(fake.apply(std::slice::from_ref(&operation)).is_err(), "{operation:?}");
        }
    }
}
