//! The tables as BPF maps. Sizes marked "at load" are set by the controller when it creates them.

#![expect(unsafe_code, reason = "map values are reached through the kernel's pointers")]

use aya_ebpf::{
    btf_maps::{Array, HashMap, PerCpuArray},
    macros::btf_map,
};
use vip_common::{
    Action, FlowKey, Reason, Tables,
    tables::{
        Egress, EgressId, Member, MemberCount, MemberId, Port, Service, ServiceKey4, ServiceKey6, Slot,
        VIP_WORDS,
    },
};

/// `BPF_F_NO_PREALLOC`: a replaced entry lives until its last reader is done, instead of being reused at once.
const NO_PREALLOC: usize = 1;
/// `BPF_F_MMAPABLE`: the controller writes words through a mapping, each in one store, where an update by
/// system call copies bytes.
const MMAPABLE: usize = 1 << 10;
/// Replaced at load.
const AT_LOAD: usize = 1;

#[btf_map]
static PORTS: Array<u64, AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
static VIPS: Array<u64, { VIP_WORDS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static SERVICES4: HashMap<ServiceKey4, Service, AT_LOAD, NO_PREALLOC> = HashMap::new();
#[btf_map]
static SERVICES6: HashMap<ServiceKey6, Service, AT_LOAD, NO_PREALLOC> = HashMap::new();
#[btf_map]
static FLOW_KEY: Array<FlowKey, 1> = Array::new();
#[btf_map]
static RINGS: Array<u64, AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
static MEMBERS: Array<u64, AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
static EGRESSES: Array<Egress, 256> = Array::new();
#[btf_map]
static MEMBER_COUNTS: PerCpuArray<MemberCount, AT_LOAD> = PerCpuArray::new();
#[btf_map]
static REASON_COUNTS: PerCpuArray<u64, 64> = PerCpuArray::new();

const _: () = assert!(Reason::ALL.len() <= 64);

/// The tables of the running program.
pub(crate) struct KernelTables;

impl Tables for KernelTables {
    #[inline(always)]
    fn port(&self, ifindex: u32) -> Option<Port> {
        word(&PORTS, ifindex).filter(|port| *port != 0).map(bytemuck::cast)
    }

    #[inline(always)]
    fn may_be_vip(&self, bit: u32) -> bool {
        word(&VIPS, bit / 64).is_some_and(|word| word >> (bit % 64) & 1 != 0)
    }

    #[inline(always)]
    fn service4(&self, key: &ServiceKey4) -> Option<&Service> {
        // SAFETY: entries are never changed in place, and freed only after this run.
        unsafe { SERVICES4.get(key) }
    }

    #[inline(always)]
    fn service6(&self, key: &ServiceKey6) -> Option<&Service> {
        // SAFETY: entries are never changed in place, and freed only after this run.
        unsafe { SERVICES6.get(key) }
    }

    #[inline(always)]
    fn flow_key(&self) -> Option<&FlowKey> {
        FLOW_KEY.get(0)
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        word(&RINGS, index).map(bytemuck::cast)
    }

    #[inline(always)]
    fn member(&self, id: MemberId) -> Option<Member> {
        word(&MEMBERS, id.0).map(bytemuck::cast)
    }

    #[inline(always)]
    fn egress(&self, id: EgressId) -> Option<&Egress> {
        EGRESSES.get(u32::from(id.0))
    }
}

/// Counts what a packet of `len` bytes got: once, under its member or under its reason.
#[inline(always)]
pub(crate) fn count(action: &Action, len: usize) {
    if action.member != MemberId::NOBODY {
        if let Some(count) = MEMBER_COUNTS.get_ptr_mut(action.member.0) {
            // SAFETY: the pointer is to this CPU's value, which nobody else writes while this program runs.
            let count = unsafe { &mut *count };
            count.packets += 1;
            count.bytes += len as u64;
            count.flows += u64::from(action.opens);
        }
    } else if let Some(count) = REASON_COUNTS.get_ptr_mut(action.reason as u32) {
        // SAFETY: as above.
        unsafe { *count += 1 };
    }
}

/// Reads a word in one load, so that fields which share it agree.
#[inline(always)]
fn word<const ENTRIES: usize, const FLAGS: usize>(
    map: &Array<u64, ENTRIES, FLAGS>,
    index: u32,
) -> Option<u64> {
    // SAFETY: the kernel returned a pointer to an aligned value of 8 bytes that lives as long as the map.
    map.get_ptr(index).map(|word| unsafe { word.read_volatile() })
}
