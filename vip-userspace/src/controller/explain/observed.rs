//! Tables in memory that note what the decision asks them. What they answer is not changed by that.

use std::cell::RefCell;

use vip_common::{
    FlowKey, MemberId,
    headers::Mac,
    host::{HostTables, SharedFlow},
    tables::{
        Egress, EgressId, FlowEntry, FlowId4, FlowId6, FragmentId, FragmentOwner, Member, Port, Service,
        ServiceKey4, ServiceKey6, Slot, Station, Tables, Terms, WideKey4, WideKey6,
    },
};

use crate::dataplane::rehearsal::Asked;

/// What the decision was told. Look-ups that say nothing to an operator are left out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Seen {
    /// By which port the packet came in.
    Port(u32, Option<Port>),
    /// An entry that names a ring: of a service, or of the VIP itself.
    Service(Service, Entry),
    /// A slot by its index in `RINGS`.
    Slot(u32, Slot),
    /// The entry of its flow.
    Flow(Option<FlowEntry>),
    /// An entry that a real packet would leave.
    Written(FlowEntry),
    /// There is no allowance left to write one.
    Refused,
    /// Where the first fragment went.
    Fragment(FragmentOwner),
    /// This one would be remembered as the first.
    Remembered,
    /// The way out.
    Egress(Egress),
}

/// Whose an entry is that names a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// A service's.
    Service,
    /// The VIP's own, for what no service takes.
    Vip,
}

/// Tables that note it.
pub(super) struct Observed<'a> {
    tables: &'a HostTables,
    seen: RefCell<Vec<Seen>>,
    asked: RefCell<Vec<Asked>>,
}

impl<'a> Observed<'a> {
    pub(super) fn new(tables: &'a HostTables) -> Self {
        Self { tables, seen: RefCell::default(), asked: RefCell::default() }
    }

    /// What was seen, each once, and what packets write was asked for.
    pub(super) fn end(self) -> (Vec<Seen>, Vec<Asked>) {
        (self.seen.into_inner(), self.asked.into_inner())
    }

    /// The fast path may have seen it already.
    fn note(&self, seen: Seen) {
        let mut all = self.seen.borrow_mut();
        if !all.contains(&seen) {
            all.push(seen);
        }
    }

    fn ask(&self, asked: Asked) {
        self.asked.borrow_mut().push(asked);
    }

    fn service<'b>(&self, found: Option<&'b Service>, entry: Entry) -> Option<&'b Service> {
        if let Some(service) = found {
            self.note(Seen::Service(*service, entry));
            self.ask(Asked::Service(service.id));
        }
        found
    }

    fn flow(&self, found: Option<SharedFlow>) -> Option<SharedFlow> {
        self.note(Seen::Flow(found.as_ref().map(vip_common::tables::Entry::flow)));
        found
    }
}

impl Tables for Observed<'_> {
    type Entry<'a>
        = SharedFlow
    where
        Self: 'a;

    fn port(&self, ifindex: u32) -> Option<Port> {
        let port = self.tables.port(ifindex);
        self.note(Seen::Port(ifindex, port));
        port
    }

    fn may_be_vip(&self, bit: u32) -> bool {
        self.tables.may_be_vip(bit)
    }

    fn service4(&self, key: &ServiceKey4) -> Option<&Service> {
        let found = self.tables.service4(key);
        match *key {
            key if key == ServiceKey4::own(key.vip) => found,
            key if key == ServiceKey4::vip(key.vip) => self.service(found, Entry::Vip),
            _ => self.service(found, Entry::Service),
        }
    }

    fn service6(&self, key: &ServiceKey6) -> Option<&Service> {
        let found = self.tables.service6(key);
        match *key {
            key if key == ServiceKey6::own(key.vip) => found,
            key if key == ServiceKey6::vip(key.vip) => self.service(found, Entry::Vip),
            _ => self.service(found, Entry::Service),
        }
    }

    fn wide4(&self, key: &WideKey4) -> Option<&Service> {
        self.service(self.tables.wide4(key), Entry::Service)
    }

    fn wide6(&self, key: &WideKey6) -> Option<&Service> {
        self.service(self.tables.wide6(key), Entry::Service)
    }

    fn flow_key(&self) -> Option<&FlowKey> {
        self.tables.flow_key()
    }

    fn slot(&self, index: u32) -> Option<Slot> {
        let slot = self.tables.slot(index);
        if let Some(slot) = slot {
            self.note(Seen::Slot(index, slot));
        }
        slot
    }

    fn turn(&self, service: u32, turns: u32) -> u32 {
        self.tables.turn(service, turns)
    }

    fn member(&self, id: MemberId) -> Option<Member> {
        self.tables.member(id)
    }

    fn generation(&self, id: MemberId) -> Option<u32> {
        self.tables.generation(id)
    }

    fn egress(&self, id: EgressId) -> Option<&Egress> {
        let egress = self.tables.egress(id);
        if let Some(egress) = egress {
            self.note(Seen::Egress(*egress));
        }
        egress
    }

    fn station(&self, mac: Mac) -> Option<&Station> {
        self.tables.station(mac)
    }

    fn clock(&self) -> u64 {
        self.tables.clock()
    }

    fn terms(&self, service: u32) -> Option<&Terms> {
        self.tables.terms(service)
    }

    fn may_insert(&self, service: u32, terms: &Terms) -> bool {
        let may = self.tables.may_insert(service, terms);
        if !may {
            self.note(Seen::Refused);
        }
        may
    }

    fn flow4(&self, id: &FlowId4) -> Option<SharedFlow> {
        self.ask(Asked::Flow4(*id));
        self.flow(self.tables.flow4(id))
    }

    fn flow6(&self, id: &FlowId6) -> Option<SharedFlow> {
        self.ask(Asked::Flow6(*id));
        self.flow(self.tables.flow6(id))
    }

    fn insert4(&self, id: &FlowId4, flow: &FlowEntry, replace: bool) -> bool {
        self.note(Seen::Written(*flow));
        self.tables.insert4(id, flow, replace)
    }

    fn insert6(&self, id: &FlowId6, flow: &FlowEntry, replace: bool) -> bool {
        self.note(Seen::Written(*flow));
        self.tables.insert6(id, flow, replace)
    }

    fn fragment(&self, id: &FragmentId) -> FragmentOwner {
        self.ask(Asked::Fragment(*id));
        let owner = self.tables.fragment(id);
        self.note(Seen::Fragment(owner));
        owner
    }

    fn remember_fragment(&self, id: &FragmentId, owner: &FragmentOwner) {
        self.note(Seen::Remembered);
        self.tables.remember_fragment(id, owner);
    }

    fn may_answer(&self, tick: u32) -> bool {
        self.ask(Asked::Answers);
        self.tables.may_answer(tick)
    }
}
