//! Rules of slots that remember which need tables that change between two packets, or a count of what is looked up.

use std::{cell::RefCell, collections::BTreeMap};

use vip_common::{
    Action, FlowKey, MemberId, Reason, Tables, direct,
    headers::{Mac, UDP},
    host::{HostFrame, HostTables, SharedFlow},
    tables::{
        Egress, EgressId, FRAGMENT_LIFE, FlowEntry, FlowId4, FlowId6, FragmentId, FragmentOwner, Member,
        OnDead, Port, Service, ServiceKey4, ServiceKey6, Slot, Station, TICK_BITS, Terms, WideKey4, WideKey6,
    },
};
use vip_tests::{
    packet::{
        Packet,
        layers::{fragment4, segment},
    },
    world::{
        PORT, VIP4, VIP6, WEB, now, on_host,
        special::{HERE, HERE_MEMBER, MOVED, NEW_MEMBER, OLD_MEMBER},
        spread::by_addresses4,
        tables,
    },
};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const FIRST: u32 = 1000;

/// The member that gets a packet of one connection.
fn owner(tables: &HostTables, flags: u8, ahead: u32) -> MemberId {
    let packet = Packet::to4(VIP4).from_port(4711);
    let packet = if flags == SYN { packet.syn(MOVED) } else { packet.tcp(MOVED) };
    let frame = segment(packet.frame(), flags, FIRST + ahead, 1);
    direct(&mut HostFrame::new(&frame, PORT), tables).member
}

/// Tables in which a connection has begun with the new member of its slot.
fn begun(segments: &[(u8, u32)]) -> HostTables {
    let tables = on_host(&tables());
    tables.now.set(now());
    for (flags, ahead) in segments {
        assert_eq!(owner(&tables, *flags, *ahead), NEW_MEMBER);
    }
    tables
}

#[test]
fn an_entry_of_an_older_generation_counts_for_nothing() {
    let mut tables = begun(&[(SYN, 0), (ACK, 1), (ACK, 2)]);
    tables.members.get_mut(&NEW_MEMBER).expect("a member").generation += 1;
    assert_eq!(owner(&tables, ACK, 3), OLD_MEMBER);
}

#[test]
fn an_entry_whose_time_is_over_counts_for_nothing_before_any_sweep() {
    let tables = begun(&[(SYN, 0), (ACK, 1)]);
    let longest = tables.terms.values().map(|terms| terms.idle).max().expect("terms");
    tables.now.set(tables.now.get() + (u64::from(longest) << TICK_BITS));
    assert_eq!(owner(&tables, ACK, 2), NEW_MEMBER, "it is noted to a sixteenth of the idle time");
    tables.now.set(tables.now.get() + (u64::from(longest) << (TICK_BITS + 1)));
    assert_eq!(owner(&tables, ACK, 3), OLD_MEMBER);
}

#[test]
fn a_pending_syn_is_continued_though_its_slot_has_one_member_again() {
    let mut tables = begun(&[(SYN, 0)]);
    for slot in tables.rings.iter_mut().filter(|slot| slot.current == NEW_MEMBER) {
        *slot = Slot::tracked(OLD_MEMBER, OLD_MEMBER);
    }
    assert_eq!(owner(&tables, ACK, 1), NEW_MEMBER);
    assert_eq!(owner(&tables, ACK, 2), NEW_MEMBER);
}

/// Where the later fragment of a datagram goes after something happened, and why.
fn later(happens: impl FnOnce(&mut HostTables)) -> Action {
    let mut tables = on_host(&tables());
    tables.now.set(now());
    let packet = Packet::to4(VIP4);
    let first = fragment4(packet.clone().udp(HERE).frame(), 0, true, 7);
    assert_eq!(direct(&mut HostFrame::new(&first, PORT), &tables), Action::local(HERE_MEMBER));
    happens(&mut tables);
    let later = fragment4(packet.raw(UDP, &[0; 16]).frame(), 4, false, 7);
    direct(&mut HostFrame::new(&later, PORT), &tables)
}

/// Goes by the addresses.
fn unseen() -> Action {
    Action::transmit(by_addresses4(VIP4, UDP), false).because(Reason::FragmentBeforeFirst)
}

fn is_down(tables: &mut HostTables, on_dead: OnDead) {
    tables.members.get_mut(&HERE_MEMBER).expect("a member").member.state = Member::DOWN;
    for first in tables.fragments.borrow_mut().values_mut() {
        first.on_dead = on_dead as u8;
    }
}

#[test]
fn a_first_fragment_is_remembered_for_two_seconds() {
    let passes = |ns| move |tables: &mut HostTables| tables.now.set(tables.now.get() + ns);
    assert_eq!(later(passes(FRAGMENT_LIFE)), Action::local(HERE_MEMBER));
    assert_eq!(later(passes(FRAGMENT_LIFE + 1)), unseen());
}

#[test]
fn a_first_fragment_that_an_older_generation_got_counts_for_nothing() {
    let returns = |tables: &mut HostTables| {
        tables.members.get_mut(&HERE_MEMBER).expect("a member").generation += 1;
    };
    assert_eq!(later(returns), unseen());
}

#[test]
fn later_fragments_of_a_dead_member_get_what_its_service_says() {
    assert_eq!(later(|tables| is_down(tables, OnDead::Move)), unseen());
    assert_eq!(later(|tables| is_down(tables, OnDead::Reset)), Action::drop(Reason::DeadMember));
    assert_eq!(later(|tables| is_down(tables, OnDead::Drop)), Action::drop(Reason::DeadMember));
    assert_eq!(later(|tables| is_down(tables, OnDead::Keep)), Action::transmit(HERE_MEMBER, false));
}

/// Tables that note how often each of them is asked.
struct Counted<'a> {
    tables: &'a HostTables,
    asked: RefCell<BTreeMap<&'static str, u32>>,
}

impl<'a> Counted<'a> {
    fn new(tables: &'a HostTables) -> Self {
        Self { tables, asked: RefCell::default() }
    }

    fn ask(&self, table: &'static str) -> &'a HostTables {
        *self.asked.borrow_mut().entry(table).or_default() += 1;
        self.tables
    }
}

impl Tables for Counted<'_> {
    type Entry<'a>
        = SharedFlow
    where
        Self: 'a;

    fn port(&self, ifindex: u32) -> Option<Port> {
        self.ask("PORTS").port(ifindex)
    }
    fn may_be_vip(&self, bit: u32) -> bool {
        self.ask("VIPS").may_be_vip(bit)
    }
    fn service4(&self, key: &ServiceKey4) -> Option<&Service> {
        self.ask("SERVICES").service4(key)
    }
    fn service6(&self, key: &ServiceKey6) -> Option<&Service> {
        self.ask("SERVICES").service6(key)
    }
    fn wide4(&self, key: &WideKey4) -> Option<&Service> {
        self.ask("WIDE").wide4(key)
    }
    fn wide6(&self, key: &WideKey6) -> Option<&Service> {
        self.ask("WIDE").wide6(key)
    }
    fn flow_key(&self) -> Option<&FlowKey> {
        self.ask("FLOW_KEY").flow_key()
    }
    fn slot(&self, index: u32) -> Option<Slot> {
        self.ask("RINGS").slot(index)
    }
    fn turn(&self, service: u32, turns: u32) -> u32 {
        self.ask("TURNS").turn(service, turns)
    }
    fn member(&self, id: MemberId) -> Option<Member> {
        self.ask("MEMBERS").member(id)
    }
    fn generation(&self, id: MemberId) -> Option<u32> {
        self.ask("MEMBERS").generation(id)
    }
    fn egress(&self, id: EgressId) -> Option<&Egress> {
        self.ask("EGRESSES").egress(id)
    }
    fn station(&self, mac: Mac) -> Option<&Station> {
        self.ask("STATIONS").station(mac)
    }
    fn clock(&self) -> u64 {
        self.ask("the clock").clock()
    }
    fn terms(&self, service: u32) -> Option<&Terms> {
        self.ask("TERMS").terms(service)
    }
    fn may_insert(&self, service: u32, terms: &Terms) -> bool {
        self.ask("INSERTS").may_insert(service, terms)
    }
    fn flow4(&self, id: &FlowId4) -> Option<SharedFlow> {
        self.ask("FLOWS").flow4(id)
    }
    fn flow6(&self, id: &FlowId6) -> Option<SharedFlow> {
        self.ask("FLOWS").flow6(id)
    }
    fn insert4(&self, id: &FlowId4, flow: &FlowEntry, replace: bool) -> bool {
        self.ask("FLOWS").insert4(id, flow, replace)
    }
    fn insert6(&self, id: &FlowId6, flow: &FlowEntry, replace: bool) -> bool {
        self.ask("FLOWS").insert6(id, flow, replace)
    }
    fn fragment(&self, id: &FragmentId) -> FragmentOwner {
        self.ask("FRAGMENTS").fragment(id)
    }
    fn remember_fragment(&self, id: &FragmentId, owner: &FragmentOwner) {
        self.ask("FRAGMENTS").remember_fragment(id, owner);
    }
    fn may_answer(&self, tick: u32) -> bool {
        self.ask("ANSWERS").may_answer(tick)
    }
}

/// What is asked for a packet, each table with a number.
fn asked(frame: &[u8]) -> Vec<(&'static str, u32)> {
    let tables = on_host(&tables());
    let counted = Counted::new(&tables);
    direct(&mut HostFrame::new(frame, PORT), &counted);
    counted.asked.into_inner().into_iter().collect()
}

#[test]
fn a_packet_to_no_vip_costs_one_test() {
    for frame in [Packet::to4([10, 77, 0, 200]).tcp(WEB).frame(), Packet::to6([0x20; 16]).tcp(WEB).frame()] {
        assert_eq!(asked(&frame), [("PORTS", 1), ("VIPS", 1)]);
    }
}

#[test]
fn a_packet_to_an_exact_service_at_rest_costs_one_hash_look_up_and_no_flow_table() {
    // VIPS is asked about the source as well: it could be the director's own.
    let wanted = [
        ("EGRESSES", 1),
        ("FLOW_KEY", 1),
        ("MEMBERS", 1),
        ("PORTS", 1),
        ("RINGS", 1),
        ("SERVICES", 1),
        ("VIPS", 2),
    ];
    for packet in [Packet::to4(VIP4), Packet::to6(VIP6)] {
        assert_eq!(asked(&packet.clone().tcp(WEB).frame()), wanted);
        assert_eq!(asked(&packet.clone().syn(WEB).frame()), wanted);
        assert_eq!(asked(&packet.udp(WEB).frame()), wanted);
    }
}
