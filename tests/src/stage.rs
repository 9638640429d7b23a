//! A director with its backends, ready to play on: a topology, a web server on each backend, an installation of `vip`
//! and its configuration. Knows how a backend dies and returns; not what should follow from that.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use aya::Ebpf;
use vip_userspace::control::protocol::{MemberStatus, Status};

use crate::{
    net::{Host, Nginx, Signal, Topology, TopologyBuilder, accept_xdp, run, scaled, wait_for},
    program::{Controller, Vip},
};

/// Port of the services.
const PORT: u16 = 80;
/// How long a test waits for what the controller should do at once.
const SOON: Duration = Duration::from_secs(30);

/// VIPs that leave a trace of their own: the group of the IPv6 one is not also that of a host.
pub const TRACEABLE_VIPS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 200, 0, 7)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x200, 0, 0, 0, 0, 0, 0xbeef)),
];
/// The group that neighbours ask in for the IPv6 one, on the link (RFC 2464, section 7; RFC 4291, section 2.7.1).
const TRACED_GROUP: &str = "33:33:ff:00:be:ef";

/// How members are checked.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    interval: Duration,
    timeout: Duration,
}

impl Checks {
    /// For stories of a death that tell how soon it is noticed: a machine that stands still for half a second looks dead.
    pub const QUICK: Self =
        Self { interval: Duration::from_millis(150), timeout: Duration::from_millis(150) };
    /// For all others: a busy machine does not take a member out that nobody killed.
    pub const PATIENT: Self =
        Self { interval: Duration::from_millis(500), timeout: Duration::from_millis(400) };
    /// Good probes in a row that take a member in.
    pub const RISE: u32 = 2;
    /// Bad probes in a row that take a member out.
    pub const FALL: u32 = 3;

    /// From one probe of a member to the next.
    #[must_use]
    pub fn interval(self) -> Duration {
        scaled(self.interval)
    }

    /// Time that a probe has.
    #[must_use]
    pub fn timeout(self) -> Duration {
        scaled(self.timeout)
    }

    /// The time that so many probes in a row take, of which the last one takes its whole time.
    #[must_use]
    pub fn time_of(self, probes: u32) -> Duration {
        self.interval() * probes + self.timeout()
    }

    /// The time after which a dead backend gets no new flow: `interval × fall + timeout`.
    #[must_use]
    pub fn detection(self) -> Duration {
        self.time_of(Self::FALL)
    }
}

/// A director, its backends and its clients; removed when dropped.
#[derive(Debug)]
pub struct Stage {
    /// The running controller, if there is one.
    pub controller: Option<Controller>,
    servers: Vec<Option<Nginx>>,
    /// The installation on the director.
    pub vip: Vip,
    /// The network.
    pub topology: Topology,
    checks: Checks,
}

impl Stage {
    /// Makes the network, starts the servers and installs `vip` in the director's directory. The configuration is that of
    /// [`Self::config`], with patient checks; the controller is yet to be started.
    ///
    /// # Errors
    /// Something can't be made.
    pub fn build(topology: TopologyBuilder) -> Result<Self> {
        Self::build_with(topology, None, Checks::PATIENT)
    }

    /// The same with other checks, and `vip` in `dir`, if there is one.
    ///
    /// # Errors
    /// Something can't be made.
    pub fn build_with(topology: TopologyBuilder, dir: Option<&Path>, checks: Checks) -> Result<Self> {
        let topology = topology.build()?;
        let vip = match dir {
            Some(dir) => Vip::install(dir)?,
            None => Vip::install(&topology.director.namespace.dir()?.join("vip"))?,
        };
        let servers = topology.backends.iter().map(|host| serve(host).map(Some)).collect::<Result<_>>()?;
        let stage = Self { controller: None, servers, vip, topology, checks };
        stage.vip.configure(&stage.config())?;
        Ok(stage)
    }

    /// A stage with patient checks whose controller runs and has all members in.
    ///
    /// # Errors
    /// Something can't be made, or a member does not come in within thirty seconds.
    pub fn ready(topology: TopologyBuilder) -> Result<Self> {
        Self::ready_with(topology, Checks::PATIENT)
    }

    /// The same with other checks.
    ///
    /// # Errors
    /// As [`Self::ready`].
    pub fn ready_with(topology: TopologyBuilder, checks: Checks) -> Result<Self> {
        let mut stage = Self::build_with(topology, None, checks)?;
        stage.start()?;
        stage.wait_for("all members to be in", |status| {
            status.services.iter().all(|service| service.eligible == service.total)
        })?;
        Ok(stage)
    }

    /// Starts the controller.
    ///
    /// # Errors
    /// It ends, or does not answer; with what it logged.
    pub fn start(&mut self) -> Result<()> {
        self.controller = Some(self.vip.run(&self.topology.director.namespace)?);
        Ok(())
    }

    /// Starts the controller with further options of `vip run`.
    ///
    /// # Errors
    /// It ends, or does not answer; with what it logged.
    pub fn start_with(&mut self, options: &[&str]) -> Result<()> {
        self.controller = Some(self.vip.run_with(&self.topology.director.namespace, options)?);
        Ok(())
    }

    /// Ends the controller with that signal, and waits for its end.
    ///
    /// # Errors
    /// There is none, or it does not end.
    pub fn stop(&mut self, signal: Signal) -> Result<()> {
        if let Some(mut controller) = self.controller.take() {
            controller.end(signal)?;
        }
        Ok(())
    }

    /// A service on port 80 of each VIP, all backends members with equal weights, checked by HTTP.
    #[must_use]
    pub fn config(&self) -> String {
        let quoted = |names: &[&str]| {
            format!("[{}]", names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
        };
        let [interval, timeout] =
            [self.checks.interval(), self.checks.timeout()].map(|time| time.as_millis());
        let [rise, fall] = [Checks::RISE, Checks::FALL];
        let names: Vec<_> = self.topology.backends.iter().map(|host| host.name.as_str()).collect();
        let mut text = "interfaces = [\"eth0\"]\nmode = \"native\"\n".to_owned();
        for vip in &self.topology.vips {
            text += &format!(
                "
[service.{}]
vip = \"{vip}\"
port = {PORT}
members = {}
check = {{ http = \"/\", interval = \"{interval}ms\", timeout = \"{timeout}ms\", rise = {rise}, fall = {fall} }}
",
                service_name(*vip),
                quoted(&names),
            );
        }
        for host in &self.topology.backends {
            let (ipv4, ipv6) = (host.address4.to_string(), host.address6.to_string());
            text += &format!("\n[backend.{}]\naddress = {}\n", host.name, quoted(&[&ipv4, &ipv6]));
        }
        text
    }

    /// Lays a second cable between the director and a backend, from `eth1` to `eth1`, with the networks of
    /// [`Self::config_by_second_cable`]. What the director sends by it arrives while the value lives.
    ///
    /// # Errors
    /// An interface can't be made.
    pub fn lay_second_cable(&self, backend: usize) -> Result<Ebpf> {
        let (director, far) = (&self.topology.director.namespace, &self.topology.backends[backend].namespace);
        director.ip(&[
            &format!("link add eth1 type veth peer name eth1 netns {}", far.name()),
            "address add 10.78.0.1/24 dev eth1",
            "address add fd78::1/64 dev eth1 nodad",
            "link set eth1 up",
        ])?;
        far.ip(&["address add 10.78.0.2/24 dev eth1", "address add fd78::2/64 dev eth1 nodad"])?;
        far.ip(&["link set eth1 up"])?;
        run(far.command("ethtool").args(["-K", "eth1", "tx", "off", "txvlan", "off"]))?;
        accept_xdp(far, "eth1")
    }

    /// [`Self::config`], with the second backend behind its second cable.
    #[must_use]
    pub fn config_by_second_cable(&self) -> String {
        self.config().replace("10.77.0.102", "10.78.0.2").replace("fd77::102", "fd78::2")
    }

    /// Where clients find the services.
    #[must_use]
    pub fn services(&self) -> Vec<SocketAddr> {
        self.topology.vips.iter().map(|vip| SocketAddr::new(*vip, PORT)).collect()
    }

    /// What the running controller says.
    ///
    /// # Errors
    /// There is none, or it does not answer.
    pub fn status(&self) -> Result<Status> {
        self.vip.ask()
    }

    /// Waits until the controller's status is as it should be.
    ///
    /// # Errors
    /// It is not within thirty seconds.
    pub fn wait_for(&self, what: &str, is: impl Fn(&Status) -> bool) -> Result<Duration> {
        wait_for(what, SOON, || self.status().is_ok_and(|status| is(&status)))
    }

    /// A backend dies as in a power cut: its interface is dead first, then its server. Says when.
    ///
    /// # Errors
    /// The interface can't be set down.
    pub fn die(&mut self, backend: usize) -> Result<Instant> {
        // Taken before: what is reported as detection is never too short.
        let died = Instant::now();
        // On its side of the cable, so that its kernel does not go on asking for neighbours in vain: that would hold up
        // its first answers after its return, and a machine that was dead has forgotten such things.
        self.topology.backends[backend].namespace.ip(&["link set eth0 down"])?;
        self.servers[backend] = None;
        Ok(died)
    }

    /// A dead backend returns: its interface works again, then its server. Says when that listens.
    ///
    /// # Errors
    /// The interface can't be set up, or the server does not start.
    pub fn come_back(&mut self, backend: usize) -> Result<Instant> {
        let host = &self.topology.backends[backend];
        host.namespace.ip(&["link set eth0 up"])?;
        self.servers[backend] = Some(serve(host)?);
        Ok(Instant::now())
    }

    /// Ends the server of a backend, which lives on.
    pub fn end_server(&mut self, backend: usize) {
        self.servers[backend] = None;
    }

    /// The server of a backend; none while that is dead.
    pub fn server(&mut self, backend: usize) -> Option<&mut Nginx> {
        self.servers[backend].as_mut()
    }

    /// What `vip` has put into the kernel for the director: programs, the group of [`TRACEABLE_VIPS`], neighbours, pins.
    ///
    /// # Errors
    /// The director does not tell.
    pub fn traces(&self) -> Result<Vec<String>> {
        let look = |arguments: &[&str], mark: &str| -> Result<Vec<String>> {
            let shown = run(self.topology.director.namespace.command("ip").args(arguments))?;
            Ok(shown.lines().filter(|line| line.contains(mark)).map(str::to_owned).collect())
        };
        Ok([
            look(&["-details", "link", "show", "eth0"], "prog/xdp")?,
            look(&["maddress", "show", "dev", "eth0"], TRACED_GROUP)?,
            look(&["-4", "neighbour", "show"], "managed")?,
            look(&["-6", "neighbour", "show"], "managed")?,
            files(&self.vip.bpffs().join("vip")),
        ]
        .concat())
    }

    /// Leaves all of it there when the guard is dropped.
    ///
    /// # Errors
    /// Something can't be pinned.
    pub fn keep(self) -> Result<()> {
        let Self { controller, servers, mut vip, topology, checks: _ } = self;
        topology.keep(&vip.bpffs().join("switch"))?;
        servers.into_iter().flatten().for_each(|mut server| server.keep());
        controller.into_iter().for_each(|mut controller| controller.process().keep());
        vip.keep();
        Ok(())
    }
}

/// A backend's parts in all services.
pub fn members<'a>(status: &'a Status, backend: &str) -> impl Iterator<Item = &'a MemberStatus> {
    let of_backend = move |member: &&MemberStatus| member.backend.as_str() == backend;
    status.services.iter().flat_map(|service| &service.members).filter(of_backend)
}

/// Whether a backend gets new flows of all its services.
#[must_use]
pub fn is_in(status: &Status, backend: &str) -> bool {
    members(status, backend).all(|member| member.eligible)
}

/// Whether it gets new flows of none.
#[must_use]
pub fn is_out(status: &Status, backend: &str) -> bool {
    members(status, backend).all(|member| !member.eligible)
}

fn serve(host: &Host) -> Result<Nginx> {
    Nginx::start(&host.namespace, &host.name)
}

fn service_name(vip: IpAddr) -> &'static str {
    if vip.is_ipv4() { "web4" } else { "web6" }
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| [vec![entry.path().display().to_string()], files(&entry.path())].concat())
        .collect()
}
