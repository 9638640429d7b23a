//! A real web server for a backend: nginx, one process, with its files in the namespace's directory.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{Namespace, Process, wait_for};

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(30);
/// Lines of `/stream`.
const STREAM_LINES: usize = 65_536;

/// A running nginx; killed when dropped. It serves HTTP/1.1 with keepalive on port 80, IPv4 and IPv6:
///
/// | path | body |
/// |---|---|
/// | `/stream` | lines with the backend's name, 512 bytes a second, for hours |
/// | any other | one line with the backend's name, which also stands in the header `X-Backend` |
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    dir: PathBuf,
}

impl Nginx {
    /// Starts a server that answers as `name`, and waits until it listens.
    ///
    /// # Errors
    /// It does not start, with what it logged.
    pub fn start(namespace: &Namespace, name: &str) -> Result<Self> {
        let dir = namespace.dir()?.join("nginx");
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let write = |file: &str, text: &str| {
            let path = dir.join(file);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        write("nginx.conf", &config(&dir, name))?;
        write("stream", &format!("{name}\n").repeat(STREAM_LINES))?;
        let log = File::create(dir.join("error.log")).context("make error.log")?;
        let mut command = namespace.command("nginx");
        command.arg("-p").arg(&dir).arg("-c").arg(dir.join("nginx.conf"));
        command.arg("-e").arg("stderr").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = Process::start("nginx", &mut command)?;
        let mut nginx = Self { process, dir };
        nginx.wait_until_it_listens(namespace)?;
        Ok(nginx)
    }

    /// The process: to kill it, as a crash would.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Leaves it running when the guard is dropped; the namespace's end is its end.
    pub fn keep(&mut self) {
        self.process.keep();
    }

    fn wait_until_it_listens(&mut self, namespace: &Namespace) -> Result<()> {
        let mut ended = None;
        let waited = namespace.run(|| {
            wait_for("nginx to listen on port 80", START, || {
                ended = self.process.ended().unwrap_or_default();
                ended.is_some() || listens()
            })
        })?;
        let log = || fs::read_to_string(self.dir.join("error.log")).unwrap_or_default();
        if let Some(status) = ended {
            bail!("nginx ended ({status}): {}", log());
        }
        waited.with_context(log)?;
        Ok(())
    }
}

fn listens() -> bool {
    [SocketAddr::from((Ipv4Addr::LOCALHOST, 80)), SocketAddr::from((Ipv6Addr::LOCALHOST, 80))]
        .iter()
        .all(|address| TcpStream::connect_timeout(address, Duration::from_secs(1)).is_ok())
}

fn config(dir: &Path, name: &str) -> String {
    let dir = dir.display();
    format!(
        "daemon off;
master_process off;
pid {dir}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_timeout 1h;
    keepalive_requests 1000000;
    server {{
        listen 80;
        listen [::]:80;
        root {dir};
        default_type text/plain;
        add_header X-Backend {name} always;
        location / {{ return 200 \"{name}\\n\"; }}
        location = /stream {{ limit_rate 512; }}
    }}
}}
"
    )
}
