//! A tap on the switch: it sees who sends which packet to whom, on the wire. What a test concludes from it is its own.

use std::{
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with,
        sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout},
    },
};

use super::{Namespace, wait_for};

/// `ETH_P_ALL` in network order: frames of every kind (packet(7)).
const EVERY_KIND: u32 = 0x0003_u16.to_be() as u32;
/// How soon it notices that it is to end.
const LOOK_UP: Duration = Duration::from_millis(50);
/// How long it may take to read what has passed by.
const KEEP_UP: Duration = Duration::from_secs(30);
/// Room for what comes while nobody reads.
const BUFFER: usize = 16 << 20;
/// Bytes of a frame that are looked at: Ethernet, IPv4 with options, TCP.
const HEAD: usize = 96;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// A TCP segment, as one port of the switch saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Ethernet source.
    pub from_mac: [u8; 6],
    /// Ethernet destination.
    pub to_mac: [u8; 6],
    /// IP source.
    pub from: IpAddr,
    /// IP destination.
    pub to: IpAddr,
    /// TCP source port.
    pub from_port: u16,
    /// TCP destination port.
    pub to_port: u16,
    /// The sequence number.
    pub sequence: u32,
    /// The flags (RFC 9293, section 3.1).
    pub flags: u8,
}

impl Seen {
    /// Whether it opens a connection.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.flags & (SYN | ACK) == SYN
    }

    /// Whether it accepts a connection.
    #[must_use]
    pub fn accepts(&self) -> bool {
        self.flags & (SYN | ACK) == SYN | ACK
    }
}

/// Listens on every port of a switch; ends when dropped.
#[derive(Debug)]
pub struct Tap {
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug)]
struct Log {
    seen: Vec<Seen>,
    /// All that came before this was read.
    read_until: Instant,
}

impl Tap {
    /// Listens in `namespace`, and keeps the TCP segments that `keep` asks for. A frame is seen on the port that it
    /// comes in by and on the one that it leaves by.
    ///
    /// # Errors
    /// The socket can't be made.
    pub fn start(namespace: &Namespace, keep: impl Fn(&Seen) -> bool + Send + 'static) -> Result<Self> {
        let socket = namespace.run(listen)?.context("listen on the switch")?;
        let log = Arc::new(Mutex::new(Log { seen: Vec::new(), read_until: Instant::now() }));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = namespace.spawn({
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            move || read(&socket, &keep, &log, &stop)
        })?;
        Ok(Self { log, stop, thread: Some(thread) })
    }

    /// What was kept of all that has passed by before this call.
    ///
    /// # Errors
    /// So much passes by that it can't keep up.
    pub fn seen(&self) -> Result<Vec<Seen>> {
        let now = Instant::now();
        wait_for("the tap to keep up", KEEP_UP, || lock(&self.log).read_until >= now)?;
        Ok(lock(&self.log).seen.clone())
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn listen() -> rustix::io::Result<OwnedFd> {
    let protocol = std::num::NonZero::new(EVERY_KIND).map(Protocol::from_raw);
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(LOOK_UP))?;
    Ok(socket)
}

fn read(socket: &OwnedFd, keep: &impl Fn(&Seen) -> bool, log: &Mutex<Log>, stop: &AtomicBool) {
    let mut frame = [0; HEAD];
    let mut wait = RecvFlags::empty();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        match recv(socket, &mut frame, wait) {
            Ok((length, _)) => {
                wait = RecvFlags::DONTWAIT;
                if let Some(segment) = parse(&frame[..length]).filter(keep) {
                    lock(log).seen.push(segment);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {
                // Nothing was left when it looked.
                if wait == RecvFlags::DONTWAIT {
                    lock(log).read_until = now;
                }
                wait = if wait == RecvFlags::DONTWAIT { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
            }
            // The namespace has lost its interfaces.
            Err(_) => return,
        }
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The TCP segment in an untagged frame; none in any other.
fn parse(frame: &[u8]) -> Option<Seen> {
    let (to_mac, rest) = frame.split_first_chunk()?;
    let (from_mac, rest) = rest.split_first_chunk()?;
    let (kind, packet) = rest.split_first_chunk()?;
    let (from, to, segment): (IpAddr, IpAddr, _) = match u16::from_be_bytes(*kind) {
        0x0800 if packet.get(9) == Some(&6) => {
            let length = usize::from(packet.first()? & 0xf) * 4;
            let address = |at| Some(*packet.get(at..)?.first_chunk::<4>()?);
            (address(12)?.into(), address(16)?.into(), packet.get(length..)?)
        }
        0x86dd if packet.get(6) == Some(&6) => {
            let address = |at| Some(*packet.get(at..)?.first_chunk::<16>()?);
            (address(8)?.into(), address(24)?.into(), packet.get(40..)?)
        }
        _ => return None,
    };
    let port = |at| Some(u16::from_be_bytes(*segment.get(at..)?.first_chunk()?));
    let (from_port, to_port) = (port(0)?, port(2)?);
    let sequence = u32::from_be_bytes(*segment.get(4..)?.first_chunk()?);
    let flags = *segment.get(13)?;
    Some(Seen {
        at: Instant::now(),
        from_mac: *from_mac,
        to_mac: *to_mac,
        from,
        to,
        from_port,
        to_port,
        sequence,
        flags,
    })
}
