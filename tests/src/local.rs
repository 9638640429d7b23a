//! Programs of the director's own box as clients of its VIPs: a stage on which they may be, and what they do. Knows not what
//! should come of it.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use vip_userspace::control::Status;

use crate::{
    crowd::{Echoes, checked},
    net::{Namespace, TopologyBuilder, run, wait_for},
    stage::Stage,
};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// What somebody else did to the kernel's tables is found within ten seconds.
pub const MENDED: Duration = Duration::from_secs(30);
/// Port of the echo servers.
pub const ECHO: u16 = 7;
/// Port of services whose servers a test starts.
pub const SINK: u16 = 9;
/// Port that no service has.
pub const CLOSED: u16 = 81;

/// A stage whose director takes in what its own programs send.
pub struct Story {
    /// The stage; its controller runs, and all members are in.
    pub stage: Stage,
    /// The echo servers on [`ECHO`].
    pub echoes: Echoes,
}

impl Story {
    /// With local clients, and nothing else that is special.
    ///
    /// # Errors
    /// Something can't be made, or a member does not come in.
    pub fn new(topology: TopologyBuilder) -> Result<Self> {
        Self::with(topology, |config| config)
    }

    /// The same with another configuration.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(topology: TopologyBuilder, change: impl FnOnce(String) -> String) -> Result<Self> {
        let mut stage = Stage::build(topology)?;
        let mut echoes = Echoes::start()?;
        for (number, host) in (1..).zip(&stage.topology.backends) {
            echoes.serve(number, &host.namespace, &stage.topology.vips, &[ECHO])?;
        }
        let config = format!("local-clients = true\n{}{}", stage.config(), services(&stage));
        stage.vip.configure(&change(config))?;
        stage.start()?;
        let story = Self { stage, echoes };
        story.all_are_in()?;
        Ok(story)
    }

    /// Waits until all members are in.
    ///
    /// # Errors
    /// One does not come in.
    pub fn all_are_in(&self) -> Result<()> {
        let is = |status: &Status| status.services.iter().all(|service| service.eligible == service.total);
        self.stage.wait_for("all members to be in", is).map(drop)
    }

    /// The director's box.
    #[must_use]
    pub fn director(&self) -> &Namespace {
        &self.stage.topology.director.namespace
    }

    /// Where a port of each VIP is.
    #[must_use]
    pub fn servers(&self, port: u16) -> Vec<SocketAddr> {
        self.stage.topology.vips.iter().map(|vip| SocketAddr::new(*vip, port)).collect()
    }

    /// What `vip` says to these words.
    ///
    /// # Errors
    /// It refuses.
    pub fn vip(&self, words: &[&str]) -> Result<String> {
        let output = self.stage.vip.output(self.director(), words)?;
        ensure!(output.status.success(), "vip {words:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The interface by which the kernel sends what is for a VIP.
    ///
    /// # Errors
    /// There is no route.
    pub fn way(&self, vip: IpAddr) -> Result<String> {
        let route = run(self.director().command("ip").args(["route", "get", &vip.to_string()]))?;
        let mut words = route.split_whitespace().skip_while(|word| *word != "dev");
        Ok(words.nth(1).unwrap_or_default().to_owned())
    }

    /// Whether the kernel sends what is for each VIP to the director.
    #[must_use]
    pub fn is_led(&self) -> bool {
        self.stage.topology.vips.iter().all(|vip| self.way(*vip).is_ok_and(|way| way.starts_with("vip-to-")))
    }

    /// Waits until each VIP is reached by programs of the director.
    ///
    /// # Errors
    /// One is not.
    pub fn is_served(&self) -> Result<()> {
        for to in self.stage.services() {
            wait_for(&format!("an answer from {to}"), MENDED, || ask(self.director(), to).is_ok())?;
        }
        Ok(())
    }
}

/// Services of the echo servers and of a sink, checked by the web servers beside; a closed port says so.
fn services(stage: &Stage) -> String {
    let members: Vec<_> = stage.topology.backends.iter().map(|host| host.name.clone()).collect();
    let mut text = String::new();
    for vip in &stage.topology.vips {
        text += &format!("\n[vip.\"{vip}\"]\nunknown-port = \"reset\"\n");
        for (port, protocol) in [(ECHO, "tcp"), (ECHO, "udp"), (SINK, "tcp"), (SINK, "udp")] {
            let family = if vip.is_ipv4() { 4 } else { 6 };
            text += &format!(
                "\n[service.{protocol}{port}-{family}]\nvip = \"{vip}\"\nport = {port}\nprotocol = \"{protocol}\"\n\
                 members = {members:?}\n{}\n",
                checked(80)
            );
        }
    }
    text
}

/// Connects from a host.
///
/// # Errors
/// Nobody accepts.
pub fn connect(host: &Namespace, to: SocketAddr) -> Result<TcpStream> {
    let stream = host.run(|| TcpStream::connect_timeout(&to, PATIENCE))?;
    let stream = stream.with_context(|| format!("connect to {to}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The name of the backend that answers a request of HTTP.
///
/// # Errors
/// There is no answer.
pub fn ask(host: &Namespace, to: SocketAddr) -> Result<String> {
    let mut stream = connect(host, to)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no body: {answer}"))?;
    Ok(body.trim().to_owned())
}

/// The number of the backend at the other end of a connection to an echo server.
///
/// # Errors
/// There is no answer.
pub fn speak(stream: &mut TcpStream) -> Result<u8> {
    stream.write_all(b"question")?;
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).context("no answer")?;
    ensure!(answer[1..] == *b"question", "another answer: {answer:?}");
    Ok(answer[0])
}

/// The same of datagrams.
///
/// # Errors
/// There is no answer.
pub fn send(host: &Namespace, to: SocketAddr) -> Result<u8> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = host.run(|| UdpSocket::bind(any))??;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    socket.send(b"question")?;
    let mut answer = [0; 9];
    socket.recv(&mut answer).with_context(|| format!("no answer from {to}"))?;
    Ok(answer[0])
}

/// Pings a VIP from a host.
///
/// # Errors
/// There is no answer.
pub fn ping(host: &Namespace, vip: IpAddr) -> Result<()> {
    run(host.command("ping").args(["-c", "1", "-W", "10", &vip.to_string()])).map(drop)
}
