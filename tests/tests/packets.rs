//! Every packet case, on the host and in the kernel, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use vip_common::{
    Action, MemberId, Reason, direct,
    headers::{TCP, UDP},
    host::{HostFrame, HostTables},
};
use vip_tests::{
    cases,
    kernel::{Kernel, Outcome},
    packet::{Packet, cut, hex},
    world::{
        CLIENT4, CLIENT6, OWN_MAC, PORT, SPREAD, SPREAD_MEMBERS, SPREAD_SLOTS, VIP4, VIP6, WEB, flow_key,
        on_host, tables,
    },
};
use vip_userspace::plan::Tables;

#[test]
fn each_packet_gets_on_the_host_what_its_case_says() {
    let tables = on_host(&tables());
    let mut failures = Vec::new();
    for case in cases::all() {
        let mut frame = HostFrame::new(&case.frame, PORT);
        let action = direct(&mut frame, &tables);
        if action != case.expect || frame.bytes != case.after {
            failures.push(format!(
                "{}\n  packet {}\n  wanted {:?}\n         {}\n  got    {action:?}\n         {}",
                case.name,
                hex(&case.frame),
                case.expect,
                hex(&case.after),
                hex(&frame.bytes),
            ));
        }
    }
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn each_packet_gets_in_the_kernel_what_its_case_says() -> Result<()> {
    let mut kernel = Kernel::load(&tables())?;
    let mut failures = Vec::new();
    for case in cases::all() {
        let outcome = kernel.run(&case.frame, PORT).with_context(|| case.name.clone())?;
        let wanted = Outcome::of(case.expect, &case.after);
        if outcome != wanted {
            failures.push(format!(
                "{}\n  packet {}\n  wanted {wanted:?}\n  got    {outcome:?}",
                case.name,
                hex(&case.frame),
            ));
        }
    }
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

#[test]
fn cases_have_names_of_their_own_and_cover_every_reason() {
    let cases = cases::all();
    let mut names = BTreeSet::new();
    for case in &cases {
        assert!(case.frame.len() >= 14, "{}: no Ethernet header", case.name);
        // A name that goes on from the one before may come again.
        assert!(case.name.starts_with('…') || names.insert(&case.name), "two cases: {}", case.name);
    }
    // A test run always has room for an answer.
    let covered: BTreeSet<_> = cases.iter().map(|case| case.expect.reason.name()).collect();
    let missing: Vec<_> =
        Reason::ALL.iter().map(|reason| reason.name()).filter(|name| !covered.contains(name)).collect();
    assert_eq!(missing, [Reason::NoRoom.name()]);
}

#[test]
fn a_frame_without_a_whole_ethernet_header_is_left_alone() {
    let tables = on_host(&tables());
    let whole = Packet::to4(VIP4).tcp(WEB).frame();
    for len in 0..14 {
        let mut frame = HostFrame::new(&cut(whole.clone(), len), PORT);
        assert_eq!(direct(&mut frame, &tables), Action::pass(Reason::NotForUs), "{len} bytes");
        assert_eq!(frame.bytes, whole[..len]);
    }
}

#[test]
fn a_port_that_is_not_ours_passes_everything() -> Result<()> {
    let tables = Tables { ports: [].into(), ..tables() };
    let on_host = on_host(&tables);
    let mut kernel = Kernel::load(&tables)?;
    for case in cases::all() {
        let mut frame = HostFrame::new(&case.frame, PORT);
        let action = direct(&mut frame, &on_host);
        assert_eq!(action, Action::pass(Reason::NotForUs), "{}", case.name);
        assert_eq!(frame.bytes, case.frame, "{}", case.name);
        assert_eq!(kernel.run(&case.frame, PORT)?, Outcome::of(action, &case.frame), "{}", case.name);
    }
    Ok(())
}

#[test]
fn without_a_flow_key_nothing_is_forwarded() {
    let tables = HostTables { flow_key: None, ..on_host(&tables()) };
    for case in cases::all().iter().filter(|case| case.expect.reason == Reason::Forwarded) {
        let mut frame = HostFrame::new(&case.frame, PORT);
        assert_eq!(direct(&mut frame, &tables), Action::drop(Reason::BrokenTable), "{}", case.name);
        assert_eq!(frame.bytes, case.frame, "{}", case.name);
    }
}

/// The member of the slot that a flow hashes to, by the definition of hash and slot. `words` are the flow's, as little-endian
/// numbers.
fn owner(words: &[u32]) -> MemberId {
    let [first, rest @ ..] = flow_key(1).coefficients;
    let sum = rest.into_iter().zip(words).fold(u128::from(first), |sum, (coefficient, word)| {
        sum + u128::from(coefficient) * u128::from(*word)
    });
    let hash = (sum % (1 << 64)) >> 32;
    let slot = usize::try_from((hash * u128::from(SPREAD_SLOTS)) >> 32).unwrap();
    SPREAD_MEMBERS[slot % SPREAD_MEMBERS.len()]
}

fn words(parts: &[&[u8]]) -> Vec<u32> {
    let bytes = parts.concat();
    bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn flows_spread_over_members_by_their_hash() -> Result<()> {
    let (tables, mut kernel) = (on_host(&tables()), Kernel::load(&tables())?);
    let mut counts = BTreeMap::new();
    for port in 20_000_u16..20_500 {
        let ports = [port.to_be_bytes(), SPREAD.to_be_bytes()].concat();
        let v4 = [words(&[&CLIENT4, &VIP4, &ports]), vec![TCP.into()]].concat();
        let v6 = [words(&[&CLIENT6, &VIP6, &ports]), vec![UDP.into()]].concat();
        let packets = [(Packet::to4(VIP4).tcp(SPREAD), v4), (Packet::to6(VIP6).udp(SPREAD), v6)];
        for (packet, words) in packets {
            let mut frame = HostFrame::new(&packet.from_port(port).frame(), PORT);
            let outcome = kernel.run(&frame.bytes, PORT)?;
            let action = direct(&mut frame, &tables);
            assert_eq!(action, Action::transmit(owner(&words), false), "port {port}");
            assert_eq!(outcome, Outcome::of(action, &frame.bytes), "port {port}");
            *counts.entry(action.member).or_insert(0) += 1;
        }
    }
    // 1,000 flows for four members; random ones: 250 each, ± 14.
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|count| (200..300).contains(count)), "{counts:?}");
    Ok(())
}

#[test]
fn packets_of_one_flow_stay_together_whatever_else_they_carry() {
    let tables = on_host(&tables());
    let place = |packet: &Packet| direct(&mut HostFrame::new(&packet.frame(), PORT), &tables).member;
    for port in 30_000..30_100 {
        let segment = Packet::to4(VIP4).tcp(SPREAD).from_port(port);
        let member = place(&segment);
        let others = [
            segment.clone().syn(SPREAD),
            segment.clone().ttl(7),
            segment.clone().id(9),
            segment.clone().option_words(4),
            segment.clone().macs([2, 0, 0, 0, 0, 55], OWN_MAC),
        ];
        assert!(others.iter().all(|other| place(other) == member), "port {port}");
    }
}
