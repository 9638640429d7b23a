//! Which packets are measured, and at how many flows. Names are those of the kernel's `bench_xdp_lb` selftest.

use vip_common::{Verb, headers::TCP};

use crate::{
    packet::{AFTER4, IP, Packet, edit, pad},
    world::{CLOSED, VIP4, VIP6, WEB},
};

/// Name of the scenario without any work, whose time is subtracted from all others.
pub const BARE: &str = "bare";
/// Name of the floor: header checks, one hash look-up of the VIP, two MACs.
pub const FLOOR: &str = "floor";

/// Name of the program that looks a flow up in an LRU hash, and does nothing else that the floor does not do.
pub(super) const LOOK_UP: &str = "lru-look-up";

/// Names of what one service gets, and what one of [`Target::Many`] gets; both have rings of the same size.
pub(super) const ONE: &str = "tcp-v4-1-service";
pub(super) const MANY: &str = "tcp-v4-10000-services";

/// Numbers of flows at which a program is measured that does something for each of them.
pub(super) const FLOWS: [u32; 4] = [1, 1000, 100_000, 1_000_000];
/// Where packets are not told apart.
const FEW: [u32; 2] = [1, 1_000_000];

/// A program under test. Its number is its index in `TARGETS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// Nothing but the way there.
    Bare,
    /// The floor.
    Floor,
    /// The director.
    Director,
    /// The floor with a look-up of the flow in an LRU hash instead of that of the VIP.
    LookUp,
    /// The same, and the age of what is found.
    LookUpAge,
    /// The same, and the member that it names.
    LookUpMember,
    /// A director all of whose slots remember: every packet is looked up in the flow table.
    Tracked,
    /// The same, with a flow table that has room for few: hardly any packet finds its flow there, and each is written.
    Short,
    /// A director with 10,000 services, one of which gets the packets.
    Many,
    /// A director with one service, whose ring is as small as theirs.
    One,
}

/// One row: packets of one kind, from so many flows.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What is sent.
    pub name: &'static str,
    /// Number of clients that take turns, each with one flow.
    pub flows: u32,
    /// Who gets it.
    pub target: Target,
    /// What it gets.
    pub verb: Verb,
    /// The packet of the first flow.
    pub frame: Vec<u8>,
    /// Where 4 bytes of the source address are counted up, in bytes from the start.
    pub vary_at: u32,
}

/// All scenarios, in the order of the report.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let established = || Packet::to4(VIP4).tcp(WEB).frame();
    let mut all = vec![scenario((BARE, Target::Bare, Verb::Transmit), 1, established())];
    let mut add = |kind: (&'static str, Target, Verb), flows: &[u32], frame: Vec<u8>| {
        all.extend(flows.iter().map(|flows| scenario(kind, *flows, frame.clone())));
    };
    add((FLOOR, Target::Floor, Verb::Transmit), &FLOWS, established());
    let forwarded = [
        ("tcp-v4-ch", established()),
        ("tcp-v4-syn", Packet::to4(VIP4).syn(WEB).frame()),
        ("tcp-v4-rst-miss", edit(established(), AFTER4 + 13, &[4])),
        ("udp-v4-ch", Packet::to4(VIP4).udp(WEB).frame()),
        ("tcp-v6-ch", Packet::to6(VIP6).tcp(WEB).frame()),
        ("tcp-v6-syn", Packet::to6(VIP6).syn(WEB).frame()),
        ("udp-v6-ch", Packet::to6(VIP6).udp(WEB).frame()),
        ("tcp-v4-options", Packet::to4(VIP4).tcp(WEB).option_words(3).frame()),
    ];
    for (name, frame) in forwarded {
        let flows: &[u32] = if name.ends_with("-ch") || name.ends_with("-syn") { &FLOWS } else { &FEW };
        add((name, Target::Director, Verb::Transmit), flows, frame);
    }
    let segment = Packet::to6(VIP6).raw(44, &fragment_of(&Packet::to6(VIP6).tcp(WEB).frame()[IP + 40..]));
    let echo = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let uncommon = [
        ("tcp-v4-frag", edit(established(), IP + 6, &[0x20, 0])),
        ("tcp-v6-frag", segment.frame()),
        ("tcp-v4-vlan", tagged(established())),
        ("icmp-v4-echo", Packet::to4(VIP4).raw(1, &echo).frame()),
    ];
    for (name, frame) in uncommon {
        add((name, Target::Director, Verb::Transmit), &FEW, frame);
    }
    let remembered = [
        ("tcp-v4-lru-hit", established()),
        ("udp-v4-lru-hit", Packet::to4(VIP4).udp(WEB).frame()),
        ("tcp-v6-lru-hit", Packet::to6(VIP6).tcp(WEB).frame()),
    ];
    add((LOOK_UP, Target::LookUp, Verb::Transmit), &FLOWS, established());
    add(("lru-look-up-age", Target::LookUpAge, Verb::Transmit), &FEW, established());
    add(("lru-look-up-member", Target::LookUpMember, Verb::Transmit), &FEW, established());
    for (name, frame) in remembered {
        // UDP shares its table with TCP, whose million flows leave room for few more.
        let flows = if name.starts_with("udp") { &FLOWS[..2] } else { &FLOWS };
        add((name, Target::Tracked, Verb::Transmit), flows, frame);
    }
    add(("tcp-v4-lru-miss", Target::Short, Verb::Transmit), &FLOWS[2..], established());
    add((ONE, Target::One, Verb::Transmit), &FLOWS, established());
    add((MANY, Target::Many, Verb::Transmit), &FLOWS, established());
    let left_alone = [
        ("pass-v4-no-vip", Packet::to4([10, 77, 0, 1]).tcp(WEB).frame()),
        ("pass-v6-no-vip", Packet::to6([0x20; 16]).tcp(WEB).frame()),
        ("pass-non-ip", edit(established(), 12, &[0x88, 0xcc])),
    ];
    for (name, frame) in left_alone {
        add((name, Target::Director, Verb::Pass), &FEW, frame);
    }
    let closed = Packet::to4(VIP4).tcp(CLOSED).frame();
    add(("drop-v4-unknown-port", Target::Director, Verb::Drop), &FEW, closed);
    all
}

/// A fragment header in front of a payload: the first of more.
fn fragment_of(payload: &[u8]) -> Vec<u8> {
    [&[TCP, 0, 0, 1, 0, 0, 0, 7], payload].concat()
}

/// The frame with a VLAN tag.
fn tagged(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(12..12, [0x81, 0, 0, 7]);
    frame
}

/// The shortest frame that the driver can write its template to: 64 bytes.
fn scenario((name, target, verb): (&'static str, Target, Verb), flows: u32, frame: Vec<u8>) -> Scenario {
    let vary_at = match frame[12..14] {
        [0x86, 0xdd] => IP + 16,
        [0x81, 0] => IP + 16,
        _ => IP + 12,
    };
    #[expect(clippy::cast_possible_truncation, reason = "an offset within an IP header")]
    let vary_at = vary_at as u32;
    Scenario { name, flows, target, verb, frame: pad(frame, 64), vary_at }
}
