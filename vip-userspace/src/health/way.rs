//! By which way a probe leaves this box: where the backends are, as the controller says, and what a socket needs so that
//! it gets there. What is sent, and why, is not known here.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::{sync::watch, time::timeout};

use crate::model::BackendName;

/// By which way the probes of a check get to what is probed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Way {
    /// As the kernel's routes say: to an address of the backend's own.
    Routed,
    /// Through that very backend, whoever else holds the address that is probed.
    Through {
        /// The backend.
        backend: BackendName,
        /// Its own address, of the same family as what is probed.
        address: IpAddr,
        /// The mark by which the classifier knows it.
        mark: u32,
    },
}

/// Where a backend is, for packets of one address family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Behind the interface of that name, which has a lane for probes.
    Interface(String),
    /// It is this very box.
    Here,
}

/// Where the backends are that were ever found: by their name, and by whether that is for IPv6.
pub type Exits = BTreeMap<(BackendName, bool), Exit>;

/// A way at the time of a probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Path {
    /// As the kernel's routes say.
    Routed,
    /// Out by a lane.
    Lane {
        /// Name of its interface.
        interface: String,
        /// The member's mark.
        mark: u32,
        /// An address that is really there.
        towards: IpAddr,
    },
    /// On this very box, which is to hold the address that is probed.
    Here,
}

impl Way {
    /// The way to `target` now. While its backend was never found, waits for that, up to `limit`; then there is none.
    pub async fn find(
        &self,
        target: SocketAddr,
        exits: &mut watch::Receiver<Exits>,
        limit: Duration,
    ) -> Option<Path> {
        let Self::Through { backend, address, mark } = self else { return Some(Path::Routed) };
        let key = (backend.clone(), target.is_ipv6());
        let found = timeout(limit, exits.wait_for(|exits| exits.contains_key(&key))).await;
        Some(match found.ok()?.ok()?.get(&key)? {
            Exit::Interface(name) => Path::Lane { interface: name.clone(), mark: *mark, towards: *address },
            Exit::Here => Path::Here,
        })
    }
}

impl Path {
    /// Makes a socket, of whatever kind, go this way to `target`: before it is connected, or sends.
    ///
    /// # Errors
    /// This box can't; if it does not hold the address that it should, [`io::ErrorKind::AddrNotAvailable`].
    pub fn prepare(&self, socket: &impl AsFd, target: SocketAddr) -> io::Result<()> {
        let socket = SockRef::from(socket);
        match self {
            Self::Routed => Ok(()),
            Self::Lane { interface, mark, towards } => {
                // Bound to the interface, it is not held back by a local VIP, and takes no answer that comes in elsewhere.
                socket.bind_device(Some(interface.as_bytes()))?;
                socket.set_mark(*mark)?;
                if !target.is_ipv6() {
                    return Ok(());
                }
                // Where the VIP is local, the kernel likes it best as the source for itself (RFC 6724, rule 1).
                match source(interface, *mark, target)? == target.ip() {
                    true => {
                        let source = source(interface, *mark, SocketAddr::new(*towards, target.port()))?;
                        socket.bind(&SocketAddr::new(source, 0).into())
                    }
                    false => Ok(()),
                }
            }
            Self::Here => socket.bind(&SocketAddr::new(target.ip(), 0).into()),
        }
    }
}

/// The address that the kernel would send from, with that mark, to `target` by an interface. Nothing is sent.
fn source(interface: &str, mark: u32, target: SocketAddr) -> io::Result<IpAddr> {
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, None)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_mark(mark)?;
    socket.connect(&target.into())?;
    let source = socket.local_addr()?.as_socket().map(|source| source.ip());
    source.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}
