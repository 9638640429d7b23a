//! Datagrams with numbers: what a client sends, and who gets each of them. It counts what was lost and what came to another
//! backend than its flow's; it knows neither a director nor what happens to one.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use crate::net::{Namespace, scaled};

/// Bytes of a datagram: the number of its flow, and its own within that.
const LEN: usize = 8;
/// Datagrams that may be under way: what one queue of a veth takes without a loss of its own.
const UNDER_WAY: u64 = 64;
/// Time from one round over all flows to the next.
const PACE: Duration = Duration::from_millis(4);
/// After so long without an arrival what is under way is lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that wait for a receiver on a busy machine.
const BUFFER: usize = 8 << 20;

/// Who gets datagrams: on all backends that were told to listen.
#[derive(Debug, Default)]
pub struct Receivers {
    book: Arc<Book>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Book {
    flows: Mutex<BTreeMap<u32, Arrivals>>,
    received: AtomicU64,
}

/// What has arrived of a flow.
#[derive(Clone, Debug, Default)]
struct Arrivals {
    /// Datagrams by the number of the backend that got them.
    backends: BTreeMap<u8, u64>,
    /// One for each number that has arrived.
    seen: Vec<bool>,
    twice: u64,
}

/// What became of all that was sent until now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Datagrams sent.
    pub sent: u64,
    /// Those that nobody got.
    pub lost: u64,
    /// Those that came to another backend than most of their flow.
    pub misplaced: u64,
    /// Those that came more than once.
    pub twice: u64,
    /// Flows.
    pub flows: usize,
    /// Backends that got some.
    pub backends: usize,
}

impl Receivers {
    /// Listens on `port` of all `vips` in a namespace, as backend `number`.
    ///
    /// # Errors
    /// A socket can't be made.
    pub fn listen(&mut self, number: u8, namespace: &Namespace, vips: &[IpAddr], port: u16) -> Result<()> {
        for vip in vips {
            let at = SocketAddr::new(*vip, port);
            let socket = namespace.run(|| UdpSocket::bind(at))?.with_context(|| format!("listen on {at}"))?;
            set_socket_recv_buffer_size_force(&socket, BUFFER).context("make room for datagrams")?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            let (book, stop) = (Arc::clone(&self.book), Arc::clone(&self.stop));
            self.threads.push(namespace.spawn(move || receive(&socket, number, &book, &stop))?);
        }
        Ok(())
    }

    /// Datagrams that have arrived.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.book.received.load(Ordering::Acquire)
    }

    /// What became of what all `senders` have sent. They have ended, and [`Self::received`] does not grow any more.
    #[must_use]
    pub fn tally(&self, senders: &[Sender]) -> Tally {
        let flows = lock(&self.book.flows);
        let mut backends = BTreeMap::new();
        let (mut arrived, mut misplaced, mut twice) = (0, 0, 0);
        for flow in flows.values() {
            arrived += flow.seen.iter().filter(|seen| **seen).count() as u64;
            twice += flow.twice;
            let all: u64 = flow.backends.values().sum();
            misplaced += all - flow.backends.values().max().copied().unwrap_or_default();
            for (backend, count) in &flow.backends {
                *backends.entry(*backend).or_insert(0) += count;
            }
        }
        let sent = senders.iter().map(Sender::sent).sum();
        Tally { sent, lost: sent - arrived, misplaced, twice, flows: flows.len(), backends: backends.len() }
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn receive(socket: &UdpSocket, number: u8, book: &Book, stop: &AtomicBool) {
    let mut datagram = [0; LEN];
    while !stop.load(Ordering::Relaxed) {
        let Ok(LEN) = socket.recv(&mut datagram) else { continue };
        let [a, b, c, d, e, f, g, h] = datagram;
        let (flow, at) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]) as usize);
        let mut flows = lock(&book.flows);
        let arrivals = flows.entry(flow).or_default();
        *arrivals.backends.entry(number).or_default() += 1;
        if arrivals.seen.len() <= at {
            arrivals.seen.resize(at + 1, false);
        }
        arrivals.twice += u64::from(std::mem::replace(&mut arrivals.seen[at], true));
        drop(flows);
        book.received.fetch_add(1, Ordering::Release);
    }
}

/// A client that sends numbered datagrams of many flows, as fast as they arrive; it ends when it is dropped.
#[derive(Debug)]
pub struct Sender {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Sender {
    /// Sends from a namespace, by `flows` flows to each of the `servers`. Flows are counted from `first` on: no two senders
    /// have the same.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(
        from: &Namespace,
        servers: &[SocketAddr],
        first: u32,
        flows: u32,
        to: &Receivers,
    ) -> Result<Self> {
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let servers: Vec<_> = servers.iter().flat_map(|server| vec![*server; flows as usize]).collect();
        let thread = from.spawn({
            let (book, sent, stop) = (Arc::clone(&to.book), Arc::clone(&sent), Arc::clone(&stop));
            move || send(&servers, first, &book, &sent, &stop)
        })?;
        Ok(Self { sent, stop, thread: Some(thread) })
    }

    /// Datagrams sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Sends no more.
    ///
    /// # Errors
    /// It could not send at all.
    pub fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended?,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn send(servers: &[SocketAddr], first: u32, book: &Book, sent: &AtomicU64, stop: &AtomicBool) -> Result<()> {
    let socket = |server: &SocketAddr| -> Result<UdpSocket> {
        let any: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(server).with_context(|| format!("send to {server}"))?;
        Ok(socket)
    };
    let mut flows: Vec<_> =
        servers.iter().map(|server| Ok((socket(server)?, 0_u32))).collect::<Result<_>>()?;
    // Another sender's arrivals are counted as well: it is for pacing alone.
    let (mut base, mut last) = (book.received.load(Ordering::Acquire), (0, Instant::now()));
    while !stop.load(Ordering::Relaxed) {
        for ((socket, number), flow) in flows.iter_mut().zip(first..) {
            loop {
                let arrived = book.received.load(Ordering::Acquire);
                if arrived != last.0 {
                    last = (arrived, Instant::now());
                }
                if sent.load(Ordering::Relaxed) <= arrived.saturating_sub(base) + UNDER_WAY {
                    break;
                }
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if last.1.elapsed() > scaled(PATIENCE) {
                    // It shows in the tally.
                    base = arrived.saturating_sub(sent.load(Ordering::Relaxed));
                    break;
                }
                thread::sleep(Duration::from_micros(200));
            }
            let datagram = u64::from(flow) << 32 | u64::from(*number);
            // What the machine itself refuses was not sent.
            if socket.send(&datagram.to_be_bytes()).is_ok() {
                *number += 1;
                sent.fetch_add(1, Ordering::Release);
            }
        }
        thread::sleep(PACE);
    }
    Ok(())
}

fn lock(flows: &Mutex<BTreeMap<u32, Arrivals>>) -> MutexGuard<'_, BTreeMap<u32, Arrivals>> {
    flows.lock().unwrap_or_else(PoisonError::into_inner)
}
