//! By which way a probe leaves this box: what a socket needs so that it gets there. What is sent, and why, is not known
//! here.

use std::{io, net::SocketAddr, os::fd::AsFd};

/// A way at the time of a probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Path {
    /// As the kernel's routes say.
    Routed,
}

impl Path {
    /// Makes a socket, of whatever kind, go this way to `target`: before it is connected, or sends.
    ///
    /// # Errors
    /// This box can't.
    pub fn prepare(&self, _socket: &impl AsFd, _target: SocketAddr) -> io::Result<()> {
        match self {
            Self::Routed => Ok(()),
        }
    }
}
