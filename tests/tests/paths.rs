//! What paths do to packets: a router on the way with a smaller MTU, and a link with jumbo frames. Transfers of both families
//! go through the director and arrive whole.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use vip_tests::{
    crowd::{Stand, service},
    net::{Namespace, Topology, run, wait_for},
};
use vip_userspace::control::Status;

/// Port of the echo servers, which answer probes.
const ECHO: u16 = 7;
/// Port of the transfers.
const PORT: u16 = 80;
/// Bytes of a transfer: many packets, and more than the first window.
const BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(10);
const SMALL: u32 = 1380;
const JUMBO: u32 = 9000;

/// A service of every VIP on the port of the transfers.
fn services(topology: &Topology) -> String {
    let members: Vec<_> = topology.backends.iter().map(|host| host.name.clone()).collect();
    let rest = format!("check = {{ tcp = true, port = {ECHO} }}");
    let one = |(vip, family)| service(&format!("web{family}"), vip, "tcp", "80", &members, &rest);
    topology.vips.iter().copied().zip([4, 6]).map(one).collect()
}

/// A server that sends, or takes, `BYTES` on each of so many connections. It says how many bytes went over each.
fn serve(host: &Namespace, connections: usize, sends: bool) -> Result<JoinHandle<Result<Vec<usize>>>> {
    let listener = host.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)))??;
    Ok(thread::spawn(move || {
        let one = |_| -> Result<usize> {
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            if sends {
                stream.write_all(&vec![7; BYTES])?;
                return Ok(BYTES);
            }
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            Ok(bytes.len())
        };
        (0..connections).map(one).collect()
    }))
}

fn joined<T>(thread: JoinHandle<T>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))
}

fn connect(client: &Namespace, to: SocketAddr) -> Result<TcpStream> {
    let stream = client.run(|| TcpStream::connect_timeout(&to, PATIENCE))??;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Takes all that a server of the VIP sends.
fn download(client: &Namespace, to: SocketAddr) -> Result<()> {
    let mut bytes = Vec::new();
    connect(client, to)?.read_to_end(&mut bytes).with_context(|| format!("download from {to}"))?;
    ensure!(bytes.len() == BYTES, "{} of {BYTES} bytes from {to}", bytes.len());
    Ok(())
}

fn upload(client: &Namespace, to: SocketAddr) -> Result<()> {
    connect(client, to)?.write_all(&vec![7; BYTES]).with_context(|| format!("upload to {to}"))
}

fn forwarded(status: &Status, backend: &str) -> u64 {
    let members = status.services.iter().flat_map(|service| &service.members);
    members.filter(|member| member.backend.as_str() == backend).map(|member| member.totals.packets).sum()
}

/// A client behind a router: its own link has the usual MTU, but the router can't send as much there.
struct Behind {
    client: Namespace,
}

const OUTSIDE: [&str; 2] = ["192.0.2.2", "2001:db8:2::2"];

impl Behind {
    fn new(topology: &Topology) -> Result<Self> {
        let router = &topology.clients[0].namespace;
        let client = Namespace::new(&format!("{}-outside", topology.prefix()))?;
        router.sysctls(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        router.ip(&[
            format!("link add far type veth peer name eth0 netns {}", client.name()),
            format!("link set far mtu {SMALL} up"),
            "address add 192.0.2.1/24 dev far".to_owned(),
            "address add 2001:db8:2::1/64 dev far nodad".to_owned(),
        ])?;
        client.ip(&[
            "link set eth0 mtu 1500 up",
            &format!("address add {}/24 dev eth0", OUTSIDE[0]),
            &format!("address add {}/64 dev eth0 nodad", OUTSIDE[1]),
            "route add default via 192.0.2.1",
            "route add default via 2001:db8:2::1",
        ])?;
        for namespace in [router, &client] {
            let device = if namespace.name() == client.name() { "eth0" } else { "far" };
            run(namespace.command("ethtool").args(["-K", device, "tx", "off", "tso", "off", "gso", "off"]))?;
        }
        for backend in &topology.backends {
            let (via4, via6) = (topology.clients[0].address4, topology.clients[0].address6);
            backend.namespace.ip(&[
                format!("route add 192.0.2.0/24 via {via4}"),
                format!("route add 2001:db8:2::/64 via {via6}"),
            ])?;
        }
        Ok(Self { client })
    }
}

/// The MTU of the path to the client outside, as a backend has learnt it; `None` where it has not.
fn learnt(backend: &Namespace, vip: IpAddr) -> Result<Option<u32>> {
    let outside = if vip.is_ipv4() { OUTSIDE[0] } else { OUTSIDE[1] };
    let from = vip.to_string();
    let route = run(backend.command("ip").args(["route", "get", outside, "from", &from]))?;
    let mut words = route.split_whitespace().skip_while(|word| *word != "mtu");
    Ok(words.nth(1).and_then(|mtu| mtu.parse().ok()))
}

#[test]
fn the_backend_that_sends_learns_the_mtu_of_the_path_and_no_other_does() -> Result<()> {
    let stand = Stand::new(Topology::builder().backends(4), &[ECHO], services)?;
    let behind = Behind::new(&stand.topology)?;
    for to in stand.servers(PORT) {
        // Who gets the connection is not known before.
        let servers = stand.topology.backends.iter().map(|host| {
            let listener = host.namespace.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)))??;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listeners = servers.collect::<Result<Vec<TcpListener>>>()?;
        let mut stream = connect(&behind.client, to)?;
        let mut found = None;
        wait_for("a backend to accept", PATIENCE, || {
            found = (0..).zip(&listeners).find_map(|(at, listener)| Some((at, listener.accept().ok()?.0)));
            found.is_some()
        })?;
        let (owner, mut served): (usize, _) = found.context("nobody accepted")?;
        served.set_nonblocking(false)?;
        served.set_write_timeout(Some(PATIENCE))?;
        let sender = thread::spawn(move || served.write_all(&vec![7; BYTES]));
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).with_context(|| format!("download from {to}"))?;
        assert_eq!(bytes.len(), BYTES);
        joined(sender)??;
        for (at, host) in (0..).zip(&stand.topology.backends) {
            let expected = (at == owner).then_some(SMALL);
            assert_eq!(learnt(&host.namespace, to.ip())?, expected, "{} of owner {owner}, {to}", host.name);
        }
    }
    Ok(())
}

#[test]
fn jumbo_frames_go_through_a_director_that_is_attached_natively() -> Result<()> {
    let topology = Topology::builder().backends(1).build()?;
    let hosts: Vec<_> =
        topology.clients.iter().chain([&topology.director]).chain(&topology.backends).collect();
    topology.switch().ip(&["link set br0 mtu 9000"])?;
    for host in hosts {
        topology.switch().ip(&[format!("link set {} mtu {JUMBO}", host.name)])?;
        host.namespace.ip(&[format!("link set eth0 mtu {JUMBO}")])?;
    }
    let stand = Stand::on(topology, &[ECHO], services)?;
    let client = &stand.topology.clients[0].namespace;
    for to in stand.servers(PORT) {
        let before = forwarded(&stand.status()?, "backend1");
        let server = serve(&stand.topology.backends[0].namespace, 2, false)?;
        upload(client, to)?;
        upload(client, to)?;
        let got = joined(server)??;
        assert_eq!(got, [BYTES; 2]);
        let packets = forwarded(&stand.status()?, "backend1") - before;
        // As few packets as only large ones are.
        assert!(packets < 2 * (BYTES as u64 / 4000), "{packets} packets");
        let server = serve(&stand.topology.backends[0].namespace, 1, true)?;
        download(client, to)?;
        joined(server)??;
    }
    Ok(())
}
