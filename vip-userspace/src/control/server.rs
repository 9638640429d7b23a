//! The server's connections: how many, and for how long. It knows neither what is asked nor what is answered.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper::{server::conn::http1, service::Service, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{Request, routes};

/// Connections at the same time. Beyond it the oldest that has not asked yet is closed.
pub const MAX_CONNECTIONS: usize = 64;
/// Time for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a connection as a whole: body, answer and its delivery included.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(45);
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Pause after a failed accept: the process has no file descriptor left, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for answers to get out once the controller ends.
const GRACE: Duration = Duration::from_secs(1);

/// Answers on `listener` by handing each request to `requests`; ends when that is closed, after the last answers
/// got out. Half-open connections hinder nobody.
pub async fn serve(listener: UnixListener, requests: mpsc::Sender<Request>) {
    let router = routes::router(requests.clone());
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            () = requests.closed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.open(stream, router.clone()).await,
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
    async fn open(&mut self, stream: UnixStream, router: Router) {
        self.make_room().await;
        let asks = Arc::new(AtomicBool::new(false));
        let task = self.tasks.spawn(converse(stream, router, Arc::clone(&asks)));
        self.open.push_back(Connection { task, asks });
    }

    async fn make_room(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.task.is_finished());
        if self.open.len() < MAX_CONNECTIONS {
            return;
        }
        if let Some(at) = self.open.iter().position(|connection| !connection.asks()) {
            if let Some(oldest) = self.open.remove(at) {
                oldest.task.abort();
            }
        } else {
            // All of them wait for answers, for which there is a time limit.
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
async fn converse(stream: UnixStream, router: Router, asks: Arc<AtomicBool>) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        asks.store(true, Ordering::Relaxed);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A connection that breaks concerns its other end alone.
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}
