//! `vip maintenance …`: its arguments, and the commands that they are.

use std::time::Duration;

use clap::{Args, Subcommand};
use vip_userspace::{
    control::Command,
    model::{BackendName, Maintenance, duration},
};

use super::wait::Wait;

/// What is to be done with the maintenance of backends.
#[derive(Subcommand, Debug)]
pub(crate) enum MaintenanceVerb {
    /// Take a whole backend out of service, over all services that it is or will be a member of
    ///
    /// It keeps the flows that it has, and gets no new ones; with --now it is out at once, as if it were dead. What is wished
    /// for its single members (drain, disable) stays as it is, and holds again after `off`.
    #[command(after_help = "Examples:
  vip maintenance on b1
  vip maintenance on b1 --timeout 10m --wait
  vip maintenance on b1 --now")]
    On(On),
    /// Let a backend be again what it was before its maintenance
    #[command(after_help = "Example:\n  vip maintenance off b1")]
    Off {
        /// The backend
        name: BackendName,
    },
    /// List the backends that are in maintenance
    #[command(after_help = "Example:\n  vip maintenance list")]
    List,
}

#[derive(Args, Debug)]
pub(crate) struct On {
    /// The backend
    name: BackendName,
    /// Out at once, as if it were dead: its services' on-dead says what its flows get
    #[arg(long, conflicts_with_all = ["timeout", "wait"])]
    now: bool,
    /// When its flows are gone, and after this time at the latest, it is out [default: it drains for ever]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Wait until its flows are gone or the time is over, and show how many are left
    #[arg(long)]
    wait: bool,
}

impl MaintenanceVerb {
    /// The command that it is; `None` for the list, which changes nothing.
    pub(super) fn command(&self) -> Option<Command> {
        match self {
            Self::On(On { name, now, timeout, .. }) => Some(Command::SetMaintenance {
                backend: name.clone(),
                maintenance: if *now { Maintenance::Disabled } else { Maintenance::Draining },
                timeout: *timeout,
            }),
            Self::Off { name } => Some(Command::SetMaintenance {
                backend: name.clone(),
                maintenance: Maintenance::Off,
                timeout: None,
            }),
            Self::List => None,
        }
    }

    /// What is to be waited for then.
    pub(super) fn wait(&self) -> Option<Wait> {
        match self {
            Self::On(On { name, wait: true, .. }) => Some(Wait { backend: name.clone(), service: None }),
            _ => None,
        }
    }
}
