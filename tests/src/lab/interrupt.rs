//! Ctrl-C and its kin: noticed at any moment, obeyed at the next wait, so that guards clean up on the way out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use crate::net::wait_for;

/// Whether somebody asked the lab to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicI32>);

/// The lab was asked to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("interrupted by signal {0}")]
pub(crate) struct Interrupted(pub(crate) i32);

impl Interrupt {
    /// Listens to SIGINT, SIGTERM, SIGHUP and SIGQUIT, from now on.
    pub(crate) fn listen() -> Result<Self> {
        let interrupt = Self(Arc::default());
        let runtime = Builder::new_current_thread().enable_all().build().context("make a runtime")?;
        let mut tasks = JoinSet::new();
        let entered = runtime.enter();
        for kind in
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()]
        {
            let mut signals = signal(kind).context("listen to signals")?;
            let interrupt = interrupt.clone();
            tasks.spawn(async move {
                while signals.recv().await.is_some() {
                    interrupt.0.store(kind.as_raw_value(), Ordering::Relaxed);
                }
            });
        }
        drop(entered);
        // Ends with the program.
        thread::Builder::new()
            .spawn(move || runtime.block_on(tasks.join_all()))
            .context("start a thread that listens to signals")?;
        Ok(interrupt)
    }

    /// # Errors
    /// [`Interrupted`], if somebody asked for it.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Interrupted(signal).into()),
        }
    }

    /// As [`wait_for`], unless interrupted.
    ///
    /// # Errors
    /// The condition does not hold in time, or [`Interrupted`].
    pub(crate) fn wait_for(
        &self,
        what: &str,
        within: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Result<Duration> {
        let waited = wait_for(what, within, || self.check().is_err() || condition());
        self.check()?;
        waited
    }
}
