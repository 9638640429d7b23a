//! Stories of every kind of probe, with real servers: each goes to the VIP through the very backend, and says what it met.
//! And what thousands of them cost.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use vip_tests::{
    net::{Host, Namespace, Process, Topology, python, run},
    stage::Stage,
};
use vip_userspace::{
    control::protocol::{MemberStatus, Status},
    health::{CheckId, CheckSpec, Checker, Exits, Way, allow_sockets},
    model::{Check, Health, Probe, Target},
};

/// The name that certificates are for, and that DNS knows.
const NAME: &str = "a.example";

/// The servers of a backend, apart from that of the stage.
struct Servers {
    /// HTTPS on port 443.
    web: Process,
    /// DNS on port 53.
    dns: Process,
    /// gRPC on port 50051.
    _grpc: Process,
}

impl Servers {
    fn start(host: &Host, authority: &Path) -> Result<Self> {
        Ok(Self {
            web: serve_tls(host, authority, NAME)?,
            dns: serve_dns(host, NAME)?,
            _grpc: serve_grpc(host)?,
        })
    }
}

/// A certificate authority in that directory: `ca.pem`, `ca.key`.
fn found_authority(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let request =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority";
    openssl(dir, &format!("{request} -keyout ca.key -out ca.pem"))
}

fn openssl(dir: &Path, arguments: &str) -> Result<()> {
    run(Command::new("openssl").args(arguments.split(' ')).current_dir(dir)).map(drop)
}

/// Makes a certificate for that name in `dir`, signed by the authority.
fn certify(dir: &Path, authority: &Path, name: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("names"), format!("subjectAltName=DNS:{name}\n"))?;
    let key = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server";
    openssl(dir, &format!("{key} -keyout server.key -out server.csr"))?;
    let ca = authority.display();
    let sign = format!("x509 -req -in server.csr -CA {ca}/ca.pem -CAkey {ca}/ca.key -set_serial 1 -days 2");
    openssl(dir, &format!("{sign} -extfile names -out server.pem"))
}

fn serve_tls(host: &Host, authority: &Path, name: &str) -> Result<Process> {
    let dir = host.namespace.dir()?.join("tls");
    certify(&dir, authority, name)?;
    let at = dir.display();
    let text = format!(
        "daemon off; master_process off; pid {at}/pid; events {{}}
http {{
    access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
    server {{
        listen 443 ssl; listen [::]:443 ssl; ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;
        location / {{ return 200 \"all is fine\\n\"; }}
    }}
}}"
    );
    fs::write(dir.join("nginx.conf"), text)?;
    let mut command = host.namespace.command("nginx");
    command.arg("-p").arg(&dir).arg("-c").arg(dir.join("nginx.conf")).args(["-e", "stderr"]);
    Process::start("nginx", command.stdin(Stdio::null()))
}

/// A DNS server that knows that name, and no other.
fn serve_dns(host: &Host, name: &str) -> Result<Process> {
    let mut command = host.namespace.command("dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
    ]);
    command.args(["--pid-file=", "--log-facility=-", "--local=/#/"]);
    let log = fs::File::create(host.namespace.dir()?.join("dnsmasq.log"))?;
    command.arg(format!("--address=/{name}/192.0.2.7")).stdin(Stdio::null()).stderr(log);
    Process::start("dnsmasq", &mut command)
}

/// A gRPC server of the reference implementation, with the health service of its protocol
/// (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>): `shop` serves unless a file says that it does not,
/// and nothing else is known.
const GRPC_SERVER: &str = r#"
import os, sys, concurrent.futures, grpc
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"

def check(request, context):
    if request != b"\x0a\x04shop":
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return NOT_SERVING if os.path.exists(sys.argv[1]) else SERVING

server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods)])
assert server.add_insecure_port("[::]:50051")
server.start()
server.wait_for_termination()
"#;

fn serve_grpc(host: &Host) -> Result<Process> {
    let mut command = host.namespace.command(&python("python3")?.display().to_string());
    command.args(["-c", GRPC_SERVER]).arg(not_serving(host)?);
    Process::start("grpc", command.stdin(Stdio::null()))
}

/// The file that says that the gRPC server of a host does not serve.
fn not_serving(host: &Host) -> Result<PathBuf> {
    Ok(host.namespace.dir()?.join("not-serving"))
}

/// A script that asks the VIP in its own way, and looks for a file that says that the backend is ill.
fn write_script(dir: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let (path, dir) = (dir.join("check"), dir.display());
    let text = format!(
        "#!/bin/sh\n\
         [ ! -e {dir}/ill-$VIP_BACKEND_ADDRESS ] || {{ echo it is ill; exit 2; }}\n\
         exec ping -c1 -W1 -I $VIP_INTERFACE -m $VIP_MARK $VIP_ADDRESS\n"
    );
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Services of both VIPs, one of each kind of check.
fn config(stage: &Stage, authority: &Path, script: &Path) -> String {
    let mut text = "interfaces = [\"eth0\"]\nmode = \"native\"\n".to_owned();
    let tls = format!("sni = \"{NAME}\", ca = \"{}/ca.pem\"", authority.display());
    let kinds = [
        ("https", 443, "tcp", format!("https = \"/\", body = \"is fine\", {tls}")),
        ("tls", 1443, "tcp", format!("tls = true, port = 443, {tls}")),
        ("dns", 53, "udp", format!("dns = \"{NAME}\"")),
        ("grpc", 50051, "tcp", "grpc = \"shop\"".to_owned()),
        ("ping", 7, "tcp", "ping = true".to_owned()),
        ("script", 9, "tcp", format!("script = [\"{}\"]", script.display())),
    ];
    for vip in &stage.topology.vips {
        let family = if vip.is_ipv4() { 4 } else { 6 };
        for (kind, port, protocol, probe) in &kinds {
            text += &format!(
                "[service.{kind}{family}]\nvip = \"{vip}\"\nport = {port}\nprotocol = \"{protocol}\"\n\
                 members = [\"backend1\", \"backend2\"]\n\
                 check = {{ {probe}, interval = \"1s\", fast-interval = \"300ms\", timeout = \"900ms\", rise = 1, fall = 2 }}\n"
            );
        }
    }
    for host in &stage.topology.backends {
        let Host { name, address4, address6, .. } = host;
        text += &format!("[backend.{name}]\naddress = [\"{address4}\", \"{address6}\"]\n");
    }
    text
}

/// The members of a backend whose services start with that word.
fn checked<'a>(
    status: &'a Status,
    kind: &'a str,
    backend: &'a str,
) -> impl Iterator<Item = &'a MemberStatus> {
    let services = status.services.iter().filter(move |service| service.name.as_str().starts_with(kind));
    services.flat_map(|service| &service.members).filter(move |member| member.backend.as_str() == backend)
}

fn is(status: &Status, kind: &str, backend: &str, health: Health) -> bool {
    let mut members = checked(status, kind, backend).peekable();
    members.peek().is_some() && members.all(|member| member.health == Some(health))
}

/// Waits until backend1 is down by that kind of check, in both families, for a reason with these words.
fn wait_for_death(stage: &Stage, kind: &str, words: &str) -> Result<()> {
    let what = format!("backend1 to be down by {kind}: {words}");
    let waited = stage.wait_for(&what, |status| {
        is(status, kind, "backend1", Health::Down)
            && checked(status, kind, "backend1")
                .all(|member| member.why_not.as_ref().is_some_and(|why| why.words.contains(words)))
    });
    let causes = || {
        let status = stage.status().ok()?;
        let causes = checked(&status, kind, "backend1").map(|member| format!("{:?}", member.why_not));
        Some(causes.collect::<Vec<_>>().join("\n"))
    };
    waited.with_context(|| causes().unwrap_or_default())?;
    ensure!(is(&stage.status()?, "", "backend2", Health::Up), "backend2 is not concerned");
    Ok(())
}

fn wait_for_all(stage: &Stage) -> Result<()> {
    let are_up =
        |status: &Status| ["backend1", "backend2"].iter().all(|backend| is(status, "", backend, Health::Up));
    let waited = stage.wait_for("all to be up by each kind of check", are_up);
    waited.with_context(|| format!("{:#?}", stage.status().map(|status| status.services)))?;
    Ok(())
}

/// Takes the VIPs from a host, or gives them back.
fn hold(stage: &Stage, host: &Namespace, verb: &str) -> Result<()> {
    let prefix = |is_ipv4| if is_ipv4 { 32 } else { 128 };
    let vips = stage.topology.vips.iter();
    let lines: Vec<_> =
        vips.map(|vip| format!("address {verb} {vip}/{} dev lo", prefix(vip.is_ipv4()))).collect();
    host.ip(&lines)
}

#[test]
fn each_kind_of_probe_goes_through_its_backend_and_says_what_it_met() -> Result<()> {
    let mut stage = Stage::build(Topology::builder())?;
    let dir = stage.topology.director.namespace.dir()?;
    let authority = dir.join("authority");
    found_authority(&authority)?;
    let hosts = &stage.topology.backends;
    let mut first = Servers::start(&hosts[0], &authority)?;
    let _second = Servers::start(&hosts[1], &authority)?;
    stage.vip.configure(&config(&stage, &authority, &write_script(&dir)?))?;
    stage.start()?;
    wait_for_all(&stage)?;

    let host = &stage.topology.backends[0];
    first.web = {
        drop(first.web);
        serve_tls(host, &authority, "other.example")?
    };
    wait_for_death(&stage, "tls", "the certificate is for another name")?;
    wait_for_death(&stage, "https", "the certificate is for another name")?;
    first.web = {
        drop(first.web);
        serve_tls(host, &authority, NAME)?
    };
    first.dns = {
        drop(first.dns);
        serve_dns(host, "other.example")?
    };
    wait_for_death(&stage, "dns", "DNS answer NXDOMAIN, expected NOERROR")?;
    drop(first.dns);
    wait_for_death(&stage, "dns", "port unreachable")?;
    first.dns = serve_dns(host, NAME)?;
    fs::write(not_serving(host)?, "")?;
    wait_for_death(&stage, "grpc", "NOT_SERVING")?;
    fs::remove_file(not_serving(host)?)?;
    let illnesses =
        [host.address4.to_string(), host.address6.to_string()].map(|a| dir.join(format!("ill-{a}")));
    illnesses.iter().try_for_each(|file| fs::write(file, ""))?;
    wait_for_death(&stage, "script", "the script ended with status 2: it is ill")?;
    illnesses.iter().try_for_each(fs::remove_file)?;
    wait_for_all(&stage)?;

    // Its own addresses answer as before.
    hold(&stage, &host.namespace, "delete")?;
    for kind in ["https", "tls", "dns", "grpc", "ping", "script"] {
        wait_for_death(&stage, kind, "")?;
    }
    hold(&stage, &host.namespace, "add")?;
    wait_for_all(&stage)
}

/// Checks of the test below.
const MANY: usize = 5000;
/// The interval of each.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long a whole round may take on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(120);

/// A server on all addresses of the loopback that accepts and counts, on a thread of its own.
fn count_connections() -> Result<(u16, Arc<AtomicUsize>)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    listener.set_nonblocking(true)?;
    let (port, count) = (listener.local_addr()?.port(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
    });
    Ok((port, count))
}

fn many_checks(port: u16) -> BTreeMap<CheckId, CheckSpec> {
    let check =
        Check { interval: INTERVAL, timeout: INTERVAL, target: Target::Address, ..Check::new(Probe::Tcp) };
    let one = |number: usize| {
        let [.., high, low] = number.to_be_bytes();
        let id = CheckId {
            service: "web".parse().expect("a name"),
            backend: format!("b{number}").parse().expect("a name"),
        };
        let target = SocketAddr::from((Ipv4Addr::new(127, 9, high, low), port));
        (id, CheckSpec { check: check.clone().into(), target, way: Way::Routed, adopted: None })
    };
    (0..MANY).map(one).collect()
}

/// CPU time of this thread.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[test]
#[expect(clippy::print_stdout, reason = "what they cost is for the reader")]
fn thousands_of_checks_are_a_small_part_of_a_core() -> Result<()> {
    allow_sockets().context("allow more open files")?;
    let (port, count) = count_connections()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (sender, mut verdicts) = mpsc::channel(1024);
        let mut checker = Checker::new(sender, watch::channel(Exits::new()).1);
        checker.reconcile(many_checks(port));
        for _ in 0..MANY {
            let verdict =
                tokio::time::timeout(DEADLINE, verdicts.recv()).await.context("verdicts in time")?;
            ensure!(verdict.context("a verdict")?.health == Health::Up, "all servers are up");
        }
        let (began, before, counted) = (Instant::now(), spent(), count.load(Ordering::Relaxed));
        while count.load(Ordering::Relaxed) < counted + 3 * MANY {
            ensure!(began.elapsed() < DEADLINE, "probes go on");
            tokio::time::sleep(INTERVAL / 100).await;
        }
        let (took, spent) = (began.elapsed(), spent() - before);
        let probes = count.load(Ordering::Relaxed) - counted;
        let share = spent.as_secs_f64() / took.as_secs_f64();
        println!(
            "{MANY} TCP checks every {} s: {:.0} probes a second, {:.1} % of a core, {:.0} µs each",
            INTERVAL.as_secs(),
            probes as f64 / took.as_secs_f64(),
            share * 100.0,
            spent.as_secs_f64() / probes as f64 * 1e6,
        );
        ensure!(verdicts.try_recv().is_err(), "nobody was ever down");
        ensure!(share < 0.5, "checks take {share:.2} of a core");
        Ok(())
    })
}
