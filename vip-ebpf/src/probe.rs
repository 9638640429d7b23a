//! The classifier `probe`, on each port and way out, for what leaves by it: a probe to a VIP is led to the member that its
//! mark names, by the very entry that packets to that member go by. Everything else is left alone.

#![expect(unsafe_code, reason = "the kernel's context, and helpers for VLAN tags")]

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::{bpf_skb_vlan_pop, bpf_skb_vlan_push},
    macros::classifier,
    programs::TcContext,
};
use vip_common::{
    Tables as _,
    headers::{ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN},
    tables::{Egress, MemberId, probed},
};

use crate::maps::KernelTables;

/// Leads a probe to its member. A probe whose member is not reached by this interface, any more, is dropped: it would
/// tell of somebody else.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "`#[classifier]` calls it so")]
fn probe(context: TcContext) -> i32 {
    // SAFETY: the kernel's context is valid while the program runs, and both are words of it.
    let (mark, ifindex) = unsafe { ((*context.skb.skb).mark, (*context.skb.skb).ifindex) };
    let member = probed(mark);
    if member == MemberId::NOBODY || lead(&context, member, ifindex).is_some() {
        // Whoever else looks at what leaves, may.
        return TC_ACT_UNSPEC;
    }
    TC_ACT_SHOT
}

#[inline(always)]
fn lead(context: &TcContext, member: MemberId, ifindex: u32) -> Option<()> {
    let member = KernelTables.member(member)?;
    let egress = KernelTables.egress(member.egress)?;
    if egress.ifindex != ifindex {
        return None;
    }
    context.store(0, &member.mac, 0).ok()?;
    if egress.tags == Egress::AS_IT_CAME { Some(()) } else { tag(context, egress) }
}

/// Gives the frame the tags of a way out, in place of those that it has.
#[inline(always)]
fn tag(context: &TcContext, egress: &Egress) -> Option<()> {
    let skb = context.skb.skb;
    let push = |kind: [u8; 2], id: [u8; 2]| {
        // SAFETY: the helper takes any context of a classifier; nothing points into the packet.
        let result = unsafe { bpf_skb_vlan_push(skb, u16::from_ne_bytes(kind), u16::from_be_bytes(id)) };
        (result == 0).then_some(())
    };
    for _ in 0..2 {
        // SAFETY: as above; `vlan_present` is a word of the context.
        unsafe {
            if (*skb).vlan_present != 0 && bpf_skb_vlan_pop(skb) != 0 {
                return None;
            }
        }
    }
    match egress.tags {
        0 => Some(()),
        1 => push(ETHERTYPE_VLAN, egress.vlans[0]),
        _ => {
            push(ETHERTYPE_VLAN, egress.vlans[1])?;
            push(ETHERTYPE_SERVICE_VLAN, egress.vlans[0])
        }
    }
}
