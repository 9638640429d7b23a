//! Stories of programs on the director's own box that are clients of its VIPs: they reach the backends as others do, through
//! every change, and leave nothing behind.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use vip_tests::{
    local::{CLOSED, ECHO, MENDED, PATIENCE, SINK, Story, ask, connect, ping, send, speak},
    net::{Namespace, Process, Signal, Topology, run, wait_for},
    program::Vip,
    stage::{is_in, is_out, members},
};

/// Bytes of an upload: many segments, and more than the first window.
const BYTES: usize = 4 << 20;

fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

/// Takes one connection to the sink of a host, and says how many bytes came by it, if they are those that were sent.
fn sink(host: &Namespace) -> Result<JoinHandle<Result<usize>>> {
    let listener = host.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, SINK)))??;
    Ok(thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        ensure!(bytes == cargo(), "{} bytes, and not those that were sent", bytes.len());
        Ok(bytes.len())
    }))
}

/// What is uploaded: no segment is as another one.
fn cargo() -> Vec<u8> {
    (0..BYTES / 4).flat_map(|at| u32::try_from(at).unwrap_or_default().to_be_bytes()).collect()
}

/// All that is there of interfaces, rules, routes, stated neighbours and settings on a host.
fn traces(host: &Namespace) -> Result<BTreeSet<String>> {
    let mut traces = BTreeSet::new();
    for line in [
        "ip -oneline link show",
        "ip -4 rule show",
        "ip -6 rule show",
        "ip -4 route show table all",
        "ip -6 route show table all",
        "ip neighbour show nud permanent",
        "grep -rs . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf",
    ] {
        // The shell's last word: what can't be read is no failure.
        let shown = run(host.command("sh").args(["-c", &format!("{line}; true")]))?;
        traces.extend(shown.lines().map(|line| line.replace(" xdp ", " ")));
    }
    Ok(traces)
}

fn reaches_backends(story: &Story) -> Result<()> {
    let host = story.director();
    let all: BTreeSet<_> = story.stage.topology.backends.iter().map(|host| host.name.clone()).collect();
    for to in story.stage.services() {
        let answered: BTreeSet<_> = (0..40).map(|_| ask(host, to)).collect::<Result<_>>()?;
        assert_eq!(answered, all, "who answers at {to}");
    }
    for to in story.servers(ECHO) {
        let tcp = (0..40).map(|_| speak(&mut connect(host, to)?)).collect::<Result<BTreeSet<_>>>()?;
        let udp = (0..40).map(|_| send(host, to)).collect::<Result<BTreeSet<_>>>()?;
        assert_eq!((tcp.len(), udp.len()), (all.len(), all.len()), "{to}");
        ping(host, to.ip())?;
    }
    for to in story.servers(CLOSED) {
        let refused = host.run(|| TcpStream::connect_timeout(&to, PATIENCE))?;
        assert_eq!(refused.map_err(|error| error.kind()).err(), Some(ErrorKind::ConnectionRefused), "{to}");
    }
    Ok(())
}

#[test]
fn programs_of_the_director_reach_all_backends_by_tcp_udp_and_ping() -> Result<()> {
    let story = Story::new(Topology::builder().backends(3))?;
    reaches_backends(&story)?;
    let status = story.stage.status()?;
    assert_eq!(status.interfaces.len(), 1, "{status:?}");
    assert!(status.inlet.is_some_and(|inlet| inlet.name.starts_with("vip-in-")));
    let met = |reason| status.reasons.iter().find(|one| one.reason == reason).map(|one| one.packets);
    assert_eq!((met("bounced"), met("duplicate-vip")), (Some(0), Some(0)));
    // Nor does the inlet worry whoever looks for what breaks traffic.
    story.vip(&["doctor"])?;
    Ok(())
}

#[test]
fn the_same_holds_where_the_director_is_attached_in_generic_mode() -> Result<()> {
    let generic = |config: String| config.replace("mode = \"native\"", "mode = \"generic\"");
    reaches_backends(&Story::with(Topology::builder().backends(2), generic)?)
}

#[test]
fn others_reach_the_vip_as_before() -> Result<()> {
    let story = Story::new(Topology::builder().backends(2))?;
    let client = &story.stage.topology.clients[0].namespace;
    for to in story.stage.services() {
        ask(client, to)?;
    }
    for to in story.servers(ECHO) {
        send(client, to)?;
        ping(client, to.ip())?;
    }
    Ok(())
}

/// What `tcpdump` said of packets that came in while it listened.
struct Capture {
    process: Process,
    file: std::path::PathBuf,
}

impl Capture {
    fn start(host: &Namespace) -> Result<Self> {
        let file = host.dir()?.join("upload.pcap");
        let mut command = host.command("tcpdump");
        // As root: a guest of `cargo xtask kernels` has no other user for it.
        command
            .args(["-Z", "root", "-Uni", "eth0", "-B", "16384", "-Q", "in", "-w"])
            .arg(&file)
            .arg(format!("port {SINK}"));
        let process = Process::start("tcpdump", command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        wait_for("tcpdump to listen", PATIENCE, || file.metadata().is_ok_and(|file| file.len() > 0))?;
        Ok(Self { process, file })
    }

    /// Lines of packets.
    fn end(mut self) -> Result<Vec<String>> {
        self.process.signal(Signal::INT)?;
        self.process.wait(PATIENCE)?;
        let shown = run(Command::new("tcpdump").args(["-Z", "root", "-vvnr"]).arg(&self.file))?;
        Ok(shown.lines().map(str::to_owned).collect())
    }
}

#[test]
fn an_upload_arrives_whole_in_frames_with_right_checksums() -> Result<()> {
    let story = Story::new(Topology::builder().backends(1))?;
    // As it is on other machines: what leaves is to be cut and summed by the NIC.
    run(story.director().command("ethtool").args(["-K", "eth0", "tx", "on", "tso", "on", "gso", "on"]))?;
    let backend = &story.stage.topology.backends[0].namespace;
    for to in story.servers(SINK) {
        let (capture, sink) = (Capture::start(backend)?, sink(backend)?);
        let mut stream = connect(story.director(), to)?;
        stream.write_all(&cargo()).with_context(|| format!("upload to {to}"))?;
        drop(stream);
        assert_eq!(joined(sink)?, BYTES);
        let lines = capture.end()?;
        let summed = lines.iter().filter(|line| line.contains("(correct)")).count();
        let wrong: Vec<_> = lines.iter().filter(|line| line.contains("incorrect")).take(3).collect();
        assert!(wrong.is_empty(), "{to}: {wrong:#?}");
        // It may miss some, but not so many.
        assert!(summed > BYTES / 1500 / 2, "{to}: {summed} segments of {BYTES} bytes");
        let length = |line: &String| line.rsplit_once("length ")?.1.parse::<usize>().ok();
        let longest = lines.iter().filter_map(length).max().unwrap_or_default();
        assert!((1000..=1460).contains(&longest), "{to}: segments of {longest} bytes");
    }
    Ok(())
}

#[test]
fn a_datagram_in_fragments_arrives_whole() -> Result<()> {
    let story = Story::new(Topology::builder().backends(1))?;
    let backend = &story.stage.topology.backends[0].namespace;
    for to in story.servers(SINK) {
        let server = backend.run(|| UdpSocket::bind(to))??;
        server.set_read_timeout(Some(PATIENCE))?;
        let client =
            story.director().run(|| UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }))??;
        let datagram = &cargo()[..8000];
        client.send_to(datagram, to)?;
        let mut got = vec![0; 9000];
        let (len, from) = server.recv_from(&mut got).with_context(|| format!("nothing came to {to}"))?;
        assert_eq!(&got[..len], datagram);
        // And back.
        client.set_read_timeout(Some(PATIENCE))?;
        server.send_to(datagram, from)?;
        assert_eq!(client.recv_from(&mut got)?, (datagram.len(), to));
    }
    Ok(())
}

#[test]
fn connections_stay_through_a_drain_and_a_death_of_others() -> Result<()> {
    let mut story = Story::new(Topology::builder().backends(3))?;
    let open = |story: &Story| -> Result<Vec<(TcpStream, u8)>> {
        let servers = story.servers(ECHO);
        let one = |to: &SocketAddr| {
            let mut stream = connect(story.director(), *to)?;
            let home = speak(&mut stream)?;
            Ok((stream, home))
        };
        servers.iter().cycle().take(40).map(one).collect()
    };
    let mut before = open(&story)?;
    let homes: BTreeSet<_> = before.iter().map(|(_, home)| *home).collect();
    assert_eq!(homes, [1, 2, 3].into());

    story.vip(&["backend", "drain", "backend1"])?;
    let mut drained = open(&story)?;
    assert!(drained.iter().all(|(_, home)| *home != 1), "a new connection to who drains");
    for (stream, home) in before.iter_mut().chain(&mut drained) {
        assert_eq!(speak(stream)?, *home);
    }

    story.stage.die(1)?;
    story.echoes.kill(2);
    story.stage.wait_for("backend2 to be out", |status| is_out(status, "backend2"))?;
    assert!(open(&story)?.iter().all(|(_, home)| *home == 3), "a new connection to who is dead or drains");
    for (stream, home) in before.iter_mut().chain(&mut drained).filter(|(_, home)| *home != 2) {
        assert_eq!(speak(stream)?, *home);
    }
    Ok(())
}

#[test]
fn connections_outlive_the_controller_and_a_detach_leaves_nothing() -> Result<()> {
    let mut story =
        Story::with(Topology::builder().backends(2), |config| config.replace("local-clients = true\n", ""))?;
    // What a director leaves without local clients is not asked here.
    story.stage.stop(Signal::TERM)?;
    story.vip(&["detach"])?;
    let before = traces(story.director())?;

    let text = std::fs::read_to_string(story.stage.vip.config())?;
    story.stage.vip.configure(&format!("local-clients = true\n{text}"))?;
    story.stage.start()?;
    story.all_are_in()?;
    let [ipv4, ipv6] = story.servers(ECHO)[..] else { return Err(anyhow!("two VIPs")) };
    let mut open = [connect(story.director(), ipv4)?, connect(story.director(), ipv6)?];
    let homes = [speak(&mut open[0])?, speak(&mut open[1])?];
    let ask_again = |open: &mut [TcpStream; 2]| -> Result<()> {
        assert_eq!([speak(&mut open[0])?, speak(&mut open[1])?], homes);
        Ok(())
    };
    story.stage.stop(Signal::KILL)?;
    ask_again(&mut open)?;
    story.is_served()?;
    let (status, _) = story.stage.vip.status(story.director())?;
    assert!(status.inlet.is_some() && status.interfaces.len() == 1, "{status:?}");

    story.stage.start()?;
    ask_again(&mut open)?;
    story.all_are_in()?;
    ask_again(&mut open)?;

    story.stage.stop(Signal::KILL)?;
    story.vip(&["detach"])?;
    let after = traces(story.director())?;
    let differences: Vec<_> = after.symmetric_difference(&before).collect();
    assert!(differences.is_empty(), "{differences:#?}");
    Ok(())
}

#[test]
fn what_somebody_else_takes_away_is_put_back() -> Result<()> {
    let story = Story::new(Topology::builder().backends(1))?;
    assert!(story.is_led());
    let outer = story.way(story.stage.topology.vips[0])?;
    let table = run(story.director().command("ip").args(["rule", "show", "pref", "119"]))?;
    let table =
        table.split_whitespace().skip_while(|word| *word != "lookup").nth(1).unwrap_or_default().to_owned();
    for lines in [
        vec![format!("link delete {outer}")],
        vec![format!("link set {outer} down")],
        vec!["rule delete pref 119".to_owned(), "-6 rule delete pref 119".to_owned()],
        vec![format!("route flush table {table}"), format!("-6 route flush table {table}")],
    ] {
        for line in &lines {
            run(story.director().command("ip").args(line.split(' ')))?;
        }
        wait_for(&format!("{lines:?} to be mended"), MENDED, || story.is_led())?;
        story.is_served()?;
    }
    Ok(())
}

#[test]
fn a_reload_turns_it_on_and_off_and_follows_vips() -> Result<()> {
    let story = Story::new(Topology::builder().backends(1))?;
    let on = std::fs::read_to_string(story.stage.vip.config())?;
    let off = on.replace("local-clients = true\n", "");
    story.stage.vip.configure(&off)?;
    let told = story.stage.vip.output(story.director(), &["diff"])?;
    let told = String::from_utf8(told.stdout)?;
    assert!(told.contains("local-clients"), "{told}");
    story.vip(&["reload"])?;
    wait_for("the inlet to be gone", PATIENCE, || {
        run(story.director().command("ip").args(["-oneline", "link"]))
            .is_ok_and(|links| !links.contains("vip-in-"))
    })?;
    assert!(!story.is_led() && story.stage.status()?.inlet.is_none());
    assert!(is_in(&story.stage.status()?, "backend1"));

    let vip = story.stage.topology.vips[0];
    story.stage.vip.configure(&on.replace(&vip.to_string(), "10.200.0.99"))?;
    story.vip(&["reload"])?;
    wait_for("another VIP to be led", PATIENCE, || {
        story.way([10, 200, 0, 99].into()).is_ok_and(|way| way.starts_with("vip-to-"))
    })?;
    assert!(!story.is_led(), "the VIP that is none any more");
    story.stage.vip.configure(&on)?;
    story.vip(&["reload"])?;
    story.all_are_in()?;
    story.is_served()?;
    assert!(story.way([10, 200, 0, 99].into()).is_err(), "the other VIP goes on");
    Ok(())
}

#[test]
fn what_keeps_answers_from_programs_is_told() -> Result<()> {
    let turned_off = |config: String| config.replace("local-clients = true\n", "");
    let story = Story::with(Topology::builder().backends(1), turned_off)?;
    let (vips, config) = (&story.stage.topology.vips, std::fs::read_to_string(story.stage.vip.config())?);
    story.director().sysctls(&[("ipv4/conf/eth0/rp_filter", "1")])?;
    story.stage.vip.configure(&format!("local-clients = true\n{config}"))?;
    story.vip(&["reload"])?;
    let is_told = |words: &str| {
        let log = || std::fs::read_to_string(story.stage.vip.log()).unwrap_or_default();
        wait_for(words, PATIENCE, || log().contains(words))
    };
    is_told("eth0: rp_filter is 1: programs of this box do not reach IPv4 VIPs")?;
    // What backends answer to probes comes in by the same way.
    let route = |vip: &str| run(story.director().command("ip").args(["route", "get", vip]));
    let vip = vips[0].to_string();
    assert!(!route(&vip).is_ok_and(|way| way.contains("vip-to-")), "{:?}", route(&vip));
    story.director().ip(&[format!("address add {}/128 dev lo nodad", vips[1])])?;
    is_told(&format!("{} is an address of this box", vips[1]))?;
    story.director().sysctls(&[("ipv4/conf/eth0/rp_filter", "2")])?;
    wait_for("the VIP to be led", PATIENCE, || route(&vip).is_ok_and(|way| way.contains("vip-to-")))?;
    ask(story.director(), SocketAddr::new(vips[0], 80)).map(drop)
}

#[test]
fn two_instances_on_one_box_have_an_inlet_each() -> Result<()> {
    let other_vip: IpAddr = [10, 200, 0, 2].into();
    let story = Story::new(Topology::builder().backends(2))?;
    let _cable = story.stage.lay_second_cable(1)?;
    story.stage.topology.backends[1].namespace.ip(&[format!("address add {other_vip}/32 dev lo")])?;
    let host = story.director();
    let other = Vip::install(&host.dir()?.join("other"))?.named("other");
    other.configure(&format!(
        "interfaces = [\"eth1\"]\nlocal-clients = true\n[service.web]\nvip = \"{other_vip}\"\nport = 80\n\
         members = [\"b\"]\n[backend.b]\naddress = \"10.78.0.2\"\n"
    ))?;
    let mut controller = other.run(host)?;
    let to = SocketAddr::new(other_vip, 80);
    wait_for("an answer from the other instance's VIP", MENDED, || {
        other.ask().is_ok_and(|status| members(&status, "b").all(|member| member.eligible))
            && ask(host, to).is_ok()
    })?;
    assert_eq!(ask(host, to)?, "backend2");
    story.is_served()?;
    // The end of one is not the other's.
    story.vip(&["detach"])?;
    assert_eq!(ask(host, to)?, "backend2");
    controller.end(Signal::TERM)?;
    ensure!(other.output(host, &["detach"])?.status.success());
    assert!(!run(host.command("ip").args(["-oneline", "link"]))?.contains("vip-in-"));
    Ok(())
}
