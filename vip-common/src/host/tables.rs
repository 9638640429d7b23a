//! Tables in memory, with the shapes of those in the kernel.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    vec::Vec,
};

use bytemuck::Zeroable as _;

use crate::{
    FlowKey,
    headers::Mac,
    tables::{
        ANSWERS_A_TICK, Egress, EgressId, Entry, FlowEntry, FlowId4, FlowId6, FlowState, FragmentId,
        FragmentOwner, InsertCount, Member, MemberEntry, MemberId, Port, Service, ServiceKey4, ServiceKey6,
        Slot, Station, Tables, Terms, WideKey4, WideKey6,
    },
};

/// An entry of a flow table in memory. Clones are the same entry.
#[derive(Clone, Debug)]
pub struct SharedFlow(Rc<Cell<FlowEntry>>);

impl SharedFlow {
    /// A new entry.
    #[must_use]
    pub fn new(flow: FlowEntry) -> Self {
        Self(Rc::new(Cell::new(flow)))
    }
}

impl Entry for SharedFlow {
    fn flow(&self) -> FlowEntry {
        self.0.get()
    }

    fn touch(&self, tick: u32) {
        self.0.set(FlowEntry { seen: tick, ..self.0.get() });
    }

    fn advance(&self, state: FlowState) {
        self.0.set(FlowEntry { state: state as u32, ..self.0.get() });
    }
}

/// Tables in memory. One CPU reads them, at the time `now`.
#[derive(Clone, Default, Debug)]
pub struct HostTables {
    /// `PORTS` by interface index.
    pub ports: HashMap<u32, Port>,
    /// `VIPS`: which of the [`VIP_BITS`](crate::tables::VIP_BITS) are set.
    pub vip_bits: HashMap<u32, bool>,
    /// `SERVICES4`.
    pub services4: HashMap<ServiceKey4, Service>,
    /// `SERVICES6`.
    pub services6: HashMap<ServiceKey6, Service>,
    /// `WIDE4`.
    pub wide4: HashMap<WideKey4, Service>,
    /// `WIDE6`.
    pub wide6: HashMap<WideKey6, Service>,
    /// `FLOW_KEY`.
    pub flow_key: Option<FlowKey>,
    /// `RINGS`.
    pub rings: Vec<Slot>,
    /// `MEMBERS` by id.
    pub members: HashMap<MemberId, MemberEntry>,
    /// `EGRESSES` by id.
    pub egresses: HashMap<EgressId, Egress>,
    /// `STATIONS`.
    pub stations: HashMap<Mac, Station>,
    /// `TERMS` by service id.
    pub terms: HashMap<u32, Terms>,
    /// `FLOWS4`.
    pub flows4: RefCell<HashMap<FlowId4, SharedFlow>>,
    /// `FLOWS6`.
    pub flows6: RefCell<HashMap<FlowId6, SharedFlow>>,
    /// `FRAGMENTS`.
    pub fragments: RefCell<HashMap<FragmentId, FragmentOwner>>,
    /// `TURNS` by service id.
    pub turns: RefCell<HashMap<u32, u32>>,
    /// `INSERTS` by service id.
    pub inserts: RefCell<HashMap<u32, InsertCount>>,
    /// `ANSWERS`: the tick, and the answers in it.
    pub answers: Cell<(u32, u32)>,
    /// The clock, in ns.
    pub now: Cell<u64>,
}

impl HostTables {
    /// Makes the flow tables' entries independent of those of whom this was cloned from.
    #[must_use]
    pub fn with_own_flows(self) -> Self {
        for entry in self.flows4.borrow_mut().values_mut() {
            *entry = SharedFlow::new(entry.flow());
        }
        for entry in self.flows6.borrow_mut().values_mut() {
            *entry = SharedFlow::new(entry.flow());
        }
        self
    }
}

impl Tables for HostTables {
    type Entry<'a> = SharedFlow;

    fn port(&self, ifindex: u32) -> Option<Port> {
        self.ports.get(&ifindex).copied()
    }

    fn may_be_vip(&self, bit: u32) -> bool {
        self.vip_bits.get(&bit).copied().unwrap_or_default()
    }

    fn service4(&self, key: &ServiceKey4) -> Option<&Service> {
        self.services4.get(key)
    }

    fn service6(&self, key: &ServiceKey6) -> Option<&Service> {
        self.services6.get(key)
    }

    fn wide4(&self, key: &WideKey4) -> Option<&Service> {
        let fits = |prefix: &WideKey4| prefix.bits <= key.bits && agree(prefix, key, prefix.bits);
        self.wide4
            .iter()
            .filter(|(prefix, _)| fits(prefix))
            .max_by_key(|(prefix, _)| prefix.bits)
            .map(|at| at.1)
    }

    fn wide6(&self, key: &WideKey6) -> Option<&Service> {
        let fits = |prefix: &WideKey6| prefix.bits <= key.bits && agree(prefix, key, prefix.bits);
        self.wide6
            .iter()
            .filter(|(prefix, _)| fits(prefix))
            .max_by_key(|(prefix, _)| prefix.bits)
            .map(|at| at.1)
    }

    fn flow_key(&self) -> Option<&FlowKey> {
        self.flow_key.as_ref()
    }

    fn slot(&self, index: u32) -> Option<Slot> {
        self.rings.get(index as usize).copied()
    }

    fn turn(&self, service: u32, turns: u32) -> u32 {
        let mut next = self.turns.borrow_mut();
        let next = next.entry(service).or_default();
        let turn = if *next < turns { *next } else { 0 };
        *next = turn + 1;
        turn
    }

    fn member(&self, id: MemberId) -> Option<Member> {
        self.members.get(&id).map(|entry| entry.member)
    }

    fn generation(&self, id: MemberId) -> Option<u32> {
        self.members.get(&id).map(|entry| entry.generation)
    }

    fn egress(&self, id: EgressId) -> Option<&Egress> {
        self.egresses.get(&id)
    }

    fn station(&self, mac: Mac) -> Option<&Station> {
        self.stations.get(&mac)
    }

    fn clock(&self) -> u64 {
        self.now.get()
    }

    fn terms(&self, service: u32) -> Option<&Terms> {
        self.terms.get(&service)
    }

    fn may_insert(&self, service: u32, terms: &Terms) -> bool {
        let mut inserts = self.inserts.borrow_mut();
        inserts.entry(service).or_insert_with(InsertCount::zeroed).may_insert(terms)
    }

    fn flow4(&self, id: &FlowId4) -> Option<SharedFlow> {
        self.flows4.borrow().get(id).cloned()
    }

    fn flow6(&self, id: &FlowId6) -> Option<SharedFlow> {
        self.flows6.borrow().get(id).cloned()
    }

    fn insert4(&self, id: &FlowId4, flow: &FlowEntry, replace: bool) -> bool {
        insert(&mut self.flows4.borrow_mut(), *id, *flow, replace)
    }

    fn insert6(&self, id: &FlowId6, flow: &FlowEntry, replace: bool) -> bool {
        insert(&mut self.flows6.borrow_mut(), *id, *flow, replace)
    }

    fn fragment(&self, id: &FragmentId) -> FragmentOwner {
        self.fragments.borrow().get(id).copied().unwrap_or(FragmentOwner::UNSEEN)
    }

    fn remember_fragment(&self, id: &FragmentId, owner: &FragmentOwner) {
        self.fragments.borrow_mut().insert(*id, *owner);
    }

    fn may_answer(&self, tick: u32) -> bool {
        let (then, sent) = self.answers.get();
        let sent = if then == tick { sent } else { 0 };
        self.answers.set((tick, sent + 1));
        sent < ANSWERS_A_TICK
    }
}

fn insert<K: Eq + std::hash::Hash>(
    table: &mut HashMap<K, SharedFlow>,
    id: K,
    flow: FlowEntry,
    replace: bool,
) -> bool {
    if !replace && table.contains_key(&id) {
        return false;
    }
    table.insert(id, SharedFlow::new(flow));
    true
}

/// True if the first `bits` bits behind the number of bits are the same.
fn agree<K: bytemuck::Pod>(one: &K, other: &K, bits: u32) -> bool {
    let (one, other) = (&bytemuck::bytes_of(one)[4..], &bytemuck::bytes_of(other)[4..]);
    (0..bits as usize).all(|bit| (one[bit / 8] ^ other[bit / 8]) >> (7 - bit % 8) & 1 == 0)
}
