//! The shell of the decision in the kernel: one XDP program, `director`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod frame;
mod maps;

use aya_ebpf::{bindings::xdp_action, helpers::bpf_redirect, macros::xdp, programs::XdpContext};
use aya_log_ebpf::debug;
use vip_common::{Frame as _, Verb, direct};

use crate::{
    frame::XdpFrame,
    maps::{KernelTables, count},
};

/// Directs one packet.
#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "`#[xdp]` calls it so")]
fn director(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    let action = direct(&mut frame, &KernelTables);
    count(&action, frame.len());
    // Compiled in, but cut out by the verifier unless the controller is asked to log packets.
    debug!(&context, "{} to member {}", action.reason.name(), action.member.0);
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
