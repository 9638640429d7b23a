//! A client under load: new connections at a steady pace, and connections that stay open and go on asking. It decides
//! when to ask; it neither knows who should answer nor judges who did.

mod book;
mod http;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{
    runtime::{Builder, Handle},
    sync::{Semaphore, oneshot},
    task,
    time::{MissedTickBehavior, interval, sleep},
};

pub use book::{Connection, Request, failed, shares};
pub use http::Failure;
use http::{Http, Source, within};

use crate::net::{Namespace, scaled};

/// Time that a request has, on a new connection or an open one: TCP may repeat it, for the user that is no break. So much
/// that a busy machine is not taken for a loss, which is for a witness to tell.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time that a new connection and its request have where each loss is to be felt: less than the second after which TCP
/// repeats a SYN.
pub const SHORT_PATIENCE: Duration = Duration::from_millis(900);

/// New connections that are open at once, in a burst.
const AT_ONCE: usize = 16;

/// A client under load; all its connections end when it is dropped.
#[derive(Debug)]
pub struct Load {
    patience: Duration,
    book: Arc<Mutex<Book>>,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Default, Debug)]
struct Book {
    /// Requests on new connections that have begun.
    begun: usize,
    requests: Vec<Request>,
    connections: Vec<Connection>,
}

/// New connections at a steady pace; they cease when it is dropped.
#[derive(Debug)]
pub struct Stream(task::AbortHandle);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Load {
    /// A client in that namespace, which asks nothing yet.
    ///
    /// # Errors
    /// The namespace can't be entered.
    pub fn start(client: &Namespace) -> Result<Self> {
        Self::with_patience(client, PATIENCE)
    }

    /// The same, but a new connection has [`SHORT_PATIENCE`] alone.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn impatient(client: &Namespace) -> Result<Self> {
        Self::with_patience(client, SHORT_PATIENCE)
    }

    fn with_patience(client: &Namespace, patience: Duration) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (ready, runtime) = mpsc::channel();
        let thread = client.spawn(move || {
            // Namespaces are per thread, so there is one thread alone.
            let runtime = Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = &runtime {
                let _ = ready.send(runtime.handle().clone());
                let _ = runtime.block_on(stopped);
            }
        })?;
        let runtime = runtime.recv().context("start the client's runtime")?;
        Ok(Self { patience, book: Arc::default(), runtime, stop: Some(stop), thread: Some(thread) })
    }

    /// Begins `per_second` new connections every second, to the servers in turn.
    #[must_use]
    pub fn stream(&self, servers: &[SocketAddr], per_second: u32) -> Stream {
        let (servers, book, patience) = (servers.to_vec(), Arc::clone(&self.book), self.patience);
        let stream = self.runtime.spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / per_second);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            for server in servers.iter().cycle() {
                ticks.tick().await;
                task::spawn(request(*server, patience, Arc::clone(&book)));
            }
        });
        Stream(stream.abort_handle())
    }

    /// Makes `count` new connections to each server, as fast as 16 at a time are.
    #[must_use]
    pub fn burst(&self, servers: &[SocketAddr], count: usize) -> Pending {
        let (servers, book, patience) = (servers.to_vec(), Arc::clone(&self.book), self.patience);
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let task = self.runtime.spawn(async move {
            let mut tasks = task::JoinSet::new();
            for server in servers.iter().cycle().take(count * servers.len()) {
                let (room, book, server) = (Arc::clone(&room), Arc::clone(&book), *server);
                tasks.spawn(async move {
                    if let Ok(_place) = room.acquire().await {
                        request(server, patience, book).await;
                    }
                });
            }
            tasks.join_all().await;
        });
        Pending(task)
    }

    /// Opens `count` connections, to the servers in turn, each of which asks once in `every`.
    #[must_use]
    pub fn keep_open(&self, servers: &[SocketAddr], count: usize, every: Duration) -> Pending {
        let (servers, book) = (servers.to_vec(), Arc::clone(&self.book));
        let task = self.runtime.spawn(async move {
            let mut answered = Vec::new();
            let total = u32::try_from(count).unwrap_or(u32::MAX).max(1);
            for server in servers.iter().cycle().take(count) {
                let (first, answer) = oneshot::channel();
                task::spawn(connection(*server, every, Arc::clone(&book), first));
                answered.push(answer);
                // So that they do not all ask at the same moment.
                sleep(every / total).await;
            }
            for answer in answered {
                let _ = answer.await;
            }
        });
        Pending(task)
    }

    /// All requests on new connections that have ended.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.book).requests.clone()
    }

    /// Whether each request on a new connection that has begun has also ended.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let book = lock(&self.book);
        book.begun == book.requests.len()
    }

    /// All connections that were to stay open.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        lock(&self.book).connections.clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.stop.take());
        // An error was told when it happened: nobody got a runtime.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Connections that are being made.
#[derive(Debug)]
pub struct Pending(task::JoinHandle<()>);

impl Pending {
    /// Whether each of them has been answered, or has failed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_finished()
    }
}

async fn request(server: SocketAddr, patience: Duration, book: Arc<Mutex<Book>>) {
    lock(&book).begun += 1;
    let started = Instant::now();
    let until = within(scaled(patience));
    let (port, outcome) = match Source::new(server) {
        Err(error) => (0, Err(Failure::Other(error.to_string()))),
        Ok(source) => (source.port, exchange(source, server, until).await),
    };
    let took = started.elapsed();
    lock(&book).requests.push(Request { started, took, server, port, outcome });
}

async fn exchange(
    source: Source,
    server: SocketAddr,
    until: tokio::time::Instant,
) -> Result<String, Failure> {
    Http::open(source, server, until).await?.ask(until).await
}

async fn connection(server: SocketAddr, every: Duration, book: Arc<Mutex<Book>>, first: oneshot::Sender<()>) {
    let record = Record::open(book, server);
    let Err(failure) = converse(server, every, &record, first).await;
    record.write(|connection| connection.broken = Some((Instant::now(), failure)));
}

/// Asks until the connection breaks; nothing else ends it. `first` is dropped at the first answer, or failure.
async fn converse(
    server: SocketAddr,
    every: Duration,
    record: &Record,
    first: oneshot::Sender<()>,
) -> Result<Infallible, Failure> {
    let source = Source::new(server).map_err(|error| Failure::Other(error.to_string()))?;
    record.write(|connection| connection.port = source.port);
    let mut http = Http::open(source, server, within(scaled(PATIENCE))).await?;
    let mut first = Some(first);
    loop {
        let asked = Instant::now();
        let next = within(every);
        let backend = http.ask(within(scaled(PATIENCE))).await?;
        record.write(|connection| {
            connection.answers += 1;
            connection.slowest = connection.slowest.max(asked.elapsed());
            connection.backend.get_or_insert(backend);
        });
        drop(first.take());
        http.idle(next).await?;
    }
}

/// The line of a connection in the book.
struct Record {
    book: Arc<Mutex<Book>>,
    number: usize,
}

impl Record {
    fn open(book: Arc<Mutex<Book>>, server: SocketAddr) -> Self {
        let mut open = lock(&book);
        let number = open.connections.len();
        open.connections.push(Connection::new(Instant::now(), server));
        drop(open);
        Self { book, number }
    }

    fn write(&self, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = lock(&self.book).connections.get_mut(self.number) {
            change(connection);
        }
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    // A panic elsewhere leaves whole records behind.
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
