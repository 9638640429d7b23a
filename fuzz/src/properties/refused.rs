//! Resets and unreachables: only where a service asks for them, only to what may be answered so, each as its RFC says.

use vip_common::{
    Reason,
    tables::{OnDead, Service},
};

use super::{
    ensure,
    tables::Vip,
    view::{Payload, View, sum, sum_with_pseudo},
};

const TCP: u8 = 6;
const UDP: u8 = 17;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
/// At most so many bytes of a packet are quoted.
const MAX_QUOTE: usize = 128;

pub(super) fn check(old: &View<'_>, new: &View<'_>, reason: Reason, vip: &Vip<'_>) -> Result<(), String> {
    let asked_for = match reason {
        Reason::ResetDeadMember => vip.has_on_dead(OnDead::Reset),
        Reason::ResetNoBackend => vip.has(Service::RESETS),
        Reason::ResetUnknownPort => vip.own.has(Service::RESETS),
        _ => return Err(format!("{} is no answer", reason.name())),
    };
    ensure(asked_for, || format!("{}, but no service wants that", reason.name()))?;
    let refused = old.payload().ok_or("a packet was answered that can't be read")?;
    ensure(!refused.is_fragment, || "a fragment was answered".into())?;
    let answer = new.payload().ok_or("the answer can't be read")?;
    header(old, new, &answer)?;
    match refused.protocol {
        TCP => reset(new, &refused, &answer),
        UDP => unreachable(old, new, &answer),
        other => Err(format!("protocol {other} was answered")),
    }
}

/// From the VIP to the sender, with a TTL of 64, a right checksum and nothing behind it.
fn header(old: &View<'_>, new: &View<'_>, answer: &Payload<'_>) -> Result<(), String> {
    let ends = (new.ip_source(), new.ip_destination());
    ensure(ends == (old.ip_destination(), old.ip_source()), || {
        "the answer is between other addresses".into()
    })?;
    let (said, ttl_at) = (new.network(), if new.is_ipv4() { 8 } else { 7 });
    ensure(said[ttl_at] == 64, || format!("the answer has a TTL of {}", said[ttl_at]))?;
    ensure(answer.at + answer.bytes.len() == said.len(), || "the answer is padded".into())?;
    ensure(!answer.is_fragment, || "the answer is a fragment".into())?;
    ensure(!new.is_ipv4() || sum(&said[..answer.at]) == 0, || "the header's checksum is wrong".into())
}

/// The sum over an answer, with its pseudo header where it has one.
fn sum_of(new: &View<'_>, answer: &Payload<'_>) -> u16 {
    match (answer.protocol, new.ip_source(), new.ip_destination()) {
        (1, ..) => sum(answer.bytes),
        (protocol, Some(source), Some(destination)) => {
            sum_with_pseudo(source, destination, protocol, answer.bytes)
        }
        _ => u16::MAX,
    }
}

/// RFC 9293, section 3.5.2.
fn reset(new: &View<'_>, refused: &Payload<'_>, answer: &Payload<'_>) -> Result<(), String> {
    let (segment, said) = (refused.bytes, answer.bytes);
    ensure(answer.protocol == TCP && said.len() == 20, || "the answer to a segment is no reset".into())?;
    let flags = segment[13];
    ensure(flags & RST == 0, || "a reset was answered".into())?;
    let wanted_flags = if flags & ACK != 0 { RST } else { RST | ACK };
    let (sequence, acknowledged) = if flags & ACK != 0 {
        ([segment[8], segment[9], segment[10], segment[11]], [0; 4])
    } else {
        let data = segment.len() - usize::from(segment[12] >> 4) * 4;
        let controls = [SYN, FIN].into_iter().filter(|control| flags & control != 0).count();
        let first = u32::from_be_bytes([segment[4], segment[5], segment[6], segment[7]]);
        let len = u32::try_from(data + controls).unwrap_or_default();
        ([0; 4], first.wrapping_add(len).to_be_bytes())
    };
    let ports = [&segment[2..4], &segment[..2]].concat();
    let wanted = [&ports, &sequence[..], &acknowledged, &[0x50, wanted_flags, 0, 0]].concat();
    ensure(said[..16] == wanted && said[18..] == [0, 0], || "the reset does not fit the segment".into())?;
    ensure(sum_of(new, answer) == 0, || "the reset has a wrong checksum".into())
}

/// RFC 792; RFC 4443, section 3.1: port unreachable, with the packet's start.
fn unreachable(old: &View<'_>, new: &View<'_>, answer: &Payload<'_>) -> Result<(), String> {
    let (protocol, kind) = if old.is_ipv4() { (1, [3, 3]) } else { (58, [1, 4]) };
    let (head, quote) = answer.bytes.split_at_checked(8).ok_or("the answer is cut short")?;
    ensure(answer.protocol == protocol && head[..2] == kind && head[4..] == [0; 4], || {
        "the answer to a datagram is no port unreachable".into()
    })?;
    let packet = old.packet_len().unwrap_or_default();
    ensure(quote.len() + 3 >= packet.min(MAX_QUOTE) && quote.len() <= packet, || {
        format!("{} bytes are quoted of {packet}", quote.len())
    })?;
    ensure(old.network().starts_with(quote), || "the quote is not what was sent".into())?;
    ensure(sum_of(new, answer) == 0, || "the unreachable has a wrong checksum".into())
}
