//! Facts: all that findings are made of. How they are read is not known here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::load::Load;
use crate::{
    config::Config,
    model::{BackendName, Mac, Mode, NoNeighbour, Role},
};

/// What was read, or why it could not be.
pub type Told<T> = Result<T, String>;

/// Everything that was looked at.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The box.
    pub machine: Machine,
    /// The director on it.
    pub director: Director,
    /// The interfaces that were looked at.
    pub interfaces: Vec<Interface>,
    /// Interfaces that the configuration names and that are not there.
    pub missing: Vec<String>,
    /// The VIPs.
    pub vips: Vec<Vip>,
    /// An entry for each address of each backend.
    pub backends: Vec<Backend>,
    /// What queues and CPUs had to do; `None` where nobody asked for it.
    pub load: Option<Told<Load>>,
}

/// The box.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// The kernel's release.
    pub release: String,
    /// It is new enough.
    pub supported: bool,
    /// This process may do what `vip run` must.
    pub permitted: bool,
    /// Where a BPF file system is expected.
    pub bpffs: String,
    /// Whether one is there.
    pub has_bpffs: bool,
    /// Whether programs are compiled (`net.core.bpf_jit_enable`); `None` in a network namespace of its own, which can't tell.
    pub compiles: Option<bool>,
    /// How many CPUs there are.
    pub cpus: u32,
}

/// The director: what it should do, and whether it does.
#[derive(Clone, Debug)]
pub struct Director {
    /// What it should do, if that is known.
    pub config: Option<Config>,
    /// Where that is from, in words.
    pub source: String,
    /// The configuration file that is there is no good one.
    pub bad_file: Option<String>,
    /// Whether a controller answers.
    pub controller: Told<bool>,
    /// Whether anything is pinned.
    pub pinned: Told<bool>,
    /// Services of a running controller that have no eligible member.
    pub idle_services: Vec<String>,
}

impl Director {
    /// Whether packets are, or should be, directed now.
    #[must_use]
    pub fn works(&self) -> bool {
        self.controller == Ok(true) || self.pinned == Ok(true)
    }
}

/// What an interface is for the director.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Packets to VIPs come in by it.
    Port,
    /// It leads to backends alone.
    Egress,
    /// None yet.
    Candidate,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// Its MAC.
    pub mac: Option<Mac>,
    /// Most bytes of a packet, without the Ethernet header.
    pub mtu: u32,
    /// It is switched on and has a carrier.
    pub up: bool,
    /// What it is for the director.
    pub part: Part,
    /// The XDP program on it.
    pub program: Option<Program>,
    /// Its driver.
    pub driver: Told<String>,
    /// What XDP programs can do with it; `None` where the kernel does not tell (before Linux 6.3).
    pub abilities: Told<Option<Abilities>>,
    /// Its RX queues; `None` where the driver does not tell.
    pub queues: Told<Option<Amount>>,
    /// Descriptors of each RX queue; `None` where the driver does not tell.
    pub ring: Told<Option<Amount>>,
    /// What is done to frames before the program sees them.
    pub offloads: Told<Offloads>,
    /// Packets are dropped whose source is routed elsewhere (`rp_filter` 1).
    pub is_strict: bool,
    /// Packets from addresses of this box are taken (`accept_local`).
    pub accepts_local: bool,
    /// What probes need and is missing, in words.
    pub missing_lane: Told<Vec<String>>,
}

/// An XDP program on an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: Option<String>,
    /// How it is attached.
    pub mode: Mode,
    /// It is this instance's director.
    pub is_ours: bool,
}

/// What XDP programs can do with an interface (include/uapi/linux/netdev.h, `enum netdev_xdp_act`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are what the kernel tells, each of its own")]
pub struct Abilities {
    /// Run in the driver: pass, drop, send back.
    pub basic: bool,
    /// Send out of another interface.
    pub redirect: bool,
    /// Be that other interface.
    pub transmit: bool,
    /// See frames in several buffers.
    pub fragments: bool,
}

/// How much there is of something, and how much there could be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amount {
    /// Now.
    pub now: u32,
    /// At most; 0 where the driver does not tell.
    pub most: u32,
}

/// What is done to received frames before the program sees them, by the kernel's names (`ethtool -k`).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Offloads {
    /// Those that are on.
    pub on: BTreeSet<String>,
    /// Those that can be changed.
    pub changeable: BTreeSet<String>,
}

/// A VIP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vip {
    /// Its address.
    pub address: IpAddr,
    /// Whether this director answers for it.
    pub role: Role,
    /// Interfaces of this box that have the address.
    pub local: BTreeSet<String>,
    /// Index of the interface that the route to it leads out by; `None` where there is none, or it is local.
    pub route: Option<u32>,
    /// A service of it has a check that goes to the VIP.
    pub is_probed: bool,
    /// Who else answers for it, by interface.
    pub owners: BTreeMap<String, BTreeMap<Mac, Who>>,
    /// Interfaces on which nobody could be asked, with the reason.
    pub unasked: BTreeMap<String, String>,
}

/// Who has a MAC.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    /// A backend.
    Backend(BackendName),
    /// Another director: one of `peers`, or the virtual router.
    Director,
    /// Nobody who is known.
    Stranger,
}

/// An address of a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backend {
    /// The backend.
    pub name: BackendName,
    /// The address.
    pub address: IpAddr,
    /// The VIPs of its services, of whatever family.
    pub vips: BTreeSet<IpAddr>,
    /// The way to it.
    pub way: Result<Way, NoNeighbour>,
    /// VLAN tags that frames to it get.
    pub tags: u32,
}

/// The way to a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// It is this very box.
    Here,
    /// Out by this interface, on the link.
    Out(String),
}
