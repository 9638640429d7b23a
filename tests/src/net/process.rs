//! A program that runs beside the test, and never longer than its guard.

use std::{
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use super::wait_for;

/// A running program; killed and waited for when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    keep: bool,
}

impl Process {
    /// Starts `command`; `name` is how errors call it.
    ///
    /// # Errors
    /// It can't be run.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        // What a terminal sends to this program, such as Ctrl-C, is not for that one.
        let child = command.process_group(0).spawn().with_context(|| format!("start {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, keep: false })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself: for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The kernel can't tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("wait for {}", self.name))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        ensure!(self.ended()?.is_none(), "{} has ended already", self.name);
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("send a signal to {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after that time.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let mut status = None;
        let what = format!("the end of {}", self.name);
        wait_for(&what, within, || {
            status = self.child.try_wait().unwrap_or_default();
            status.is_some()
        })?;
        status.with_context(|| what)
    }

    /// Kills it, as a crash would, and waits for its end. Nothing happens if it has ended already.
    pub fn kill(&mut self) {
        // Only a process that was waited for can't be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Leaves it running when the guard is dropped.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.keep {
            self.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ends_with_its_guard() {
        let process = Process::start("sleep", Command::new("sleep").arg("1000")).unwrap();
        let id = Pid::from_child(&process.child);
        drop(process);
        assert!(rustix::process::test_kill_process(id).is_err());
    }

    #[test]
    fn a_signal_ends_a_process_and_the_status_tells() {
        let mut process = Process::start("sleep", Command::new("sleep").arg("1000")).unwrap();
        assert!(process.ended().unwrap().is_none());
        process.signal(Signal::TERM).unwrap();
        let status = process.wait(Duration::from_secs(5)).unwrap();
        assert!(!status.success());
        assert!(process.signal(Signal::TERM).is_err());
    }
}
