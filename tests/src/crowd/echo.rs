//! Servers that say who they are: each echoes what it gets, behind its backend's number, over TCP and UDP. All of them
//! live on one thread, each with sockets of its backend's own namespace. They know nothing of a director.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};

use crate::net::Namespace;

/// Bytes of a question.
pub(super) const QUESTION: usize = 8;
/// Bytes of an answer: the backend's number, and the question.
pub(super) const ANSWER: usize = QUESTION + 1;

/// Echo servers; all of them end when it is dropped.
#[derive(Debug)]
pub struct Echoes {
    servers: BTreeMap<u8, Vec<AbortHandle>>,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Echoes {
    /// None yet.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start() -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (ready, runtime) = mpsc::channel();
        let work = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = &runtime {
                let _ = ready.send(runtime.handle().clone());
                let _ = runtime.block_on(stopped);
            }
        };
        let thread = thread::Builder::new().spawn(work).context("start a thread")?;
        let runtime = runtime.recv().context("start the servers' runtime")?;
        Ok(Self { servers: BTreeMap::new(), runtime, stop: Some(stop), thread: Some(thread) })
    }

    /// Serves in a namespace as `number`: TCP on all addresses, UDP on `vips`, so that its answers come from these.
    ///
    /// # Errors
    /// A port is taken.
    pub fn serve(&mut self, number: u8, namespace: &Namespace, vips: &[IpAddr], ports: &[u16]) -> Result<()> {
        let (listeners, sockets) = namespace.run(|| bind(vips, ports))?.context("bind an echo server")?;
        let _guard = self.runtime.enter();
        let mut tasks = Vec::new();
        for listener in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tasks.push(self.runtime.spawn(accept(listener, number)).abort_handle());
        }
        for socket in sockets {
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            tasks.push(self.runtime.spawn(echo_datagrams(socket, number)).abort_handle());
        }
        self.servers.insert(number, tasks);
        Ok(())
    }

    /// Ends a server with all its connections.
    pub fn kill(&mut self, number: u8) {
        for task in self.servers.remove(&number).unwrap_or_default() {
            task.abort();
        }
    }
}

impl Drop for Echoes {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn bind(vips: &[IpAddr], ports: &[u16]) -> io::Result<(Vec<TcpListener>, Vec<UdpSocket>)> {
    let (mut listeners, mut sockets) = (Vec::new(), Vec::new());
    for port in ports {
        // Of both families.
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port))?;
        listener.set_nonblocking(true)?;
        listeners.push(listener);
        for vip in vips {
            let socket = UdpSocket::bind(SocketAddr::new(*vip, *port))?;
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
    }
    Ok((listeners, sockets))
}

async fn accept(listener: tokio::net::TcpListener, number: u8) {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(echo(stream, number));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn echo(mut stream: TcpStream, number: u8) {
    let _ = stream.set_nodelay(true);
    let mut answer = [number; ANSWER];
    while stream.read_exact(&mut answer[1..]).await.is_ok() && stream.write_all(&answer).await.is_ok() {}
}

async fn echo_datagrams(socket: tokio::net::UdpSocket, number: u8) {
    let mut question = [0; QUESTION];
    loop {
        // What its client's machine says of earlier answers is an error here, and none of a server's business.
        if let Ok((QUESTION, from)) = socket.recv_from(&mut question).await {
            let mut answer = [number; ANSWER];
            answer[1..].copy_from_slice(&question);
            let _ = socket.send_to(&answer, from).await;
        }
    }
}
