//! The sweeper of the flow tables: a program that the controller runs now and then. It walks all entries in the kernel,
//! deletes those that are over, and finds the slots that still have flows elsewhere than where their new ones go.

#![expect(unsafe_code, reason = "the kernel calls back with pointers to entries")]

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    helpers::{bpf_for_each_map_elem, bpf_ktime_get_ns},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use vip_common::tables::{Fate, FlowEntry, FlowId4, FlowId6, tick};

use crate::maps::{FLOWS4, FLOWS6, HELD, KernelTables, MEMBER_FLOWS, SWEEP};

/// What a sweep has found so far.
#[repr(C)]
struct Found {
    now: u64,
    live: u64,
    deleted: u64,
}

/// One sweep. The controller runs it by itself; it is attached to no tracepoint.
#[raw_tracepoint]
fn sweeper(_context: RawTracePointContext) -> i32 {
    // SAFETY: the helper has no condition. Its clock is the tables' own, only finer.
    let now = unsafe { bpf_ktime_get_ns() };
    let mut found = Found { now, live: 0, deleted: 0 };
    // SAFETY: the kernel calls back with an entry at a time, and with `found`, which outlives the call.
    unsafe {
        let context = (&raw mut found).cast();
        bpf_for_each_map_elem((&raw const FLOWS4).cast_mut().cast(), look4 as *mut c_void, context, 0);
        bpf_for_each_map_elem((&raw const FLOWS6).cast_mut().cast(), look6 as *mut c_void, context, 0);
    }
    if let Some(sweep) = SWEEP.get_ptr_mut(0) {
        // SAFETY: the pointer is to a value that lives as long as the map; one sweep runs at a time.
        let sweep = unsafe { &mut *sweep };
        sweep.live = found.live;
        sweep.deleted += found.deleted;
    }
    0
}

extern "C" fn look4(
    _map: *mut c_void,
    id: *const FlowId4,
    flow: *const FlowEntry,
    found: *mut Found,
) -> c_long {
    // SAFETY: the kernel passes an entry that stays readable during the call, and the context of `sweeper`.
    let (id, flow, found) = unsafe { (id.read(), flow.read(), &mut *found) };
    if look(&flow, id.scope, found) == Fate::Over && FLOWS4.remove(id).is_ok() {
        found.deleted += 1;
    }
    0
}

extern "C" fn look6(
    _map: *mut c_void,
    id: *const FlowId6,
    flow: *const FlowEntry,
    found: *mut Found,
) -> c_long {
    // SAFETY: the kernel passes an entry that stays readable during the call, and the context of `sweeper`.
    let (id, flow, found) = unsafe { (id.read(), flow.read(), &mut *found) };
    if look(&flow, id.scope, found) == Fate::Over && FLOWS6.remove(id).is_ok() {
        found.deleted += 1;
    }
    0
}

#[inline(always)]
fn look(flow: &FlowEntry, scope: u32, found: &mut Found) -> Fate {
    let fate = flow.fate(&KernelTables, scope >> 8, tick(found.now));
    if fate == Fate::Over {
        return fate;
    }
    found.live += 1;
    if let Some(count) = MEMBER_FLOWS.get_ptr_mut(flow.member.0) {
        // SAFETY: the pointer is to a value that lives as long as the map; one sweep runs at a time.
        unsafe { *count += 1 };
    }
    if fate == Fate::Held
        && let Some(word) = HELD.get_ptr_mut(flow.slot / 64)
    {
        // SAFETY: the pointer is to a value that lives as long as the map; one sweep runs at a time, and sets these bits alone.
        unsafe { *word |= 1 << (flow.slot % 64) };
    }
    fate
}
