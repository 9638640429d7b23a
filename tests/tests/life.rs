//! The story of a controller's whole life under a flood of numbered datagrams: it is restarted, killed, told another
//! configuration, attached to one more interface, and followed by a program of another build. No datagram is lost, and none
//! comes to another backend than its flow's.

use std::time::Duration;

use anyhow::{Result, ensure};
use aya::programs::{
    ProgramInfo,
    links::{FdLink, PinnedLink},
};
use vip_tests::{
    crowd::checked,
    net::{Namespace, Signal, Topology, run, wait_for},
    numbered::{Receivers, Sender, Tally},
    rebuilt::rebuild,
    stage::Stage,
};
use vip_userspace::{control::Status, dataplane::object::PROGRAM};

const SOON: Duration = Duration::from_secs(20);
const PORT: u16 = 5000;
/// Flows to each VIP.
const FLOWS: u32 = 32;
/// The MAC of the director's second interface.
const ETH1: &str = "02:00:5e:78:00:01";
/// Datagrams that are sent between two events, at least.
const BETWEEN: u64 = 1500;

/// The stage, the flood, and what has been counted.
struct Story {
    stage: Stage,
    receivers: Receivers,
    senders: Vec<Sender>,
    table: String,
    far: Namespace,
}

/// The services that are flooded, over these backends.
fn services(stage: &Stage, backends: usize) -> String {
    let names: Vec<_> = stage.topology.backends.iter().take(backends).map(|host| host.name.clone()).collect();
    let one = |(vip, name)| {
        format!(
            "\n[service.{name}]\nvip = \"{vip}\"\nport = {PORT}\nprotocol = \"udp\"\nslots = 1021\nmembers = {names:?}\n{}\n",
            checked(80)
        )
    };
    stage.topology.vips.iter().zip(["flood4", "flood6"]).map(one).collect()
}

fn all_are_in(status: &Status) -> bool {
    status.services.iter().all(|service| service.eligible == service.total)
}

impl Story {
    fn begin() -> Result<Self> {
        let mut stage = Stage::build(Topology::builder().backends(3))?;
        stage.vip.configure(&(stage.config() + &services(&stage, 2)))?;
        let far = second_client(&stage)?;
        stage.start()?;
        stage.wait_for("all members to be in", all_are_in)?;
        let mut receivers = Receivers::default();
        for (number, host) in (1..).zip(&stage.topology.backends) {
            receivers.listen(number, &host.namespace, &stage.topology.vips, PORT)?;
        }
        let mut story = Self { stage, receivers, senders: Vec::new(), table: String::new(), far };
        let client = &story.stage.topology.clients[0].namespace;
        story.senders.push(Sender::start(client, &story.servers(), 0, FLOWS, &story.receivers)?);
        story.flow_on("flood")?;
        Ok(story)
    }

    fn servers(&self) -> Vec<std::net::SocketAddr> {
        self.stage.topology.vips.iter().map(|vip| std::net::SocketAddr::new(*vip, PORT)).collect()
    }

    fn sent(&self) -> u64 {
        self.senders.iter().map(Sender::sent).sum()
    }

    /// Lets the flood go on for a while after `event`.
    fn flow_on(&mut self, event: &str) -> Result<()> {
        let (sent, received) = (self.sent(), self.receivers.received());
        wait_for("the flood to go on", SOON, || self.receivers.received() >= received + BETWEEN)?;
        self.table += &format!("{event:28} {:>10} {:>10}\n", sent, self.sent());
        Ok(())
    }

    fn command(&self, words: &[&str]) -> Result<()> {
        let output = self.stage.vip.output(&self.stage.topology.director.namespace, words)?;
        ensure!(output.status.success(), "vip {words:?}: {output:?}");
        Ok(())
    }

    fn restart(&mut self, signal: Signal, event: &str) -> Result<()> {
        self.stage.stop(signal)?;
        self.flow_on(&format!("{event}: without"))?;
        self.stage.start()?;
        self.stage.wait_for("all members to be in", all_are_in)?;
        self.flow_on(&format!("{event}: with the next one"))
    }

    /// The next controller is one of another build.
    fn upgrade(&mut self) -> Result<()> {
        let program = |story: &Self| -> Result<(u32, u64)> {
            let info = ProgramInfo::from_pin(story.stage.vip.pin(PROGRAM))?;
            Ok((info.id(), info.tag()))
        };
        let before = (program(self)?, self.links()?, counted(&self.stage.status()?));
        let rebuilt = rebuild(self.stage.vip.program(), self.stage.vip.dir())?;
        self.stage.vip.upgrade(rebuilt);
        self.restart(Signal::TERM, "upgrade")?;
        let after = (program(self)?, self.links()?, counted(&self.stage.status()?));
        assert!(before.0.1 != after.0.1, "the program is another one: {before:?}, {after:?}");
        assert_eq!(
            after.1.iter().map(|(link, _)| *link).collect::<Vec<_>>(),
            before.1.iter().map(|(link, _)| *link).collect::<Vec<_>>(),
            "in the same links"
        );
        assert!(after.1.iter().all(|(_, program)| *program == after.0.0), "on all interfaces: {after:?}");
        assert!(after.2 > before.2, "counting goes on: {before:?}, {after:?}");
        Ok(())
    }

    /// Ids of the links, and of the programs in them.
    fn links(&self) -> Result<Vec<(u32, u32)>> {
        let link = |interface: &str| -> Result<(u32, u32)> {
            let index = self.stage.topology.director.ifindex(interface)?;
            let pin = self.stage.vip.pin(&format!("link-{index}"));
            let info = FdLink::from(PinnedLink::from_pin(pin)?).info()?;
            Ok((info.id(), info.program_id()))
        };
        ["eth0", "eth1"].into_iter().map(link).collect()
    }

    /// Ends the flood, and tells what became of it.
    #[expect(clippy::print_stdout, reason = "the table is what the story tells")]
    fn end(mut self) -> Result<(Tally, u64)> {
        for sender in &mut self.senders {
            sender.end()?;
        }
        let sent = self.sent();
        // What is lost does not come: then the tally says so.
        let _ = wait_for("all to arrive", SOON, || self.receivers.received() >= sent);
        let tally = self.receivers.tally(&self.senders);
        println!("{:28} {:>10} {:>10}\n{}{tally:?}", "event", "sent then", "and after", self.table);
        Ok((tally, counted(&self.stage.status()?)))
    }
}

/// Packets that were forwarded for the flooded services, as the director counts.
fn counted(status: &Status) -> u64 {
    let flooded = status.services.iter().filter(|service| service.name.as_str().starts_with("flood"));
    flooded.map(|service| service.totals.packets).sum()
}

/// A client on a wire of its own, which ends at `eth1` of the director: nothing is attached there yet.
fn second_client(stage: &Stage) -> Result<Namespace> {
    let far = Namespace::new(&format!("{}-far", stage.topology.prefix()))?;
    stage.topology.director.namespace.ip(&[
        format!("link add eth1 address {ETH1} type veth peer name eth0 netns {}", far.name()),
        "address add 10.78.0.1/24 dev eth1".to_owned(),
        "link set eth1 up".to_owned(),
    ])?;
    let mut lines = vec![
        "link set eth0 up".to_owned(),
        "address add 10.78.0.2/24 dev eth0".to_owned(),
        "address add fd78::2/64 dev eth0 nodad".to_owned(),
    ];
    // It asks nobody: what an XDP program answers, a veth hands over only to one that has a program as well.
    lines.extend(stage.topology.vips.iter().flat_map(|vip| {
        [format!("route add {vip} dev eth0"), format!("neighbour add {vip} lladdr {ETH1} dev eth0")]
    }));
    far.ip(&lines)?;
    run(far.command("ethtool").args(["-K", "eth0", "tx", "off", "txvlan", "off"]))?;
    Ok(far)
}

#[test]
fn no_event_of_a_controllers_life_loses_or_misplaces_a_datagram() -> Result<()> {
    let mut story = Story::begin()?;
    story.restart(Signal::TERM, "restart")?;
    story.restart(Signal::KILL, "SIGKILL")?;

    // One more backend of the flooded services, and one more service.
    let more = "\n[service.more]\nvip = \"10.200.0.1\"\nport = 81\nmembers = [\"backend1\"]\n";
    let text = story.stage.config() + &services(&story.stage, 3) + more;
    story.stage.vip.configure(&text)?;
    story.command(&["reload"])?;
    story.stage.wait_for("the new member to be in", all_are_in)?;
    story.flow_on("reload: a backend more")?;

    story.stage.vip.configure(&text.replacen("[\"eth0\"]", "[\"eth0\", \"eth1\"]", 1))?;
    story.command(&["reload"])?;
    story.flow_on("reload: eth1 attached")?;
    let (servers, first) = (story.servers(), 2 * FLOWS);
    story.senders.push(Sender::start(&story.far, &servers, first, FLOWS, &story.receivers)?);
    story.flow_on("flows by eth1 as well")?;
    story.restart(Signal::KILL, "SIGKILL")?;

    story.upgrade()?;

    let (tally, counted) = story.end()?;
    assert_eq!((tally.lost, tally.misplaced, tally.twice), (0, 0, 0), "{tally:?}");
    // A datagram tells of no beginning: for its window each flow counts as one of before the third backend.
    assert_eq!((tally.flows, tally.backends), (4 * FLOWS as usize, 2), "{tally:?}");
    assert_eq!(counted, tally.sent, "counters have survived it all");
    Ok(())
}
