//! `vip explain`: its arguments, and what is explained.

use std::{fs::File, net::SocketAddr, path::PathBuf};

use clap::Args;
use pcap_file::{pcap::PcapReader, pcapng::PcapNgReader};
use serde_json::json;
use vip_userspace::{
    control::{Code, Refused},
    controller::{self, Packet, Question},
    places::Places,
};

use super::{Output, flows::nothing_pinned};
use crate::render;

/// The packet that is asked about.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// Address and port of the client; without a port for ICMP: port 0
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "pcap", requires = "dst")]
    src: Option<SocketAddr>,
    /// VIP and port
    #[arg(long, value_name = "VIP:PORT", requires = "src")]
    dst: Option<SocketAddr>,
    /// Protocol of the packet: tcp, udp, sctp, icmp, or a number
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp", value_parser = protocol)]
    proto: Proto,
    /// The packet opens its TCP connection [default: it continues one]
    #[arg(long)]
    syn: bool,
    /// Its VLAN ids, outermost first
    #[arg(long, value_name = "ID")]
    vlan: Vec<u16>,
    /// The interface that it comes in by [default: the first one that forwards]
    #[arg(long = "in", value_name = "INTERFACE")]
    interface: Option<String>,
    /// Packets of a file instead, pcap or pcapng
    #[arg(long, value_name = "FILE", conflicts_with_all = ["src", "dst", "proto", "syn", "vlan"])]
    pcap: Option<PathBuf>,
    /// How many packets of the file, from its first one on
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "pcap")]
    count: usize,
}

/// A protocol by its name or number; ICMP is another one in IPv6.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proto {
    Number(u8),
    Icmp,
}

pub(super) fn protocol(text: &str) -> Result<Proto, String> {
    match text {
        "tcp" => Ok(Proto::Number(6)),
        "udp" => Ok(Proto::Number(17)),
        "sctp" => Ok(Proto::Number(132)),
        "icmp" => Ok(Proto::Icmp),
        number => {
            number.parse().map(Proto::Number).map_err(|_| "it is tcp, udp, sctp, icmp or a number".to_owned())
        }
    }
}

impl Proto {
    /// Its number, in that family.
    pub(super) const fn number(self, is_ipv4: bool) -> u8 {
        match self {
            Self::Number(number) => number,
            Self::Icmp if is_ipv4 => 1,
            Self::Icmp => 58,
        }
    }
}

impl Explain {
    pub(super) fn carry_out(self, places: &Places) -> Result<Output, Refused> {
        let mut explained = Vec::new();
        for question in self.questions()? {
            let found = controller::explain(places, &question, self.interface.as_deref())?;
            explained.push(found.ok_or_else(|| nothing_pinned(places))?);
        }
        let texts: Vec<_> = explained.iter().map(render::explanation).collect();
        let json = json!({ "packets": explained });
        Ok(Output { text: texts.join("\n"), json, but: None, exit: 0 })
    }

    fn questions(&self) -> Result<Vec<Question>, Refused> {
        if let Some(file) = &self.pcap {
            let refused =
                |error: String| Refused::new(Code::Failed, format!("read {}: {error}", file.display()));
            let frames = frames(file, self.count).map_err(refused)?;
            return match frames.is_empty() {
                true => Err(refused("there is no Ethernet frame in it".to_owned())),
                false => Ok(frames.into_iter().map(Question::Frame).collect()),
            };
        }
        let (Some(source), Some(destination)) = (self.src, self.dst) else { return Ok(Vec::new()) };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(Refused::new(Code::Usage, "--src and --dst must be of the same address family"));
        }
        let protocol = self.proto.number(source.is_ipv4());
        let (syn, vlans) = (self.syn, self.vlan.clone());
        Ok(vec![Question::Packet(Packet { source, destination, protocol, syn, vlans })])
    }
}

/// The first frames of a file.
fn frames(path: &PathBuf, count: usize) -> Result<Vec<Vec<u8>>, String> {
    let open = || File::open(path).map_err(|error| error.to_string());
    let mut frames = Vec::new();
    if let Ok(mut reader) = PcapReader::new(open()?) {
        while let Some(packet) = reader.next_packet().filter(|_| frames.len() < count) {
            frames.push(packet.map_err(|error| error.to_string())?.data.into_owned());
        }
        return Ok(frames);
    }
    let mut reader =
        PcapNgReader::new(open()?).map_err(|error| format!("neither pcap nor pcapng: {error}"))?;
    while let Some(block) = reader.next_block().filter(|_| frames.len() < count) {
        let block = block.map_err(|error| error.to_string())?;
        if let Some(packet) = block.into_enhanced_packet() {
            frames.push(packet.data.into_owned());
        }
    }
    Ok(frames)
}
