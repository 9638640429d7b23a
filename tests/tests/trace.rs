//! What `vip trace` tells of live packets is what they got. The director is in its links whenever nobody traces, however a
//! trace ended; and no swap of programs loses a packet.

use std::{
    fs::{self, File},
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{
    ProgramInfo,
    links::{FdLink, PinnedLink},
};
use pcap_file::pcapng::{
    Block, PcapNgReader,
    blocks::{
        enhanced_packet::EnhancedPacketOption,
        interface_description::InterfaceDescriptionOption::{IfName, IfTsResol},
    },
};
use vip_tests::{
    crowd::{Crowd, Kind, Stand, checked, service},
    net::{Namespace, Process, Signal, Topology, scaled, wait_for},
    numbered::{Receivers, Sender},
    program::Vip,
};
use vip_userspace::{
    control::protocol::{TraceEnd, TraceEndWhy, TraceLine, TracedPacket},
    dataplane::object::PROGRAM,
    model::BackendName,
};

const SOON: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(50);
/// Port of the numbered datagrams.
const FLOODED: u16 = 5000;

/// `tcp4` and `tcp6` on port 7, `flood4` and `flood6` on port 5000.
fn stand() -> Result<Stand> {
    Stand::new(Topology::builder().backends(2), &[7], |topology| {
        let members: Vec<_> = topology.backends.iter().map(|host| host.name.clone()).collect();
        let [four, six] = [topology.vips[0], topology.vips[1]];
        let flooded = FLOODED.to_string();
        service("tcp4", four, "tcp", "7", &members, &checked(7))
            + &service("tcp6", six, "tcp", "7", &members, &checked(7))
            + &service("flood4", four, "udp", &flooded, &members, &checked(7))
            + &service("flood6", six, "udp", &flooded, &members, &checked(7))
    })
}

/// A `vip trace` that runs.
struct Trace {
    process: Process,
    told: PathBuf,
}

impl Trace {
    /// Starts one.
    fn start(vip: &Vip, director: &Namespace, words: &str) -> Result<Self> {
        let told = vip.dir().join("trace.out");
        let mut words: Vec<_> = words.split_whitespace().collect();
        words.insert(0, "trace");
        let mut command = vip.command(director, &words);
        command.stdin(Stdio::null()).stdout(File::create(&told)?);
        let process = Process::start("vip trace", &mut command)?;
        Ok(Self { process, told })
    }

    /// Starts one, and waits until it has begun.
    fn on(stand: &Stand, words: &str) -> Result<Self> {
        let before = begun(stand)?;
        let trace = Self::start(&stand.vip, &stand.topology.director.namespace, words)?;
        // A short one may be over by then.
        wait_for("the trace to begin", SOON, || begun(stand).is_ok_and(|now| now > before))?;
        Ok(trace)
    }

    fn told(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.told)?)
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        self.process.wait(scaled(SOON))
    }

    /// What it told in JSON, once it has ended.
    fn lines(mut self) -> Result<(Vec<TracedPacket>, TraceEnd)> {
        let status = self.wait()?;
        let told = self.told()?;
        ensure!(status.success(), "{status}: {told}");
        let mut packets = Vec::new();
        for line in told.lines() {
            match serde_json::from_str(line).with_context(|| line.to_owned())? {
                TraceLine::Packet(packet) => packets.push(*packet),
                TraceLine::Ended(end) => return Ok((packets, end)),
            }
        }
        anyhow::bail!("it does not say how it ended: {told}")
    }
}

/// Ids of the director that is pinned, and of the program in the link.
fn programs(stand: &Stand) -> Result<(u32, u32)> {
    let index = stand.topology.director.ifindex("eth0")?;
    let link = FdLink::from(PinnedLink::from_pin(stand.vip.pin(&format!("link-{index}")))?);
    Ok((ProgramInfo::from_pin(stand.vip.pin(PROGRAM))?.id(), link.info()?.program_id()))
}

fn is_traced(stand: &Stand) -> Result<bool> {
    programs(stand).map(|(director, linked)| director != linked)
}

/// How many traces have begun, by the log.
fn begun(stand: &Stand) -> Result<usize> {
    Ok(fs::read_to_string(stand.vip.log())?.matches("a trace begins").count())
}

fn wait_for_the_director(stand: &Stand) -> Result<()> {
    wait_for("the director to be back", SOON, || is_traced(stand).is_ok_and(|is| !is)).map(drop)
}

/// A datagram of the client.
fn send(stand: &Stand, to: SocketAddr) -> Result<()> {
    let client = &stand.topology.clients[0];
    client.namespace.run(|| UdpSocket::bind("0.0.0.0:4000")?.send_to(b"hello", to))?.context("send").map(drop)
}

fn backend(packet: &TracedPacket) -> Option<&str> {
    packet.backend.as_ref().map(BackendName::as_str)
}

/// The bytes of what was kept of a frame.
fn frame(packet: &TracedPacket) -> Result<Vec<u8>> {
    let digits = packet.frame.as_bytes().chunks(2);
    digits.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

#[test]
fn packets_are_told_with_what_they_got() -> Result<()> {
    let stand = stand()?;
    let crowd = Crowd::start(&stand.topology.clients[0].namespace, EVERY)?;
    crowd.open(Kind::Tcp, &stand.servers(7), 20);
    wait_for("all to be answered", SOON, || crowd.lasting() == 20)?;
    for server in stand.servers(7) {
        let trace = Trace::on(&stand, &format!("--json --dst {server} --proto tcp --count 12"))?;
        let (packets, end) = trace.lines()?;
        wait_for_the_director(&stand)?;
        assert_eq!((packets.len(), end.why, end.told, end.lost), (12, TraceEndWhy::Count, 12, 0), "{end:?}");
        let name = if server.is_ipv4() { "tcp4" } else { "tcp6" };
        for packet in &packets {
            // The director's own probes are no talks.
            let talk = crowd.talks().into_iter().find(|talk| Some(talk.port) == packet.source_port);
            let Some(home) = talk.and_then(|talk| talk.home) else { continue };
            assert_eq!(backend(packet), Some(&*format!("backend{home}")), "{packet:?}");
            assert_eq!((packet.action.as_str(), packet.reason.as_str()), ("transmit", "forwarded"));
            assert_eq!(packet.service.as_ref().map(ToString::to_string).as_deref(), Some(name));
            assert_eq!(packet.destination, Some(server.ip()), "{packet:?}");
            assert_eq!((packet.interface.as_str(), packet.protocol.as_deref()), ("eth0", Some("tcp")));
            // As it came: to the director's own MAC, with all of its hops.
            let frame = frame(packet)?;
            assert_eq!(frame[..6], stand.topology.director.mac, "{packet:?}");
            assert_eq!(frame[if server.is_ipv4() { 22 } else { 21 }], 64, "{packet:?}");
        }
        assert!(packets.is_sorted_by_key(|packet| packet.unix_ns), "{packets:?}");
    }
    Ok(())
}

#[test]
fn only_what_is_asked_for_is_told() -> Result<()> {
    let stand = stand()?;
    let crowd = Crowd::start(&stand.topology.clients[0].namespace, EVERY)?;
    crowd.open(Kind::Tcp, &stand.servers(7)[..1], 10);
    wait_for("all to be answered", SOON, || crowd.lasting() == 10)?;
    let [four, ..] = stand.servers(9)[..] else { anyhow::bail!("there is no VIP") };
    let own = SocketAddr::new(stand.topology.director.address4.into(), 9);
    let client = stand.topology.clients[0].address4;
    for (words, to, action, reason) in [
        ("--reason dropped".to_owned(), four, "drop", "unknown-port"),
        (format!("--src {client}:4000"), four, "drop", "unknown-port"),
        ("--proto udp --in eth0".to_owned(), four, "drop", "unknown-port"),
        ("--dst :9 --reason no-vip --reason answered".to_owned(), own, "pass", "no-vip"),
        (format!("--src {client} --dst {}", own.ip()), own, "pass", "no-vip"),
    ] {
        let mut trace = Trace::on(&stand, &format!("--json --seconds 600 --count 1 {words}"))?;
        // Neighbours may ask for each other meanwhile, and that is no datagram: but what is told has its ends.
        wait_for("it to end", SOON, || {
            send(&stand, to).is_ok() && trace.process.ended().is_ok_and(|ended| ended.is_some())
        })?;
        let (packets, end) = trace.lines()?;
        let [packet] = &packets[..] else { anyhow::bail!("{words}: {packets:?}") };
        assert_eq!(end.told, 1, "{end:?}");
        if packet.protocol.as_deref() == Some("arp") {
            continue;
        }
        assert_eq!((packet.action.as_str(), packet.reason.as_str()), (action, reason), "{words}: {packet:?}");
        assert_eq!(packet.destination, Some(to.ip()), "{words}: {packet:?}");
        assert_eq!(
            (packet.destination_port, packet.source_port),
            (Some(9), Some(4000)),
            "{words}: {packet:?}"
        );
        assert_eq!(backend(packet), None);
    }
    // One in three. Each CPU counts for itself, and begins with one that is told.
    let cpus = std::thread::available_parallelism()?.get().min(5) as u64;
    let trace = Trace::on(&stand, &format!("--json --dst {} --sample 3 --count 5", stand.servers(7)[0]))?;
    let (packets, end) = trace.lines()?;
    assert_eq!(packets.len(), 5);
    assert!(end.seen >= 3 * 5 - 2 * cpus, "{end:?}");
    Ok(())
}

#[test]
fn the_director_is_back_however_a_trace_ends() -> Result<()> {
    let mut stand = stand()?;
    ensure!(!is_traced(&stand)?, "nobody traces");

    let mut trace = Trace::on(&stand, "--seconds 600")?;
    trace.process.kill();
    wait_for_the_director(&stand)?;

    let mut trace = Trace::on(&stand, "--seconds 600")?;
    trace.process.signal(Signal::INT)?;
    assert!(trace.wait()?.success());
    assert!(trace.told()?.contains("ended: "), "{}", trace.told()?);
    wait_for_the_director(&stand)?;

    let mut trace = Trace::on(&stand, "--seconds 600")?;
    let refused = stand.vip.output(&stand.topology.director.namespace, &["trace"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("somebody traces already (uid 0, pid ") && said.contains("--stop"), "{said}");
    stand.command("trace --stop")?;
    assert!(trace.wait()?.success());
    wait_for_the_director(&stand)?;
    let refused = stand.vip.output(&stand.topology.director.namespace, &["trace", "--stop"])?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nobody traces"), "{refused:?}");

    let (_, end) = Trace::on(&stand, "--json --seconds 1 --dst :1")?.lines()?;
    assert_eq!((end.why, end.seen), (TraceEndWhy::Time, 0));
    wait_for_the_director(&stand)?;

    // The controller ends in order: its listener is told, and the director is back.
    let trace = Trace::on(&stand, "--json --seconds 600 --dst :1")?;
    stand.controller.end(Signal::TERM)?;
    assert_eq!(trace.lines()?.1.why, TraceEndWhy::Ending);
    ensure!(!is_traced(&stand)?, "the director is back before the controller has ended");

    // It is killed: the next one puts it right.
    stand.controller = stand.vip.run(&stand.topology.director.namespace)?;
    let mut trace = Trace::on(&stand, "--seconds 600")?;
    stand.controller.process().kill();
    assert_eq!(trace.wait()?.code(), Some(1), "{}", trace.told()?);
    ensure!(is_traced(&stand)?, "it forwards as it was");
    stand.controller = stand.vip.run(&stand.topology.director.namespace)?;
    wait_for_the_director(&stand)
}

#[test]
fn no_trace_loses_or_misplaces_a_datagram() -> Result<()> {
    let mut stand = stand()?;
    let mut receivers = Receivers::default();
    for (number, host) in (1..).zip(&stand.topology.backends) {
        receivers.listen(number, &host.namespace, &stand.topology.vips, FLOODED)?;
    }
    let client = &stand.topology.clients[0].namespace;
    let mut sender = Sender::start(client, &stand.servers(FLOODED), 0, 16, &receivers)?;
    let flow_on = |receivers: &Receivers| {
        let received = receivers.received();
        wait_for("the flood to go on", SOON, || receivers.received() >= received + 1000)
    };
    flow_on(&receivers)?;
    for _ in 0..5 {
        let trace = Trace::on(&stand, "--json --seconds 600 --reason forwarded --count 500")?;
        let (packets, _) = trace.lines()?;
        assert_eq!(packets.len(), 500);
        wait_for_the_director(&stand)?;
        flow_on(&receivers)?;
    }
    let mut trace = Trace::on(&stand, "--json --seconds 600")?;
    flow_on(&receivers)?;
    stand.command("reload")?;
    ensure!(is_traced(&stand)?, "a reload leaves it as it is");
    stand.controller.process().kill();
    trace.wait()?;
    flow_on(&receivers)?;
    stand.controller = stand.vip.run(&stand.topology.director.namespace)?;
    wait_for_the_director(&stand)?;
    flow_on(&receivers)?;

    sender.end()?;
    // What is lost does not come: then the tally says so.
    let _ = wait_for("all to arrive", SOON, || receivers.received() >= sender.sent());
    let tally = receivers.tally(std::slice::from_ref(&sender));
    assert_eq!((tally.lost, tally.misplaced, tally.twice), (0, 0, 0), "{tally:?}");
    assert_eq!((tally.flows, tally.backends), (32, 2), "{tally:?}");
    Ok(())
}

#[test]
fn a_file_has_the_packets_with_what_each_got() -> Result<()> {
    let stand = stand()?;
    let crowd = Crowd::start(&stand.topology.clients[0].namespace, EVERY)?;
    crowd.open(Kind::Tcp, &stand.servers(7)[..1], 10);
    wait_for("all to be answered", SOON, || crowd.lasting() == 10)?;
    let file = stand.vip.dir().join("out.pcapng");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH);
    let began = now()?;
    let words = format!("--dst {} --count 3 --steps --pcap {}", stand.servers(7)[0], file.display());
    let mut trace = Trace::on(&stand, &words)?;
    let status = trace.wait()?;
    let told = trace.told()?;
    ensure!(status.success(), "{told}");
    for words in ["TIME (UTC)", "at rest: backend", "that was all that was asked for: 3 packets told"] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    assert!(!told.contains("something else"), "{told}");

    let mut reader = PcapNgReader::new(File::open(&file)?)?;
    let (mut comments, mut names) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block() {
        match block?.into_owned() {
            Block::InterfaceDescription(block) => {
                ensure!(block.options.contains(&IfTsResol(9)), "{block:?}");
                names.extend(block.options.into_iter().filter_map(|option| match option {
                    IfName(name) => Some(name.into_owned()),
                    _ => None,
                }));
            }
            Block::EnhancedPacket(block) => {
                assert!(block.timestamp >= began && block.timestamp <= now()?, "{block:?}");
                assert_eq!(block.data[..6], stand.topology.director.mac, "{block:?}");
                assert!(block.original_len as usize >= block.data.len(), "{block:?}");
                comments.extend(block.options.into_iter().filter_map(|option| match option {
                    EnhancedPacketOption::Comment(comment) => Some(comment.into_owned()),
                    _ => None,
                }));
            }
            other => anyhow::bail!("{other:?}"),
        }
    }
    assert_eq!(names, ["eth0"]);
    assert_eq!(comments.len(), 3);
    let is_right = |comment: &String| {
        comment.starts_with("sent back out of the same interface: forwarded, to backend")
            && comment.ends_with(" of tcp4")
    };
    assert!(comments.iter().all(is_right), "{comments:?}");
    Ok(())
}

#[test]
fn what_can_not_be_traced_is_refused_and_nothing_is_swapped() -> Result<()> {
    let stand = stand()?;
    let refused = |words: &str| -> Result<(Option<i32>, String)> {
        let words: Vec<_> = std::iter::once("trace").chain(words.split_whitespace()).collect();
        let output = stand.vip.output(&stand.topology.director.namespace, &words)?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    for (words, code, says) in [
        ("--in eth9", 1, "the director is not on an interface eth9"),
        ("--seconds 0", 1, "a trace lasts 1 s at least"),
        ("--count 0", 1, "1 at least"),
        ("--src 10.0.0.1 --dst fd00::1", 1, "different address families"),
        ("--reason droped", 2, "a similar value exists: 'dropped'"),
        ("--dst web", 2, "write 10.200.0.1, 10.200.0.1:80"),
        ("--pcap /nowhere/out.pcapng", 1, "write /nowhere/out.pcapng"),
    ] {
        let (found, said) = refused(words)?;
        assert_eq!(found, Some(code), "{words}: {said}");
        assert!(said.contains(says), "{words}: {said}");
        ensure!(!is_traced(&stand)?, "{words}");
    }
    Ok(())
}
