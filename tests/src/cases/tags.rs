//! VLAN tags: behind up to two of them packets are found, and leave with the tags of the way out, or as they came.

use vip_common::{Action, MemberId, Reason};

use super::{Case, to_mac};
use crate::{
    packet::{
        Packet, cut, edit,
        layers::{AD, Q, tagged},
        routed,
    },
    world::{
        ELSEWHERE, ELSEWHERE_MEMBER, OTHER_MAC, OTHER_PORT, OWN_MAC, VIP4, VIP6, WEB, WEB_MEMBER, mac_of,
        special::{
            ONE_TAG, ONE_TAG_MEMBER, STANDBY, TAG_ELSEWHERE, TAG_ELSEWHERE_MEMBER, TWO_TAGS, TWO_TAGS_MEMBER,
            UNTAGGED, UNTAGGED_MEMBER, VLAN, VLANS,
        },
    },
};

type Tag = (u16, u16);

pub(super) fn cases() -> Vec<Case> {
    let mut cases = kept();
    cases.extend(changed());
    cases.extend(broken());
    cases
}

/// What frames come in with.
fn stacks() -> Vec<(&'static str, Vec<Tag>)> {
    vec![
        ("no tag", vec![]),
        ("one tag", vec![(Q, 0x0005)]),
        ("a priority tag", vec![(Q, 0xe000)]),
        ("a service tag", vec![(AD, 0x3005)]),
        ("a tag with all bits", vec![(Q, 0xffff)]),
        ("two tags", vec![(AD, 0xa010), (Q, 0x4020)]),
        ("two 802.1Q tags", vec![(Q, 0x1010), (Q, 0xf020)]),
        ("two service tags", vec![(AD, 0x5fff), (AD, 0x0001)]),
    ]
}

fn kept() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, stack) in stacks().into_iter().skip(1) {
        let forwards =
            |name: String, packet: Packet| Case::forwards(name, packet.frame(), WEB_MEMBER).tagged(&stack);
        cases.push(forwards(format!("{what}: TCP over IPv4 keeps them"), Packet::to4(VIP4).tcp(WEB)));
        cases.push(forwards(format!("{what}: UDP over IPv6 keeps them"), Packet::to6(VIP6).udp(WEB)));
        cases.push(
            forwards(format!("{what}: a SYN with options"), Packet::to4(VIP4).option_words(3).syn(WEB))
                .opening(),
        );
        let frame = Packet::to4(VIP4).tcp(ELSEWHERE).frame();
        let after = routed(&frame, OTHER_MAC, mac_of(ELSEWHERE_MEMBER));
        let elsewhere =
            Case::redirects(format!("{what}: by another port"), frame, (ELSEWHERE_MEMBER, OTHER_PORT), after);
        cases.push(elsewhere.tagged(&stack));
        let no_vip = Packet::to4([10, 77, 0, 1]).tcp(WEB).frame();
        cases.push(Case::passes(format!("{what}: to no VIP"), no_vip, Reason::NoVip).tagged(&stack));
        let other = to_mac(Packet::to4(VIP4).tcp(WEB).frame(), [2, 0, 0, 0, 0, 3]);
        cases.push(
            Case::passes(format!("{what}: to somebody else's MAC"), other, Reason::NotForUs).tagged(&stack),
        );
        let expired = Packet::to6(VIP6).tcp(WEB).ttl(1).frame();
        cases.push(Case::drops(format!("{what}: 1 hop left"), expired, Reason::TtlExpired).tagged(&stack));
        let lldp = edit(Packet::to4(VIP4).tcp(WEB).frame(), 12, &[0x88, 0xcc]);
        cases.push(Case::passes(format!("{what}: not IP"), lldp, Reason::NotIp).tagged(&stack));
        let bounced = Packet::to4(VIP4).tcp(WEB).macs(mac_of(WEB_MEMBER), OWN_MAC).frame();
        let bounced = Case {
            expect: Action::bounced(WEB_MEMBER),
            ..Case::drops(format!("{what}: bounced"), bounced, Reason::Bounced)
        };
        cases.push(bounced.tagged(&stack));
        let standby = super::arp::question(STANDBY.v4);
        cases.push(
            Case::drops(format!("{what}: a standby is asked"), standby, Reason::Standby).tagged(&stack),
        );
        for (name, case) in [("ARP", super::arp::usual()), ("a solicitation", super::neighbours::usual())] {
            cases.push(Case {
                name: format!("{what}: {name} is answered with the same"),
                ..case.tagged(&stack)
            });
        }
    }
    cases
}

/// What a frame with these tags has, where the way out has those of the ids `wanted`: priority and drop eligibility of the
/// outermost are kept.
fn becomes(stack: &[Tag], wanted: &[u16]) -> Vec<Tag> {
    let outer = stack.first().map_or(0, |(_, control)| control & 0xf000);
    // An inner tag of two that were there keeps its own priority.
    let priority = |at: usize| match (at, stack.len()) {
        (1, 2) => stack[1].1 & 0xf000,
        _ => outer,
    };
    let kind = |at: usize| match (stack.len() == wanted.len(), at, wanted.len()) {
        (true, ..) => stack[at].0,
        (_, 0, 2) => AD,
        _ => Q,
    };
    wanted.iter().enumerate().map(|(at, id)| (kind(at), priority(at) | id)).collect()
}

fn changed() -> Vec<Case> {
    let ways: [(&str, u16, MemberId, &[u16]); 3] = [
        ("no tag", UNTAGGED, UNTAGGED_MEMBER, &[]),
        ("one tag", ONE_TAG, ONE_TAG_MEMBER, &[VLAN]),
        ("two tags", TWO_TAGS, TWO_TAGS_MEMBER, &VLANS),
    ];
    let mut cases = Vec::new();
    for (what, stack) in stacks() {
        for (out, port, member, wanted) in ways {
            let after = becomes(&stack, wanted);
            let packets = [
                ("TCP over IPv4", Packet::to4(VIP4).tcp(port)),
                ("UDP over IPv6", Packet::to6(VIP6).udp(port)),
                ("a full frame", Packet::to4(VIP4).udp(port).option_words(10)),
            ];
            cases.extend(packets.map(|(kind, packet)| {
                let case = Case::forwards(
                    format!("{kind} with {what}, by a way out with {out}"),
                    packet.frame(),
                    member,
                );
                Case { frame: tagged(&case.frame, &stack), after: tagged(&case.after, &after), ..case }
            }));
        }
        let frame = Packet::to4(VIP4).udp(TAG_ELSEWHERE).frame();
        let after =
            tagged(&routed(&frame, OTHER_MAC, mac_of(TAG_ELSEWHERE_MEMBER)), &becomes(&stack, &[VLAN]));
        cases.push(Case::redirects(
            format!("{what}, by another port with a tag"),
            tagged(&frame, &stack),
            (TAG_ELSEWHERE_MEMBER, OTHER_PORT),
            after,
        ));
    }
    cases
}

fn broken() -> Vec<Case> {
    let frame = Packet::to4(VIP4).tcp(WEB).frame();
    let one = tagged(&frame, &[(Q, 5)]);
    let two = tagged(&frame, &[(AD, 5), (Q, 6)]);
    let three = tagged(&frame, &[(Q, 5), (Q, 6), (Q, 7)]);
    let mut cases = vec![Case::passes("three tags are too many", three, Reason::NotIp)];
    for len in 14..18 {
        let name = format!("a tag that is cut off after {len} bytes is not ours to read");
        cases.push(Case::passes(name, cut(one.clone(), len), Reason::NotForUs));
    }
    for len in 18..22 {
        let name = format!("a second tag that is cut off after {len} bytes is not ours to read");
        cases.push(Case::passes(name, cut(two.clone(), len), Reason::NotForUs));
    }
    cases
}
