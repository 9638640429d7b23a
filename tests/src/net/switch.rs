//! The switch: a namespace with a bridge, to which every host has a cable (a veth pair).

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{Xdp, XdpMode, links::FdLink, xdp::XdpLinkId},
};
use vip_userspace::dataplane::object;

use super::{Namespace, host::ifindex};

/// The switch of a [`Topology`](super::Topology).
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) namespace: Namespace,
    pass: Ebpf,
    taps: Vec<(String, XdpLinkId)>,
}

impl Switch {
    /// Makes the switch, without a cable.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let namespace = Namespace::new(name)?;
        namespace.ip(&[
            "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            "link set br0 addrgenmode none up",
        ])?;
        namespace.run(without_netfilter)??;
        Ok(Self { namespace, pass: load()?, taps: Vec::new() })
    }

    /// Lays cables: each host's end is called `eth0`. `cables` are the names of the port, of the host's namespace, and
    /// the host's MAC.
    pub(crate) fn connect(&self, cables: &[(&str, &str, String)]) -> Result<()> {
        let mut lines = Vec::new();
        for (port, namespace, mac) in cables {
            lines.push(format!(
                "link add {port} type veth peer name eth0 netns {namespace} address {mac} mtu 1500"
            ));
            lines.push(format!("link set {port} addrgenmode none"));
            lines.push(format!("link set {port} master br0 up"));
        }
        self.namespace.ip(&lines)
    }

    /// Lets what a host's XDP program sends arrive at once.
    pub(crate) fn accept_xdp(&mut self, port: &str) -> Result<()> {
        let link = attach(&mut self.pass, &self.namespace, port)?;
        self.taps.push((port.to_owned(), link));
        Ok(())
    }

    /// Leaves everything there when the guard is dropped; what keeps the programs attached is pinned in `pins`.
    pub(crate) fn keep(mut self, pins: &Path) -> Result<()> {
        fs::create_dir_all(pins).with_context(|| format!("make {}", pins.display()))?;
        for (port, id) in std::mem::take(&mut self.taps) {
            let link: FdLink = program(&mut self.pass)?.take_link(id)?.try_into()?;
            link.pin(pins.join(port)).context("pin the link of the XDP program pass")?;
        }
        self.namespace.keep();
        Ok(())
    }
}

/// Lets what the XDP program at the other end of a veth sends arrive at once: it takes such frames only from a peer that has
/// an XDP program as well. Until the result is dropped.
///
/// # Errors
/// There is no such interface, or the kernel refuses.
pub fn accept_xdp(namespace: &Namespace, interface: &str) -> Result<Ebpf> {
    let mut pass = load()?;
    attach(&mut pass, namespace, interface)?;
    Ok(pass)
}

fn load() -> Result<Ebpf> {
    let mut pass = EbpfLoader::new().load(object::MEASURE).context("load the object vip-measure")?;
    program(&mut pass)?.load().context("load the XDP program pass")?;
    Ok(pass)
}

fn attach(pass: &mut Ebpf, namespace: &Namespace, interface: &str) -> Result<XdpLinkId> {
    let index = ifindex(namespace, interface)?;
    namespace.run(|| {
        program(pass)?
            .attach_to_if_index(index, XdpMode::Driver)
            .with_context(|| format!("attach the XDP program pass to {interface}"))
    })?
}

fn program(pass: &mut Ebpf) -> Result<&mut Xdp> {
    let program = pass.program_mut("pass").context("the object has no program pass")?;
    Ok(program.try_into()?)
}

/// Keeps netfilter away from bridged frames: it eats malformed ones in silence.
fn without_netfilter() -> Result<()> {
    for key in ["bridge-nf-call-arptables", "bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
        let path = Path::new("/proc/sys/net/bridge").join(key);
        // Not there unless netfilter has been asked for.
        if path.exists() {
            fs::write(&path, "0").with_context(|| format!("write 0 to {}", path.display()))?;
        }
    }
    Ok(())
}
