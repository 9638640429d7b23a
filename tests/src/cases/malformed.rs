//! Headers that are cut short, lengths that do not fit, versions that are wrong: left alone while the packet is not
//! known to be for a VIP, dropped from then on.

use vip_common::Reason;

use super::Case;
use crate::{
    packet::{AFTER4, AFTER6, IP, Packet, cut, edit, pad},
    world::{VIP4, VIP6, WEB},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cut_off();
    cases.extend(shortened());
    cases.extend(ipv4());
    cases.extend(ipv6());
    cases.extend(tcp());
    cases.extend(udp());
    cases
}

fn dropped(what: &str, frame: Vec<u8>) -> Case {
    Case::drops(format!("dropped: {what}"), frame, Reason::Malformed)
}

/// Frames that end early; what their headers promise does not change.
fn cut_off() -> Vec<Case> {
    let frames = [
        ("TCP over IPv4", AFTER4, Packet::to4(VIP4).tcp(WEB).frame()),
        ("TCP over IPv4 with options", AFTER4, Packet::to4(VIP4).tcp(WEB).option_words(10).frame()),
        ("UDP over IPv4", AFTER4, Packet::to4(VIP4).udp(WEB).frame()),
        ("TCP over IPv6", AFTER6, Packet::to6(VIP6).tcp(WEB).frame()),
        ("UDP over IPv6", AFTER6, Packet::to6(VIP6).udp(WEB).frame()),
    ];
    let mut cases = Vec::new();
    for (what, address_end, whole) in frames {
        cases.extend((IP..whole.len()).map(|len| {
            let frame = cut(whole.clone(), len);
            let name = format!("{what}, cut off after {len} bytes");
            if len < address_end {
                Case::passes(name + ", tells no address", frame, Reason::Malformed)
            } else {
                dropped(&name, frame)
            }
        }));
    }
    cases
}

/// Packets that end before their transport header does: right by the IP header, in a frame that is padded.
fn shortened() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, header) in [("TCP", 20_u8), ("UDP", 8)] {
        let packet4 = Packet::to4(VIP4);
        let packet6 = Packet::to6(VIP6);
        let (packet4, packet6) = if what == "TCP" {
            (packet4.tcp(WEB), packet6.tcp(WEB))
        } else {
            (packet4.udp(WEB), packet6.udp(WEB))
        };
        for len in 0..header {
            let frame4 = edit(packet4.frame(), IP + 2, &[0, 20 + len]);
            let frame6 = edit(packet6.frame(), IP + 4, &[0, len]);
            for (family, after, frame) in [("IPv4", AFTER4, frame4), ("IPv6", AFTER6, frame6)] {
                let tight = cut(frame.clone(), after + usize::from(len));
                cases.push(dropped(&format!("{family} with {len} bytes of {what}"), tight));
                cases.push(dropped(&format!("{family} with {len} bytes of {what}, and padding"), frame));
            }
        }
    }
    cases
}

fn ipv4() -> Vec<Case> {
    let tcp = || Packet::to4(VIP4).tcp(WEB).frame();
    let longest = 14 + 60;
    let mut cases: Vec<_> = (0..5)
        .map(|words| dropped(&format!("an IPv4 header of {words} words"), edit(tcp(), IP, &[0x40 | words])))
        .collect();
    for version in (0..16).filter(|version| *version != 4) {
        let frame = edit(tcp(), IP, &[version << 4 | 5]);
        cases.push(Case::passes(format!("IP version {version} in IPv4"), frame, Reason::Malformed));
    }
    cases.extend([
        dropped("an IPv4 header that is longer than the packet", edit(tcp(), IP, &[0x4f])),
        dropped("… also where the frame is long enough", edit(pad(tcp(), longest), IP, &[0x4f])),
        dropped("a total length of 0", edit(tcp(), IP + 2, &[0, 0])),
        dropped("a total length below the header's", edit(tcp(), IP + 2, &[0, 19])),
        dropped("a total length of one byte too many", edit(tcp(), IP + 2, &[0, 57])),
        dropped("a total length of 65,535", edit(tcp(), IP + 2, &[0xff, 0xff])),
        dropped(
            "a total length that ends within the options",
            edit(Packet::to4(VIP4).tcp(WEB).option_words(3).frame(), IP + 2, &[0, 28]),
        ),
        dropped(
            "a wrong length and a TTL of 1: the length counts",
            edit(Packet::to4(VIP4).tcp(WEB).ttl(1).frame(), IP + 2, &[0, 0]),
        ),
    ]);
    cases
}

fn ipv6() -> Vec<Case> {
    let tcp = || Packet::to6(VIP6).tcp(WEB).frame();
    let mut cases: Vec<_> = (0..16)
        .filter(|version| *version != 6)
        .map(|version| {
            let frame = edit(tcp(), IP, &[version << 4]);
            Case::passes(format!("IP version {version} in IPv6"), frame, Reason::Malformed)
        })
        .collect();
    cases.extend([
        dropped("a payload length of one byte too many", edit(tcp(), IP + 4, &[0, 37])),
        dropped("a payload length of 65,535", edit(tcp(), IP + 4, &[0xff, 0xff])),
        dropped("a payload length of 0", edit(tcp(), IP + 4, &[0, 0])),
    ]);
    cases
}

fn tcp() -> Vec<Case> {
    let segments = [
        ("IPv4", AFTER4, Packet::to4(VIP4).syn(WEB).frame()),
        ("IPv6", AFTER6, Packet::to6(VIP6).syn(WEB).frame()),
    ];
    let offsets = (0..5).chain(6..16);
    let mut cases = Vec::new();
    for words in offsets {
        for (family, at, segment) in &segments {
            let frame = edit(segment.clone(), at + 12, &[words << 4]);
            let what = format!("a TCP header of {words} words in a segment of 5 over {family}");
            cases.push(dropped(&what, frame.clone()));
            cases.push(dropped(&format!("{what}, and padding"), pad(frame, 128)));
        }
    }
    cases
}

fn udp() -> Vec<Case> {
    let datagrams = [
        ("IPv4", AFTER4, Packet::to4(VIP4).udp(WEB).frame()),
        ("IPv6", AFTER6, Packet::to6(VIP6).udp(WEB).frame()),
    ];
    let mut cases = Vec::new();
    for length in [0_u16, 1, 7, 25, 100, u16::MAX] {
        for (family, at, datagram) in &datagrams {
            let frame = edit(datagram.clone(), at + 4, &length.to_be_bytes());
            let what = format!("a UDP length of {length} in a datagram of 24 over {family}");
            cases.push(dropped(&what, frame.clone()));
            cases.push(dropped(&format!("{what}, and padding"), pad(frame, 256)));
        }
    }
    cases
}
