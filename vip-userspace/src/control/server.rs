//! The server's connections: how many, and for how long. It knows neither what is asked nor what is answered.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, broadcast, mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{
    Request,
    answer::Conversation,
    patience::Patient,
    peer::peer,
    protocol::{Event, Rules},
};

/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Pause after a failed accept: the process has no file descriptor left, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for answers to get out once the controller ends.
const GRACE: Duration = Duration::from_secs(1);

/// How much a client may take, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time. Beyond it the oldest that has not asked yet is closed.
    pub connections: usize,
    /// Of these, such as follow the changes; fewer than `connections`.
    pub followers: usize,
    /// Time for a request's head.
    pub head: Duration,
    /// Time for a request's body.
    pub body: Duration,
    /// Time for the controller's answer.
    pub answer: Duration,
    /// Time that a client may not read for, while there is something to be read.
    pub write: Duration,
    /// Time for a connection as a whole: body, answer and its delivery included. Not for one that follows the changes.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            followers: 16,
            head: Duration::from_secs(5),
            body: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            write: Duration::from_secs(10),
            whole: Duration::from_secs(45),
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct Desk {
    /// Takes the requests.
    pub requests: mpsc::Sender<Request>,
    /// Tells of the changes.
    pub events: broadcast::Receiver<Event>,
    /// Who may do what, now.
    pub rules: watch::Receiver<Rules>,
    /// How much a client may take.
    pub limits: Limits,
    /// Places for those who follow the changes.
    pub(super) places: Arc<Semaphore>,
}

impl Desk {
    /// A desk with the usual limits.
    #[must_use]
    pub fn new(
        requests: mpsc::Sender<Request>,
        events: broadcast::Receiver<Event>,
        rules: watch::Receiver<Rules>,
        limits: Limits,
    ) -> Self {
        Self { requests, events, rules, limits, places: Arc::new(Semaphore::new(limits.followers)) }
    }
}

/// Answers on `listener` by handing each request to the desk's; ends when that is closed, after the last answers got out.
/// Half-open connections hinder nobody.
pub async fn serve(listener: UnixListener, desk: Desk) {
    let desk = Arc::new(desk);
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            () = desk.requests.closed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.open(stream, &desk).await,
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    connections.finish().await;
}

#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first.
    open: VecDeque<Connection>,
}

struct Connection {
    task: AbortHandle,
    /// It has sent a request's head.
    asks: Arc<AtomicBool>,
}

impl Connection {
    fn asks(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
    }
}

impl Connections {
    async fn open(&mut self, stream: UnixStream, desk: &Arc<Desk>) {
        self.make_room(desk.limits.connections).await;
        let asks = Arc::new(AtomicBool::new(false));
        let task = self.tasks.spawn(converse(stream, Arc::clone(desk), Arc::clone(&asks)));
        self.open.push_back(Connection { task, asks });
    }

    async fn make_room(&mut self, most: usize) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.task.is_finished());
        if self.open.len() < most {
            return;
        }
        if let Some(at) = self.open.iter().position(|connection| !connection.asks()) {
            if let Some(oldest) = self.open.remove(at) {
                oldest.task.abort();
            }
        } else {
            // All of them wait for answers, for which there is a time limit: not all may follow the changes.
            self.tasks.join_next().await;
            self.open.retain(|connection| !connection.task.is_finished());
        }
    }

    async fn finish(mut self) {
        for connection in self.open.iter().filter(|connection| !connection.asks()) {
            connection.task.abort();
        }
        let _ = timeout(GRACE, async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

/// One request and its answer.
async fn converse(stream: UnixStream, desk: Arc<Desk>, asks: Arc<AtomicBool>) {
    let (limits, follows) = (desk.limits, Arc::new(AtomicBool::new(false)));
    let conversation = Arc::new(Conversation { desk, peer: peer(&stream), follows: Arc::clone(&follows) });
    let service = service_fn(move |request| {
        asks.store(true, Ordering::Relaxed);
        let conversation = Arc::clone(&conversation);
        async move { conversation.answer(request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Patient::new(stream, limits.write)), service);
    let over = async {
        sleep(limits.whole).await;
        if follows.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    };
    // A connection that breaks concerns its other end alone.
    tokio::select! {
        _ = connection => {}
        () = over => {}
    }
}
