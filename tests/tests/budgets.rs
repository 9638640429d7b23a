//! What a service may write to the flow table, and what becomes of who is over it; and whose terms an echo is on.

use vip_common::{
    Action, MemberId, Reason, Verb, direct,
    host::{HostFrame, HostTables},
    tables::{Service, ServiceKey4, Slot, WideKey4},
};
use vip_tests::{
    packet::{Packet, layers::segment},
    world::{
        PORT, VIP4, now, on_host,
        special::{DEAD_RESET, MOVED, NEW_MEMBER, TURNS},
        tables,
    },
};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Tables in which every service may write so many entries.
fn allowing(allowance: u32) -> HostTables {
    let mut tables = on_host(&tables());
    tables.now.set(now());
    for terms in tables.terms.values_mut() {
        terms.allowance = allowance;
    }
    tables
}

fn decided(frame: &[u8], tables: &HostTables) -> Action {
    direct(&mut HostFrame::new(frame, PORT), tables)
}

/// A segment to a service, from a port of the client's.
fn tcp(from: u16, to: u16, flags: u8, sequence: u32) -> Vec<u8> {
    let packet = Packet::to4(VIP4).from_port(from);
    let packet = if flags == SYN { packet.syn(to) } else { packet.tcp(to) };
    segment(packet.frame(), flags, sequence, 1)
}

#[test]
fn a_syn_that_is_sent_again_and_again_takes_one_entry_off_the_budget() {
    let tables = allowing(10);
    for number in 0..100 {
        decided(&tcp(4711, MOVED, SYN, number << 20), &tables);
    }
    assert_eq!(tables.flows4.borrow().len(), 1);
    let inserts = tables.inserts.borrow().get(&u32::from(MOVED)).copied().expect("what was counted");
    assert_eq!((inserts.inserted, inserts.refused), (1, 0));
    assert_eq!(decided(&tcp(4712, MOVED, SYN, 5), &tables).member, NEW_MEMBER, "another client has room");
}

#[test]
fn who_is_refused_takes_no_turn() {
    let tables = allowing(0);
    for port in 5000..5010 {
        decided(&Packet::to4(VIP4).from_port(port).udp(TURNS).frame(), &tables);
    }
    assert!(tables.turns.borrow().is_empty(), "{:?}", tables.turns.borrow());
}

#[test]
fn a_turn_that_names_nobody_who_is_known_is_not_written() {
    let mut tables = allowing(10);
    let key = ServiceKey4 { vip: VIP4, port: TURNS.to_be_bytes(), protocol: 6, zero: 0 };
    let service = tables.services4.get(&key).copied().expect("the service");
    for turn in 0..service.turns_size {
        tables.rings[(service.turns_first + turn) as usize] = Slot::of(MemberId(9999));
    }
    decided(&tcp(7000, TURNS, SYN, 1000), &tables);
    assert!(tables.flows4.borrow().is_empty(), "{:?}", tables.flows4.borrow());
}

#[test]
fn over_the_budget_no_connection_is_accepted_that_is_reset_afterwards() {
    let tables = allowing(0);
    for (flags, sequence) in [(SYN, 1000), (ACK, 1001)] {
        let Action { verb, reason, .. } = decided(&tcp(6000, DEAD_RESET, flags, sequence), &tables);
        assert_eq!((verb, reason), (Verb::Transmit, Reason::ResetDeadMember), "flags {flags:#x}");
    }
}

#[test]
fn an_echo_is_on_the_terms_of_its_vip_whatever_a_service_of_any_protocol_says() {
    for (ttl, expected) in [(0, Reason::TtlExpired), (1, Reason::TtlExpired), (2, Reason::Forwarded)] {
        let mut tables = allowing(10);
        let key = ServiceKey4::vip(VIP4);
        let own = tables.services4.get(&key).copied().expect("the VIP");
        let flags = own.flags | Service::FORWARDS_ECHO | Service::WIDE;
        tables.services4.insert(key, Service { flags, ..own });
        let any = WideKey4 { bits: WideKey4::VIP, vip: VIP4, protocol: 0, port: [0; 2], zero: 0 };
        tables.wide4.insert(any, Service { flags: Service::KEEP_TTL, ..own });
        let message = [8, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let frame = Packet::to4(VIP4).ttl(ttl).raw(1, &message).frame();
        assert_eq!(decided(&frame, &tables).reason, expected, "TTL {ttl}");
    }
}
