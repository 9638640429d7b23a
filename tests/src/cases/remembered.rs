//! Slots that remember: where a flow goes after the packets before it, by rules 1 to 7 and 15. What the controller does at
//! the same time, and what time does, is tested in `tests/slots.rs`.

use vip_common::{MemberId, Reason};

use super::Case;
use crate::{
    packet::{Packet, layers::segment},
    world::{
        VIP4, VIP6, WEB, WEB_MEMBER,
        special::{
            BROKE, DRAINED, MOVED, MOVED_ADDRESSES, MOVED_SOURCES, NEW_MEMBER, NO_TERMS, OLD_MEMBER,
            OTHER_MEMBER, SETTLED, TURNS, TURNS_OF_SOURCES,
        },
    },
};

const FIN: u8 = 0x11;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// Sequence number of the SYNs.
const FIRST: u32 = 0xffff_fff0;

/// One flow over IPv4 or IPv6; no other case has it.
#[derive(Clone)]
struct Flow {
    family: &'static str,
    packet: Packet,
    from: u16,
}

fn flows(from: u16) -> [Flow; 2] {
    [("IPv4", Packet::to4(VIP4)), ("IPv6", Packet::to6(VIP6))].map(|(family, packet)| Flow {
        family,
        packet: packet.from_port(from),
        from,
    })
}

impl Flow {
    fn tcp(&self, port: u16, flags: u8, ahead: u32) -> Vec<u8> {
        let packet = self.packet.clone();
        let packet = if flags == SYN { packet.syn(port) } else { packet.tcp(port) };
        segment(packet.frame(), flags, FIRST.wrapping_add(ahead), 1)
    }

    fn udp(&self, port: u16) -> Vec<u8> {
        self.packet.clone().udp(port).frame()
    }

    /// `last` after `before`, of TCP: port, flags, how far it is ahead of the SYN.
    fn after(&self, what: &str, port: u16, before: &[(u8, u32)], last: (u8, u32), member: MemberId) -> Case {
        let name = format!("{what}, {} from port {}", self.family, self.from);
        let before = before.iter().map(|(flags, ahead)| self.tcp(port, *flags, *ahead));
        let case = Case::forwards(name, self.tcp(port, last.0, last.1), member).following(before);
        if last.0 == SYN { case.opening() } else { case }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for flow in flows(51_000) {
        cases.extend(new(&flow));
    }
    for flow in flows(51_100) {
        cases.extend(settled(&flow));
    }
    cases.extend(older());
    cases.extend(forged());
    cases.extend(closing());
    cases.extend(datagrams());
    cases.extend(broke());
    cases.extend(turns());
    cases.extend(connections_of_sources());
    cases.extend(sources_in_turn());
    cases.extend(by_addresses());
    cases.extend(broken());
    cases
}

/// Rules 4 and 5, one after the other.
fn new(flow: &Flow) -> Vec<Case> {
    vec![
        flow.after("a SYN goes to the new member", MOVED, &[], (SYN, 0), NEW_MEMBER),
        flow.after("… and once more", MOVED, &[], (SYN, 0), NEW_MEMBER),
        flow.after("… as what continues it", MOVED, &[], (ACK, 1), NEW_MEMBER),
        flow.after("… and what comes after that, wherever it is", MOVED, &[], (ACK, 0x4000_0000), NEW_MEMBER),
        flow.after("… and a SYN with another number", MOVED, &[], (SYN, 0x1234_0000), NEW_MEMBER),
        flow.after("… and a FIN", MOVED, &[], (FIN, 99), NEW_MEMBER),
        flow.after("… and what follows the FIN", MOVED, &[], (ACK, 100), NEW_MEMBER),
    ]
}

/// Rule 3: nothing is written, though flows are looked up.
fn settled(flow: &Flow) -> Vec<Case> {
    vec![
        flow.after("both members are one: a SYN", SETTLED, &[], (SYN, 0), NEW_MEMBER),
        flow.after("both members are one: a segment", SETTLED, &[], (ACK, 7), NEW_MEMBER),
        flow.after("not tracked: a SYN", WEB, &[], (SYN, 0), WEB_MEMBER),
        flow.after("not tracked: a segment", WEB, &[], (ACK, 7), WEB_MEMBER),
    ]
}

/// Rules 2 and 6, and what does not continue a SYN.
fn older() -> Vec<Case> {
    let mut cases = Vec::new();
    for flow in flows(51_200) {
        cases.extend([
            flow.after("a segment of an older flow", MOVED, &[], (ACK, 1), OLD_MEMBER),
            flow.after("… and the next one", MOVED, &[], (ACK, 2), OLD_MEMBER),
            flow.after("… and its FIN", MOVED, &[], (FIN, 2), OLD_MEMBER),
        ]);
    }
    for flow in flows(51_300) {
        cases.push(flow.after("a reset of an older flow", MOVED, &[], (RST, 1), OLD_MEMBER));
    }
    // A segment continues a SYN within an initial window.
    for (from, ahead, continues) in [
        (51_400, 0, false),
        (51_401, 1, true),
        (51_402, 0xffff, true),
        (51_403, 0x10000, false),
        (51_404, u32::MAX, false),
    ] {
        for flow in flows(from) {
            let member = if continues { NEW_MEMBER } else { OLD_MEMBER };
            let what = format!("a segment {ahead:#x} ahead of a SYN");
            cases.push(flow.after(&what, MOVED, &[(SYN, 0)], (ACK, ahead), member));
            let what = format!("… and all after it, {ahead:#x} ahead");
            cases.push(flow.after(&what, MOVED, &[], (ACK, 5), member));
        }
    }
    cases
}

/// Rule 7: a forged SYN moves nothing that lives.
fn forged() -> Vec<Case> {
    let mut cases = Vec::new();
    for flow in flows(51_500) {
        cases.extend([
            flow.after(
                "a SYN on an older flow keeps its member",
                MOVED,
                &[(ACK, 1)],
                (SYN, 0x5000),
                OLD_MEMBER,
            ),
            flow.after("… and so does what would continue it", MOVED, &[], (ACK, 0x5001), OLD_MEMBER),
            flow.after("… and the flow", MOVED, &[], (ACK, 2), OLD_MEMBER),
        ]);
    }
    // A SYN before any other segment: pending only, and the older flow goes on where it was.
    for flow in flows(51_600) {
        cases.push(flow.after(
            "a forged SYN before an older flow speaks",
            MOVED,
            &[(SYN, 0)],
            (ACK, 0x2000_0000),
            OLD_MEMBER,
        ));
    }
    cases
}

/// Rule 7: a flow that was closing begins anew elsewhere, if its member gets no new flows any more.
fn closing() -> Vec<Case> {
    let mut cases = Vec::new();
    for (from, end, what) in [(51_700, FIN, "FIN"), (51_701, RST, "reset")] {
        for flow in flows(from) {
            cases.extend([
                flow.after(
                    &format!("a SYN after a {what} is new"),
                    MOVED,
                    &[(ACK, 1), (end, 2)],
                    (SYN, 0x7000),
                    NEW_MEMBER,
                ),
                flow.after(
                    &format!("… and so is what continues it after a {what}"),
                    MOVED,
                    &[],
                    (ACK, 0x7001),
                    NEW_MEMBER,
                ),
            ]);
        }
    }
    for flow in flows(51_710) {
        let before = [(ACK, 1), (FIN, 2), (ACK, 3)];
        cases.push(flow.after(
            "a segment after the FIN: the flow is not closing",
            MOVED,
            &before,
            (SYN, 0x7000),
            OLD_MEMBER,
        ));
    }
    // The new member is eligible: its closing flows stay.
    for flow in flows(51_720) {
        let before = [(SYN, 0), (ACK, 1), (FIN, 2)];
        cases.push(flow.after(
            "a SYN on a closing flow of an eligible member",
            MOVED,
            &before,
            (SYN, 0x7000),
            NEW_MEMBER,
        ));
    }
    cases
}

/// Of UDP nobody can tell what is new: an unknown flow counts as an older one.
fn datagrams() -> Vec<Case> {
    let mut cases = Vec::new();
    for flow in flows(51_800) {
        let name = |what: &str| format!("{what}, {} from port {}", flow.family, flow.from);
        cases.extend([
            Case::forwards(name("an unknown datagram"), flow.udp(MOVED), OLD_MEMBER).opening(),
            Case::forwards(name("… and the next one"), flow.udp(MOVED), OLD_MEMBER),
            Case::forwards(name("both members are one: a datagram"), flow.udp(SETTLED), NEW_MEMBER),
        ]);
    }
    cases
}

/// Rule 15: over its budget a service writes nothing, and new flows stay where the ring finds them again. And nobody new
/// for those that drain.
fn broke() -> Vec<Case> {
    let mut cases = Vec::new();
    for flow in flows(51_900) {
        cases.extend([
            flow.after(
                "without allowance a SYN goes where the older flows are",
                BROKE,
                &[],
                (SYN, 0),
                OLD_MEMBER,
            ),
            flow.after("… and so does what continues it", BROKE, &[], (ACK, 1), OLD_MEMBER),
            flow.after("without allowance: a segment", BROKE, &[], (ACK, 0x100_0000), OLD_MEMBER),
            flow.after("while all drain: a segment", DRAINED, &[], (ACK, 1), OLD_MEMBER),
        ]);
    }
    for flow in flows(51_910) {
        let name = format!("while all drain a SYN goes nowhere, {}", flow.family);
        cases.push(Case::drops(name, flow.tcp(DRAINED, SYN, 0), Reason::NoBackend));
    }
    cases
}

/// Turns are taken by new flows, and by nobody else.
fn turns() -> Vec<Case> {
    let mut cases = Vec::new();
    for (at, member) in (0_u16..).zip([NEW_MEMBER, OTHER_MEMBER, NEW_MEMBER, OTHER_MEMBER]) {
        let [flow, other] = flows(52_000 + at);
        cases.extend([
            flow.after(&format!("turn {at}: a SYN"), TURNS, &[], (SYN, 0), member),
            flow.after(&format!("turn {at}: the SYN once more"), TURNS, &[], (SYN, 0), member),
            flow.after(&format!("turn {at}: what continues it"), TURNS, &[], (ACK, 1), member),
            other.after(
                &format!("turn {at}: a segment of a flow that is not known goes by the ring"),
                TURNS,
                &[],
                (ACK, 1),
                OTHER_MEMBER,
            ),
        ]);
    }
    cases
}

/// Flows of one client, over both families.
fn of_one_client<const N: usize>(from: u16) -> impl Iterator<Item = [Flow; N]> {
    let of = move |family: usize| {
        std::array::from_fn(|at| flows(from + u16::try_from(at).unwrap_or_default())[family].clone())
    };
    [0, 1].into_iter().map(of)
}

/// With source affinity, each connection of a client lives where it began, wherever new ones go.
fn connections_of_sources() -> Vec<Case> {
    let mut cases = Vec::new();
    for [older, new, ended, silent] in of_one_client(52_200) {
        let to = MOVED_SOURCES;
        cases.extend([
            older.after("of a source: an older connection", to, &[], (ACK, 1), OLD_MEMBER),
            new.after("of a source: a new connection", to, &[], (SYN, 0x100), NEW_MEMBER),
            new.after("… and what continues it", to, &[], (ACK, 0x101), NEW_MEMBER),
            older.after("… and the older one, after that", to, &[], (ACK, 2), OLD_MEMBER),
            ended.after("of a source: the end of an older one", to, &[], (FIN, 1), OLD_MEMBER),
            ended.after("… and what begins anew", to, &[], (SYN, 0x7000), NEW_MEMBER),
            silent.after("… and an older one that was silent", to, &[], (ACK, 1), OLD_MEMBER),
        ]);
    }
    cases
}

/// Where sources take turns, all connections of one are where its first one is, in whatever order they begin and end.
fn sources_in_turn() -> Vec<Case> {
    let mut cases = Vec::new();
    for ([one, other, third], member) in of_one_client(52_300).zip([NEW_MEMBER, OTHER_MEMBER]) {
        let to = TURNS_OF_SOURCES;
        cases.extend([
            one.after("the first SYN of a source", to, &[], (SYN, 0), member),
            other.after("… and a SYN of another connection", to, &[], (SYN, 0x10_0000), member),
            one.after("… and what continues the first one", to, &[], (ACK, 1), member),
            other.after("… and what continues the second one", to, &[], (ACK, 0x10_0001), member),
            one.after("… and the end of the first one", to, &[], (FIN, 2), member),
            third.after("… and a third one's SYN", to, &[], (SYN, 0x20_0000), member),
            other.after("… and the second one", to, &[], (ACK, 0x10_0002), member),
            third.after("… and what continues the third one", to, &[], (ACK, 0x20_0001), member),
        ]);
    }
    cases
}

/// By addresses nobody can tell what is new: all between two addresses go where the first packet went.
fn by_addresses() -> Vec<Case> {
    let mut cases = Vec::new();
    for [one, other, third] in of_one_client(52_400) {
        let to = MOVED_ADDRESSES;
        cases.extend([
            one.after("by addresses: a SYN counts as an older flow's", to, &[], (SYN, 0), OLD_MEMBER),
            other.after("… and a SYN of another connection", to, &[], (SYN, 0x10_0000), OLD_MEMBER),
            one.after("… and what continues the first one", to, &[], (ACK, 1), OLD_MEMBER),
            one.after("… and its end", to, &[], (FIN, 2), OLD_MEMBER),
            third.after("… and a third one's SYN", to, &[], (SYN, 0x20_0000), OLD_MEMBER),
            other.after("… and what continues the second one", to, &[], (ACK, 0x10_0001), OLD_MEMBER),
        ]);
    }
    cases
}

fn broken() -> Vec<Case> {
    let drops = |name: String, frame| Case::drops(name, frame, Reason::BrokenTable);
    flows(52_100)
        .into_iter()
        .flat_map(|flow| {
            [
                drops(
                    format!("a tracked slot of a service without terms, {}", flow.family),
                    flow.tcp(NO_TERMS, ACK, 0),
                ),
                drops(format!("… also a SYN, {}", flow.family), flow.tcp(NO_TERMS, SYN, 0)),
            ]
        })
        .collect()
}
