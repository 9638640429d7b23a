//! Stories of the control API: it is what its description says, it tells changes as they happen, and it lets nobody do what he
//! may not.

use std::{
    cell::Cell,
    fs,
    io::{self, BufRead as _, BufReader},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::MetadataExt as _, fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData};
use vip_common::tables::names;
use vip_tests::{
    net::{Topology, TopologyBuilder, python, run, wait_for},
    stage::{Stage, TRACEABLE_VIPS},
};
use vip_userspace::control::protocol::{Event, News, ServiceStatus, StandingWord};

const SOON: Duration = Duration::from_secs(30);
/// Requests of each sort that are made for each path, and what they are made from: always the same.
const EXAMPLES: &str = "40";
const SEED: &str = "20";
/// What can't be tried: it ends the controller, or has no end itself.
const LEFT_OUT: [&str; 3] = ["/v1/detach", "/v1/events", "/v1/trace"];
/// A user and a group that own nothing here.
const STRANGER: u32 = 64_123;
const GROUP: &str = "nogroup";

fn topology() -> TopologyBuilder {
    Topology::builder().backends(2).vips(&TRACEABLE_VIPS)
}

/// Leads each connection to `listener` to the socket, for as long as the program runs.
fn lead(listener: &TcpListener, socket: &Path) {
    while let Ok((client, _)) = listener.accept() {
        let Ok(server) = UnixStream::connect(socket) else { continue };
        thread::spawn(move || pass_on(client, server));
    }
}

fn pass_on(mut client: TcpStream, mut server: UnixStream) -> io::Result<()> {
    let (mut asked, mut asking) = (client.try_clone()?, server.try_clone()?);
    let there = thread::spawn(move || {
        let _ = io::copy(&mut asked, &mut asking);
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)?;
    // It has nothing to read any more.
    let _ = there.join();
    Ok(())
}

/// Tries the API behind that address, and returns what schemathesis says of it.
fn try_all(stage: &Stage, address: SocketAddr) -> Result<String> {
    let mut command =
        stage.topology.director.namespace.command(&python("schemathesis")?.display().to_string());
    command.args(["run", &format!("http://{address}/v1/openapi.json"), "--checks", "all"]);
    command.args(["--seed", SEED, "--max-examples", EXAMPLES, "--request-timeout", "40"]);
    for path in LEFT_OUT {
        command.args(["--exclude-path", path]);
    }
    let dir = stage.vip.dir();
    fs::write(dir.join("schemathesis.toml"), CONFIG)?;
    let output = command.current_dir(dir).env("NO_COLOR", "1").output().context("run schemathesis")?;
    let [said, wrong] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    ensure!(output.status.success(), "{said}{wrong}");
    Ok(said)
}

#[test]
#[expect(clippy::print_stdout, reason = "what was tried, and what was left out")]
fn the_api_is_what_its_description_says() -> Result<()> {
    let mut stage = Stage::ready(topology())?;
    let before = stage.status()?;
    let socket = stage.vip.socket();
    let listener = stage.topology.director.namespace.run(|| TcpListener::bind("127.0.0.1:0"))??;
    let address = listener.local_addr()?;
    thread::spawn(move || lead(&listener, &socket));
    let said = try_all(&stage, address)?;
    let tried = said.lines().find(|line| line.contains(" generated")).unwrap_or_default().trim();
    println!("schemathesis: {tried}; left out: {}", LEFT_OUT.join(", "));

    let after = stage.status()?;
    assert_eq!(after.pid, before.pid, "it is the same controller");
    let log = log(&stage)?;
    let told = |what: &str| log.contains(&format!("command: {what} removed (by uid 0, pid "));
    for service in &before.services {
        let is_it = |now: &&ServiceStatus| (&now.name, now.address) == (&service.name, service.address);
        let is_there = after.services.iter().any(|now| is_it(&now));
        ensure!(is_there || told(&format!("service {}", service.name)), "{} is gone unnoticed", service.name);
    }
    for backend in &before.backends {
        let is_there = after.backends.iter().any(|now| now.name == backend.name);
        ensure!(is_there || told(&format!("backend {}", backend.name)), "{} is gone unnoticed", backend.name);
    }
    assert_ended(&stage.vip.output(&stage.topology.director.namespace, &["reload", "--reset"])?, 0, "");
    stage.wait_for("all members to be in, and nothing else", |status| {
        status.services.len() == before.services.len()
            && status.services.iter().all(|service| service.eligible == service.total)
    })?;
    ensure!(stage.controller.as_mut().context("it runs")?.process().ended()?.is_none(), "it has ended");
    Ok(())
}

/// That a range of ports goes upwards can't be said by a schema.
const CONFIG: &str = r#"
[[operations]]
include-path = "/v1/services"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "5xx"]
"#;

/// `vip ARGUMENTS` by a user who is nobody here, with further groups.
fn by_stranger(stage: &Stage, groups: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = stage.topology.director.namespace.command("setpriv");
    let id = STRANGER.to_string();
    command.args(["--reuid", &id, "--regid", &id]);
    match groups {
        "" => command.arg("--clear-groups"),
        groups => command.args(["--groups", groups]),
    };
    command.arg(stage.vip.program()).args(stage.vip.options()).args(arguments).stdin(Stdio::null());
    command.output().with_context(|| format!("run {command:?}"))
}

#[track_caller]
fn assert_ended(output: &Output, code: i32, says: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(says), "no {says:?} in {said}");
}

fn log(stage: &Stage) -> Result<String> {
    Ok(fs::read_to_string(stage.vip.log())?)
}

#[test]
fn who_may_do_what_follows_the_configuration_and_each_change_is_logged_with_its_caller() -> Result<()> {
    let stage = Stage::ready(topology())?;
    // A stranger gets as far as the socket, and no further.
    for dir in stage.vip.socket().ancestors().skip(1).take_while(|dir| dir.starts_with(stage.vip.dir())) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    }
    let director = &stage.topology.director.namespace;
    let disable = ["backend", "disable", "backend1"];
    assert_ended(
        &by_stranger(&stage, "", &["status"])?,
        1,
        "run it as root, or as a member of the socket's group",
    );

    stage
        .vip
        .configure(&format!("control.others = \"read\"\ncontrol.group = \"{GROUP}\"\n{}", stage.config()))?;
    assert_ended(&stage.vip.output(director, &["reload"])?, 0, "");
    let found = fs::metadata(stage.vip.socket())?;
    assert_eq!(found.mode() & 0o777, 0o666);
    for reads in [&["status"][..], &["diff"], &["save"], &["service", "list"]] {
        assert_ended(&by_stranger(&stage, "", reads)?, 0, "");
    }
    for changes in [&disable[..], &["reload"], &["trace"], &["detach"]] {
        assert_ended(
            &by_stranger(&stage, "", changes)?,
            1,
            &format!("uid {STRANGER} may not change anything here"),
        );
    }
    let refused = by_stranger(&stage, "", &disable)?;
    assert_ended(&refused, 1, &format!("a member of the group {GROUP}"));
    assert!(stage.status()?.services.iter().all(|service| service.eligible == service.total));

    assert_ended(&by_stranger(&stage, GROUP, &disable)?, 0, "");
    let line = format!("command: backend backend1 disabled in all its services (by uid {STRANGER}, pid ");
    wait_for("the change to be logged", SOON, || log(&stage).is_ok_and(|log| log.contains(&line)))?;
    assert_ended(&stage.vip.output(director, &["backend", "enable", "backend1"])?, 0, "");
    assert!(log(&stage)?.contains("command: backend backend1 enabled in all its services (by uid 0, pid "));

    stage.vip.configure(&format!("control.group = \"no-such-group\"\n{}", stage.config()))?;
    assert_ended(&stage.vip.output(director, &["reload"])?, 1, "there is no group \"no-such-group\"");
    stage.vip.configure(&stage.config())?;
    assert_ended(&stage.vip.output(director, &["reload"])?, 0, "");
    assert_eq!(fs::metadata(stage.vip.socket())?.mode() & 0o777, 0o660);
    assert_ended(&by_stranger(&stage, GROUP, &["status"])?, 1, "");
    Ok(())
}

/// A program that follows the changes, and what it prints.
struct Follower {
    child: std::process::Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("it prints")?;
        let (to_us, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if to_us.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    fn wait_for(&self, what: &str, is: impl Fn(&str) -> bool) -> Result<String> {
        let mut found = None;
        wait_for(what, SOON, || {
            found = self.lines.try_iter().find(|line| is(line));
            found.is_some()
        })?;
        found.context("it was found")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn changes_are_told_as_they_happen() -> Result<()> {
    let mut stage = Stage::ready(topology())?;
    let director = &stage.topology.director.namespace;
    let words = Follower::start(&mut stage.vip.command(director, &["events"]))?;
    let json = Follower::start(&mut stage.vip.command(director, &["events", "--json"]))?;
    // Nothing tells when they begin to listen but that they hear.
    wait_for("both to listen", SOON, || {
        let weighed = stage.vip.output(director, &["backend", "weight", "backend1", "100"]);
        let heard = |follower: &Follower| follower.lines.try_iter().count() > 0;
        weighed.is_ok() && heard(&words) && heard(&json)
    })?;
    let event = |what: &str, is: &dyn Fn(&News) -> bool| {
        let read = |line: &str| serde_json::from_str::<Event>(line).is_ok_and(|event| is(&event.news));
        json.wait_for(what, read)
    };
    stage.vip.output(director, &["backend", "drain", "backend2"])?;
    let line =
        words.wait_for("a command to be told", |line| line.contains("command: backend backend2 draining"))?;
    assert!(line.contains("Z  ") && line.contains("(by uid 0, pid "), "{line}");
    event(
        "the drain",
        &|news| matches!(news, News::Member { standing: StandingWord::KeepsFlows, backend, .. } if backend.as_str() == "backend2"),
    )?;
    stage.vip.output(director, &["backend", "enable", "backend2"])?;
    event("the return", &|news| matches!(news, News::Member { standing: StandingWord::In, .. }))?;
    stage.vip.output(director, &["reload"])?;
    event("the reload", &|news| matches!(news, News::Reloaded { by: Some(by), .. } if by.uid == 0))?;
    stage.die(0)?;
    let address = IpAddr::from(stage.topology.backends[0].address4);
    let (is_out, is_lost) = (Cell::new(false), Cell::new(false));
    event("the death, and that nobody answers for its address", &|news| {
        match news {
            News::Member { standing: StandingWord::Out, backend, .. } if backend.as_str() == "backend1" => {
                is_out.set(true);
            }
            News::Neighbour { address: lost, found: false } if *lost == address => is_lost.set(true),
            _ => {}
        }
        is_out.get() && is_lost.get()
    })?;
    words.wait_for("the death to be told", |line| line.contains("backend1 out: "))?;
    let thief = &stage.topology.backends[1];
    thief.namespace.sysctls(&[("ipv4/conf/all/arp_ignore", "0"), ("ipv4/conf/eth0/arp_ignore", "0")])?;
    event("the thief", &|news| matches!(news, News::Thief { mac, answers: true, .. } if mac.0 == thief.mac))?;
    thief.namespace.sysctls(&[("ipv4/conf/all/arp_ignore", "1")])?;
    event("the end of the theft", &|news| matches!(news, News::Thief { answers: false, .. }))?;
    let mut rings: Array<MapData, u64> =
        Array::try_from(Map::from_map_data(MapData::from_pin(stage.vip.pin(names::RINGS))?)?)?;
    let slot = rings.get(&1, 0)?;
    rings.set(1, slot ^ 1, 0)?;
    event(
        "the stray entry",
        &|news| matches!(news, News::Mended { table, entries: 1 } if table == names::RINGS),
    )?;
    stage.topology.director.namespace.ip(&["link set eth0 down"])?;
    event("the link", &|news| matches!(news, News::Link { up: false, interface } if interface == "eth0"))?;
    let mut ended = json;
    stage.stop(vip_tests::net::Signal::TERM)?;
    wait_for("the follower to end with its controller", SOON, || {
        matches!(ended.child.try_wait(), Ok(Some(_)))
    })?;
    Ok(())
}

#[test]
fn the_description_is_had_by_curl() -> Result<()> {
    let stage = Stage::ready(topology().backends(1))?;
    let socket = stage.vip.socket().display().to_string();
    let body =
        run(Command::new("curl").args(["-sSf", "--unix-socket", &socket, "http://vip/v1/openapi.json"]))?;
    let document: serde_json::Value = serde_json::from_str(&body)?;
    assert_eq!(document["openapi"], "3.1.0");
    Ok(())
}
