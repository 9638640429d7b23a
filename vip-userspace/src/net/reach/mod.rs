//! Asks neighbours again and again whether they are still there, as the kernel does (neighbour unreachability detection,
//! RFC 4861 section 7.3), but in less than a second where that takes it half a minute. Its own timers are left alone: they
//! are those of a whole interface, and of all who use it.
//!
//! [`turns`] and [`frames`] are pure.

mod frames;
mod turns;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use log::warn;
use rustix::net::{SendFlags, send, sockopt::set_socket_recv_buffer_size_force};
use socket2::SockFilter;
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

pub(super) use self::turns::{Finding, Target};
use self::{
    frames::{answer, frame},
    turns::Turns,
};
use super::packet::{link_address, listen};
use crate::model::Mac;

/// Shortest time between two looks at whose turn it is.
const PACE: Duration = Duration::from_millis(5);
/// Time until an interface that could not be used is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Findings and answers that wait for who reads them.
const WAITING: usize = 1024;
/// Bytes of answers that wait in the kernel: those of a few thousand neighbours, should they all come at once.
const ROOM: usize = 8 << 20;
/// An answer is no longer: an advertisement with options.
const LONGEST: usize = 128;

/// A neighbour is to be asked there, or no more.
type Change = (IpAddr, Option<Target>);

/// Somebody has answered by an interface.
#[derive(Clone, Copy, Debug)]
struct Answer {
    ifindex: u32,
    address: IpAddr,
    mac: Mac,
}

/// Asks. Its task ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reach {
    changes: mpsc::UnboundedSender<Change>,
    task: AbortHandle,
}

impl Drop for Reach {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reach {
    /// Starts asking, in the network namespace of this thread, nobody yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn start() -> (Self, mpsc::Receiver<Finding>) {
        let (changes, changing) = mpsc::unbounded_channel();
        let (news, findings) = mpsc::channel(WAITING);
        let task = tokio::spawn(Task::new(news).run(changing)).abort_handle();
        (Self { changes, task }, findings)
    }

    /// From now on a neighbour is asked there, or not at all.
    pub(super) fn ask(&self, address: IpAddr, target: Option<Target>) {
        // Without its task, nothing is told either.
        let _ = self.changes.send((address, target));
    }
}

struct Task {
    began: Instant,
    turns: Turns,
    /// By interface.
    links: BTreeMap<u32, Link>,
    /// Interfaces by which nobody can be asked: told once.
    mute: BTreeSet<u32>,
    /// Until when the next attempt at an interface waits.
    shut: BTreeMap<u32, Instant>,
    heard: mpsc::Sender<Answer>,
    hearing: mpsc::Receiver<Answer>,
    news: mpsc::Sender<Finding>,
}

impl Task {
    fn new(news: mpsc::Sender<Finding>) -> Self {
        let (heard, hearing) = mpsc::channel(WAITING);
        Self {
            began: Instant::now(),
            turns: Turns::default(),
            links: BTreeMap::new(),
            mute: BTreeSet::new(),
            shut: BTreeMap::new(),
            heard,
            hearing,
            news,
        }
    }

    async fn run(mut self, mut changes: mpsc::UnboundedReceiver<Change>) {
        let mut not_before = Instant::now();
        loop {
            let next = self.turns.next().map(|next| not_before.max(self.began + next));
            let findings = tokio::select! {
                biased;
                change = changes.recv() => {
                    let Some((address, target)) = change else { return };
                    self.turns.set(address, target, self.began.elapsed());
                    self.links.retain(|ifindex, _| self.turns.uses(*ifindex));
                    Vec::new()
                }
                // What has been answered counts before what has not.
                Some(Answer { ifindex, address, mac }) = self.hearing.recv() => {
                    self.turns.answered(ifindex, address, mac, self.began.elapsed()).into_iter().collect()
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    not_before = Instant::now() + PACE;
                    self.take_turns()
                }
            };
            for finding in findings {
                if self.news.send(finding).await.is_err() {
                    return;
                }
            }
        }
    }

    fn take_turns(&mut self) -> Vec<Finding> {
        let (questions, findings) = self.turns.take(self.began.elapsed());
        for question in questions {
            let Some(frame) = frame(&question) else { continue };
            if let Err(error) = self.send(question.target.ifindex, &frame) {
                self.turns.excuse(question.address);
                self.failed(question.target.ifindex, &error);
            }
        }
        findings
    }

    fn send(&mut self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        if self.shut.get(&ifindex).is_some_and(|until| Instant::now() < *until) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.link(ifindex)?.send(frame)
    }

    /// An interface that is gone may come back with its index, and then needs another socket.
    fn failed(&mut self, ifindex: u32, error: &io::Error) {
        if error.kind() == io::ErrorKind::WouldBlock || is_passing(error) {
            return;
        }
        self.links.remove(&ifindex);
        self.shut.insert(ifindex, Instant::now() + AGAIN);
        if !is_gone(error) && self.mute.insert(ifindex) {
            warn!("interface {ifindex}: neighbours can't be asked ({error}): who fails is found out later");
        }
    }

    fn link(&mut self, ifindex: u32) -> io::Result<&Link> {
        use std::collections::btree_map::Entry;
        match self.links.entry(ifindex) {
            Entry::Occupied(link) => Ok(link.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Link::open(ifindex, &self.heard)?)),
        }
    }
}

/// True for a refusal that says something of the moment: the link is down or full.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENOBUFS | libc::EAGAIN | libc::EINTR))
}

/// True where the interface of a socket is gone, which is told of elsewhere.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENODEV))
}

/// An interface, with sockets for both kinds of questions.
struct Link {
    sockets: Vec<Arc<UdpSocket>>,
    readers: Vec<AbortHandle>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.readers.iter().for_each(AbortHandle::abort);
    }
}

impl Link {
    fn open(ifindex: u32, heard: &mpsc::Sender<Answer>) -> io::Result<Self> {
        let address = link_address(ifindex)?;
        let mut link = Self { sockets: Vec::new(), readers: Vec::new() };
        for (kind, filter) in [(libc::ETH_P_ARP, ARP_REPLIES), (libc::ETH_P_IPV6, ADVERTISEMENTS)] {
            let socket = Arc::new(listen(kind, &filter, &address)?);
            set_socket_recv_buffer_size_force(&socket, ROOM)?;
            let reader = tokio::spawn(hear(ifindex, Arc::clone(&socket), heard.clone()));
            link.readers.push(reader.abort_handle());
            link.sockets.push(socket);
        }
        Ok(link)
    }

    fn send(&self, frame: &[u8]) -> io::Result<()> {
        // Any of them sends any frame.
        let socket = self.sockets.first().ok_or(io::ErrorKind::NotConnected)?;
        // Not tokio's: that asks first whether there is room, which there is.
        Ok(send(socket, frame, SendFlags::DONTWAIT).map(drop)?)
    }
}

/// Lets a frame pass whose byte at `offset` is that.
const fn only(offset: u32, byte: u32) -> [SockFilter; 4] {
    const BYTE: u16 = 0x30;
    const EQUALS: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(BYTE, 0, 0, offset),
        SockFilter::new(EQUALS, 0, 1, byte),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// The lower byte of ARP's operation: 2, a reply.
const ARP_REPLIES: [SockFilter; 4] = only(21, 2);
/// The type of an ICMPv6 message behind the IPv6 header: 136, an advertisement. Others that have the byte there are told
/// apart later.
const ADVERTISEMENTS: [SockFilter; 4] = only(54, 136);

/// Reads answers until the interface is gone.
async fn hear(ifindex: u32, socket: Arc<UdpSocket>, heard: mpsc::Sender<Answer>) {
    let mut frame = [0; LONGEST];
    loop {
        match socket.recv(&mut frame).await {
            Ok(length) => {
                let Some((address, mac)) = answer(&frame[..length]) else { continue };
                if heard.send(Answer { ifindex, address, mac }).await.is_err() {
                    return;
                }
            }
            Err(error) if is_passing(&error) => {}
            Err(_) => return,
        }
    }
}
