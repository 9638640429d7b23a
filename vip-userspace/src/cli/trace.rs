//! `vip trace`: its arguments, and what is shown of live packets.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::pin,
    str::FromStr,
    time::Duration,
};

use clap::{Args, builder::PossibleValuesParser};
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use vip_userspace::{
    control::{
        Code, Refused,
        client::Client,
        protocol::{Explanation, SECONDS, TraceLine, TraceRequest, TracedPacket},
    },
    controller::{self, Question, trace_words},
    places::Places,
};

use super::{
    Output, Progress, Show,
    capture::{Capture, Chosen},
    explain,
    flows::nothing_pinned,
};
use crate::render;

/// How long the last packets may take once the end was asked for.
const LAST: Duration = Duration::from_secs(5);

/// Which packets are shown, and how.
#[derive(Args, Debug)]
pub(crate) struct Trace {
    /// Only packets to this address, this port, or both
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    dst: Option<End>,
    /// Only packets from there
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    src: Option<End>,
    /// Only packets of this protocol: tcp, udp, sctp, icmp, or a number
    #[arg(long, value_name = "PROTOCOL", value_parser = explain::protocol)]
    proto: Option<explain::Proto>,
    /// Only packets that come in by this interface
    #[arg(long = "in", alias = "interface", value_name = "INTERFACE")]
    interface: Option<String>,
    /// Only packets that get this: forwarded, dropped, passed, answered, or a reason; several are joined by OR
    #[arg(long, value_name = "REASON", value_parser = PossibleValuesParser::new(trace_words()), hide_possible_values = true)]
    reason: Vec<String>,
    /// One packet in so many, of each CPU
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    sample: u32,
    /// End after so many packets
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// End after so many seconds, 3600 at most
    #[arg(long, value_name = "SECONDS", default_value_t = SECONDS)]
    seconds: u32,
    /// Tell with each packet what `vip explain` tells of it now; as root, and slowly
    #[arg(long)]
    steps: bool,
    /// Write the packets to a file as well, with what each gets as its comment: pcapng
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// End the trace that goes on, whoever began it
    #[arg(long, exclusive = true)]
    stop: bool,
}

/// An address, a port, or both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct End {
    address: Option<IpAddr>,
    port: Option<u16>,
}

impl FromStr for End {
    type Err = String;

    /// Reads `10.200.0.1`, `10.200.0.1:80`, `fd00:200::1`, `[fd00:200::1]:80` or `:80`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
            return Ok(Self { address: None, port: Some(port) });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self { address: Some(address), port: None });
        }
        match text.parse::<SocketAddr>() {
            Ok(both) => Ok(Self { address: Some(both.ip()), port: Some(both.port()) }),
            Err(_) => Err("write 10.200.0.1, 10.200.0.1:80, [fd00:200::1]:80 or :80".to_owned()),
        }
    }
}

impl Trace {
    /// Shows packets until the trace ends; Ctrl-C ends it as well.
    ///
    /// # Errors
    /// Why it could not begin, or go on.
    pub(super) async fn carry_out(
        self,
        client: &Client,
        places: &Places,
        show: Show<'_>,
    ) -> Result<Option<Output>, Refused> {
        if self.stop {
            client.end_trace().await?;
            return Ok(Some(Output::done("the trace has ended".to_owned())));
        }
        let chosen = self.pcap.as_deref().map(Chosen::open).transpose()?;
        let mut shown = Shown {
            lines: render::TraceLines::default(),
            chosen,
            capture: None,
            steps: self.steps.then_some(places),
            failed: None,
        };
        let mut end = pin!(interrupted()?);
        let request = self.request();
        let result = {
            let mut talk = pin!(client.trace(&request, |line| shown.line(&line, show)));
            tokio::select! {
                result = &mut talk => result,
                () = &mut end => {
                    // It may have ended just now.
                    let asked = client.end_trace().await.or_else(|refused| match refused.code {
                        Code::NoTrace => Ok(()),
                        _ => Err(refused),
                    });
                    let last = timeout(LAST, talk).await.unwrap_or(Ok(()));
                    asked.and(last)
                }
            }
        };
        shown.failed.map_or(result, Err).map(|()| None)
    }

    fn request(&self) -> TraceRequest {
        let end = |end: Option<End>| end.map_or((None, None), |end| (end.address, end.port));
        let ((destination, destination_port), (source, source_port)) = (end(self.dst), end(self.src));
        TraceRequest {
            destination,
            destination_port,
            source,
            source_port,
            protocol: self.proto.map(|proto| proto.number(true)),
            interface: self.interface.clone(),
            reasons: self.reason.clone(),
            sample: Some(self.sample),
            count: self.count,
            seconds: Some(self.seconds),
        }
    }
}

/// Waits for Ctrl-C, or a friendly request to end.
fn interrupted() -> Result<impl Future<Output = ()>, Refused> {
    let listen = |kind| {
        signal(kind).map_err(|error| Refused::new(Code::Failed, format!("listen for signals: {error}")))
    };
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Where packets are shown.
struct Shown<'a> {
    lines: render::TraceLines,
    /// The file that packets go to, until the trace has begun.
    chosen: Option<Chosen>,
    capture: Option<Capture>,
    /// Where what is pinned is, if steps are told.
    steps: Option<&'a Places>,
    /// Why it can't go on.
    failed: Option<Refused>,
}

impl Shown<'_> {
    /// True as long as more is wanted.
    fn line(&mut self, line: &TraceLine, show: Show<'_>) -> bool {
        match self.told(line) {
            Ok(progress) => show(&progress) && matches!(line, TraceLine::Packet(_)),
            Err(refused) => {
                self.failed = Some(refused);
                false
            }
        }
    }

    fn told(&mut self, line: &TraceLine) -> Result<Progress, Refused> {
        if let Some(chosen) = self.chosen.take() {
            self.capture = Some(chosen.begin()?);
        }
        let mut json = json!(line);
        let text = match line {
            TraceLine::Ended(end) => render::trace_end(end),
            TraceLine::Packet(packet) => {
                let (text, more) = self.packet(packet)?;
                if let (Some(json), Value::Object(more)) = (json.as_object_mut(), more) {
                    json.extend(more);
                }
                text
            }
        };
        Ok(Progress { text, json, is_news: true, is_last: true })
    }

    fn packet(&mut self, packet: &TracedPacket) -> Result<(String, Value), Refused> {
        let frame = frame_of(packet);
        if let Some(capture) = &mut self.capture {
            capture.write(packet, &frame)?;
        }
        let line = self.lines.packet(packet);
        let Some(places) = self.steps else { return Ok((line, Value::Null)) };
        let told = explained(places, packet, frame)?;
        let text = line + &render::trace_steps(packet, &told);
        Ok((
            text,
            json!({ "steps": told.steps, "explained": gist(&told), "differs": render::differs(packet, &told) }),
        ))
    }
}

/// What the packet would get now.
fn gist(told: &Explanation) -> Value {
    json!({ "action": told.action, "reason": told.reason, "service": told.service, "backend": told.backend })
}

/// The beginning of the frame.
fn frame_of(packet: &TracedPacket) -> Vec<u8> {
    let digits = packet.frame.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16);
    digits.map_while(|pair| byte(pair).ok()).collect()
}

fn explained(places: &Places, packet: &TracedPacket, mut frame: Vec<u8>) -> Result<Explanation, Refused> {
    // What was not kept of it is payload, whose length matters.
    frame.resize(frame.len().max(packet.length as usize), 0);
    let found = controller::explain(places, &Question::Frame(frame), Some(&packet.interface))?;
    found.ok_or_else(|| nothing_pinned(places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_an_address_a_port_or_both() {
        let of = |text: &str| text.parse::<End>();
        let v4 = IpAddr::from([10, 200, 0, 1]);
        let v6: IpAddr = "fd00:200::1".parse().expect("an address");
        for (text, address, port) in [
            ("10.200.0.1", Some(v4), None),
            ("10.200.0.1:80", Some(v4), Some(80)),
            ("fd00:200::1", Some(v6), None),
            ("[fd00:200::1]", Some(v6), None),
            ("[fd00:200::1]:80", Some(v6), Some(80)),
            (":80", None, Some(80)),
        ] {
            assert_eq!(of(text), Ok(End { address, port }), "{text}");
        }
        for text in ["", "web", ":", "10.200.0.1:", "10.200.0.1:99999", "10.200.0:80"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
