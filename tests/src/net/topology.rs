//! Which hosts there are, and how they are set up: clients, a director and backends, all on one switch.
//!
//! ```text
//!  client1 10.77.0.11 ──┐        ┌── director 10.77.0.1
//!  client2 10.77.0.12 ──┤ switch ├── backend1 10.77.0.101, VIPs on its loopback
//!                       └────────┴── backend2 10.77.0.102, VIPs on its loopback
//! ```
//! Every host has the same last group in `fd77::/64`. Clients believe that VIPs are on the link, so they ask who has
//! them, and the director's program answers.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use anyhow::Result;

use super::{Host, Namespace, switch::Switch};

/// The VIPs of a topology that names no others.
pub const DEFAULT_VIPS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 200, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0x200, 0, 0, 0, 0, 0, 1))];

/// The last byte of the director's addresses; clients and backends count from the other two.
const DIRECTOR: u8 = 1;
const CLIENTS: u8 = 10;
const BACKENDS: u8 = 100;

/// For every host, before it has interfaces.
const QUIET: [(&str, &str); 12] = [
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // Nothing waits for duplicate address detection, routers or reports of multicast groups.
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/dad_transmits", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv6/conf/all/keep_addr_on_down", "1"),
    ("ipv6/conf/default/keep_addr_on_down", "1"),
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
];

/// For every backend: it holds the VIPs, but neither answers nor asks in their name.
const HOLDS_VIPS: [(&str, &str); 2] =
    [("ipv4/conf/all/arp_ignore", "1"), ("ipv4/conf/all/arp_announce", "2")];

/// What a [`Topology`] will be.
#[derive(Clone, Debug)]
pub struct TopologyBuilder {
    prefix: Option<String>,
    clients: u8,
    backends: u8,
    vips: Vec<IpAddr>,
}

impl Default for TopologyBuilder {
    fn default() -> Self {
        Self { prefix: None, clients: 1, backends: 2, vips: DEFAULT_VIPS.to_vec() }
    }
}

impl TopologyBuilder {
    /// What all names begin with, instead of a random `vip-ab12cd`.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = Some(prefix.to_owned());
        self
    }

    /// The number of clients, at most 50; 1 unless said.
    #[must_use]
    pub fn clients(mut self, clients: u8) -> Self {
        self.clients = clients;
        self
    }

    /// The number of backends, at most 100; 2 unless said.
    #[must_use]
    pub fn backends(mut self, backends: u8) -> Self {
        self.backends = backends;
        self
    }

    /// The VIPs, instead of [`DEFAULT_VIPS`].
    #[must_use]
    pub fn vips(mut self, vips: &[IpAddr]) -> Self {
        self.vips = vips.to_vec();
        self
    }

    /// Makes it all. Takes well under two seconds for ten hosts.
    ///
    /// # Errors
    /// Something can't be made (what has been is removed again), or this process is not root.
    pub fn build(self) -> Result<Topology> {
        let prefix = self.prefix.clone().unwrap_or_else(random_prefix);
        let mut switch = Switch::new(&format!("{prefix}-switch"))?;
        let host = |name: String, number| Host::new(&prefix, name, number);
        let director = host("director".to_owned(), DIRECTOR)?;
        let clients = (1..=self.clients)
            .map(|number| host(format!("client{number}"), CLIENTS + number))
            .collect::<Result<Vec<_>>>()?;
        let backends = (1..=self.backends)
            .map(|number| host(format!("backend{number}"), BACKENDS + number))
            .collect::<Result<Vec<_>>>()?;
        let hosts: Vec<_> = clients.iter().chain([&director]).chain(&backends).collect();
        let cables: Vec<_> = hosts
            .iter()
            .map(|host| (host.name.as_str(), host.namespace.name(), format_mac(host.mac)))
            .collect();
        switch.connect(&cables)?;
        hosts.iter().try_for_each(|host| host.configure())?;
        clients.iter().try_for_each(|client| client.expect_on_link(&self.vips))?;
        backends.iter().try_for_each(|backend| backend.hold(&self.vips))?;
        switch.accept_xdp(&director.name)?;
        Ok(Topology { clients, director, backends, vips: self.vips, prefix, switch })
    }
}

/// Clients, a director and backends on one switch; removed when dropped.
#[derive(Debug)]
pub struct Topology {
    /// Clients: they expect the VIPs on the link.
    pub clients: Vec<Host>,
    /// The director: nothing runs on it yet, and it holds no VIP.
    pub director: Host,
    /// Backends: they hold the VIPs on their loopback, and nothing runs on them yet.
    pub backends: Vec<Host>,
    /// The VIPs.
    pub vips: Vec<IpAddr>,
    prefix: String,
    switch: Switch,
}

impl Topology {
    /// A topology to be described: one client and two backends, unless more is said.
    #[must_use]
    pub fn builder() -> TopologyBuilder {
        TopologyBuilder::default()
    }

    /// What all names begin with; no other topology has it.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The switch's namespace: every host's port is an interface of its name there.
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        &self.switch.namespace
    }

    /// Pulls a host's cable.
    ///
    /// # Errors
    /// The port can't be set down.
    pub fn unplug(&self, host: &Host) -> Result<()> {
        self.switch().ip(&[format!("link set {} down", host.name)])
    }

    /// Puts a host's cable back.
    ///
    /// # Errors
    /// The port can't be set up.
    pub fn plug(&self, host: &Host) -> Result<()> {
        self.switch().ip(&[format!("link set {} up", host.name)])
    }

    /// Leaves it all there; [`sweep`](super::sweep) with its prefix removes it. What keeps the switch's programs attached is
    /// pinned in `pins`, a directory of a BPF file system, which is the caller's to remove.
    ///
    /// # Errors
    /// What the switch needs can't be pinned; then all of it is removed.
    pub fn keep(self, pins: &Path) -> Result<()> {
        self.switch.keep(pins)?;
        let hosts = self.clients.into_iter().chain([self.director]).chain(self.backends);
        hosts.for_each(|mut host| host.namespace.keep());
        Ok(())
    }
}

impl Host {
    fn new(prefix: &str, name: String, number: u8) -> Result<Self> {
        let namespace = Namespace::new(&format!("{prefix}-{name}"))?;
        namespace.sysctls(&QUIET)?;
        Ok(Self {
            name,
            namespace,
            address4: Ipv4Addr::new(10, 77, 0, number),
            // The decimal digits of the number, as it stands in the IPv4 address.
            address6: format!("fd77::{number}").parse()?,
            mac: [2, 0, 0x5e, 0x77, 0, number],
        })
    }

    fn configure(&self) -> Result<()> {
        self.namespace.ip(&[
            format!("address add {}/24 dev eth0", self.address4),
            format!("address add {}/64 dev eth0 nodad", self.address6),
            "link set eth0 up".to_owned(),
        ])?;
        self.without_offloads()
    }

    /// Clients look for VIPs on the link itself, as a router of a real network does.
    fn expect_on_link(&self, vips: &[IpAddr]) -> Result<()> {
        let lines: Vec<_> = vips.iter().map(|vip| format!("route add {vip} dev eth0")).collect();
        self.namespace.ip(&lines)
    }

    fn hold(&self, vips: &[IpAddr]) -> Result<()> {
        self.namespace.sysctls(&HOLDS_VIPS)?;
        let lines: Vec<_> = vips
            .iter()
            .map(|vip| match vip {
                IpAddr::V4(vip) => format!("address add {vip}/32 dev lo"),
                IpAddr::V6(vip) => format!("address add {vip}/128 dev lo nodad"),
            })
            .collect();
        self.namespace.ip(&lines)
    }
}

pub(crate) fn format_mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// `vip-` and six random hexadecimal digits.
pub(crate) fn random_prefix() -> String {
    let random = RandomState::new().build_hasher().finish();
    format!("vip-{:06x}", random & 0xff_ffff)
}
