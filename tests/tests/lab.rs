//! The lab as a program: it shows what it should, leaves nothing behind whatever ends it, and can be left up, entered and
//! removed.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use vip_tests::net::{Process, Signal, run, wait_for};

const LAB: &str = env!("CARGO_BIN_EXE_lab");
const SOON: Duration = Duration::from_secs(20);

/// A running lab of which some lines were read.
struct Running {
    process: Process,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Running {
    fn start(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(LAB);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start("lab", &mut command)?;
        let stdout = process.child().stdout.take().context("read from the lab")?;
        let lines = Box::new(BufReader::new(stdout).lines().map_while(Result::ok));
        Ok(Self { process, lines })
    }

    fn read_until(&mut self, wanted: &str) -> Result<()> {
        match self.lines.any(|line| line.contains(wanted)) {
            true => Ok(()),
            false => bail!("the lab ended before it said {wanted:?}: {}", self.stderr()?),
        }
    }

    fn stderr(&mut self) -> Result<String> {
        let mut text = String::new();
        if let Some(mut stderr) = self.process.child().stderr.take() {
            stderr.read_to_string(&mut text)?;
        }
        Ok(text)
    }

    /// The name of everything that it makes.
    fn prefix(&mut self) -> String {
        // Its directory tells whose it is.
        let pid = self.process.id();
        let is_its = |dir: &Path| {
            fs::read_to_string(dir.join("lock")).is_ok_and(|text| text.trim() == pid.to_string())
        };
        let labs = fs::read_dir("/run/vip-lab").into_iter().flatten().flatten();
        let its = labs.map(|entry| entry.path()).find(|dir| is_its(dir));
        its.and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned())).unwrap_or_default()
    }
}

/// Everything on this machine that has the lab's name.
fn remains(name: &str) -> Result<Vec<String>> {
    assert!(name.starts_with("lab-"), "{name:?}");
    let mut found = run(Command::new("ip").args(["netns", "list"]))?;
    found += &fs::read_to_string("/proc/mounts")?;
    for dir in ["/run/vip-lab", "/tmp", "/run/netns", "/sys/fs/bpf"] {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            found += &format!("{}\n", entry.path().display());
        }
    }
    for entry in fs::read_dir("/proc")?.flatten() {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        found +=
            &format!("{} {}\n", entry.path().display(), String::from_utf8_lossy(&words).replace('\0', " "));
    }
    Ok(found.lines().filter(|line| line.contains(name)).map(str::to_owned).collect())
}

/// Waits until nothing of it is there: a lab that starts at the same time looks after what others left, by name.
fn assert_nothing_remains(name: &str) -> Result<()> {
    let gone = wait_for("all of it to be gone", SOON, || remains(name).is_ok_and(|left| left.is_empty()));
    gone.with_context(|| format!("it left {:?}", remains(name))).map(drop)
}

fn lab(arguments: &[&str]) -> Result<Output> {
    Command::new(LAB).args(arguments).stdin(Stdio::null()).output().context("run the lab")
}

#[test]
fn an_interrupted_lab_leaves_nothing_behind() -> Result<()> {
    // In the middle of the set-up, of a quiet step, and of one under load.
    for (signal, moment) in
        [(Signal::INT, "1/5"), (Signal::TERM, "2/5"), (Signal::INT, "3/5"), (Signal::HUP, "1/5")]
    {
        let mut running = Running::start(&[])?;
        running.read_until(moment)?;
        let name = running.prefix();
        assert!(!remains(&name)?.is_empty());
        running.process.signal(signal)?;
        let status = running.process.wait(SOON)?;
        assert_eq!((status.code(), status.signal()), (Some(128 + signal.as_raw()), None), "{moment}");
        assert!(running.stderr()?.contains("interrupted"));
        assert_nothing_remains(&name).context(moment)?;
    }
    Ok(())
}

#[test]
fn what_a_killed_lab_leaves_behind_can_be_removed() -> Result<()> {
    let mut running = Running::start(&[])?;
    running.read_until("2/5")?;
    let name = running.prefix();
    let down = lab(&["down", "--name", &name])?;
    assert_eq!(down.status.code(), Some(1), "it is still being shown: {down:?}");
    running.process.kill();
    // It fails only if another lab, which starts meanwhile, does the same.
    lab(&["down", "--name", &name])?;
    assert_nothing_remains(&name)
}

#[test]
fn a_lab_that_is_left_up_can_be_entered_and_removed() -> Result<()> {
    let mut running = Running::start(&["--no-show"])?;
    running.read_until("1/1")?;
    let name = running.prefix();
    let status = running.process.wait(SOON)?;
    assert!(status.success(), "{}", running.stderr()?);

    let at = |host: &str, program: &[&str]| lab(&[&["shell", host, "--name", &name, "--"], program].concat());
    for url in ["http://10.200.0.1/", "http://[fd00:200::1]/"] {
        let answer = at("client", &["curl", "-sS", "-m", "5", url])?;
        assert!(String::from_utf8_lossy(&answer.stdout).starts_with("backend"), "{answer:?}");
    }
    let status = at("director", &["vip", "status", "--json"])?;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    assert_eq!(status["controller"], true);
    let hostless = at("b9", &["true"])?;
    assert_eq!(hostless.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&hostless.stderr).contains("backend4"), "{hostless:?}");
    let addresses = at("b2", &["ip", "address", "show", "lo"])?;
    assert!(String::from_utf8_lossy(&addresses.stdout).contains("10.200.0.1"), "{addresses:?}");
    let status = lab(&["status", "--name", &name])?;
    assert!(
        status.status.success() && String::from_utf8_lossy(&status.stdout).contains("10.77.0.102"),
        "{status:?}"
    );

    let down = lab(&["down", "--name", &name])?;
    assert!(down.status.success(), "{down:?}");
    assert_nothing_remains(&name)?;
    assert_eq!(lab(&["shell", "client", "--name", &name, "--", "true"])?.status.code(), Some(1));
    Ok(())
}
