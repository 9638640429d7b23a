//! Which packets a trace is about: from what is asked for to what the program compares. Pure, but for the time, which is an
//! argument.

use std::net::IpAddr;

use bytemuck::Zeroable as _;
use vip_common::{
    Reason, headers,
    trace::{
        ANSWERED, DROPPED, FORWARDED, OF_DESTINATION, OF_DESTINATION_PORT, OF_PROTOCOL, OF_SOURCE,
        OF_SOURCE_PORT, PASSED, WantedPackets, mapped,
    },
};

use crate::{
    control::protocol::{Code, MOST_SECONDS, Refused, SECONDS, TraceRequest},
    model::words::nearest,
};

/// What packets get for whatever reason, in the words of operators.
const OUTCOMES: [(&str, u32); 4] =
    [("forwarded", FORWARDED), ("dropped", DROPPED), ("passed", PASSED), ("answered", ANSWERED)];

/// How long the trace lasts, in seconds.
///
/// # Errors
/// A figure is out of its range.
pub(super) fn seconds(request: &TraceRequest) -> Result<u32, Refused> {
    let refuse = |message: String| Err(Refused::new(Code::OutOfRange, message));
    if request.count == Some(0) || request.sample == Some(0) {
        return refuse("count and sample are 1 at least".to_owned());
    }
    match request.seconds.unwrap_or(SECONDS) {
        seconds if (1..=MOST_SECONDS).contains(&seconds) => Ok(seconds),
        seconds => refuse(format!("{seconds} s: a trace lasts 1 s at least, and {MOST_SECONDS} s at most")),
    }
}

/// What the program compares: packets by the interface with that index, or by any; at most `allowance` in a tick on each CPU,
/// until that time since the machine started, in ns.
///
/// # Errors
/// There is no such reason, or the addresses are of different families.
pub(super) fn wanted(
    request: &TraceRequest,
    ingress: Option<u32>,
    allowance: u32,
    until: u64,
) -> Result<WantedPackets, Refused> {
    if let (Some(source), Some(destination)) = (request.source, request.destination)
        && source.is_ipv4() != destination.is_ipv4()
    {
        return Err(Refused::new(
            Code::WrongFamily,
            "source and destination are of different address families",
        ));
    }
    let mut wanted = WantedPackets {
        until,
        allowance,
        ingress: ingress.unwrap_or_default(),
        every: request.sample.unwrap_or(1),
        ..WantedPackets::zeroed()
    };
    for word in &request.reasons {
        let (reasons, outcomes) = bits(word)?;
        wanted.reasons |= reasons;
        wanted.outcomes |= outcomes;
    }
    let mut asks = |bit: u32, is_asked: bool| wanted.asks |= if is_asked { bit } else { 0 };
    asks(OF_DESTINATION, request.destination.is_some());
    asks(OF_SOURCE, request.source.is_some());
    asks(OF_DESTINATION_PORT, request.destination_port.is_some());
    asks(OF_SOURCE_PORT, request.source_port.is_some());
    asks(OF_PROTOCOL, request.protocol.is_some());
    wanted.destination = wide(request.destination);
    wanted.source = wide(request.source);
    wanted.destination_port = request.destination_port.unwrap_or_default().to_be_bytes();
    wanted.source_port = request.source_port.unwrap_or_default().to_be_bytes();
    wanted.protocol = match request.protocol.unwrap_or_default() {
        headers::ICMPV6 => headers::ICMP.into(),
        protocol => protocol.into(),
    };
    Ok(wanted)
}

/// The bits of a reason, or of an outcome.
fn bits(word: &str) -> Result<(u64, u32), Refused> {
    if let Some((_, outcome)) = OUTCOMES.iter().find(|(name, _)| *name == word) {
        return Ok((0, *outcome));
    }
    if let Some(reason) = Reason::ALL.iter().find(|reason| reason.name() == word) {
        return Ok((1 << *reason as u32, 0));
    }
    let names: Vec<_> = words().collect();
    let near = nearest(word, words()).map(|near| format!("; did you mean {near:?}?"));
    let message = format!("there is no reason {word:?}{}", near.unwrap_or_default());
    Err(Refused::new(Code::BadValue, message)
        .with_remedy(format!("name some of these: {}", names.join(", "))))
}

/// All words that packets can be asked for by: outcomes first, then reasons.
pub fn words() -> impl Iterator<Item = &'static str> {
    let outcomes = OUTCOMES.iter().map(|(name, _)| *name);
    let reasons = Reason::ALL.iter().map(|reason| reason.name());
    outcomes.chain(reasons.filter(|name| OUTCOMES.iter().all(|(outcome, _)| outcome != name)))
}

fn wide(address: Option<IpAddr>) -> [u8; 16] {
    match address {
        Some(IpAddr::V4(address)) => mapped(address.octets()),
        Some(IpAddr::V6(address)) => address.octets(),
        None => [0; 16],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(request: &TraceRequest) -> Result<WantedPackets, Refused> {
        wanted(request, Some(7), 100, 5)
    }

    #[test]
    fn what_is_asked_for_is_what_is_compared() {
        let request = TraceRequest {
            destination: Some(IpAddr::from([10, 200, 0, 1])),
            destination_port: Some(80),
            protocol: Some(58),
            reasons: vec!["dropped".into(), "no-vip".into(), "forwarded".into()],
            sample: Some(9),
            ..TraceRequest::default()
        };
        let wanted = of(&request).expect("wanted");
        assert_eq!(wanted.destination, mapped([10, 200, 0, 1]));
        assert_eq!((wanted.destination_port, wanted.source_port), ([0, 80], [0, 0]));
        assert_eq!(wanted.asks, OF_DESTINATION | OF_DESTINATION_PORT | OF_PROTOCOL);
        assert_eq!((wanted.protocol, wanted.ingress, wanted.every, wanted.allowance), (1, 7, 9, 100));
        assert_eq!((wanted.reasons, wanted.outcomes), (1 << Reason::NoVip as u32, DROPPED | FORWARDED));
        assert_eq!((wanted.source, wanted.until), ([0; 16], 5));
    }

    #[test]
    fn every_word_is_one_and_another_is_told_with_the_nearest() {
        for word in words() {
            let request = TraceRequest { reasons: vec![word.into()], ..TraceRequest::default() };
            let wanted = of(&request).expect(word);
            assert_eq!(wanted.reasons.count_ones() + wanted.outcomes.count_ones(), 1, "{word}");
        }
        let request = TraceRequest { reasons: vec!["droped".into()], ..TraceRequest::default() };
        let refused = of(&request).expect_err("no such word");
        assert_eq!(refused.message, "there is no reason \"droped\"; did you mean \"dropped\"?");
    }

    #[test]
    fn figures_have_bounds() {
        let of = |request: TraceRequest| seconds(&request).map_err(|refused| refused.code);
        assert_eq!(of(TraceRequest::default()), Ok(SECONDS));
        for bad in [
            TraceRequest { count: Some(0), ..TraceRequest::default() },
            TraceRequest { sample: Some(0), ..TraceRequest::default() },
            TraceRequest { seconds: Some(0), ..TraceRequest::default() },
            TraceRequest { seconds: Some(MOST_SECONDS + 1), ..TraceRequest::default() },
        ] {
            assert_eq!(of(bad), Err(Code::OutOfRange));
        }
    }

    #[test]
    fn addresses_are_of_one_family() {
        let request = TraceRequest {
            destination: Some(IpAddr::from([10, 200, 0, 1])),
            source: Some(IpAddr::from([0; 16])),
            ..TraceRequest::default()
        };
        assert_eq!(of(&request).expect_err("two families").code, Code::WrongFamily);
    }
}
