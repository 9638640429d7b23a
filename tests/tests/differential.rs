//! The comparison of host and kernel finds what differs, and tells which packet it was.

use anyhow::Result;
use vip_common::{
    Reason,
    tables::{Member, OnDead, Service, Slot},
};
use vip_tests::{
    differential::{Comparison, Difference, random_seed, run},
    packet::hex,
    world::WEB_MEMBER,
};

/// More than any of these differences needs to be met.
const PACKETS: u64 = 5_000;

/// Enough to meet every reason, in some hundred states of the tables.
const MANY: u64 = 1_000_000;

/// The difference between the host and a kernel that decides by other tables.
fn difference(comparison: &Comparison) -> Result<Difference> {
    Ok(run(comparison, PACKETS, &mut |_| Ok(()))?.expect_err("a difference"))
}

#[expect(clippy::print_stdout, reason = "the seed repeats the run")]
#[test]
fn host_and_kernel_agree_on_a_million_packets_that_nobody_chose() -> Result<()> {
    let (mut sent, seed) = (0, random_seed());
    let outcome = run(&Comparison::of_seed(seed), MANY, &mut |so_far| {
        sent = so_far;
        Ok(())
    })?;
    let again = format!("cargo xtask differential --seed {seed} --packets {MANY}");
    let report = outcome.unwrap_or_else(|Difference { number, frame, what }| {
        panic!("packet {number}: {}\n{what}\nIt is repeated by\n  {again}", hex(&frame))
    });
    println!("host and kernel agree on {sent} packets, which are repeated by\n  {again}");
    // A test run always has room for an answer.
    let not_met: Vec<_> = report.not_met().collect();
    assert_eq!(not_met, [Reason::NoRoom], "it is repeated by\n  {again}");
    assert_eq!(sent, MANY);
    Ok(())
}

#[test]
fn another_byte_in_the_kernel_is_found() -> Result<()> {
    let mut comparison = Comparison::of_seed(2);
    let member = comparison.kernel.members.get_mut(&WEB_MEMBER).expect("the member");
    member.member.mac[5] ^= 1;
    let difference = difference(&comparison)?;
    assert!(difference.what.contains("in the kernel\n  Transmit"), "{}", difference.what);
    Ok(())
}

#[test]
fn a_packet_that_the_kernel_only_counts_otherwise_is_found_and_named() -> Result<()> {
    let mut comparison = Comparison::of_seed(3);
    for tables in [&mut comparison.host, &mut comparison.kernel] {
        tables
            .rings
            .values_mut()
            .for_each(|slots| *slots = slots.iter().map(|_| Slot::of(WEB_MEMBER)).collect());
        // Nor are packets answered for want of it, which could be seen.
        for service in tables.services4.values_mut().chain(tables.services6.values_mut()) {
            service.flags &= !Service::RESETS;
            service.on_dead = OnDead::Move as u8;
        }
    }
    // Dropped by both: for want of a backend here, by a broken table there.
    comparison.host.members.get_mut(&WEB_MEMBER).expect("the member").member.state = Member::DOWN;
    comparison.kernel.members.remove(&WEB_MEMBER);
    let difference = difference(&comparison)?;
    assert!(difference.what.contains("reason: NoBackend"), "{}", difference.what);
    assert!(difference.what.contains("(BrokenTable, MemberId(0), false)"), "{}", difference.what);
    assert!(!difference.frame.is_empty());
    let again = run(&comparison, difference.number, &mut |_| Ok(()))?;
    assert!(again.is_ok(), "the packets before it are alike");
    Ok(())
}
