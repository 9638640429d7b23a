//! The tables as BPF maps. Sizes marked "at load" are set by the controller when it creates them.

#![expect(unsafe_code, reason = "map values are reached through the kernel's pointers")]

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, lpm_trie::Key},
    helpers::bpf_ktime_get_coarse_ns,
    macros::btf_map,
};
use bytemuck::cast;
use vip_common::{
    Action, FlowKey, Found, Place, Reason, Tables,
    headers::Mac,
    tables::{
        ANSWERS_A_TICK, Egress, EgressId, Entry, FlowEntry, FlowId4, FlowId6, FlowState, FragmentId,
        FragmentOwner, InsertCount, Member, MemberCount, MemberEntry, MemberId, Port, REASON_ENTRIES,
        Service, ServiceKey4, ServiceKey6, Slot, Station, StationKey, Sweep, Terms, VIP_WORDS, WideKey4,
        WideKey6,
    },
};

use crate::steps::{director_found4, director_found6, director_placed4, director_placed6};

/// `BPF_F_NO_PREALLOC`: a replaced entry lives until its last reader is done, instead of being reused at once.
const NO_PREALLOC: usize = 1;
/// `BPF_F_MMAPABLE`: the controller writes words through a mapping, each in one store, where an update by
/// system call copies bytes.
const MMAPABLE: usize = 1 << 10;
/// Replaced at load.
const AT_LOAD: usize = 1;

/// What a [`WideKey4`] has behind its number of bits.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Wide4([u32; 2]);

/// What a [`WideKey6`] has behind its number of bits.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Wide6([u32; 5]);

#[btf_map]
static PORTS: Array<u64, AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
static VIPS: Array<u64, { VIP_WORDS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static SERVICES4: HashMap<ServiceKey4, Service, AT_LOAD, NO_PREALLOC> = HashMap::new();
#[btf_map]
static SERVICES6: HashMap<ServiceKey6, Service, AT_LOAD, NO_PREALLOC> = HashMap::new();
#[btf_map]
static WIDE4: LpmTrie<Wide4, Service, AT_LOAD> = LpmTrie::new();
#[btf_map]
static WIDE6: LpmTrie<Wide6, Service, AT_LOAD> = LpmTrie::new();
#[btf_map]
static FLOW_KEY: Array<FlowKey, 1> = Array::new();
#[btf_map]
static RINGS: Array<u64, AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
static MEMBERS: Array<MemberEntry, AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
static EGRESSES: Array<Egress, 256> = Array::new();
#[btf_map]
static STATIONS: HashMap<StationKey, Station, AT_LOAD, NO_PREALLOC> = HashMap::new();
#[btf_map]
pub(crate) static FLOWS4: LruHashMap<FlowId4, FlowEntry, AT_LOAD> = LruHashMap::new();
#[btf_map]
pub(crate) static FLOWS6: LruHashMap<FlowId6, FlowEntry, AT_LOAD> = LruHashMap::new();
#[btf_map]
static TERMS: Array<Terms, AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
static FRAGMENTS: LruHashMap<FragmentId, FragmentOwner, AT_LOAD> = LruHashMap::new();
#[btf_map]
static TURNS: PerCpuArray<u32, AT_LOAD> = PerCpuArray::new();
#[btf_map]
static INSERTS: PerCpuArray<InsertCount, AT_LOAD> = PerCpuArray::new();
#[btf_map]
static ANSWERS: PerCpuArray<u64, 1> = PerCpuArray::new();
#[btf_map]
static MEMBER_COUNTS: PerCpuArray<MemberCount, AT_LOAD> = PerCpuArray::new();
#[btf_map]
static REASON_COUNTS: PerCpuArray<u64, { REASON_ENTRIES as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static SWEEP: Array<Sweep, 1> = Array::new();
#[btf_map]
pub(crate) static HELD: Array<u64, AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static MEMBER_FLOWS: Array<u64, AT_LOAD, MMAPABLE> = Array::new();

const _: () = assert!(size_of::<Key<Wide4>>() == size_of::<WideKey4>());
const _: () = assert!(size_of::<Key<Wide6>>() == size_of::<WideKey6>());
const _: () = assert!(Reason::ALL.len() <= REASON_ENTRIES as usize);

/// The tables of the running program.
pub(crate) struct KernelTables;

/// An entry of a flow table in the kernel, never null. It may be reused for another flow at any time.
#[derive(Clone, Copy)]
pub(crate) struct KernelEntry(*mut FlowEntry);

impl Entry for KernelEntry {
    #[inline(always)]
    fn flow(&self) -> FlowEntry {
        // SAFETY: the kernel returned a pointer to an aligned value that stays readable while this program runs; each
        // word is read in one load.
        let words = unsafe { self.0.cast::<[u64; 3]>().read_volatile() };
        cast(words)
    }

    #[inline(always)]
    fn touch(&self, tick: u32) {
        // SAFETY: as above; an aligned word is read, and written, in one piece. If the entry was given to another flow
        // meanwhile, that flow was seen at the same time.
        unsafe {
            let seen = &raw mut (*self.0).seen;
            if seen.read_volatile() != tick {
                seen.write_volatile(tick);
            }
        }
    }

    #[inline(always)]
    fn advance(&self, state: FlowState) {
        // SAFETY: as above. If the entry was given to another flow meanwhile, within some ns, that flow may count as
        // firm without having continued its SYN: what a forged one could do to it, it can't without luck.
        unsafe {
            let place = &raw mut (*self.0).state;
            if place.read_volatile() != state as u32 {
                place.write_volatile(state as u32);
            }
        }
    }
}

impl Tables for KernelTables {
    type Entry<'a> = KernelEntry;

    #[inline(always)]
    fn port(&self, ifindex: u32) -> Option<Port> {
        let port = word(&PORTS, ifindex).unwrap_or(0);
        (port != 0).then_some(cast(port))
    }

    #[inline(always)]
    fn may_be_vip(&self, bit: u32) -> bool {
        // A word that is not there has a value, too: the verifier follows shifts of registers, not of `Option`s.
        word(&VIPS, bit / 64).unwrap_or(0) >> (bit % 64) & 1 != 0
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
    fn wide4(&self, key: &WideKey4) -> Option<&Service> {
        // SAFETY: a `Key` is its bits and what they count, packed, as a `WideKey4` is.
        WIDE4.get(unsafe { &*(&raw const *key).cast() })
    }

    #[inline(always)]
    fn wide6(&self, key: &WideKey6) -> Option<&Service> {
        // SAFETY: a `Key` is its bits and what they count, packed, as a `WideKey6` is.
        WIDE6.get(unsafe { &*(&raw const *key).cast() })
    }

    #[inline(always)]
    fn flow_key(&self) -> Option<&FlowKey> {
        FLOW_KEY.get(0)
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        word(&RINGS, index).map(cast)
    }

    #[inline(always)]
    fn turn(&self, service: u32, turns: u32) -> u32 {
        let Some(next) = TURNS.get_ptr_mut(service) else { return 0 };
        // SAFETY: the pointer is to this CPU's value, which nobody else writes while this program runs.
        unsafe {
            let turn = if *next < turns { *next } else { 0 };
            *next = turn + 1;
            turn
        }
    }

    #[inline(always)]
    fn member(&self, id: MemberId) -> Option<Member> {
        // SAFETY: the kernel returned a pointer to an aligned value of two words that lives as long as the map.
        MEMBERS.get_ptr(id.0).map(|entry| cast(unsafe { entry.cast::<u64>().read_volatile() }))
    }

    #[inline(always)]
    fn generation(&self, id: MemberId) -> Option<u32> {
        // SAFETY: as above.
        MEMBERS.get_ptr(id.0).map(|entry| unsafe { (&raw const (*entry).generation).read_volatile() })
    }

    #[inline(always)]
    fn egress(&self, id: EgressId) -> Option<&Egress> {
        EGRESSES.get(u32::from(id.0))
    }

    #[inline(always)]
    fn station(&self, mac: Mac) -> Option<&Station> {
        // SAFETY: entries are never changed in place, and freed only after this run.
        unsafe { STATIONS.get(StationKey::new(mac)) }
    }

    #[inline(always)]
    fn clock(&self) -> u64 {
        // SAFETY: the helper has no condition.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn terms(&self, service: u32) -> Option<&Terms> {
        TERMS.get(service)
    }

    #[inline(always)]
    fn may_insert(&self, service: u32, terms: &Terms) -> bool {
        // SAFETY: the pointer is to this CPU's value, which nobody else writes while this program runs.
        INSERTS.get_ptr_mut(service).is_some_and(|count| unsafe { &mut *count }.may_insert(terms))
    }

    #[inline(always)]
    fn flow4(&self, id: &FlowId4) -> Option<KernelEntry> {
        FLOWS4.get_ptr_mut(id).map(KernelEntry)
    }

    #[inline(always)]
    fn flow6(&self, id: &FlowId6) -> Option<KernelEntry> {
        FLOWS6.get_ptr_mut(id).map(KernelEntry)
    }

    #[inline(always)]
    fn insert4(&self, id: &FlowId4, flow: &FlowEntry, replace: bool) -> bool {
        FLOWS4.insert(id, flow, if replace { 0 } else { BPF_NOEXIST.into() }).is_ok()
    }

    #[inline(always)]
    fn insert6(&self, id: &FlowId6, flow: &FlowEntry, replace: bool) -> bool {
        FLOWS6.insert(id, flow, if replace { 0 } else { BPF_NOEXIST.into() }).is_ok()
    }

    #[inline(always)]
    fn fragment(&self, id: &FragmentId) -> FragmentOwner {
        let Some(owner) = FRAGMENTS.get_ptr(id) else { return FragmentOwner::UNSEEN };
        // SAFETY: the kernel returned a pointer to an aligned value that stays readable while this program runs. It may be
        // reused for another datagram meanwhile: member and generation agree, as each word is read in one load.
        cast(unsafe { owner.cast::<[u64; 3]>().read_volatile() })
    }

    #[inline(always)]
    fn remember_fragment(&self, id: &FragmentId, owner: &FragmentOwner) {
        // Without room its later fragments count as come before it.
        let _ = FRAGMENTS.insert(id, owner, 0);
    }

    #[inline(always)]
    fn found4(&self, service: &Service, id: &FlowId4, place: &Place) -> u64 {
        director_found4(service, id, place)
    }

    #[inline(always)]
    fn placed4(&self, service: &Service, id: &FlowId4, place: &Place, found: Found) -> u64 {
        director_placed4(service, id, place, found.0)
    }

    #[inline(always)]
    fn found6(&self, service: &Service, id: &FlowId6, place: &Place) -> u64 {
        director_found6(service, id, place)
    }

    #[inline(always)]
    fn placed6(&self, service: &Service, id: &FlowId6, place: &Place, found: Found) -> u64 {
        director_placed6(service, id, place, found.0)
    }

    #[inline(always)]
    fn may_answer(&self, tick: u32) -> bool {
        let Some(answers) = ANSWERS.get_ptr_mut(0) else { return false };
        // SAFETY: the pointer is to this CPU's value, which nobody else writes while this program runs.
        unsafe {
            let sent = if *answers >> 32 == u64::from(tick) { *answers & 0xffff_ffff } else { 0 };
            *answers = u64::from(tick) << 32 | (sent + 1);
            sent < u64::from(ANSWERS_A_TICK)
        }
    }
}

/// Counts what a packet of `len` bytes got: once under its member, if it has one, and once under its reason, unless that
/// is that it was forwarded.
#[inline(always)]
pub(crate) fn count(action: &Action, len: usize) {
    if action.member != MemberId::NOBODY {
        if let Some(count) = MEMBER_COUNTS.get_ptr_mut(action.member.0) {
            // SAFETY: the pointer is to this CPU's value, which nobody else writes while this program runs.
            let count = unsafe { &mut *count };
            if matches!(action.reason, Reason::Bounced) {
                count.bounced += 1;
            } else {
                count.packets += 1;
                count.bytes += len as u64;
                count.flows += u64::from(action.opens);
            }
        }
        if matches!(action.reason, Reason::Forwarded) {
            return;
        }
    }
    if let Some(count) = REASON_COUNTS.get_ptr_mut(action.reason as u32) {
        // SAFETY: as above.
        unsafe { *count += 1 };
    }
}

/// Reads a word in one load, so that fields which share it agree.
#[inline(always)]
pub(crate) fn word<const ENTRIES: usize, const FLAGS: usize>(
    map: &Array<u64, ENTRIES, FLAGS>,
    index: u32,
) -> Option<u64> {
    // SAFETY: the kernel returned a pointer to an aligned value of 8 bytes that lives as long as the map.
    map.get_ptr(index).map(|word| unsafe { word.read_volatile() })
}
