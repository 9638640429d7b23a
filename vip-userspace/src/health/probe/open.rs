//! Opens the sockets of all probes, and says what an error of theirs means. It is the only place where they are made, so
//! that all of them take the way that they are told.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use crate::{
    health::way::Path,
    model::{Cause, NotHeld, Stage, Unreachable},
};

/// Where a probe goes, and how it gets there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// What is probed.
    pub(super) address: SocketAddr,
    /// By which way.
    pub(super) path: &'a Path,
}

impl Target<'_> {
    /// A connection. It ends by RST: it leaves no TIME_WAIT here, where thousands of probes an hour would use up the
    /// ports.
    pub(super) async fn connect(self) -> Result<TcpStream, Cause> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.map_err(|error| not_made(&error))?;
        self.path.prepare(&socket, self.address).map_err(|error| self.unprepared(&error))?;
        let stream = socket.connect(self.address).await.map_err(|error| blame(&error, Stage::Connect))?;
        stream.set_zero_linger().map_err(|error| not_made(&error))?;
        // On one box, a port that nobody listens on can connect to itself.
        if stream.local_addr().is_ok_and(|local| local == self.address) {
            return Err(Cause::PortClosed);
        }
        Ok(stream)
    }

    /// A socket for datagrams to the target and back, of which it takes none from elsewhere.
    pub(super) async fn datagrams(self) -> Result<UdpSocket, Cause> {
        let socket = Socket::new(Domain::for_address(self.address), Type::DGRAM.nonblocking(), None);
        let socket = socket.map_err(|error| not_made(&error))?;
        self.path.prepare(&socket, self.address).map_err(|error| self.unprepared(&error))?;
        let socket = UdpSocket::from_std(socket.into()).map_err(|error| not_made(&error))?;
        socket.connect(self.address).await.map_err(|error| blame(&error, Stage::Connect))?;
        Ok(socket)
    }

    /// A raw socket for ICMP to the target and back, of which it takes only what `filter` lets pass.
    pub(super) fn echoes(self, filter: &[SockFilter]) -> Result<UdpSocket, Cause> {
        let protocol = if self.address.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol));
        let socket = socket.map_err(|error| not_made(&error))?;
        socket.attach_filter(filter).map_err(|error| not_made(&error))?;
        self.path.prepare(&socket, self.address).map_err(|error| self.unprepared(&error))?;
        let target = SocketAddr::new(self.address.ip(), 0);
        socket.connect(&target.into()).map_err(|error| blame(&error, Stage::Connect))?;
        // Tokio has no raw sockets by name; connected, they send and receive as those for datagrams do.
        UdpSocket::from_std(socket.into()).map_err(|error| not_made(&error))
    }

    /// What it means that a socket can't take the way.
    fn unprepared(self, error: &io::Error) -> Cause {
        match (self.path, error.kind()) {
            (Path::Here, io::ErrorKind::AddrNotAvailable) => Cause::VipNotHeld { sign: NotHeld::Here },
            _ => not_made(error),
        }
    }
}

/// This box could not make the probe.
pub(super) fn not_made(error: &io::Error) -> Cause {
    Cause::NotMade { said: words(error) }
}

/// Tells what the member or the way to it does from what this box had no means to try.
pub(super) fn blame(error: &io::Error, stage: Stage) -> Cause {
    let unreachable = |what| Cause::Unreachable { what };
    match (error.raw_os_error(), stage) {
        (
            Some(
                libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EADDRNOTAVAIL
                | libc::EPERM
                | libc::EACCES,
            ),
            _,
        ) => not_made(error),
        (Some(libc::ECONNREFUSED), _) => Cause::PortClosed,
        (Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED), _) => Cause::Reset { stage },
        (Some(libc::ENETUNREACH), _) => unreachable(Unreachable::Network),
        (Some(libc::EHOSTUNREACH), _) => unreachable(Unreachable::Host),
        (Some(libc::EPROTO | libc::ENOPROTOOPT), _) => unreachable(Unreachable::Protocol),
        _ => Cause::Other { said: words(error) },
    }
}

/// An I/O error without its number.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        // `ErrorKind` has no words for what it does not know, of which too many open files is one.
        kind if error.raw_os_error().is_some() && kind.to_string() != "uncategorized error" => {
            kind.to_string()
        }
        _ => error.to_string(),
    }
}
