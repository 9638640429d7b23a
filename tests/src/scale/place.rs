//! Where it happens: a director and its backends, in two namespaces with one cable; all backends live in one of them, each
//! with an address of its own. And the server there that answers for all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Instant,
};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::plan::{PROBED, Plan};
use crate::net::{Namespace, accept_xdp, random_prefix, run};

/// The kernel's limits for neighbours, of all namespaces together: it has room for 1,024, unless told otherwise.
const LIMITS: [(&str, u64); 3] = [("gc_thresh1", 8192), ("gc_thresh2", 16_384), ("gc_thresh3", 32_768)];

/// The two namespaces, and what runs in that of the backends; removed when dropped.
pub(super) struct Place {
    pub(super) director: Namespace,
    pub(super) backends: Namespace,
    pub(super) server: Server,
    _accepts: Ebpf,
    _limits: Limits,
}

impl Place {
    pub(super) fn new(plan: Plan) -> Result<Self> {
        let limits = Limits::raise()?;
        let prefix = random_prefix();
        let director = Namespace::new(&format!("{prefix}-director"))?;
        let backends = Namespace::new(&format!("{prefix}-backends"))?;
        director.sysctls(&[("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/default/rp_filter", "0")])?;
        backends.sysctls(&[("ipv4/conf/all/arp_ignore", "1"), ("ipv4/conf/all/arp_announce", "2")])?;
        let cable = format!("link add eth0 type veth peer name eth0 netns {}", backends.name());
        director.ip(&[cable.as_str(), "address add 10.88.0.1/16 dev eth0", "link set eth0 up"])?;
        let addresses = plan.backends().map(|address| format!("address add {address}/16 dev eth0"));
        let vips = plan.vips().map(|vip| format!("address add {vip}/32 dev lo"));
        let up = std::iter::once("link set eth0 up".to_owned());
        backends.ip(&addresses.chain(vips).chain(up).collect::<Vec<_>>())?;
        for namespace in [&director, &backends] {
            run(namespace.command("ethtool").args(["-K", "eth0", "tx", "off", "txvlan", "off"]))?;
        }
        let accepts = accept_xdp(&backends, "eth0")?;
        let server = Server::start(&backends)?;
        Ok(Self { director, backends, server, _accepts: accepts, _limits: limits })
    }
}

/// The kernel's limits as they were; set again when dropped.
struct Limits(Vec<(PathBuf, String)>);

impl Limits {
    fn raise() -> Result<Self> {
        let mut before = Self(Vec::new());
        for (name, wanted) in LIMITS {
            let path = PathBuf::from("/proc/sys/net/ipv4/neigh/default").join(name);
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            if text.trim().parse::<u64>().is_ok_and(|now| now < wanted) {
                fs::write(&path, wanted.to_string()).with_context(|| format!("raise {}", path.display()))?;
                before.0.push((path, text));
            }
        }
        Ok(before)
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        for (path, text) in &self.0 {
            // Nobody is left to tell.
            let _ = fs::write(path, text);
        }
    }
}

/// Answers probes for all backends: by HTTP with 200, or with 503 for those that are ill. It ends when dropped.
pub(super) struct Server {
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct Shared {
    probes: AtomicU64,
    ill: Mutex<BTreeSet<Ipv4Addr>>,
    /// When each of the ill said so, each time.
    said: Mutex<BTreeMap<Ipv4Addr, Vec<Instant>>>,
}

impl Server {
    fn start(namespace: &Namespace) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let state = Arc::clone(&shared);
        let work = move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PROBED)).await?;
                let _ = ready.send(());
                tokio::select! {
                    _ = stopped => Ok(()),
                    ended = accept(listener, state) => ended,
                }
            })
        };
        drop(namespace.spawn(work)?);
        is_ready.recv().context("start the backends' server")?;
        Ok(Self { shared, _stop: stop })
    }

    /// Probes that came in so far.
    pub(super) fn probes(&self) -> u64 {
        self.shared.probes.load(Ordering::Relaxed)
    }

    /// Makes a backend ill, or well.
    pub(super) fn set_ill(&self, backend: Ipv4Addr, ill: bool) {
        let mut all = self.shared.ill.lock().unwrap_or_else(PoisonError::into_inner);
        if ill {
            all.insert(backend)
        } else {
            all.remove(&backend)
        };
    }

    /// When a backend said that it is ill, for the `number`-th time.
    pub(super) fn said(&self, backend: Ipv4Addr, number: usize) -> Option<Instant> {
        let said = self.shared.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(&backend)?.get(number - 1).copied()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) -> Result<()> {
    loop {
        // One that has gone already is nobody's error.
        let Ok((stream, _)) = listener.accept().await else { continue };
        shared.probes.fetch_add(1, Ordering::Relaxed);
        // Who is probed at a VIP is asked for no word.
        match stream.local_addr() {
            Ok(SocketAddr::V4(own)) if own.ip().octets()[1] == 88 => {
                tokio::spawn(answer(stream, *own.ip(), Arc::clone(&shared)));
            }
            _ => drop(stream),
        }
    }
}

/// Answers one request; who hangs up is no error.
async fn answer(mut stream: TcpStream, own: Ipv4Addr, shared: Arc<Shared>) -> Option<()> {
    let mut request = [0; 2048];
    stream.read(&mut request).await.ok().filter(|len| *len > 0)?;
    let is_ill = shared.ill.lock().unwrap_or_else(PoisonError::into_inner).contains(&own);
    let status = if is_ill { "503 Service Unavailable" } else { "200 OK" };
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
    stream.write_all(text.as_bytes()).await.ok()?;
    if is_ill {
        let mut said = shared.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.entry(own).or_default().push(Instant::now());
    }
    Some(())
}

/// Ends a backend's neighbour entry on the director, as the kernel does when nobody answers.
pub(super) fn lose(place: &Place, backend: Ipv4Addr) -> Result<()> {
    place.backends.ip(&[format!("address delete {backend}/16 dev eth0")])?;
    place.director.ip(&[format!("neighbour change {backend} dev eth0 nud failed")])
}

/// Gives a backend its address back.
pub(super) fn find(place: &Place, backend: Ipv4Addr) -> Result<()> {
    place.backends.ip(&[format!("address add {} dev eth0", format_args!("{}/16", IpAddr::V4(backend)))])
}
