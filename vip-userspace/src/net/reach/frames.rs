//! The question whether a neighbour is still there, and its answer, as frames: ARP (RFC 826) and neighbour discovery
//! (RFC 4861). Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytemuck::{Pod, Zeroable as _, bytes_of, pod_read_unaligned};
use vip_common::headers::{
    Arp, ETHERTYPE_ARP, ETHERTYPE_IPV6, Ethernet, ICMPV6, Ipv6, LinkLayerAddress, Neighbour,
};

use super::turns::Question;
use crate::model::Mac;

const BROADCAST: Mac = Mac([0xff; 6]);
/// Length of a solicitation with its one option.
const SOLICITATION_LEN: u16 = 32;

/// The frame that asks. `None` where this box has no address of the family.
pub(super) fn frame(question: &Question) -> Option<Vec<u8>> {
    match (question.address, question.target.own) {
        (IpAddr::V4(address), IpAddr::V4(own)) => Some(request(question, address, own)),
        (IpAddr::V6(address), IpAddr::V6(own)) => Some(solicitation(question, address, own)),
        _ => None,
    }
}

fn request(question: &Question, address: Ipv4Addr, own: Ipv4Addr) -> Vec<u8> {
    let target = question.target;
    let to = if question.to_all { BROADCAST } else { target.mac };
    let arp = Arp {
        kind: Arp::ETHERNET_IPV4,
        operation: Arp::REQUEST,
        sender_mac: target.own_mac.0,
        sender: own.octets(),
        target_mac: [0; 6],
        target: address.octets(),
    };
    [ethernet(to, target.own_mac, ETHERTYPE_ARP).as_slice(), bytes_of(&arp)].concat()
}

fn solicitation(question: &Question, address: Ipv6Addr, own: Ipv6Addr) -> Vec<u8> {
    let target = question.target;
    let [.., high, middle, low] = address.octets();
    // RFC 4291, section 2.7.1; RFC 2464, section 7.
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(high), u16::from_be_bytes([middle, low]));
    let (to, destination) = if question.to_all {
        (Mac([0x33, 0x33, 0xff, high, middle, low]), group)
    } else {
        (target.mac, address)
    };
    let ip = Ipv6 {
        version_class_label: [0x60, 0, 0, 0],
        payload_length: SOLICITATION_LEN.to_be_bytes(),
        next_header: ICMPV6,
        hop_limit: 255,
        source: own.octets(),
        destination: destination.octets(),
    };
    let mut asks =
        Neighbour { kind: Neighbour::SOLICITATION, target: address.octets(), ..Neighbour::zeroed() };
    let option = LinkLayerAddress { kind: LinkLayerAddress::SOURCE, length: 1, mac: target.own_mac.0 };
    // The pseudo header of RFC 8200, section 8.1, and the message.
    let length = [0, 0, 0, 0, 0, 0, 0, ICMPV6];
    let summed =
        [&ip.source[..], &ip.destination, &ip.payload_length, &length, bytes_of(&asks), bytes_of(&option)];
    asks.checksum = checksum(&summed.concat());
    let ethernet = ethernet(to, target.own_mac, ETHERTYPE_IPV6);
    [ethernet.as_slice(), bytes_of(&ip), bytes_of(&asks), bytes_of(&option)].concat()
}

fn ethernet(to: Mac, from: Mac, kind: [u8; 2]) -> [u8; 14] {
    bytemuck::cast(Ethernet { destination: to.0, source: from.0, ethertype: kind })
}

/// The field for even bytes (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let [_, _, high, low] = (!((sum & 0xffff) + (sum >> 16))).to_be_bytes();
    [high, low]
}

/// Who answers in a frame, and by which MAC.
pub(super) fn answer(frame: &[u8]) -> Option<(IpAddr, Mac)> {
    let ethernet: Ethernet = read(frame, 0)?;
    let behind = size_of::<Ethernet>();
    match ethernet.ethertype {
        ETHERTYPE_ARP => {
            let arp: Arp = read(frame, behind)?;
            let is_reply = arp.kind == Arp::ETHERNET_IPV4 && arp.operation == Arp::REPLY;
            is_reply.then(|| (Ipv4Addr::from(arp.sender).into(), Mac(arp.sender_mac)))
        }
        ETHERTYPE_IPV6 => {
            let ip: Ipv6 = read(frame, behind)?;
            let told: Neighbour = read(frame, behind + size_of::<Ipv6>())?;
            // One that has been routed says nothing of this link (RFC 4861, section 7.1.2).
            let is_told =
                ip.next_header == ICMPV6 && ip.hop_limit == 255 && told.kind == Neighbour::ADVERTISEMENT;
            // To a question by unicast the option may be left out (section 4.4): the sender's own MAC says as much.
            let options =
                frame.get(behind + size_of::<Ipv6>() + size_of::<Neighbour>()..).unwrap_or_default();
            let mac = target_mac(options).unwrap_or(Mac(ethernet.source));
            is_told.then(|| (Ipv6Addr::from(told.target).into(), mac))
        }
        _ => None,
    }
}

/// The target link-layer address among the options of an advertisement (section 4.6.1).
fn target_mac(mut options: &[u8]) -> Option<Mac> {
    loop {
        let option: LinkLayerAddress = read(options, 0)?;
        if option.kind == LinkLayerAddress::TARGET && option.length == 1 {
            return Some(Mac(option.mac));
        }
        // Lengths are in units of 8 bytes. One of 0 has no end.
        let length = usize::from(option.length) * 8;
        options = options.get(length..).filter(|_| length > 0)?;
    }
}

fn read<T: Pod>(frame: &[u8], at: usize) -> Option<T> {
    frame.get(at..at + size_of::<T>()).map(pod_read_unaligned)
}

#[cfg(test)]
mod tests {
    use super::{super::turns::Target, *};

    fn question(address: &str, own: &str, to_all: bool) -> Question {
        let (mac, own_mac) = (Mac([2, 0, 0, 0, 0, 5]), Mac([2, 0, 0, 0, 1, 1]));
        let target = Target { ifindex: 7, mac, own_mac, own: own.parse().expect("an address") };
        Question { address: address.parse().expect("an address"), target, to_all }
    }

    #[test]
    fn an_arp_request_is_that_of_rfc_826() {
        let sent = frame(&question("10.0.0.5", "10.0.0.1", false)).expect("a frame");
        let expected = [
            &[2, 0, 0, 0, 0, 5, 2, 0, 0, 0, 1, 1, 8, 6][..],
            &[0, 1, 8, 0, 6, 4, 0, 1],
            &[2, 0, 0, 0, 1, 1, 10, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 10, 0, 0, 5],
        ];
        assert_eq!(sent, expected.concat());
        let sent = frame(&question("10.0.0.5", "10.0.0.1", true)).expect("a frame");
        assert_eq!((&sent[..6], &sent[6..]), (&[0xff; 6][..], &expected.concat()[6..]));
    }

    #[test]
    fn a_solicitation_sums_up_and_goes_to_the_neighbour_or_its_group() {
        for (to_all, mac, destination) in [
            (false, [2, 0, 0, 0, 0, 5], "fd00::12:3456"),
            (true, [0x33, 0x33, 0xff, 0x12, 0x34, 0x56], "ff02::1:ff12:3456"),
        ] {
            let sent = frame(&question("fd00::12:3456", "fd00::1", to_all)).expect("a frame");
            assert_eq!((sent.len(), &sent[..6]), (86, &mac[..]));
            let destination: Ipv6Addr = destination.parse().expect("an address");
            assert_eq!(sent[38..54], destination.octets());
            let pseudo = [&sent[22..54], &[0, 0, 0, 32, 0, 0, 0, 58], &sent[54..]].concat();
            assert_eq!(checksum(&pseudo), [0, 0]);
        }
    }

    #[test]
    fn no_question_is_asked_in_the_name_of_the_other_family() {
        assert_eq!(frame(&question("10.0.0.5", "fd00::1", false)), None);
        assert_eq!(frame(&question("fd00::5", "10.0.0.1", false)), None);
    }

    #[test]
    fn an_answer_tells_who_and_by_which_mac_and_a_question_is_none() {
        let (mac, other) = ([2, 0, 0, 0, 0, 5], [2, 0, 0, 0, 1, 1]);
        let asked = frame(&question("10.0.0.5", "10.0.0.1", false)).expect("a frame");
        assert_eq!(answer(&asked), None);
        let mut reply = asked;
        reply[21] = 2;
        assert_eq!(answer(&reply), Some((IpAddr::from([10, 0, 0, 1]), Mac(other))));
        assert!((0..reply.len()).all(|length| answer(&reply[..length]).is_none()));

        let asked = frame(&question("fd00::5", "fd00::1", false)).expect("a frame");
        assert_eq!(answer(&asked), None);
        let mut told = asked;
        told[6..12].copy_from_slice(&mac);
        told[54] = 136;
        assert_eq!(answer(&told), Some(("fd00::5".parse().expect("an address"), Mac(mac))));
        assert!((0..78).all(|length| answer(&told[..length]).is_none()));
        // What it says of itself counts more than who sent it: bonds send by any of their MACs.
        told[78] = LinkLayerAddress::TARGET;
        assert_eq!(answer(&told), Some(("fd00::5".parse().expect("an address"), Mac(other))));
        let behind_a_nonce = [&told[..78], &[14, 1, 0, 0, 0, 0, 0, 0], &told[78..]].concat();
        assert_eq!(answer(&behind_a_nonce), answer(&told));
        let endless = [&told[..78], &[14, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(answer(&endless), Some(("fd00::5".parse().expect("an address"), Mac(mac))));
        told[21] = 64;
        assert_eq!(answer(&told), None, "it was routed");
    }
}
