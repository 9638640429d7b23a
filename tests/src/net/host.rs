//! A machine on the switch: a namespace with one interface, `eth0`.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};

use super::{Namespace, run};

/// A host of a [`Topology`](super::Topology).
#[derive(Debug)]
pub struct Host {
    /// `client1`, `director`, `backend1` …; also the name of its port on the switch.
    pub name: String,
    /// Where it lives.
    pub namespace: Namespace,
    /// The address of its `eth0`.
    pub address4: Ipv4Addr,
    /// The address of its `eth0`.
    pub address6: Ipv6Addr,
    /// The MAC of its `eth0`.
    pub mac: [u8; 6],
}

impl Host {
    /// The kernel's index of an interface of the host.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn ifindex(&self, interface: &str) -> Result<u32> {
        ifindex(&self.namespace, interface)
    }

    /// Makes the checksums and tags of what the host sends real: veth leaves them to an offload that is none, and what
    /// the director forwards would be ignored as broken.
    pub(crate) fn without_offloads(&self) -> Result<()> {
        run(self.namespace.command("ethtool").args(["-K", "eth0", "tx", "off", "txvlan", "off"])).map(drop)
    }
}

pub(crate) fn ifindex(namespace: &Namespace, interface: &str) -> Result<u32> {
    let index = namespace.run(|| {
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        name_to_index(socket, interface)
    })?;
    index.with_context(|| format!("find interface {interface} in {}", namespace.name()))
}
