//! How live packets look: a line each, whose columns line up with those of the lines before.

use std::net::IpAddr;

use vip_common::Reason;
use vip_userspace::control::protocol::{Explanation, TraceEnd, TraceEndWhy, TracedPacket};

use super::{
    NONE, WARNING,
    explain::{self, gets},
};

const HEADING: [&str; 8] =
    ["TIME (UTC)", "IN", "PROTO", "SOURCE", "DESTINATION", "ACTION", "REASON", "BACKEND"];
/// Columns are so wide at least: what comes later is seldom wider.
const WIDTHS: [usize; 8] = [15, 4, 5, 21, 17, 8, 9, 7];

/// Lines, as they come.
pub(crate) struct TraceLines {
    widths: [usize; 8],
    has_heading: bool,
}

impl Default for TraceLines {
    fn default() -> Self {
        Self { widths: WIDTHS, has_heading: false }
    }
}

impl TraceLines {
    /// The line of a packet, below the heading if it is the first one.
    pub(crate) fn packet(&mut self, packet: &TracedPacket) -> String {
        let cells = [
            time(packet.unix_ns),
            packet.interface.clone(),
            packet.protocol.clone().unwrap_or_else(|| NONE.to_owned()),
            end(packet.source, packet.source_port),
            end(packet.destination, packet.destination_port),
            packet.action.clone(),
            packet.reason.clone(),
            backend(packet),
        ];
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        let line = self.line(&cells);
        if std::mem::replace(&mut self.has_heading, true) {
            return line;
        }
        format!("{}\n{line}", self.line(&HEADING.map(str::to_owned)))
    }

    fn line(&self, cells: &[String; 8]) -> String {
        let padded = cells.iter().zip(self.widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

/// The steps of an explanation below the line of its packet; and if that gets something else by now, what.
pub(crate) fn trace_steps(packet: &TracedPacket, told: &Explanation) -> String {
    let mut text = format!("\n{}", explain::steps(told, 4));
    if differs(packet, told) {
        text += &format!("    {WARNING}now it would get something else: {}{WARNING:#}\n", gets(told.into()));
    }
    text.trim_end().to_owned()
}

/// True if an explanation says something else than what the packet got.
pub(crate) fn differs(packet: &TracedPacket, told: &Explanation) -> bool {
    // A packet that came back was not given to the backend that is named with it.
    let backend = if packet.reason == Reason::Bounced.name() { &None } else { &packet.backend };
    let same_backend = backend.is_none() || *backend == told.backend;
    packet.action != told.action || packet.reason != told.reason || !same_backend
}

/// What a packet got, in words without colours.
pub(crate) fn trace_words(packet: &TracedPacket) -> String {
    gets(packet.into())
}

/// How a trace ended.
pub(crate) fn trace_end(end: &TraceEnd) -> String {
    let TraceEnd { why, seen, told, limited, lost } = end;
    let why = match why {
        TraceEndWhy::Count => "that was all that was asked for",
        TraceEndWhy::Time => "its time is over",
        TraceEndWhy::Asked => "ended",
        TraceEndWhy::Ending => "the controller ends",
        TraceEndWhy::Failed => "packets can't be read any more; the controller's log says why",
    };
    let mut text = format!("{why}: {told} packets told, of {seen} seen");
    if *limited > 0 {
        text += &format!(", {limited} left out for the limit of packets in a second");
    }
    text + &format!(", {lost} lost")
}

fn backend(packet: &TracedPacket) -> String {
    match (&packet.backend, &packet.service) {
        (Some(backend), Some(service)) => format!("{backend} of {service}"),
        (None, Some(service)) => format!("{NONE} ({service})"),
        _ => NONE.to_owned(),
    }
}

fn end(address: Option<IpAddr>, port: Option<u16>) -> String {
    match (address, port) {
        (None, _) => NONE.to_owned(),
        (Some(address), None) => address.to_string(),
        (Some(IpAddr::V4(address)), Some(port)) => format!("{address}:{port}"),
        (Some(IpAddr::V6(address)), Some(port)) => format!("[{address}]:{port}"),
    }
}

fn time(unix_ns: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(unix_ns.into());
    time.map_or_else(|_| NONE.to_owned(), |time| time.strftime("%H:%M:%S.%6f").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> TracedPacket {
        TracedPacket {
            unix_ns: 1_700_000_000_123_456_789,
            interface: "eth0".to_owned(),
            source: Some([192, 0, 2, 7].into()),
            source_port: Some(40_000),
            destination: Some([10, 200, 0, 1].into()),
            destination_port: Some(80),
            protocol: Some("tcp".to_owned()),
            length: 60,
            action: "transmit".to_owned(),
            reason: "forwarded".to_owned(),
            meaning: "To the member that owns its flow.".to_owned(),
            service: Some("web".parse().expect("a name")),
            backend: Some("b1".parse().expect("a name")),
            egress: None,
            frame: String::new(),
        }
    }

    #[test]
    fn lines_line_up_and_grow() {
        let mut lines = TraceLines::default();
        let dropped = TracedPacket {
            source: Some("2001:db8:0:1:2:3:4:5".parse().expect("an address")),
            destination: Some("fd00:200::1".parse().expect("an address")),
            action: "drop".to_owned(),
            reason: "no-backend".to_owned(),
            backend: None,
            ..packet()
        };
        let text = [lines.packet(&packet()), lines.packet(&dropped), lines.packet(&packet())].join("\n");
        assert_eq!(
            text,
            "TIME (UTC)       IN    PROTO  SOURCE                 DESTINATION        ACTION    REASON     BACKEND\n\
             22:13:20.123456  eth0  tcp    192.0.2.7:40000        10.200.0.1:80      transmit  forwarded  b1 of web\n\
             22:13:20.123456  eth0  tcp    [2001:db8:0:1:2:3:4:5]:40000  [fd00:200::1]:80   drop      no-backend  - (web)\n\
             22:13:20.123456  eth0  tcp    192.0.2.7:40000               10.200.0.1:80      transmit  forwarded   b1 of web"
        );
    }

    #[test]
    fn words_are_those_of_an_explanation() {
        assert_eq!(trace_words(&packet()), "sent back out of the same interface: forwarded, to b1 of web");
        let dropped = TracedPacket {
            action: "drop".to_owned(),
            reason: "land".to_owned(),
            meaning: "From an address to itself.".to_owned(),
            backend: None,
            ..packet()
        };
        assert_eq!(trace_words(&dropped), "dropped: land: From an address to itself.");
    }

    #[test]
    fn the_end_says_what_was_left_out() {
        let end = TraceEnd { why: TraceEndWhy::Time, seen: 9, told: 5, limited: 3, lost: 1 };
        assert_eq!(
            trace_end(&end),
            "its time is over: 5 packets told, of 9 seen, 3 left out for the limit of packets in a second, 1 lost"
        );
    }
}
