//! Answers by the director itself to questions: only to those for a VIP, and each the answer that its RFC asks for.

use vip_common::{
    Reason,
    host::{HostFrame, HostTables},
    tables::{Port, Service},
};

use super::{
    ensure, owns, refused,
    tables::Vip,
    view::{View, sum, sum_with_pseudo},
};

const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ICMPV6: u8 = 58;

pub(super) fn check(
    before: &HostFrame,
    after: &HostFrame,
    reason: Reason,
    tables: &HostTables,
) -> Result<(), String> {
    let old = View::of(&before.bytes).ok_or("a frame without a header was answered")?;
    let new = View::of(&after.bytes).ok_or("an answer has no header")?;
    let port = tables.ports.get(&before.ingress).ok_or("a frame was answered that came in by no port")?;
    ensure(new.source() == port.mac, || "an answer is not from the port's own MAC".into())?;
    ensure(old.tags() == new.tags(), || "an answer has other tags than the question".into())?;
    ensure(old.ethertype() == new.ethertype(), || "an answer has another EtherType".into())?;
    match reason {
        Reason::ArpAnswered => {
            question(&old, port, tables)?;
            arp(&old, &new, port.mac)
        }
        Reason::NeighbourAnswered => {
            question(&old, port, tables)?;
            neighbour(&old, &new, port.mac)
        }
        _ => {
            ensure(owns(port, old.destination()), || "a packet to others was answered".into())?;
            ensure(new.destination() == old.source(), || "the answer is not to who asked".into())?;
            let address = old.ip_destination().ok_or("something was answered that is no IP packet")?;
            let vip = Vip::of(address, tables).ok_or("an answer was given for an address that is no VIP")?;
            if reason == Reason::EchoAnswered {
                echo(&old, &new, &vip)
            } else {
                refused::check(&old, &new, reason, &vip)
            }
        }
    }
}

/// A question for a VIP that this director answers for.
fn question(old: &View<'_>, port: &Port, tables: &HostTables) -> Result<(), String> {
    let asked = old.question_to().ok_or("something was answered that is no question")?;
    let vip = Vip::of(asked, tables).ok_or("an answer was given for an address that is no VIP")?;
    ensure(!vip.own.has(Service::STANDBY), || {
        "an answer was given for a VIP that another answers for".into()
    })?;
    let for_us = owns(port, old.destination()) || old.destination()[0] & 1 != 0;
    ensure(for_us, || "a question to others was answered".into())
}

/// RFC 826: the question with sender and target exchanged, and the MAC filled in.
fn arp(old: &View<'_>, new: &View<'_>, own: [u8; 6]) -> Result<(), String> {
    let (asked, said) = (old.network(), new.network());
    ensure(old.is_arp() && asked[..8] == [0, 1, 8, 0, 6, 4, 0, 1], || "no ARP request was answered".into())?;
    ensure(new.is_arp() && new.destination() == old.source(), || "the answer is not to who asked".into())?;
    let answer = [&asked[..6], &[0, 2], &own, &asked[24..28], &asked[8..18], &asked[28..]].concat();
    ensure(said == answer, || "the ARP reply is not the one that was asked for".into())
}

/// RFC 4861, sections 4.4 and 7.2.4.
fn neighbour(old: &View<'_>, new: &View<'_>, own: [u8; 6]) -> Result<(), String> {
    let (asked, said) = (old.network(), new.network());
    let (source, target) = (&asked[8..24], &asked[48..64]);
    ensure(old.is_ipv6() && asked[7] == 255, || "a question from beyond the link was answered".into())?;
    let message = old.packet_len().and_then(|len| asked.get(40..len)).ok_or("a question is cut short")?;
    let is_right = sum_with_pseudo(source, &asked[24..40], ICMPV6, message) == 0;
    ensure(is_right, || "a question with a wrong checksum was answered".into())?;
    let from_nowhere = source == [0; 16];
    let (mac, to) = if from_nowhere { (&ALL_NODES_MAC[..], &ALL_NODES[..]) } else { (old.source(), source) };
    ensure(new.destination() == mac, || "the answer is not to who asked".into())?;
    let flags = if from_nowhere { 0x20 } else { 0x60 };
    let header = [&[0x60, 0, 0, 0, 0, 32, ICMPV6, 255], target, to].concat();
    let option = [&[2, 1], &own[..]].concat();
    let rest = [&[flags, 0, 0, 0], target, &option].concat();
    let right = new.is_ipv6()
        && said.len() == 72
        && said[..40] == header
        && said[40..42] == [136, 0]
        && said[44..] == rest;
    ensure(right, || "the advertisement is not the one that was asked for".into())?;
    let is_right = sum_with_pseudo(target, to, ICMPV6, &said[40..]) == 0;
    ensure(is_right, || "the advertisement has a wrong checksum".into())
}

/// RFC 792 and RFC 4443, section 4.2: the request with addresses exchanged, as a reply with a TTL of 64. Checksums
/// that were wrong stay so: the reply is made by changes.
fn echo(old: &View<'_>, new: &View<'_>, vip: &Vip<'_>) -> Result<(), String> {
    ensure(vip.own.has(Service::ANSWERS_ECHO), || "an echo was answered without a backend".into())?;
    let payload = old.payload().ok_or("an echo was answered that can't be read")?;
    let (asked, said) = (old.network(), new.network());
    let (protocol, request, reply) = if old.is_ipv4() { (1, 8, 0) } else { (ICMPV6, 128, 129) };
    let is_request = payload.protocol == protocol && payload.bytes.starts_with(&[request, 0]);
    ensure(is_request && !payload.is_fragment, || "no echo request was answered".into())?;
    let (source, destination, len, ttl) = if old.is_ipv4() { (12, 16, 4, 8) } else { (8, 24, 16, 7) };
    let mut wanted = asked.to_vec();
    wanted.copy_within(source..source + len, destination);
    wanted[source..source + len].copy_from_slice(&asked[destination..destination + len]);
    (wanted[ttl], wanted[payload.at]) = (64, reply);
    let checksum = payload.at + 2;
    for at in [(old.is_ipv4()).then_some(10), Some(checksum)].into_iter().flatten() {
        let field = said.get(at..at + 2).ok_or("the reply is cut short")?;
        wanted[at..at + 2].copy_from_slice(field);
    }
    ensure(said == wanted, || "the echo reply is not the one that was asked for".into())?;
    let header = if old.is_ipv4() { 0..payload.at } else { 0..0 };
    ensure(sum(&asked[header.clone()]) == sum(&said[header]), || {
        "the header's checksum does not fit".into()
    })?;
    // Exchanged addresses change no sum.
    let end = payload.at + payload.bytes.len();
    ensure(sum(&asked[payload.at..end]) == sum(&said[payload.at..end]), || {
        "the reply's checksum does not fit".into()
    })
}
