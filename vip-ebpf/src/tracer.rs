//! The director as it is while somebody traces: the same decision over the same tables, which also tells what packets got.
//! An object of its own, so that the other one has nothing of it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![expect(
    unsafe_code,
    reason = "values of maps of each CPU, helpers, and global functions, which need a name"
)]

mod director;
mod frame;
#[expect(dead_code, reason = "the sweeper is in the other object")]
mod maps;
mod steps;

use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_md,
    btf_maps::{Array, PerCpuArray, RingBuf},
    helpers::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use vip_common::{
    Action,
    headers::Ethernet,
    tables::tick,
    trace::{HEAD_LEN, TraceCount, TracedPacket, WantedPackets, outcome},
};

use crate::{
    director::{code, direct},
    frame::XdpFrame,
    maps::count,
};

#[btf_map]
static TRACE_WANTED: Array<WantedPackets, 1> = Array::new();
#[btf_map]
static TRACE_COUNTS: PerCpuArray<TraceCount, 1> = PerCpuArray::new();
#[btf_map]
static TRACE_HEAD: PerCpuArray<TracedPacket, 1> = PerCpuArray::new();
#[btf_map]
static TRACES: RingBuf<TracedPacket, { 1 << 20 }> = RingBuf::new();

/// What [`tracer_before`] says of a packet: nobody wants it.
const UNWANTED: u32 = 0;
/// It is wanted, if its reason is, but will not be told.
const COUNTED: u32 = 1;
/// It may be told: its head is kept.
const KEPT: u32 = 2;

/// Directs one packet, and tells what it got.
#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "`#[xdp]` calls it so")]
fn tracer(context: XdpContext) -> u32 {
    let context = context.as_ptr().cast();
    let before = tracer_before(context);
    let decided = direct(context);
    if before != UNWANTED {
        tracer_after(before);
    }
    decided
}

/// Looks at a packet as it came, and keeps its head if it may be told.
#[unsafe(no_mangle)]
#[inline(never)]
#[expect(clippy::cast_possible_truncation, reason = "a frame's length fits 17 bits")]
extern "C" fn tracer_before(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    let frame = XdpFrame::new(&context);
    let (Some(wanted), Some(count), Some(traced)) =
        (TRACE_WANTED.get(0), TRACE_COUNTS.get_ptr_mut(0), TRACE_HEAD.get_ptr_mut(0))
    else {
        return UNWANTED;
    };
    // SAFETY: the helper has no condition.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    if now >= wanted.until || !wanted.is_about(&frame) {
        return UNWANTED;
    }
    // SAFETY: the pointer is to this CPU's value, which nobody else writes while this program runs.
    if !unsafe { &*count }.would_tell(wanted, tick(now)) {
        return COUNTED;
    }
    // SAFETY: as above.
    let traced = unsafe { &mut *traced };
    // SAFETY: the helper takes the context that the kernel passed.
    let len = unsafe { bpf_xdp_get_buff_len(context.ctx) };
    // The kernel hands over no shorter frame. Old verifiers learn that a length is not 0 from such a comparison alone.
    if len < size_of::<Ethernet>() as u64 {
        return COUNTED;
    }
    // Hidden from the compiler, which would leave out a comparison that the verifier needs.
    let head_len = core::hint::black_box(len.min(HEAD_LEN as u64)) as u32;
    if head_len > HEAD_LEN as u32 {
        return COUNTED;
    }
    // SAFETY: the helper writes at most `head_len` bytes, which `head` has, and reads the context that the kernel passed.
    let loaded = unsafe { bpf_xdp_load_bytes(context.ctx, 0, traced.head.as_mut_ptr().cast(), head_len) };
    if loaded < 0 {
        return COUNTED;
    }
    // SAFETY: the helper has no condition.
    traced.time = unsafe { bpf_ktime_get_ns() };
    traced.len = len as u32;
    traced.head_len = head_len;
    // SAFETY: the kernel passes a valid `xdp_md`.
    traced.ingress = unsafe { (*context.ctx).ingress_ifindex };
    KEPT
}

/// Tells what a packet got that is wanted.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tracer_after(before: u32) -> u32 {
    let (Some(wanted), Some(count), Some(traced)) =
        (TRACE_WANTED.get(0), TRACE_COUNTS.get_ptr_mut(0), TRACE_HEAD.get_ptr_mut(0))
    else {
        return 0;
    };
    // SAFETY: the pointers are to this CPU's values, which nobody else writes while this program runs.
    let (count, traced) = unsafe { (&mut *count, &*traced) };
    if !wanted.takes(traced.reason, traced.outcome) {
        return 0;
    }
    // SAFETY: the helper has no condition.
    let now = tick(unsafe { bpf_ktime_get_coarse_ns() });
    if count.tells(wanted, now) && (before != KEPT || TRACES.output(traced, 0).is_err()) {
        count.lost += 1;
    }
    0
}

/// Counts what a packet of `len` bytes got, notes it, and tells the kernel.
#[inline(always)]
pub(crate) fn finish(len: usize, action: &Action) -> u32 {
    count(action, len);
    if let Some(traced) = TRACE_HEAD.get_ptr_mut(0) {
        // SAFETY: the pointer is to this CPU's value, which nobody else writes while this program runs.
        let traced = unsafe { &mut *traced };
        traced.reason = action.reason as u32;
        traced.member = action.member.0;
        traced.egress = action.egress;
        traced.outcome = outcome(action);
    }
    code(action)
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Lets the program call helpers that are only for GPL-compatible code.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// On the host this program is only checked, by clippy and rust-analyzer.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
