//! A dataplane in memory: for tests and for the simulator. It keeps what was written, not what should have been,
//! so that a forgotten operation shows.

use std::{
    cell::{Ref, RefCell, RefMut},
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use bytemuck::Zeroable;
use vip_common::{
    Action, MemberId, Reason, direct,
    host::{HostFrame, HostTables, SharedFlow},
    tables::{Entry as _, Fate, InsertCount, MemberEntry, Slot, tick},
};

use super::{Capacity, Counts, Dataplane, Swept};
use crate::{
    plan::{Operation, Tables},
    ring::Ring,
};

/// Tables in memory. Clones share them: a test keeps one and gives the controller another.
#[derive(Clone, Default, Debug)]
pub struct FakeDataplane(Rc<RefCell<State>>);

#[derive(Default, Debug)]
struct State {
    capacity: Capacity,
    /// All that packets read, and what they write.
    host: HostTables,
    counts: Counts,
    applied: Vec<Operation>,
    /// Operations that still succeed before one fails.
    until_failure: Option<usize>,
    sweeps: usize,
}

impl FakeDataplane {
    /// Empty tables of a capacity.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self(Rc::new(RefCell::new(State { capacity, ..State::default() })))
    }

    /// Lets `operations` more of them succeed, and the one after them fail, once.
    pub fn fail_after(&self, operations: usize) {
        self.state_mut().until_failure = Some(operations);
    }

    /// All operations that were carried out, in their order.
    #[must_use]
    pub fn applied(&self) -> Vec<Operation> {
        self.state().applied.clone()
    }

    /// Forgets which operations were carried out; the tables stay.
    pub fn forget_applied(&self) {
        self.state_mut().applied.clear();
    }

    /// Sets what [`Dataplane::counts`] gives of members and reasons.
    pub fn set_counts(&self, counts: Counts) {
        self.state_mut().counts = counts;
    }

    /// How often the flow table was swept.
    #[must_use]
    pub fn sweeps(&self) -> usize {
        self.state().sweeps
    }

    /// Sets the clock that packets and sweeps go by, in ns.
    pub fn set_clock(&self, now: u64) {
        self.state().host.now.set(now);
    }

    /// Lets a packet come in: it gets what [`direct`](vip_common::direct()) decides, and leaves its traces in the tables.
    pub fn direct(&self, frame: &mut HostFrame) -> Action {
        direct(frame, &self.state().host)
    }

    /// Forgets all flows, as if they had ended long ago.
    pub fn forget_flows(&self) {
        let state = self.state();
        state.host.flows4.borrow_mut().clear();
        state.host.flows6.borrow_mut().clear();
    }

    /// A copy of the tables as [`direct`](vip_common::direct()) reads them. Their flows are the same entries, but new
    /// ones stay in the copy.
    #[must_use]
    pub fn host_tables(&self) -> HostTables {
        self.state().host.clone()
    }

    fn state(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    fn state_mut(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }
}

impl Dataplane for FakeDataplane {
    fn read(&self) -> anyhow::Result<Tables> {
        let state = self.state();
        let host = &state.host;
        let mut tables = Tables {
            ports: sorted(&host.ports),
            services4: sorted(&host.services4),
            services6: sorted(&host.services6),
            wide4: sorted(&host.wide4),
            wide6: sorted(&host.wide6),
            rings: BTreeMap::new(),
            members: host.members.iter().map(|(id, entry)| (*id, *entry)).collect(),
            egresses: sorted(&host.egresses),
            stations: sorted(&host.stations),
            terms: sorted(&host.terms),
            flow_key: host.flow_key,
        };
        tables.rings =
            tables.places().into_iter().map(|place| state.ring(place)).collect::<anyhow::Result<_>>()?;
        Ok(tables)
    }

    fn apply(&mut self, operations: &[Operation]) -> anyhow::Result<()> {
        let mut state = self.state_mut();
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

    fn strays(&self, published: &Tables, part: usize, _: usize) -> anyhow::Result<Vec<Operation>> {
        if part > 0 {
            return Ok(Vec::new());
        }
        let rings = published.rings.iter().map(|(first, slots)| {
            let len = u32::try_from(slots.len())?;
            self.state().ring((*first, len))
        });
        let rings = rings.collect::<anyhow::Result<_>>()?;
        let found = Tables { rings, ..self.read()? };
        let mut operations = crate::plan::plan(&found, published);
        // What was counted is nobody's to forget.
        operations.retain(|operation| !matches!(operation, Operation::ClearCounts(_)));
        Ok(operations)
    }

    fn counts(&self) -> anyhow::Result<Counts> {
        let state = self.state();
        let mut counts = state.counts.clone();
        for count in state.host.inserts.borrow().values() {
            counts.flows.inserted += count.inserted;
            counts.flows.refused += count.refused;
        }
        Ok(counts)
    }

    fn bounced(&self) -> anyhow::Result<u64> {
        Ok(self.state().counts.reasons.get(Reason::Bounced as usize).copied().unwrap_or_default())
    }

    fn sweep(&mut self) -> anyhow::Result<Swept> {
        let mut state = self.state_mut();
        let mut swept = Swept::default();
        let deleted = sweep_flows(&state.host, &mut swept);
        state.sweeps += 1;
        state.counts.flows.live = swept.live;
        state.counts.flows.deleted += deleted;
        Ok(swept)
    }

    fn inserts(&self, service: u32) -> anyhow::Result<InsertCount> {
        let count = self.state().host.inserts.borrow().get(&service).copied();
        Ok(count.unwrap_or_else(InsertCount::zeroed))
    }

    fn capacity(&self) -> Capacity {
        self.state().capacity
    }

    fn cpus(&self) -> u32 {
        1
    }
}

/// Does what the sweeper does in the kernel, and tells how many entries it deleted.
fn sweep_flows(host: &HostTables, swept: &mut Swept) -> u64 {
    let (mut flows4, mut flows6) = (host.flows4.borrow_mut(), host.flows6.borrow_mut());
    let before = flows4.len() + flows6.len();
    flows4.retain(|id, flow| stays(host, id.scope, flow, swept));
    flows6.retain(|id, flow| stays(host, id.scope, flow, swept));
    (before - flows4.len() - flows6.len()) as u64
}

fn stays(host: &HostTables, scope: u32, flow: &SharedFlow, swept: &mut Swept) -> bool {
    let flow = flow.flow();
    let fate = flow.fate(host, scope >> 8, tick(host.now.get()));
    if fate == Fate::Over {
        return false;
    }
    swept.live += 1;
    *swept.flows.entry(flow.member).or_default() += 1;
    if fate == Fate::Held {
        *swept.held.entry(flow.slot / 64).or_default() |= 1 << (flow.slot % 64);
    }
    true
}

impl State {
    fn ring(&self, (first, len): (u32, u32)) -> anyhow::Result<(u32, Ring)> {
        let end = first.saturating_add(len);
        anyhow::ensure!(end <= self.capacity.slots, "a service has slots up to {end}");
        let slots = &self.host.rings;
        let slot = |index: u32| slots.get(index as usize).copied().unwrap_or(Slot::of(MemberId::NOBODY));
        Ok((first, (first..end).map(slot).collect()))
    }

    fn carry_out(&mut self, operation: &Operation) -> anyhow::Result<()> {
        let host = &mut self.host;
        match operation {
            Operation::Port(index, port) => put(&mut host.ports, *index, *port),
            Operation::FlowKey(key) => host.flow_key = Some(*key),
            Operation::Egress(id, egress) => put(&mut host.egresses, *id, *egress),
            Operation::Member(id, member) => {
                let member = member.unwrap_or_else(Zeroable::zeroed);
                self.write_member(*id, |entry| entry.member = member)?;
            }
            Operation::Generation(id, generation) => {
                self.write_member(*id, |entry| entry.generation = *generation)?;
            }
            Operation::ClearCounts(id) => {
                self.counts.members.remove(id);
            }
            Operation::Terms(id, terms) => {
                anyhow::ensure!(*id < self.capacity.service_numbers(), "no room for service {id}");
                put(&mut host.terms, *id, *terms);
            }
            Operation::Station(mac, station) => put(&mut host.stations, *mac, *station),
            Operation::Slots(first, slots) => self.write_slots(*first as usize, slots)?,
            Operation::Ring(first, ring) => {
                self.write_slots(*first as usize, &ring.iter().collect::<Vec<_>>())?;
            }
            Operation::Service4(key, service) => put(&mut host.services4, *key, *service),
            Operation::Service6(key, service) => put(&mut host.services6, *key, *service),
            Operation::Wide4(key, service) => put(&mut host.wide4, *key, *service),
            Operation::Wide6(key, service) => put(&mut host.wide6, *key, *service),
            Operation::VipWord(index, word) => {
                host.vip_bits.extend((0..64).map(|bit| (index * 64 + bit, word >> bit & 1 != 0)));
            }
        }
        let room = self.capacity.service_entries() as usize;
        let used = self.host.services4.len().max(self.host.services6.len());
        anyhow::ensure!(used <= room, "no room for {used} entries of services and VIPs");
        Ok(())
    }

    fn write_member(&mut self, id: MemberId, write: impl FnOnce(&mut MemberEntry)) -> anyhow::Result<()> {
        anyhow::ensure!(id.0 < self.capacity.member_entries(), "no room for member {}", id.0);
        let entry = self.host.members.entry(id).or_insert_with(MemberEntry::zeroed);
        write(entry);
        if *entry == MemberEntry::zeroed() {
            self.host.members.remove(&id);
        }
        Ok(())
    }

    fn write_slots(&mut self, first: usize, slots: &[Slot]) -> anyhow::Result<()> {
        let end = first + slots.len();
        anyhow::ensure!(end <= self.capacity.slots as usize, "no room for slots up to {end}");
        let rings = &mut self.host.rings;
        if rings.len() < end {
            rings.resize(end, Slot::of(MemberId::NOBODY));
        }
        rings[first..end].copy_from_slice(slots);
        Ok(())
    }
}

/// Writes or removes an entry, as a table in the kernel would.
fn put<K: Eq + std::hash::Hash, V>(table: &mut HashMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => table.insert(key, value),
        None => table.remove(&key),
    };
}

fn sorted<K: Ord + Copy, V: Copy>(table: &HashMap<K, V>) -> BTreeMap<K, V> {
    table.iter().map(|(key, value)| (*key, *value)).collect()
}

#[cfg(test)]
mod tests {
    use vip_common::tables::{EgressId, Member, Service, ServiceKey4, vip_bit4};

    use super::*;

    fn operations() -> Vec<Operation> {
        let member = Member { mac: [2, 0, 0, 0, 0, 1], egress: EgressId(1), state: Member::UP };
        let service = Service { ring_first: 4, ring_size: 2, id: 1, ..Service::zeroed() };
        let bit = vip_bit4([10, 0, 0, 1]);
        vec![
            Operation::Member(MemberId(1), Some(member)),
            Operation::Slots(4, [Slot::of(MemberId(1)); 2].into()),
            Operation::Service4(ServiceKey4::vip([10, 0, 0, 1]), Some(service)),
            Operation::VipWord(bit / 64, 1 << (bit % 64)),
        ]
    }

    #[test]
    fn what_was_written_is_read_back() {
        let mut fake = FakeDataplane::default();
        fake.apply(&operations()).expect("apply");
        let tables = fake.read().expect("read");
        assert_eq!(tables.rings.get(&4), Some(&Ring::at_rest(&[MemberId(1); 2])));
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
            [Operation::Slots(3, [Slot::of(MemberId(1)); 2].into()), Operation::Member(MemberId(2), None)];
        for operation in too_far {
            assert!(fake.apply(std::slice::from_ref(&operation)).is_err(), "{operation:?}");
        }
    }
}
