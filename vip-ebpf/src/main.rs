//! The shell of the decision in the kernel: the XDP program `director`, the sweeper of its flow tables, and the
//! classifier that leads probes.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod frame;
mod maps;
mod probe;
mod steps;
mod sweeper;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{xdp_action, xdp_md},
    helpers::bpf_redirect,
    macros::xdp,
    programs::XdpContext,
};
use aya_log_ebpf::{
    debug,
    // What `debug!` asks; there is no other way to know whether a line is wanted.
    macro_support::{Level, level_enabled},
};
use vip_common::Frame as _;
use vip_common::{Action, Branch, Reason, Verb, branch, fast, neighbours};

use crate::{
    frame::XdpFrame,
    maps::{KernelTables, count},
    steps::{director_ip4, director_ip6},
};

/// What [`director_fast`] returns for a packet that the fast path does not decide about. Then [`director_branch`] returns
/// which part of the full decision does. No XDP actions.
const UNDECIDED: u32 = 100;
const NEIGHBOURS: u32 = 101;
const IP4: u32 = 102;
const IP6: u32 = 103;

/// Directs one packet.
///
/// Each step is a global function: the kernel verifies it once and by itself, and its stack frame is gone before the
/// next one needs its own.
#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "`#[xdp]` calls it so")]
fn director(context: XdpContext) -> u32 {
    let context = context.as_ptr().cast();
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

/// Counts what a packet of `len` bytes got, and tells the kernel.
#[inline(always)]
pub(crate) fn finish(len: usize, action: &Action) -> u32 {
    count(action, len);
    // Compiled in, but cut out by the verifier unless the controller is asked to log packets.
    if level_enabled(Level::Debug) {
        director_log(action.reason as u32, action.member.0);
    }
    match action.verb {
        Verb::Pass => xdp_action::XDP_PASS,
        Verb::Drop => xdp_action::XDP_DROP,
        Verb::Transmit => xdp_action::XDP_TX,
        Verb::Redirect => redirect(action.egress),
    }
}

/// Logs what a packet got: a function of its own, so that the kernel verifies it once and not at each end of the decision.
#[unsafe(no_mangle)]
#[inline(never)]
#[expect(unsafe_code, reason = "only what has a name for others is a global function")]
extern "C" fn director_log(reason: u32, member: u32) -> u32 {
    // The context, which no line needs, is left out.
    debug!((), "{} to member {}", Reason::numbered(reason).name(), member);
    0
}

#[inline(always)]
#[expect(unsafe_code, reason = "a helper of the kernel")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an XDP action in a wider type")]
fn redirect(ifindex: u32) -> u32 {
    // SAFETY: the helper takes any index; one that is gone costs this packet alone.
    unsafe { bpf_redirect(ifindex, 0) as u32 }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Lets the program call helpers that are only for GPL-compatible code.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the loader looks for the licence in this section")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// On the host these programs are only checked, by clippy and rust-analyzer.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
