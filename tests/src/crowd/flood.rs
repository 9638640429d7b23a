//! A flood: packets from addresses that nobody has, as fast as one thread sends them. It knows what a packet looks like,
//! not what it is good for.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use anyhow::{Context as _, Result};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};

use crate::net::Namespace;

/// Senders are in 198.18.0.0/15, which is for such things (RFC 2544, section C.2.2).
const SENDERS: [u8; 2] = [198, 18];
const IPV4: usize = 20;
const SEGMENT: u8 = 20;
const LEN: usize = IPV4 + SEGMENT as usize;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// What a flood is made of. All fields that a sender is free to choose are random.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Water {
    /// Openings of connections.
    Syns,
    /// Segments of connections that there never were.
    Acks,
    /// Datagrams.
    Datagrams,
}

/// A flood; it ends when it is dropped.
#[derive(Debug)]
pub struct Flood {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Flood {
    /// Floods `to` from a host. A route leads there from it.
    ///
    /// # Errors
    /// The socket can't be made.
    pub fn start(from: &Namespace, water: Water, to: SocketAddrV4) -> Result<Self> {
        let socket = from.run(|| {
            let kind = (AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC);
            socket_with(kind.0, kind.1, kind.2, Some(ipproto::RAW))
        })?;
        let socket = socket.context("make a raw socket")?;
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = from.spawn({
            let (sent, stop) = (Arc::clone(&sent), Arc::clone(&stop));
            move || pour(&socket, water, to, &sent, &stop)
        })?;
        Ok(Self { sent, stop, thread: Some(thread) })
    }

    /// Packets so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Keeps a host's servers dry: its kernel drops what comes from where no route leads back. A flood shall show what the
/// director stands, not what one small machine does.
///
/// # Errors
/// The kernel refuses.
pub fn dam(host: &Namespace) -> Result<()> {
    host.sysctls(&[("ipv4/conf/eth0/rp_filter", "1")])
}

fn pour(socket: &OwnedFd, water: Water, to: SocketAddrV4, sent: &AtomicU64, stop: &AtomicBool) {
    // Any seed will do, but two floods are not alike.
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ u64::from(std::process::id()) << 20 ^ water as u64);
    while !stop.load(Ordering::Relaxed) {
        let packet = packet(water, to, &mut random);
        if sendto(socket, &packet, SendFlags::empty(), &to).is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The kernel writes the total length and the checksum of the IPv4 header (raw(7)).
fn packet(water: Water, to: SocketAddrV4, random: &mut Random) -> [u8; LEN] {
    let (one, two) = (random.next().to_be_bytes(), random.next().to_be_bytes());
    let from = Ipv4Addr::new(SENDERS[0], SENDERS[1] | one[0] & 1, one[1], one[2]);
    let mut packet = [0; LEN];
    packet[0] = 0x45;
    packet[8] = 64;
    packet[12..16].copy_from_slice(&from.octets());
    packet[16..20].copy_from_slice(&to.ip().octets());
    packet[20..22].copy_from_slice(&one[3..5]);
    packet[22..24].copy_from_slice(&to.port().to_be_bytes());
    if water == Water::Datagrams {
        packet[9] = 17;
        packet[24..26].copy_from_slice(&u16::from(SEGMENT).to_be_bytes());
        // Without a checksum (RFC 768).
        return packet;
    }
    packet[9] = 6;
    packet[24..28].copy_from_slice(&two[..4]);
    packet[32] = 0x50;
    packet[33] = if water == Water::Syns { SYN } else { ACK };
    packet[34..36].copy_from_slice(&two[4..6]);
    if water == Water::Acks {
        packet[28..32].copy_from_slice(&two[4..]);
    }
    let checksum = checksum(&packet);
    packet[36..38].copy_from_slice(&checksum);
    packet
}

/// Of the segment and its pseudo header (RFC 9293, section 3.1).
fn checksum(packet: &[u8; LEN]) -> [u8; 2] {
    let mut sum = 6 + u32::from(SEGMENT);
    for word in packet[12..].chunks_exact(2) {
        sum += u32::from(word[0]) << 8 | u32::from(word[1]);
    }
    sum = (sum >> 16) + (sum & 0xffff);
    sum += sum >> 16;
    let [.., high, low] = (!sum).to_be_bytes();
    [high, low]
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segments_checksum_is_what_others_compute() {
        let to = SocketAddrV4::new([10, 200, 0, 1].into(), 80);
        let mut random = Random(1);
        for water in [Water::Syns, Water::Acks] {
            let packet = packet(water, to, &mut random);
            let header = etherparse::Ipv4HeaderSlice::from_slice(&packet).expect("a header").to_header();
            let tcp = etherparse::TcpHeaderSlice::from_slice(&packet[IPV4..]).expect("a segment").to_header();
            assert_eq!(tcp.calc_checksum_ipv4(&header, &[]).expect("a checksum"), tcp.checksum);
        }
    }
}
