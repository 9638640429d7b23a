//! The director as a program calls it: the order of the decision's parts, and what the kernel is told. What is noted of a
//! packet at the end of its decision is the program's own business: [`crate::finish`].

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::bpf_redirect,
    programs::XdpContext,
};
use vip_common::{Action, Branch, Frame as _, Reason, Verb, branch, fast, neighbours};

use crate::{
    finish,
    frame::XdpFrame,
    maps::KernelTables,
    steps::{director_ip4, director_ip6},
};

/// What [`director_fast`] returns for a packet that the fast path does not decide about. Then [`director_branch`] returns
/// which part of the full decision does. No XDP actions.
const UNDECIDED: u32 = 100;
const NEIGHBOURS: u32 = 101;
const IP4: u32 = 102;
const IP6: u32 = 103;

/// Directs one packet; the XDP action.
///
/// Each step is a global function: the kernel verifies it once and by itself, and its stack frame is gone before the
/// next one needs its own.
#[inline(always)]
pub(crate) fn direct(context: *mut xdp_md) -> u32 {
    let decided = director_fast(context);
    if decided != UNDECIDED {
        return decided;
    }
    match director_branch(context) {
        NEIGHBOURS => match director_neighbours(context) {
            UNDECIDED => director_ip6(context),
            decided => decided,
        },
        IP4 => director_ip4(context),
        IP6 => director_ip6(context),
        decided => decided,
    }
}

/// The fast path.
#[unsafe(no_mangle)]
#[inline(never)]
#[expect(unsafe_code, reason = "only what has a name for others is a global function")]
extern "C" fn director_fast(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    let mut frame = XdpFrame::new(&context);
    match fast(&mut frame, &KernelTables) {
        Some(action) => finish(frame.len(), &action),
        None => UNDECIDED,
    }
}

/// Which part of the full decision a packet needs.
#[unsafe(no_mangle)]
#[inline(never)]
#[expect(unsafe_code, reason = "only what has a name for others is a global function")]
extern "C" fn director_branch(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    let frame = XdpFrame::new(&context);
    match branch(&frame, &KernelTables) {
        Branch::Neighbours => NEIGHBOURS,
        Branch::Ip4 => IP4,
        Branch::Ip6 => IP6,
        Branch::NotIp => finish(frame.len(), &Action::pass(Reason::NotIp)),
        Branch::NotForUs => finish(frame.len(), &Action::pass(Reason::NotForUs)),
    }
}

/// ARP, solicitations and advertisements; [`UNDECIDED`] about those that are IPv6 packets like others.
#[unsafe(no_mangle)]
#[inline(never)]
#[expect(unsafe_code, reason = "only what has a name for others is a global function")]
extern "C" fn director_neighbours(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    let mut frame = XdpFrame::new(&context);
    match neighbours(&mut frame, &KernelTables) {
        Some(action) => finish(frame.len(), &action),
        None => UNDECIDED,
    }
}

/// The action as the kernel is told.
#[inline(always)]
pub(crate) fn code(action: &Action) -> u32 {
    match action.verb {
        Verb::Pass => xdp_action::XDP_PASS,
        Verb::Drop => xdp_action::XDP_DROP,
        Verb::Transmit => xdp_action::XDP_TX,
        Verb::Redirect => redirect(action.egress),
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "a helper of the kernel")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an XDP action in a wider type")]
fn redirect(ifindex: u32) -> u32 {
    // SAFETY: the helper takes any index; one that is gone costs this packet alone.
    unsafe { bpf_redirect(ifindex, 0) as u32 }
}
