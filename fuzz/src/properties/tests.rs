//! Each property finds the mistake that it is there for.

use bytemuck::Zeroable as _;
use vip_common::{
    Action, MemberId, Reason, Verb, direct,
    host::{HostFrame, HostTables},
    tables::{Egress, EgressId, Member, MemberEntry, Port, Service, ServiceKey4, Slot},
};

use super::check;
use crate::{
    input::{Record, encode},
    run,
};

const VIP: [u8; 4] = [10, 200, 0, 1];
const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The tables of a director with three members, of which the second is in no ring, and the third has another port.
fn records() -> Vec<Record> {
    let service = Service { ring_first: 1, ring_size: 7, id: 1, ..Service::zeroed() };
    let member = |low| {
        let member = Member { mac: [2, 0, 0, 0, 1, low], egress: EgressId(1), state: Member::UP };
        MemberEntry::new(member, 1)
    };
    let key = ServiceKey4 { vip: VIP, port: [0, 80], protocol: 6, zero: 0 };
    vec![
        Record::Port(1, Port { mac: OWN, router: 0, flags: 0 }),
        Record::Egress(EgressId(1), Egress::untouched(1, OWN)),
        Record::Service4(ServiceKey4::vip(VIP), Service::zeroed()),
        Record::Service4(key, service),
        Record::Slots(1, 7, Slot::of(MemberId(1))),
        Record::Member(MemberId(1), member(1)),
        Record::Member(MemberId(2), member(2)),
        Record::Service4(ServiceKey4 { port: [0, 81], ..key }, Service { ring_first: 8, id: 2, ..service }),
        Record::Slots(8, 7, Slot::of(MemberId(3))),
        Record::Member(MemberId(3), member(3)),
        Record::FlowKey(1),
    ]
}

fn director() -> HostTables {
    let mut tables = HostTables::default();
    for record in records() {
        assert_eq!(record.apply(&mut tables), None);
    }
    tables
}

/// A TCP segment to the VIP, in a frame that is padded.
fn segment() -> HostFrame {
    let mut bytes = [&OWN[..], &[2, 0, 0, 0, 0, 99, 8, 0]].concat();
    bytes.extend([0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 77, 0, 11]);
    bytes.extend(VIP);
    bytes.extend([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.resize(60, 0);
    HostFrame::new(&bytes, 1)
}

/// An ARP request for the VIP.
fn request() -> HostFrame {
    let mut bytes = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 99, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    bytes.extend([2, 0, 0, 0, 0, 99, 10, 77, 0, 11, 0, 0, 0, 0, 0, 0]);
    bytes.extend(VIP);
    HostFrame::new(&bytes, 1)
}

/// What the properties say once `spoil` has spoiled what the decision did with `frame`.
fn spoiled(before: &HostFrame, spoil: impl FnOnce(&mut HostFrame, &mut Action)) -> Result<(), String> {
    let (tables, mut after) = (director(), before.clone());
    let mut action = direct(&mut after, &tables);
    assert_eq!(action.verb, Verb::Transmit);
    spoil(&mut after, &mut action);
    check(before, &after, action, &tables)
}

#[test]
fn what_the_decision_does_is_right() {
    assert_eq!(spoiled(&segment(), |_, _| {}), Ok(()));
    assert_eq!(spoiled(&request(), |_, _| {}), Ok(()));
}

#[test]
fn a_byte_that_is_changed_anywhere_is_found() {
    for frame in [segment(), request()] {
        for at in 0..frame.bytes.len() {
            let found = spoiled(&frame, |after, _| after.bytes[at] ^= 0x10);
            assert!(found.is_err(), "byte {at} of {frame:?}");
        }
        assert!(spoiled(&frame, |after, _| after.bytes.push(0)).is_err());
    }
}

#[test]
fn a_ttl_that_is_kept_or_falls_by_more_is_found() {
    for less in [-1_i8, 1, 2] {
        let found =
            spoiled(&segment(), |after, _| after.bytes[22] = after.bytes[22].wrapping_add_signed(less));
        assert!(found.is_err(), "{less}");
    }
}

#[test]
fn a_member_that_is_unknown_or_of_another_service_is_found() {
    for id in [0, 2, 3, 4] {
        let found = spoiled(&segment(), |after, action| {
            action.member = MemberId(id);
            after.bytes[5] = u8::try_from(id).expect("a small number");
        });
        assert!(found.is_err(), "member {id}");
    }
    // A fragment does not say its port: it may be to either service, but to nobody else.
    let mut fragment = segment();
    fragment.bytes[20] |= 0x20;
    for (id, may) in [(1, true), (2, false), (3, true)] {
        let mut after = fragment.clone();
        after.bytes[..6].copy_from_slice(&[2, 0, 0, 0, 1, id]);
        after.bytes[6..12].copy_from_slice(&OWN);
        after.bytes[22] -= 1;
        // One hop less in the header's sum (RFC 1624).
        after.bytes[24] += 1;
        let checked = check(&fragment, &after, Action::transmit(MemberId(id.into()), false), &director());
        assert_eq!(checked.is_ok(), may, "member {id}: {checked:?}");
    }
}

#[test]
fn another_way_out_than_the_members_is_found() {
    assert!(spoiled(&segment(), |_, action| (action.verb, action.egress) = (Verb::Redirect, 1)).is_err());
    assert!(spoiled(&segment(), |_, action| (action.verb, action.egress) = (Verb::Redirect, 2)).is_err());
}

#[test]
fn a_passed_frame_that_was_changed_is_found() {
    let found = spoiled(&segment(), |_, action| *action = Action::pass(Reason::NoVip));
    assert_eq!(found, Err("a passed frame was changed".into()));
}

#[test]
fn a_dropped_frame_that_is_for_no_vip_or_not_for_us_is_found() {
    let tables = director();
    let mut elsewhere = segment();
    elsewhere.bytes[33] = 9;
    let mut others = segment();
    others.bytes[5] = 9;
    for frame in [elsewhere, others] {
        assert!(check(&frame, &frame, Action::drop(Reason::Malformed), &tables).is_err());
    }
    assert!(check(&segment(), &segment(), Action::drop(Reason::Malformed), &tables).is_ok());
}

#[test]
fn a_reason_that_does_not_fit_what_is_done_is_found() {
    let (frame, tables) = (segment(), director());
    for action in [Action::drop(Reason::NoVip), Action::pass(Reason::TtlExpired)] {
        assert!(check(&frame, &frame, action, &tables).is_err());
    }
    assert!(spoiled(&segment(), |_, action| *action = Action::answer(Reason::ArpAnswered)).is_err());
}

#[test]
fn a_segment_that_opens_no_flow_is_not_counted_as_one() {
    assert!(spoiled(&segment(), |_, action| action.opens = true).is_err());
}

#[test]
fn padding_that_makes_a_difference_is_found() {
    let looks_at_padding = |frame: &mut HostFrame, tables: &HostTables| match frame.bytes.last() {
        Some(0) => direct(frame, tables),
        _ => Action::pass(Reason::NoVip),
    };
    let input = encode(&[records(), vec![Record::Frame(1, segment().bytes)]].concat());
    assert_eq!(run(&input, &direct).map(|actions| actions[0].verb), Ok(Verb::Transmit));
    let failure = run(&input, &looks_at_padding).expect_err("a mistake");
    assert!(failure.why.starts_with("with other padding"), "{failure}");
}

#[test]
fn a_ring_that_passes_the_last_number_goes_on_at_the_first_slots() {
    let mut tables = director();
    let ring = Service { ring_first: u32::MAX, ring_size: 7, id: 1, ..Service::zeroed() };
    tables.services4.insert(ServiceKey4 { vip: VIP, port: [0, 80], protocol: 6, zero: 0 }, ring);
    let mut forwarded = 0;
    for port in 0..100 {
        let mut before = segment();
        before.bytes[35] = port;
        let mut after = before.clone();
        let action = direct(&mut after, &tables);
        check(&before, &after, action, &tables).expect("right");
        forwarded += u32::from(action.verb == Verb::Transmit);
    }
    assert!(forwarded > 0, "the test met no slot");
}

#[test]
fn an_input_that_was_found_with_terms_that_nobody_writes_is_no_mistake() {
    // A flow may be silent for longer than the clock can tell, and its member is in a state that there is not.
    let found = include_bytes!("../../found/idle-of-a-century");
    assert_eq!(
        run(found, &direct).map(|actions| actions.len()).map_err(|failure| failure.to_string()),
        Ok(4)
    );
}
