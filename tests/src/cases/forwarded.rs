//! TCP and UDP to a service: to the member that owns the flow, changed in nothing but MACs and TTL.

use vip_common::Action;

use super::Case;
use crate::{
    packet::{IP, Packet, checksummed, edit, routed},
    world::{
        ELSEWHERE, ELSEWHERE_MEMBER, LOCAL4, LOCAL6, OTHER_MAC, OTHER_PORT, VIP4, VIP6, WEB, WEB_MEMBER,
        mac_of,
    },
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = plain();
    cases.extend(flags());
    cases.extend(options());
    cases.extend(elsewhere());
    cases
}

fn web(name: &str, packet: &Packet) -> Case {
    Case::forwards(name, packet.frame(), WEB_MEMBER)
}

fn plain() -> Vec<Case> {
    let full = vec![0x5a; 1460];
    let segment = |ports: [u16; 2]| {
        let header = [0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0];
        [ports.map(u16::to_be_bytes).as_flattened(), &header, &full].concat()
    };
    vec![
        web("TCP over IPv4 is forwarded", &Packet::to4(VIP4).tcp(WEB)),
        web("TCP over IPv6 is forwarded", &Packet::to6(VIP6).tcp(WEB)),
        web("UDP over IPv4 is forwarded", &Packet::to4(VIP4).udp(WEB)),
        web("UDP over IPv6 is forwarded", &Packet::to6(VIP6).udp(WEB)),
        web("a service of a local VIP is forwarded, IPv4", &Packet::to4(LOCAL4).tcp(WEB)),
        web("a service of a local VIP is forwarded, IPv6", &Packet::to6(LOCAL6).udp(WEB)),
        web("a source port of 0 is a port", &Packet::to4(VIP4).udp(WEB).from_port(0)),
        web("Ethernet padding is left alone, IPv4", &Packet::to4(VIP4).syn(WEB)).padded(60).opening(),
        web("Ethernet padding is left alone, IPv6", &Packet::to6(VIP6).udp(WEB)).padded(128),
        web("a full frame is forwarded", &Packet::to4(VIP4).raw(6, &segment([40_000, WEB]))),
        Case::forwards(
            "the reserved and the don't-fragment bit make no fragment",
            checksummed(edit(Packet::to4(VIP4).tcp(WEB).frame(), IP + 6, &[0xc0, 0])),
            WEB_MEMBER,
        ),
        web(
            "a UDP length that is shorter than the packet is the sender's business",
            &Packet::to4(VIP4).raw(17, &[0x9c, 0x40, 0, 80, 0, 8, 0, 0, 1, 2, 3, 4]),
        ),
    ]
}

fn flags() -> Vec<Case> {
    let (v4, v6) = (Packet::to4(VIP4), Packet::to6(VIP6));
    let mut cases = vec![
        web("a SYN opens a flow, IPv4", &v4.clone().syn(WEB)).opening(),
        web("a SYN opens a flow, IPv6", &v6.clone().syn(WEB)).opening(),
        web("a SYN with ACK opens none", &v4.clone().syn_ack(WEB)),
    ];
    let named = [
        ("FIN", 0x11, false),
        ("RST", 0x04, false),
        ("SYN and ECE and CWR", 0xc2, true),
        ("no flag", 0, false),
    ];
    for (what, bits, opens) in named {
        let frame = edit(v4.clone().tcp(WEB).frame(), IP + 20 + 13, &[bits]);
        let case = Case::forwards(format!("a segment with {what} is forwarded"), frame, WEB_MEMBER);
        cases.push(if opens { case.opening() } else { case });
    }
    cases
}

fn options() -> Vec<Case> {
    let mut cases = Vec::new();
    for words in 1..=10 {
        let packet = Packet::to4(VIP4).option_words(words);
        cases.push(web(&format!("TCP behind {words} words of IPv4 options"), &packet.clone().tcp(WEB)));
        cases.push(web(&format!("UDP behind {words} words of IPv4 options"), &packet.clone().udp(WEB)));
        cases.push(web(&format!("a SYN behind {words} words of IPv4 options"), &packet.syn(WEB)).opening());
    }
    cases
}

fn elsewhere() -> Vec<Case> {
    let packets = [
        ("IPv4", Packet::to4(VIP4).tcp(ELSEWHERE), false),
        ("IPv6", Packet::to6(VIP6).udp(ELSEWHERE), false),
        ("a SYN", Packet::to6(VIP6).syn(ELSEWHERE), true),
    ];
    packets
        .map(|(what, packet, opens)| {
            let frame = packet.frame();
            Case {
                before: Vec::new(),
                name: format!("a member behind another port gets {what} from that port's MAC"),
                after: routed(&frame, OTHER_MAC, mac_of(ELSEWHERE_MEMBER)),
                frame,
                expect: Action::redirect(ELSEWHERE_MEMBER, opens, OTHER_PORT),
            }
        })
        .into()
}
