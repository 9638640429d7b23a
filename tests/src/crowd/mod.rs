//! Many clients that each talk with one server for long, over TCP or UDP, and begin anew when that ends. It decides when
//! a talk has ended, and how; it neither knows who should answer nor judges who did.

mod echo;
mod flood;
mod stand;
mod talk;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task,
    time::sleep,
};

pub use self::{
    echo::Echoes,
    flood::{Flood, Water, dam},
    stand::{Stand, checked, service},
    talk::{End, Kind, Talk},
};
use crate::net::Namespace;

/// A crowd of clients; all its talks end when it is dropped.
#[derive(Debug)]
pub struct Crowd {
    book: Arc<Mutex<Book>>,
    every: Duration,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Default, Debug)]
struct Book {
    talks: Vec<Talk>,
    /// Backends whose clients end their talks.
    left: BTreeSet<u8>,
    /// All talks end, and none begins.
    over: bool,
}

/// How far each talk is.
#[derive(Clone, Debug)]
pub struct Mark {
    at: Instant,
    answers: Vec<u32>,
}

impl Crowd {
    /// A crowd in that namespace, each of which asks once in `every`.
    ///
    /// # Errors
    /// The namespace can't be entered.
    pub fn start(client: &Namespace, every: Duration) -> Result<Self> {
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
        let runtime = runtime.recv().context("start the crowd's runtime")?;
        Ok(Self { book: Arc::default(), every, runtime, stop: Some(stop), thread: Some(thread) })
    }

    /// Begins `count` talks with the servers in turn, within about one `every`.
    pub fn open(&self, kind: Kind, servers: &[SocketAddr], count: u32) {
        let (servers, book, every) = (servers.to_vec(), Arc::clone(&self.book), self.every);
        self.runtime.spawn(async move {
            for (server, _) in servers.iter().cycle().zip(0..count) {
                task::spawn(talk_on(kind, *server, every, Arc::clone(&book)));
                // So that they do not all ask at the same moment.
                sleep(every / count).await;
            }
        });
    }

    /// Those who talk with a backend end that of themselves, and begin anew.
    pub fn leave(&self, backend: u8) {
        lock(&self.book).left.insert(backend);
    }

    /// They may stay again.
    pub fn stay(&self, backend: u8) {
        lock(&self.book).left.remove(&backend);
    }

    /// All talks end, and none begins.
    pub fn go(&self) {
        lock(&self.book).over = true;
    }

    /// All talks, those that have ended among them.
    #[must_use]
    pub fn talks(&self) -> Vec<Talk> {
        lock(&self.book).talks.clone()
    }

    /// Number of talks that last and have been answered.
    #[must_use]
    pub fn lasting(&self) -> usize {
        lock(&self.book).talks.iter().filter(|talk| talk.lasts()).count()
    }

    /// How far all talks are now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let book = lock(&self.book);
        // While nobody writes: what ended before is in the book, what ends later ends after that moment.
        Mark { at: Instant::now(), answers: book.talks.iter().map(|talk| talk.answers).collect() }
    }

    /// Whether every talk that was there has ended or been answered so often since, those not counted whose home is `but`.
    #[must_use]
    pub fn have_spoken(&self, since: &Mark, times: u32, but: Option<u8>) -> bool {
        let book = lock(&self.book);
        let talks = book.talks.iter().zip(&since.answers);
        talks
            .filter(|(talk, _)| talk.ended.is_none() && (but.is_none() || talk.home != but))
            .all(|(talk, before)| talk.answers >= before + times)
    }

    /// Talks that broke since.
    #[must_use]
    pub fn broken(&self, since: &Mark) -> Vec<Talk> {
        self.broken_between(since, &self.mark())
    }

    /// Talks that broke from one mark on and before another.
    #[must_use]
    pub fn broken_between(&self, since: &Mark, until: &Mark) -> Vec<Talk> {
        let broke = |talk: &&Talk| {
            talk.ended.as_ref().is_some_and(|(at, end)| (since.at..until.at).contains(at) && end.is_broken())
        };
        lock(&self.book).talks.iter().filter(broke).cloned().collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.stop.take());
        // An error was told when it happened: nobody got a runtime.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn talk_on(kind: Kind, server: SocketAddr, every: Duration, book: Arc<Mutex<Book>>) {
    while !lock(&book).over {
        let page = Page::open(Arc::clone(&book), kind, server);
        let end = talk::talk(kind, server, every, &page).await;
        page.write(|talk| talk.ended = Some((Instant::now(), end)));
        // A server that refuses is not asked at full speed.
        sleep(every / 4).await;
    }
}

/// The page of a talk in the book.
struct Page {
    book: Arc<Mutex<Book>>,
    number: usize,
}

impl Page {
    fn open(book: Arc<Mutex<Book>>, kind: Kind, server: SocketAddr) -> Self {
        let mut open = lock(&book);
        let number = open.talks.len();
        open.talks.push(Talk::new(kind, server));
        drop(open);
        Self { book, number }
    }

    fn write<T>(&self, change: impl FnOnce(&mut Talk) -> T) -> T {
        change(&mut lock(&self.book).talks[self.number])
    }

    /// Whether the talk is to end by the client's own wish.
    fn is_to_end(&self) -> bool {
        let book = lock(&self.book);
        book.over || book.talks[self.number].home.is_some_and(|home| book.left.contains(&home))
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    // A panic elsewhere leaves whole pages behind.
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
