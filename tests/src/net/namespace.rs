//! One network namespace, and running things in it.

use std::{
    fs::{self, File},
    os::fd::AsFd as _,
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::Command,
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{require_root, run, run_with_input};

/// Where iproute2 mounts namespaces.
const NAMESPACES: &str = "/run/netns";

/// A network namespace; removed with all that runs in it when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    keep: bool,
}

impl Namespace {
    /// Makes a namespace of that name, with its loopback up.
    ///
    /// # Errors
    /// There is one already, or this process is not root.
    pub fn new(name: &str) -> Result<Self> {
        require_root()?;
        run(Command::new("ip").args(["netns", "add", name]))?;
        let namespace = Self { name: name.to_owned(), keep: false };
        namespace.ip(&["link set lo up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run in the namespace. Unlike `ip netns exec` it still sees `/sys/fs/bpf`; the process that is
    /// started is the program itself, not a wrapper.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs `work` in the namespace, on a thread of its own. Sockets that it returns stay in the namespace.
    ///
    /// # Errors
    /// The namespace can't be entered.
    ///
    /// # Panics
    /// `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        let entered = move || -> Result<T> {
            let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .with_context(|| format!("enter {}", path.display()))?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(entered).join().unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// Starts `work` in the namespace, on a thread of its own. The namespace lives on as long as `work` does, even if the
    /// guard is dropped.
    ///
    /// # Errors
    /// The namespace is gone, or there can be no thread; the handle's: it can't be entered.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        let path = self.path();
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        let entered = move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .with_context(|| format!("enter {}", path.display()))?;
            drop(file);
            Ok(work())
        };
        thread::Builder::new().spawn(entered).context("start a thread")
    }

    /// Runs lines of `ip` in the namespace: `link set eth0 up`. The first one that fails ends it.
    ///
    /// # Errors
    /// A line failed.
    pub fn ip<L: AsRef<str>>(&self, lines: &[L]) -> Result<()> {
        let batch: Vec<_> = lines.iter().map(AsRef::as_ref).collect();
        run_with_input(
            Command::new("ip").args(["-n", &self.name, "-batch", "-"]),
            &format!("{}\n", batch.join("\n")),
        )
        .with_context(|| format!("in namespace {}:\n{}", self.name, batch.join("\n")))?;
        Ok(())
    }

    /// Sets kernel parameters of the namespace: `("ipv4/conf/all/rp_filter", "0")`.
    ///
    /// # Errors
    /// One of them does not exist, or refuses its value.
    pub fn sysctls(&self, values: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            values.iter().try_for_each(|(key, value)| {
                let path = Path::new("/proc/sys/net").join(key);
                fs::write(&path, value).with_context(|| format!("write {value} to {}", path.display()))
            })
        })?
    }

    /// A directory for the files of what runs in the namespace; made when asked for, removed with it.
    ///
    /// # Errors
    /// It can't be made.
    pub fn dir(&self) -> Result<PathBuf> {
        let dir = dir_of(&self.name);
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(dir)
    }

    /// Leaves it there when the guard is dropped; [`sweep`] removes it.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    fn path(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.keep {
            remove(&self.name);
        }
    }
}

/// Removes all namespaces whose names begin with `prefix`, with all that runs in them, and returns their names.
///
/// # Errors
/// Namespaces can't be listed.
pub fn sweep(prefix: &str) -> Result<Vec<String>> {
    let entries = match fs::read_dir(NAMESPACES) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("list {NAMESPACES}")),
    };
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names.iter().for_each(|name| remove(name));
    Ok(names)
}

/// Removes a namespace as far as it is there. Nobody is left to tell of failures.
fn remove(name: &str) {
    let pids = run(Command::new("ip").args(["netns", "pids", name])).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)) {
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = run(Command::new("ip").args(["netns", "del", name]));
    let _ = fs::remove_dir_all(dir_of(name));
}

fn dir_of(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}
