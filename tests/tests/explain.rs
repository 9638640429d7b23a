//! What `vip explain` tells of a packet is what that packet then gets, and telling it changes nothing.

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};
use vip_common::tables::{FragmentId, FragmentOwner, names};
use vip_tests::{
    crowd::{Crowd, Kind, Stand, Talk, checked, service},
    net::{Signal, Topology, wait_for},
    packet::{Packet, Route, edit, layers::fragment4},
    stage::members,
};
use vip_userspace::{
    control::protocol::Explanation,
    dataplane::{FlowEntries, Inspection, flow_entries, inspect},
    model::{BackendName, ServiceName},
    places::Places,
};

const SOON: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(100);

/// `tcp4` and `tcp6` on port 7; `held` on port 8 of the IPv4 VIP, where the dead keep their flows from others.
fn stand() -> Result<Stand> {
    Stand::new(Topology::builder().backends(2), &[7, 8], |topology| {
        let members: Vec<_> = topology.backends.iter().map(|host| host.name.clone()).collect();
        let rest = format!("{}\nwindow = \"10m\"", checked(7));
        let dropped = format!("{rest}\non-dead = \"drop\"");
        let [four, six] = [topology.vips[0], topology.vips[1]];
        service("tcp4", four, "tcp", "7", &members, &rest)
            + &service("tcp6", six, "tcp", "7", &members, &rest)
            + &service("held", four, "tcp", "8", &members, &dropped)
    })
}

/// What is explained with these words.
fn explained(stand: &Stand, words: &str) -> Result<Explanation> {
    let words: Vec<_> = ["explain", "--json"].into_iter().chain(words.split_whitespace()).collect();
    let output = stand.vip.output(&stand.topology.director.namespace, &words)?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    let mut told: serde_json::Value = serde_json::from_slice(&output.stdout).context("JSON")?;
    let told: Explanation = serde_json::from_value(told["packets"][0].take()).context("an explanation")?;
    ensure!(told.agrees, "{words:?}: {told:?}");
    Ok(told)
}

/// The same of a packet from a port of the client.
fn from(stand: &Stand, port: u16, server: SocketAddr, more: &str) -> Result<Explanation> {
    let client = &stand.topology.clients[0];
    let address = if server.is_ipv4() { IpAddr::V4(client.address4) } else { IpAddr::V6(client.address6) };
    explained(stand, &format!("--src {} --dst {server} {more}", SocketAddr::new(address, port)))
}

fn backend(told: &Explanation) -> Option<&str> {
    told.backend.as_ref().map(BackendName::as_str)
}

fn has(told: &Explanation, step: &str, words: &str) -> bool {
    told.steps.iter().any(|one| one.step == step && one.found.contains(words))
}

/// Who answers a connection from just that port.
fn connect(stand: &Stand, port: u16, server: SocketAddr) -> Result<u8> {
    let client = &stand.topology.clients[0];
    let own = SocketAddr::new(client.address4.into(), port);
    let answer = client.namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(own)?;
            let mut stream = socket.connect(server).await?;
            stream.write_all(&[0; 8]).await?;
            let mut answer = [0; 9];
            stream.read_exact(&mut answer).await?;
            std::io::Result::Ok(answer[0])
        })
    })?;
    answer.context("connect")
}

fn talks_of(crowd: &Crowd, home: u8, port: u16) -> Vec<Talk> {
    let is = |talk: &Talk| talk.home == Some(home) && talk.server.port() == port;
    crowd.talks().into_iter().filter(is).collect()
}

#[test]
fn what_is_explained_is_what_a_packet_then_gets() -> Result<()> {
    let mut stand = stand()?;
    let crowd = Crowd::start(&stand.topology.clients[0].namespace, EVERY)?;
    crowd.open(Kind::Tcp, &stand.servers(7), 30);
    let held = stand.servers(8)[0];
    crowd.open(Kind::Tcp, &[held], 10);
    wait_for("all to be answered", SOON, || crowd.lasting() == 40)?;
    for home in [1, 2] {
        for talk in talks_of(&crowd, home, 7).iter().take(3) {
            let told = from(&stand, talk.port, talk.server, "")?;
            let service = if talk.server.is_ipv4() { "tcp4" } else { "tcp6" };
            assert_eq!(told.service.as_ref().map(ServiceName::as_str), Some(service), "{told:?}");
            assert_eq!(backend(&told), Some(&*format!("backend{home}")), "{told:?}");
            assert_eq!((told.action.as_str(), told.reason.as_str()), ("transmit", "forwarded"));
            assert!(has(&told, "slot", "at rest") && has(&told, "egress", "eth0"), "{told:?}");
        }
    }
    of_slots_that_remember(&stand, &crowd)?;
    of_other_packets(&stand)?;

    let of_the_dead = talks_of(&crowd, 2, 8).first().cloned().context("one of them")?;
    stand.die(2)?;
    stand.wait_for("it to be out", |status| members(status, "backend2").all(|member| !member.alive))?;
    let told = from(&stand, of_the_dead.port, held, "")?;
    assert_eq!((told.action.as_str(), told.reason.as_str()), ("drop", "dead-member"), "{told:?}");
    Ok(())
}

/// A drain: older flows stay, new ones go elsewhere, and both are told.
fn of_slots_that_remember(stand: &Stand, crowd: &Crowd) -> Result<()> {
    let older = talks_of(crowd, 1, 7);
    stand.command("backend drain backend1 --service tcp4")?;
    stand.wait_for("its flows to be counted", |status| {
        members(status, "backend1").any(|member| member.drain.is_some_and(|one| one.flows_left > Some(0)))
    })?;
    let older: Vec<_> = older.iter().filter(|talk| talk.server.is_ipv4()).take(3).collect();
    for talk in &older {
        let told = from(stand, talk.port, talk.server, "")?;
        assert_eq!(backend(&told), Some("backend1"), "{told:?}");
        assert!(has(&told, "flow", "firm, at backend1"), "{told:?}");
        assert!(has(&told, "slot", "remembers: new flows to backend2"), "{told:?}");
    }
    let one = older.first().context("one of them")?;
    let (server, address) = (one.server, stand.topology.clients[0].address4);
    let words = ["explain", "--src", &format!("{address}:{}", one.port), "--dst", &server.to_string()];
    let output = stand.vip.output(&stand.topology.director.namespace, &words)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.ends_with("sent back out of the same interface: forwarded, to backend1 of tcp4\n"),
        "{said}"
    );
    for port in 2000..2100 {
        let told = from(stand, port, server, "--syn")?;
        if has(&told, "slot", "remembers") {
            assert!(has(&told, "flow", "not in the flow table"), "{told:?}");
            assert!(has(&told, "flow", "would be written: pending, at backend2"), "{told:?}");
            assert_eq!((backend(&told), connect(stand, port, server)?), (Some("backend2"), 2), "{told:?}");
            return Ok(());
        }
    }
    anyhow::bail!("no port hashes to a slot that remembers")
}

/// What is to no VIP, to no service, and a fragment.
fn of_other_packets(stand: &Stand) -> Result<()> {
    let told = explained(stand, "--src 192.0.2.7:40000 --dst 192.0.2.99:80")?;
    assert_eq!(told.service, None);
    assert_eq!((told.action.as_str(), told.reason.as_str()), ("pass", "no-vip"), "{told:?}");

    let nowhere = stand.servers(9)[0];
    let before = stand.met("unknown-port")?;
    let told = from(stand, 4000, nowhere, "--proto udp")?;
    assert_eq!(told.service, None, "{told:?}");
    assert_eq!((told.action.as_str(), told.reason.as_str()), ("drop", "unknown-port"), "{told:?}");
    assert_eq!(stand.met("unknown-port")?, before, "it is not counted");
    let client = &stand.topology.clients[0];
    client.namespace.run(|| UdpSocket::bind("0.0.0.0:4000")?.send_to(b"hello", nowhere))?.context("send")?;
    wait_for("a real one to be counted", SOON, || {
        stand.met("unknown-port").is_ok_and(|met| met == before + 1)
    })?;

    let IpAddr::V4(vip) = stand.topology.vips[0] else { anyhow::bail!("the first VIP is of IPv6") };
    let frame = Packet::on(Route::V4(client.address4.octets(), vip.octets())).udp(7).frame();
    let frame = edit(fragment4(frame, 64, false, 77), 0, &stand.topology.director.mac);
    let file = stand.vip.dir().join("later-fragment.pcap");
    fs::write(&file, pcap(&frame)?).context("write a capture")?;
    let told = explained(stand, &format!("--pcap {}", file.display()))?;
    assert_eq!(
        (told.action.as_str(), told.reason.as_str()),
        ("transmit", "fragment-before-first"),
        "{told:?}"
    );
    assert!(has(&told, "fragment", "the first one was not seen lately"), "{told:?}");
    Ok(())
}

/// A capture of one Ethernet frame (draft-ietf-opsawg-pcap).
fn pcap(frame: &[u8]) -> Result<Vec<u8>> {
    let len = u32::try_from(frame.len())?;
    let words = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1, 0, 0, len, len];
    Ok([&words.map(u32::to_le_bytes).concat()[..], frame].concat())
}

/// All that the program writes, and all that it reads.
#[derive(PartialEq, Debug)]
struct Everything {
    tables: Inspection,
    flows: FlowEntries,
    fragments: Vec<(Vec<u8>, Vec<u8>)>,
    turns: Vec<Vec<u32>>,
    answers: Vec<u64>,
}

fn everything(stand: &Stand) -> Result<Everything> {
    const KEY: usize = size_of::<FragmentId>();
    const VALUE: usize = size_of::<FragmentOwner>();
    let pins = stand.vip.pin(names::FRAGMENTS);
    let instance =
        pins.ancestors().nth(2).and_then(|path| path.file_name()?.to_str()).context("an instance")?;
    let (bpffs, run, state) = (stand.vip.bpffs().to_owned(), stand.vip.run_dir(), stand.vip.state_dir());
    let places = Places { bpffs, run, state, instance: instance.parse()? };
    let open = |name| anyhow::Ok(MapData::from_pin(stand.vip.pin(name))?);
    let fragments: HashMap<_, [u8; KEY], [u8; VALUE]> =
        HashMap::try_from(Map::LruHashMap(open(names::FRAGMENTS)?))?;
    let turns: PerCpuArray<_, u32> = PerCpuArray::try_from(Map::PerCpuArray(open(names::TURNS)?))?;
    let answers: PerCpuArray<_, u64> = PerCpuArray::try_from(Map::PerCpuArray(open(names::ANSWERS)?))?;
    Ok(Everything {
        tables: inspect(&places)?.context("it is pinned")?,
        flows: flow_entries(&places)?,
        fragments: fragments
            .iter()
            .map(|one| one.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()?,
        turns: (0..turns.len()).map(|id| Ok(turns.get(&id, 0)?.to_vec())).collect::<Result<_>>()?,
        answers: answers.get(&0, 0)?.to_vec(),
    })
}

#[test]
fn explaining_changes_nothing() -> Result<()> {
    let mut stand = Stand::new(Topology::builder().backends(2), &[7, 8], |topology| {
        let members: Vec<_> = topology.backends.iter().map(|host| host.name.clone()).collect();
        let answered = "unknown-port = \"reset\"";
        let rest = format!("{}\nscheduler = \"round-robin\"", checked(7));
        let vip = topology.vips[0];
        format!("[vip.{vip:?}]\n{answered}\n\n", vip = vip.to_string())
            + &service("turns", vip, "tcp", "7", &members, &rest)
    })?;
    let crowd = Crowd::start(&stand.topology.clients[0].namespace, EVERY)?;
    crowd.open(Kind::Tcp, &stand.servers(7)[..1], 10);
    wait_for("all to be answered", SOON, || crowd.lasting() == 10)?;
    let talk = crowd.talks().first().cloned().context("one of them")?;
    // Nobody probes, and nobody speaks.
    stand.controller.end(Signal::TERM)?;
    drop(crowd);
    let ask = || -> Result<bool> {
        let before = everything(&stand)?;
        for (port, server, more) in [
            (talk.port, talk.server, ""),
            (3000, talk.server, "--syn"),
            (3000, SocketAddr::new(talk.server.ip(), 99), "--syn"),
        ] {
            let told = from(&stand, port, server, more)?;
            let reason = if server.port() == 99 { "reset-unknown-port" } else { "forwarded" };
            ensure!(told.reason == reason, "{told:?}");
        }
        Ok(before == everything(&stand)?)
    };
    // A neighbour's advertisement may come in between.
    let mut last = Ok(false);
    let waited = wait_for("a time in which nothing changes", SOON, || {
        last = ask();
        !matches!(last, Ok(false))
    });
    ensure!(last?, "{waited:?}");
    Ok(())
}
