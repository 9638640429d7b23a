//! The shell of the decision in the kernel: the XDP program `director`, the sweeper of its flow tables, and the
//! classifier that leads probes.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod director;
mod frame;
mod maps;
mod probe;
mod steps;
mod sweeper;

use aya_ebpf::{EbpfContext as _, macros::xdp, programs::XdpContext};
use aya_log_ebpf::{
    debug,
    // What `debug!` asks; there is no other way to know whether a line is wanted.
    macro_support::{Level, level_enabled},
};
use vip_common::{Action, Reason};

use crate::{
    director::{code, direct},
    maps::count,
};

/// Directs one packet.
#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "`#[xdp]` calls it so")]
fn director(context: XdpContext) -> u32 {
    direct(context.as_ptr().cast())
}

/// Counts what a packet of `len` bytes got, and tells the kernel.
#[inline(always)]
pub(crate) fn finish(len: usize, action: &Action) -> u32 {
    count(action, len);
    // Compiled in, but cut out by the verifier unless the controller is asked to log packets.
    if level_enabled(Level::Debug) {
        director_log(action.reason as u32, action.member.0);
    }
    code(action)
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
