//! A guest: a kernel in qemu, whose every instruction is emulated, because a machine for tests often has no KVM. It does
//! not know what the guest does.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::fetch::Kernel;
use crate::shell;

/// Lines of what a kernel said last that are worth showing.
const LAST_WORDS: usize = 40;

/// Boots a kernel, hands each line that the guest says to `read`, and waits for its end. Says how long that took; none if
/// it was ended because it took longer than `limit`.
pub(super) fn run(
    kernel: &Kernel,
    files: &Path,
    limit: Duration,
    mut read: impl FnMut(&str),
) -> Result<Option<Duration>> {
    let started = Instant::now();
    let mut command = qemu(kernel, files, "");
    command.args(["-serial", "stdio"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut guest = Guest(command.spawn().context("run qemu")?);
    let lines = lines(&mut guest.0)?;
    loop {
        match lines.recv_timeout(limit.saturating_sub(started.elapsed())) {
            Ok(line) => read(&line),
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    guest.0.wait().context("wait for qemu")?;
    Ok(Some(started.elapsed()))
}

/// Boots a kernel with a shell on this terminal, and waits for its end.
pub(super) fn shell(kernel: &Kernel, files: &Path) -> Result<()> {
    let mut command = qemu(kernel, files, "vip_shell=1");
    // Ctrl-C is for the shell; Ctrl-A and X ends qemu.
    command.args(["-chardev", "stdio,id=terminal,mux=on,signal=off", "-serial", "chardev:terminal"]);
    shell::run(&mut command)
}

/// What the kernel said last, on its own serial line.
pub(super) fn last_words(kernel: &Kernel) -> String {
    let said = fs::read(console(kernel)).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
}

fn console(kernel: &Kernel) -> PathBuf {
    kernel.dir().join("console.log")
}

/// qemu with two serial lines, the first of which is the kernel's; the second is for the caller to add.
fn qemu(kernel: &Kernel, files: &Path, arguments: &str) -> Command {
    // It dies with this program, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64", "-nodefaults", "-no-reboot"]);
    command.args(["-display", "none", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2G"]);
    command.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(files);
    // A kernel that panics reboots at once, which ends qemu.
    command.args(["-append", &format!("console=ttyS0 panic=-1 {arguments}")]);
    command.arg("-serial").arg(format!("file:{}", console(kernel).display()));
    command
}

fn lines(child: &mut Child) -> Result<Receiver<String>> {
    let stdout = child.stdout.take().context("read from qemu")?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            // The guest's terminal ends lines with a carriage return.
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Ends with this value.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
