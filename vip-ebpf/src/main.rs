//! The shell of the decision in the kernel: the XDP program `director`, and the sweeper of its flow tables.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod frame;
mod maps;
mod sweeper;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{xdp_action, xdp_md},
    helpers::bpf_redirect,
    macros::xdp,
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use vip_common::{Action, Branch, Reason, Verb, branch, fast, ip4, ip6, neighbours};

use crate::{
    frame::XdpFrame,
    maps::{KernelTables, count},
};

/// Directs one packet.
#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "`#[xdp]` calls it so")]
fn director(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    if let Some(action) = fast(&mut frame, &KernelTables) {
        return finish(&context, &frame, &action);
    }
    let ctx = context.as_ptr().cast();
    match branch(&frame, &KernelTables) {
        Branch::Neighbours => director_neighbours(ctx),
        Branch::Ip4 => director_ip4(ctx),
        Branch::Ip6 => director_ip6(ctx),
        Branch::NotIp => finish(&context, &frame, &Action::pass(Reason::NotIp)),
        Branch::NotForUs => finish(&context, &frame, &Action::pass(Reason::NotForUs)),
    }
}

/// Defines a function of its own for a part of the full decision: the kernel verifies a global function once and by
/// itself, and gives it a stack frame that the others' do not need while it runs.
macro_rules! part {
    ($name:ident, $decide:ident) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        #[expect(unsafe_code, reason = "only what has a name for others is a global function")]
        extern "C" fn $name(context: *mut xdp_md) -> u32 {
            let context = XdpContext::new(context);
            let mut frame = XdpFrame::new(&context);
            let action = $decide(&mut frame, &KernelTables);
            finish(&context, &frame, &action)
        }
    };
}

part!(director_neighbours, neighbours);
part!(director_ip4, ip4);
part!(director_ip6, ip6);

/// Counts what the packet got, and tells the kernel.
#[inline(always)]
fn finish(context: &XdpContext, frame: &XdpFrame<'_>, action: &Action) -> u32 {
    count(action, frame.known_len());
    // Compiled in, but cut out by the verifier unless the controller is asked to log packets.
    debug!(context, "{} to member {}", action.reason.name(), action.member.0);
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
