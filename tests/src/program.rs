//! The program under test: the real `vip`, in places of its own, so that it can't touch an installation on the same
//! machine. Knows how to call it; not what it should do.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Builder;
use vip_userspace::control::{Status, client::Client};

use crate::net::{BpfFs, Namespace, Process, Signal, wait_for};

/// Where `vip` is, if not beside the program that asks.
const VIP_BIN: &str = "VIP_BIN";
/// How long a controller may take to answer at first.
const START: Duration = Duration::from_secs(30);
/// The instance's name, unless a test has two of them on one machine; its places are its own anyway.
const INSTANCE: &str = "lab";
/// The directory of its BPF file system.
const BPFFS: &str = "bpf";

/// An installation of `vip` in one directory: configuration, sockets, state, pins. Removed when dropped; what is
/// attached to interfaces goes with their namespace, or with the pins.
#[derive(Debug)]
pub struct Vip {
    program: PathBuf,
    instance: String,
    bpffs: BpfFs,
    dir: PathBuf,
    keep: bool,
}

impl Vip {
    /// Makes the places in `dir`, among them a BPF file system that nobody else has.
    ///
    /// # Errors
    /// There is no `vip` to run, or something can't be made.
    pub fn install(dir: &Path) -> Result<Self> {
        let program = find()?;
        let bpffs = BpfFs::mount(&dir.join(BPFFS))?;
        Ok(Self { program, instance: INSTANCE.to_owned(), bpffs, dir: dir.to_owned(), keep: false })
    }

    /// The same as an instance of another name.
    #[must_use]
    pub fn named(mut self, instance: &str) -> Self {
        instance.clone_into(&mut self.instance);
        self
    }

    /// The program's file.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// From now on another program is run, as after an upgrade.
    pub fn upgrade(&mut self, program: PathBuf) {
        self.program = program;
    }

    /// The directory that all of it is in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Options that every verb gets: where this installation is.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let place = |path: &Path| path.display().to_string();
        let options = [
            ("--instance", self.instance.clone()),
            ("--run-dir", place(&self.run_dir())),
            ("--state-dir", place(&self.state_dir())),
            ("--bpffs", place(self.bpffs())),
        ];
        options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }

    /// The BPF file system.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        self.bpffs.path()
    }

    /// The directory of the control socket.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The directory of wishes.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The pin of a table, of the program or of a link.
    #[must_use]
    pub fn pin(&self, name: &str) -> PathBuf {
        self.bpffs()
            .join("vip")
            .join(&self.instance)
            .join(format!("v{}", vip_common::tables::LAYOUT))
            .join(name)
    }

    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run_dir().join(format!("{}.sock", self.instance))
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("vip.toml")
    }

    /// What controllers have logged.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("vip.log")
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// It can't be written.
    pub fn configure(&self, text: &str) -> Result<()> {
        fs::write(self.config(), text).with_context(|| format!("write {}", self.config().display()))
    }

    /// `vip ARGUMENTS`, in that namespace.
    #[must_use]
    pub fn command(&self, namespace: &Namespace, arguments: &[&str]) -> Command {
        let mut command = namespace.command(&self.program.display().to_string());
        command.args(self.options()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs `vip ARGUMENTS` to its end: its exit code is for the caller to judge.
    ///
    /// # Errors
    /// It can't be run.
    pub fn output(&self, namespace: &Namespace, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(namespace, arguments);
        command.output().with_context(|| format!("run {command:?}"))
    }

    /// `vip status --json`, whether or not a controller runs, with the exit code.
    ///
    /// # Errors
    /// It prints no status.
    pub fn status(&self, namespace: &Namespace) -> Result<(Status, i32)> {
        let output = self.output(namespace, &["status", "--json"])?;
        let status = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("read the status ({}): {}", output.status, String::from_utf8_lossy(&output.stderr))
        })?;
        Ok((status, output.status.code().unwrap_or(-1)))
    }

    /// What the running controller says of itself, by its socket.
    ///
    /// # Errors
    /// There is none, or it does not answer.
    pub fn ask(&self) -> Result<Status> {
        let runtime = Builder::new_current_thread().enable_all().build().context("make a runtime")?;
        Ok(runtime.block_on(Client::new(&self.socket()).status())?)
    }

    /// Starts `vip run` with the configuration, and waits until it answers. What it logs is added to [`Self::log`].
    ///
    /// # Errors
    /// It ends, or does not answer in time; with what it logged.
    pub fn run(&self, namespace: &Namespace) -> Result<Controller> {
        self.run_with(namespace, &[])
    }

    /// The same with further options of `vip run`.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with(&self, namespace: &Namespace, options: &[&str]) -> Result<Controller> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .with_context(|| format!("open {}", self.log().display()))?;
        let config = self.config().display().to_string();
        let mut command = self.command(namespace, &["run", "--config", &config]);
        command.args(options).stdout(log.try_clone().context("share the log")?).stderr(log);
        let process = Process::start("vip run", &mut command)?;
        let mut controller = Controller { process };
        controller.wait_until_it_answers(&self.socket()).with_context(|| {
            format!("vip run logged:\n{}", fs::read_to_string(self.log()).unwrap_or_default())
        })?;
        Ok(controller)
    }

    /// Runs `vip run` where it should refuse, and returns what it says.
    ///
    /// # Errors
    /// It does not end within thirty seconds.
    pub fn refusal(&self, namespace: &Namespace) -> Result<Refusal> {
        let config = self.config().display().to_string();
        Refusal::of(&mut self.command(namespace, &["run", "--config", &config]), &self.dir)
    }

    /// Leaves it there when the guard is dropped; [`remove`] removes it.
    pub fn keep(&mut self) {
        self.keep = true;
        self.bpffs.keep();
    }
}

impl Drop for Vip {
    #[expect(clippy::print_stderr, reason = "where a test fails, its controller's log says why")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("vip run logged:\n{}", fs::read_to_string(self.log()).unwrap_or_default());
        }
        if !self.keep {
            remove(&self.dir);
        }
    }
}

/// Removes an installation as far as it is there. Its controller must have ended. Nobody is left to tell of failures.
pub fn remove(dir: &Path) {
    // Pins vanish with their file system.
    BpfFs::remove(&dir.join(BPFFS));
    let _ = fs::remove_dir_all(dir);
}

/// A running controller; killed when dropped.
#[derive(Debug)]
pub struct Controller {
    process: Process,
}

impl Controller {
    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends a signal and waits for its end.
    ///
    /// # Errors
    /// It has ended already, or does not within thirty seconds.
    pub fn end(&mut self, signal: Signal) -> Result<std::process::ExitStatus> {
        self.process.signal(signal)?;
        self.process.wait(START)
    }

    fn wait_until_it_answers(&mut self, socket: &Path) -> Result<()> {
        let mut ended = None;
        let waited = wait_for("the controller to answer", START, || {
            ended = self.process.ended().unwrap_or_default();
            ended.is_some() || std::os::unix::net::UnixStream::connect(socket).is_ok()
        });
        ensure!(ended.is_none(), "vip run has ended at once");
        waited.map(drop)
    }
}

/// How `vip` refuses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it says on stderr.
    pub stderr: String,
}

impl Refusal {
    /// Runs a program that should soon end, with its stderr in a file in `dir`.
    ///
    /// # Errors
    /// It does not end within thirty seconds.
    pub fn of(command: &mut Command, dir: &Path) -> Result<Self> {
        let path = dir.join("refusal.log");
        let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        let mut process = Process::start("vip", command.stdout(Stdio::null()).stderr(file))?;
        let ended = process.wait(START);
        let stderr = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let status = ended.with_context(|| format!("it refuses nothing; it says: {stderr}"))?;
        Ok(Self { code: status.code(), stderr })
    }
}

/// Where `vip` is: named by `VIP_BIN`, or beside this program; tests are one directory deeper.
fn find() -> Result<PathBuf> {
    if let Some(path) = env::var_os(VIP_BIN) {
        return Ok(path.into());
    }
    let this = env::current_exe().context("find this program's file")?;
    let beside = this.ancestors().skip(1).take(2).map(|dir| dir.join("vip"));
    let found = beside.into_iter().find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "there is no vip beside {}: build it with `cargo build -p vip-userspace --bin vip`, or name it in {VIP_BIN}",
            this.display()
        )
    })
}
