//! A director whose backends echo: a topology, echo servers, an installation of `vip` and its controller. Like a stage,
//! but for thousands of connections and any services.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use vip_userspace::control::Status;

use super::Echoes;
use crate::{
    net::{Topology, TopologyBuilder, scaled, wait_for},
    program::{Controller, Vip},
};

/// How long a test waits for what the controller should do at once.
const SOON: Duration = Duration::from_secs(20);
/// A director with its backends, which echo; removed when dropped.
#[derive(Debug)]
pub struct Stand {
    /// The running controller.
    pub controller: Controller,
    /// The echo servers: backend 1 is number 1.
    pub echoes: Echoes,
    /// The installation on the director.
    pub vip: Vip,
    /// The network.
    pub topology: Topology,
    ports: Vec<u16>,
}

/// A table of a service in the configuration: `port` as it stands there, `rest` are further lines.
#[must_use]
pub fn service(
    name: &str,
    vip: IpAddr,
    protocol: &str,
    port: &str,
    members: &[String],
    rest: &str,
) -> String {
    format!(
        "[service.{name}]\nvip = \"{vip}\"\nport = {port}\nprotocol = \"{protocol}\"\nmembers = {members:?}\n{rest}\n\n"
    )
}

/// A line of a service that checks its members by TCP on `port`: rarely enough for a busy machine.
#[must_use]
pub fn checked(port: u16) -> String {
    let [interval, timeout] = [500, 400].map(|millis| scaled(Duration::from_millis(millis)).as_millis());
    format!(
        "check = {{ tcp = true, port = {port}, interval = \"{interval}ms\", timeout = \"{timeout}ms\", rise = 2, fall = 3 }}"
    )
}

impl Stand {
    /// Makes the network, serves on `ports` of every backend, and starts a controller with the services that `services`
    /// says. All members are in.
    ///
    /// # Errors
    /// Something can't be made, or a member does not come in.
    pub fn new(
        topology: TopologyBuilder,
        ports: &[u16],
        services: impl FnOnce(&Topology) -> String,
    ) -> Result<Self> {
        let topology = topology.build()?;
        Self::on(topology, ports, services)
    }

    /// The same on a network that is there.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn on(topology: Topology, ports: &[u16], services: impl FnOnce(&Topology) -> String) -> Result<Self> {
        allow_files()?;
        let vip = Vip::install(&topology.director.namespace.dir()?.join("vip"))?;
        let mut echoes = Echoes::start()?;
        for (number, host) in (1..).zip(&topology.backends) {
            echoes.serve(number, &host.namespace, &topology.vips, ports)?;
        }
        let mut config = "interfaces = [\"eth0\"]\nmode = \"native\"\n\n".to_owned() + &services(&topology);
        for host in &topology.backends {
            let addresses = [host.address4.to_string(), host.address6.to_string()];
            // One that no service names is for the test to add.
            if config.contains(&format!("{:?}", host.name)) {
                config += &format!("[backend.{}]\naddress = {addresses:?}\n", host.name);
            }
        }
        vip.configure(&config)?;
        let controller = vip.run(&topology.director.namespace)?;
        let stand = Self { controller, echoes, vip, topology, ports: ports.to_vec() };
        stand.wait_for("all members to be in", |status| {
            status.services.iter().all(|service| service.eligible == service.total)
        })?;
        Ok(stand)
    }

    /// Where clients find a port of each VIP.
    #[must_use]
    pub fn servers(&self, port: u16) -> Vec<SocketAddr> {
        self.topology.vips.iter().map(|vip| SocketAddr::new(*vip, port)).collect()
    }

    /// Runs `vip` with these words, which must succeed.
    ///
    /// # Errors
    /// It is refused.
    pub fn command(&self, words: &str) -> Result<()> {
        let words: Vec<_> = words.split_whitespace().collect();
        let output = self.vip.output(&self.topology.director.namespace, &words)?;
        ensure!(output.status.success(), "vip {words:?}: {output:?}");
        Ok(())
    }

    /// What the running controller says.
    ///
    /// # Errors
    /// It does not answer.
    pub fn status(&self) -> Result<Status> {
        self.vip.ask()
    }

    /// Waits until the controller's status is as it should be.
    ///
    /// # Errors
    /// It is not within twenty seconds.
    pub fn wait_for(&self, what: &str, is: impl Fn(&Status) -> bool) -> Result<Duration> {
        let mut last = None;
        let waited = wait_for(what, SOON, || {
            last = self.status().ok();
            last.as_ref().is_some_and(&is)
        });
        waited.with_context(|| format!("the last status: {last:?}"))
    }

    /// Packets that met a reason.
    ///
    /// # Errors
    /// The controller does not answer.
    pub fn met(&self, reason: &str) -> Result<u64> {
        let status = self.status()?;
        let found = status.reasons.iter().find(|one| one.reason == reason);
        Ok(found.with_context(|| format!("there is no reason {reason}"))?.packets)
    }

    /// A backend dies as in a power cut: its interface first, then its server. Says when.
    ///
    /// # Errors
    /// The interface can't be set down.
    pub fn die(&mut self, number: u8) -> Result<Instant> {
        let died = Instant::now();
        self.topology.backends[usize::from(number) - 1].namespace.ip(&["link set eth0 down"])?;
        self.echoes.kill(number);
        Ok(died)
    }

    /// A dead backend returns.
    ///
    /// # Errors
    /// The interface can't be set up, or the server does not start.
    pub fn come_back(&mut self, number: u8) -> Result<()> {
        let host = &self.topology.backends[usize::from(number) - 1];
        host.namespace.ip(&["link set eth0 up"])?;
        self.echoes.serve(number, &host.namespace, &self.topology.vips, &self.ports)
    }
}

/// As many open files as this process may have.
fn allow_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).context("allow more open files")
}
