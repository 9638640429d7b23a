//! The shell of the decision in the kernel: one XDP program, `director`.
#![no_std]
#![no_main]

mod frame;
mod maps;

use aya_ebpf::{bindings::xdp_action, helpers::bpf_redirect, macros::xdp, programs::XdpContext};
use aya_log_ebpf::debug;
use vip_common::{Action, Frame as _, Way, direct};

use crate::{
    frame::XdpFrame,
    maps::{KernelTables, count},
};

/// Directs one packet.
#[xdp]
pub fn director(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    let action = direct(&mut frame, &KernelTables);
    count(action, frame.len());
    // Compiled in, but cut out by the verifier unless the controller is asked to log packets.
    match action {
        Action::Forward { member, .. } => debug!(&context, "forwarded to member {}", member.0),
        Action::Pass(reason) => debug!(&context, "passed: {}", reason.name()),
        Action::Drop(reason) => debug!(&context, "dropped: {}", reason.name()),
        Action::Answer(reason) => debug!(&context, "answered: {}", reason.name()),
    }
    match action {
        Action::Pass(_) => xdp_action::XDP_PASS,
        Action::Drop(_) => xdp_action::XDP_DROP,
        Action::Answer(_)
        | Action::Forward {
            way: Way::Transmit, ..
        } => xdp_action::XDP_TX,
        Action::Forward {
            way: Way::Redirect(ifindex),
            ..
        } => redirect(ifindex),
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "a helper of the kernel")]
fn redirect(ifindex: u32) -> u32 {
    // SAFETY: the helper takes any index; one that is gone costs this packet alone.
    unsafe { bpf_redirect(ifindex, 0) as u32 }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Lets the program call helpers that are only for GPL-compatible code.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the loader looks for the licence in this section")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
