//! The networks that other tests stand on: hosts reach each other, servers serve, and nothing is left behind.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use vip_tests::net::{BpfFs, Namespace, Nginx, Topology, run, sweep, wait_for};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn clients_get_answers_from_every_backend() -> Result<()> {
    let topology = Topology::builder().build()?;
    let client = &topology.clients[0].namespace;
    for backend in &topology.backends {
        let _nginx = Nginx::start(&backend.namespace, &backend.name)?;
        for url in [format!("http://{}/", backend.address4), format!("http://[{}]/", backend.address6)] {
            let answer = run(client.command("curl").args(["-sS", "--max-time", "5", "-i", &url]))?;
            assert!(answer.contains(&format!("X-Backend: {}\r\n", backend.name)), "{answer}");
            assert!(answer.ends_with(&format!("{}\n", backend.name)), "{answer}");
        }
    }
    Ok(())
}

#[test]
fn a_stream_keeps_coming() -> Result<()> {
    let topology = Topology::builder().backends(1).build()?;
    let backend = &topology.backends[0];
    let _nginx = Nginx::start(&backend.namespace, "streamer")?;
    let url = format!("http://{}/stream", backend.address4);
    let output = topology.clients[0].namespace.command("curl").args(["-sS", "-m", "2", &url]).output()?;
    // curl gave up: the stream had not ended.
    assert_eq!(output.status.code(), Some(28), "{output:?}");
    assert!(output.stdout.starts_with(b"streamer\n") && output.stdout.len() < 4096, "{output:?}");
    Ok(())
}

#[test]
fn backends_neither_answer_nor_ask_for_a_vip() -> Result<()> {
    let topology = Topology::builder().build()?;
    let client = &topology.clients[0].namespace;
    let vip = topology.vips[0].to_string();
    let output = client.command("curl").args(["-sS", "-m", "1", &format!("http://{vip}/")]).output()?;
    assert!(!output.status.success(), "{output:?}");
    let neighbours = run(client.command("ip").args(["-4", "neighbour", "show", &vip]))?;
    assert!(!neighbours.contains("lladdr"), "somebody answered for the VIP: {neighbours}");
    Ok(())
}

#[test]
fn a_host_can_be_unplugged_and_plugged_in() -> Result<()> {
    let topology = Topology::builder().backends(1).build()?;
    let (client, backend) = (&topology.clients[0], &topology.backends[0]);
    let _nginx = Nginx::start(&backend.namespace, &backend.name)?;
    let addresses: [SocketAddr; 2] = [(backend.address4, 80).into(), (backend.address6, 80).into()];
    let reachable = || {
        let connects = |address| TcpStream::connect_timeout(address, Duration::from_millis(300)).is_ok();
        client.namespace.run(|| addresses.iter().all(connects)).is_ok_and(|all| all)
    };
    wait_for("the backend to be there", SOON, reachable)?;
    topology.unplug(backend)?;
    assert!(!reachable());
    topology.plug(backend)?;
    wait_for("the backend to be back", SOON, reachable)?;
    Ok(())
}

#[test]
fn work_runs_inside_a_namespace_and_its_sockets_stay_there() -> Result<()> {
    let [one, two] =
        ["one", "two"].map(|name| Namespace::new(&format!("vip-test-{}-{name}", std::process::id())));
    let (one, two) = (one?, two?);
    // The same address and port: only possible in two networks.
    let first = one.run(|| TcpListener::bind("127.0.0.1:4711"))??;
    let second = two.run(|| TcpListener::bind("127.0.0.1:4711"))??;
    assert_eq!(first.local_addr()?, second.local_addr()?);
    Ok(())
}

#[test]
fn nothing_is_left_when_a_test_panics() -> Result<()> {
    let topology = Topology::builder().build()?;
    let prefix = topology.prefix().to_owned();
    let dir = topology.backends[0].namespace.dir()?;
    let panicked = std::thread::spawn(move || {
        // Moves all of it, not only the part that is used.
        let topology = topology;
        let _nginx = Nginx::start(&topology.backends[0].namespace, "backend1");
        panic!("a test failed");
    })
    .join();
    assert!(panicked.is_err());
    assert!(!run(Command::new("ip").args(["netns", "list"]))?.contains(&prefix));
    assert!(!dir.exists());
    Ok(())
}

#[test]
fn what_is_kept_can_be_swept() -> Result<()> {
    let topology = Topology::builder().build()?;
    let prefix = topology.prefix().to_owned();
    let dir = topology.backends[0].namespace.dir()?;
    let mut nginx = Nginx::start(&topology.backends[0].namespace, "backend1")?;
    let process = format!("/proc/{}", nginx.process().id());
    nginx.keep();
    let bpffs = BpfFs::mount(&std::env::temp_dir().join(format!("{prefix}-bpf")))?;
    topology.keep(&bpffs.path().join("switch"))?;
    drop(nginx);
    assert!(run(Command::new("ip").args(["netns", "list"]))?.contains(&prefix));
    assert_eq!(sweep(&prefix)?.len(), 5);
    assert!(!run(Command::new("ip").args(["netns", "list"]))?.contains(&prefix));
    assert!(!dir.exists());
    // Whoever is its parent by now, the process is no more than a record of its end.
    let state = std::fs::read_to_string(format!("{process}/status")).unwrap_or_default();
    assert!(state.is_empty() || state.contains("State:\tZ"), "{state}");
    Ok(())
}
