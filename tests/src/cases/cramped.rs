//! Frames that can't grow at their start: for a driver that leaves no room there.

use vip_common::{MemberId, Reason, headers::Mac};

use super::Case;
use crate::{
    packet::{
        Packet, Route,
        layers::{Q, Reset, reset, tagged},
        routed,
    },
    world::{
        CLIENT_MAC, CLIENT4, CLOSED, OTHER_MAC, OTHER_PORT, OWN_MAC, VIP4, VIP6, WEB, WEB_MEMBER, mac_of,
        special::{
            ONE_TAG, SHUT, TAG_ELSEWHERE, TAG_ELSEWHERE_MEMBER, TWO_TAGS, UNTAGGED, UNTAGGED_MEMBER, VLAN,
        },
    },
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::drops(
            "without room a datagram is not answered, IPv4",
            Packet::to4(SHUT.v4).udp(CLOSED).frame(),
            Reason::NoRoom,
        ),
        Case::drops(
            "without room a datagram is not answered, IPv6",
            Packet::to6(SHUT.v6).udp(CLOSED).frame(),
            Reason::NoRoom,
        ),
        Case::answers(
            "without room a segment is reset: the answer is no longer",
            Packet::to4(SHUT.v4).syn(CLOSED).frame(),
            Reason::ResetUnknownPort,
            reset(
                Route::V4(SHUT.v4, CLIENT4),
                (CLOSED, 40_000),
                Reset { sequence: 0, acknowledgment: Some(0x0102_0305) },
            ),
        ),
        Case::forwards("without room a packet is forwarded", Packet::to6(VIP6).tcp(WEB).frame(), WEB_MEMBER),
    ];
    cases.extend(tags());
    cases
}

/// Where the way out has more tags than the frame, the frame would have to grow.
fn tags() -> Vec<Case> {
    let frame = |port| Packet::to4(VIP4).tcp(port).frame();
    let left = |frame: &[u8], mac: Mac, member: MemberId| routed(frame, mac, mac_of(member));
    let tag = [(Q, VLAN)];
    let mut cases = Vec::new();
    for (what, port, stack) in [
        ("one tag", ONE_TAG, vec![]),
        ("two tags", TWO_TAGS, vec![]),
        ("a second tag", TWO_TAGS, vec![tag[0]]),
        ("one tag by another port", TAG_ELSEWHERE, vec![]),
    ] {
        let name = format!("without room {what} can't be put in");
        // What is dropped has spent its hop.
        let case = Case {
            after: routed(&frame(port), CLIENT_MAC, OWN_MAC),
            ..Case::drops(name, frame(port), Reason::NoRoom)
        };
        cases.push(case.tagged(&stack));
    }
    let after = left(&frame(UNTAGGED), OWN_MAC, UNTAGGED_MEMBER);
    let taken = Case::forwards("without room a tag can be taken out", frame(UNTAGGED), UNTAGGED_MEMBER);
    cases.push(Case { frame: tagged(&frame(UNTAGGED), &tag), after, ..taken });
    let after = left(&frame(TAG_ELSEWHERE), OTHER_MAC, TAG_ELSEWHERE_MEMBER);
    let changed = (TAG_ELSEWHERE_MEMBER, OTHER_PORT);
    let name = "without room a tag can be another one";
    let other = Case::redirects(name, frame(TAG_ELSEWHERE), changed, tagged(&after, &tag));
    cases.push(Case { frame: tagged(&frame(TAG_ELSEWHERE), &[(Q, 5)]), ..other });
    cases
}
