//! The programs that measure the director, and nothing else: a driver that feeds fresh packets, the floor and a bare look-up
//! that the director is compared with, a bare answer whose cost is subtracted, and for live traffic the ends of a wire.
//!
//! `BPF_PROG_TEST_RUN` does not restore a packet between repeats, so the driver writes each packet anew, of the
//! next flow, and tail-calls the program under test, which therefore meets every packet as a NIC would hand it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod frame;

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray},
    helpers::bpf_ktime_get_coarse_ns,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use bytemuck::Zeroable as _;
use vip_common::{
    Frame,
    headers::{ETHERTYPE_IPV4, Ethernet, Ipv4, Mac},
    measure::{Drive, FloorMacs, TEMPLATE_LEN, TEMPLATE_PARTS},
    tables::{FlowEntry, FlowId4, MemberEntry, Terms, tick},
};

use crate::frame::XdpFrame;

#[btf_map]
static DRIVE: Array<Drive, 1> = Array::new();
#[btf_map]
static NEXT_FLOW: Array<u32, 1> = Array::new();
#[btf_map]
static TARGETS: ProgramArray<64> = ProgramArray::new();
#[btf_map]
static LOOKED_UP: LruHashMap<FlowId4, FlowEntry, { 1 << 21 }> = LruHashMap::new();
#[btf_map]
static LOOKED_TERMS: Array<Terms, 16> = Array::new();
#[btf_map]
static LOOKED_MEMBERS: Array<MemberEntry, 16> = Array::new();
#[btf_map]
static FLOOR_VIPS: HashMap<u32, FloorMacs, 1024> = HashMap::new();
#[btf_map]
static ARRIVED: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Writes the next flow's packet over the frame and tail-calls the program under test.
#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "`#[xdp]` calls it so")]
fn driver(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    let target = feed(&mut frame);
    if let Some(target) = target {
        // SAFETY: the program at `target` has the type of this one, or the kernel had refused it.
        #[expect(unsafe_code, reason = "a tail call does not return")]
        unsafe {
            TARGETS.tail_call(&context, target);
        }
    }
    xdp_action::XDP_ABORTED
}

#[inline(always)]
fn feed(frame: &mut XdpFrame<'_>) -> Option<u32> {
    let drive = DRIVE.get(0)?;
    let next = NEXT_FLOW.get_ptr_mut(0)?;
    // SAFETY: one test run at a time uses these maps, and a test run stays on its CPU.
    #[expect(unsafe_code, reason = "a counter that is kept from packet to packet")]
    let flow = unsafe {
        let flow = if *next >= drive.flows { 0 } else { *next };
        *next = flow + drive.stride;
        if *next >= drive.flows {
            *next -= drive.flows;
        }
        flow
    };
    let parts: [[u8; 8]; TEMPLATE_PARTS] = drive.template;
    frame.write(0, parts)?;
    // The mask tells the verifier that the offset lies within the template.
    let at = drive.vary_at as usize & (TEMPLATE_LEN / 2 - 1);
    frame.write(at, (drive.first_flow.wrapping_add(flow)).to_be_bytes())?;
    Some(drive.target)
}

/// What must be done at least: header checks, one hash look-up of the VIP, two MACs.
#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "`#[xdp]` calls it so")]
fn floor(context: XdpContext) -> u32 {
    floor_of(&mut XdpFrame::new(&context)).unwrap_or(xdp_action::XDP_PASS)
}

#[inline(always)]
fn floor_of(frame: &mut XdpFrame<'_>) -> Option<u32> {
    let (_, ip) = headers(frame)?;
    // SAFETY: the map is filled before the run and not changed during it.
    #[expect(unsafe_code, reason = "a look-up in a hash map")]
    let macs = unsafe { FLOOR_VIPS.get(u32::from_ne_bytes(ip.destination)) }?;
    frame.write(0, *macs)?;
    Some(xdp_action::XDP_TX)
}

/// The headers of an IPv4 packet without options, checked.
#[inline(always)]
fn headers(frame: &XdpFrame<'_>) -> Option<(Ethernet, Ipv4)> {
    let ethernet = frame.read::<Ethernet>(0)?;
    let ip = frame.read::<Ipv4>(size_of::<Ethernet>())?;
    let fits = size_of::<Ethernet>() + ip.packet_len() <= frame.len();
    (ethernet.ethertype == ETHERTYPE_IPV4 && ip.version_ihl == 0x45 && fits).then_some((ethernet, ip))
}

/// The floor with a look-up of the flow in an LRU hash, as large and with the same key as the director's flow table. A flow
/// that is not there is written.
#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "`#[xdp]` calls it so")]
fn look_up(context: XdpContext) -> u32 {
    look_up_of::<ENTRY>(&mut XdpFrame::new(&context)).unwrap_or(xdp_action::XDP_PASS)
}

/// The same, and the entry's age by the clock.
#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "`#[xdp]` calls it so")]
fn look_up_age(context: XdpContext) -> u32 {
    look_up_of::<AGE>(&mut XdpFrame::new(&context)).unwrap_or(xdp_action::XDP_PASS)
}

/// The same, and the terms of a service, the generation and the state of the entry's member.
#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "`#[xdp]` calls it so")]
fn look_up_member(context: XdpContext) -> u32 {
    look_up_of::<MEMBER>(&mut XdpFrame::new(&context)).unwrap_or(xdp_action::XDP_PASS)
}

/// How much is looked at: the entry alone, its age as well, its member as well.
const ENTRY: u8 = 0;
const AGE: u8 = 1;
const MEMBER: u8 = 2;

/// What the rules look at beside the entry, so that nothing of it can be left out: a byte of it.
#[inline(always)]
fn looked_at<const MORE: u8>(flow: &FlowEntry) -> Option<u8> {
    // SAFETY: the helper has no condition.
    #[expect(unsafe_code, reason = "a helper of the kernel")]
    let now = tick(unsafe { bpf_ktime_get_coarse_ns() });
    if MORE == AGE {
        return Some(u8::from(flow.is_over(now, 120)));
    }
    let terms = LOOKED_TERMS.get(1)?;
    let generation = LOOKED_MEMBERS.get(flow.member.0)?.generation;
    let member = LOOKED_MEMBERS.get(flow.member.0)?.member;
    let is_its = generation == flow.generation && !flow.is_over(now, terms.idle) && member.is_alive();
    Some(u8::from(is_its) + u8::from(flow.is_stale(now, terms.idle)))
}

#[inline(always)]
fn look_up_of<const MORE: u8>(frame: &mut XdpFrame<'_>) -> Option<u32> {
    let (ethernet, ip) = headers(frame)?;
    let [source_port, port] = frame.read::<[[u8; 2]; 2]>(size_of::<Ethernet>() + size_of::<Ipv4>())?;
    let flow = FlowId4 { source: ip.source, source_port, port, scope: 1 << 8 | u32::from(ip.protocol) };
    let macs: [Mac; 2] = match LOOKED_UP.get_ptr(flow) {
        #[expect(unsafe_code, reason = "a look-up in a hash map")]
        Some(entry) => {
            // SAFETY: the value stays readable while this program runs.
            let [low, more] = unsafe {
                let [low, ..] = (*entry).member.0.to_le_bytes();
                [low, if MORE == ENTRY { 0 } else { looked_at::<MORE>(&entry.read_volatile())? }]
            };
            [[low ^ more; 6], ethernet.destination]
        }
        None => {
            let _ = LOOKED_UP.insert(flow, FlowEntry::zeroed(), 0);
            [ethernet.source, ethernet.destination]
        }
    };
    frame.write(0, macs)?;
    Some(xdp_action::XDP_TX)
}

/// The cost of a run without any work.
#[xdp(frags)]
fn bare(_context: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Takes what comes back, and counts it.
#[xdp(frags)]
fn sink(_context: XdpContext) -> u32 {
    if let Some(arrived) = ARRIVED.get_ptr_mut(0) {
        // SAFETY: the pointer is to this CPU's value, which nobody else writes while this program runs.
        #[expect(unsafe_code, reason = "a counter")]
        unsafe {
            *arrived += 1;
        }
    }
    xdp_action::XDP_DROP
}

/// Leaves every packet to the kernel. A veth takes what XDP sends to it only from a peer with an XDP program.
#[xdp(frags)]
fn pass(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Lets the programs call helpers that are only for GPL-compatible code.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the loader looks for the licence in this section")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// On the host these programs are only checked, by clippy and rust-analyzer.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
