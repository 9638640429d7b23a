//! `vip backend …`: its arguments, and the commands that they are.

use std::{net::IpAddr, time::Duration};

use clap::{Args, Subcommand};
use vip_userspace::{
    control::{Command, protocol::Membership},
    model::{Admin, Backend, BackendName, Mac, ServiceName, duration},
};

use super::{service::Weighted, wait::Wait};

/// What is to be done with backends.
#[derive(Subcommand, Debug)]
pub(crate) enum BackendVerb {
    /// List backends
    #[command(after_help = "Example:\n  vip backend list")]
    List,
    /// Add a backend
    #[command(after_help = "Examples:
  vip backend add b3 --address 10.200.1.13 --address fd00:200:1::13 --service web
  vip backend add b4 --address 10.200.1.14 --mac 02:00:00:00:00:14 --service web:50 --service dns
  vip backend add b5 --address 10.200.1.15 --vlan 100 --backup-for web")]
    Add(Add),
    /// Remove a backend, or end its part in one service
    #[command(after_help = "Examples:\n  vip backend remove b3\n  vip backend remove b3 --service web")]
    Remove(Which),
    /// Let a backend get new flows, as before it was drained or disabled
    #[command(after_help = "Examples:\n  vip backend enable b1\n  vip backend enable b1 --service web")]
    Enable(Which),
    /// Give a backend no new flows; it keeps those that it has
    ///
    /// Without --timeout it drains until `enable` or `disable`. With it, it is disabled when its flows are gone, and after that
    /// time at the latest. The controller keeps the time, over restarts; `vip status` shows what is left.
    ///
    /// With --wait: exits with 0 when no flow is left, with 1 if the time was over before.
    #[command(after_help = "Examples:
  vip backend drain b1
  vip backend drain b1 --service web --wait
  vip backend drain b1 --timeout 10m --wait")]
    Drain(Drain),
    /// Take a backend out at once, as if it were dead: its services' on-dead says what its flows get
    #[command(after_help = "Examples:\n  vip backend disable b1\n  vip backend disable b1 --service web")]
    Disable(Which),
    /// Set a backend's share of new flows
    #[command(after_help = "Examples:\n  vip backend weight b1 50\n  vip backend weight b1 0 --service web")]
    Weight(Weight),
}

/// A backend, as the command line states it.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Its name
    name: BackendName,
    /// Its address on the link; once for IPv4, once for IPv6
    #[arg(long = "address", value_name = "ADDRESS", required = true)]
    addresses: Vec<IpAddr>,
    /// Its MAC [default: the kernel is asked]
    #[arg(long)]
    mac: Option<Mac>,
    /// A service that it answers for, with a weight other than 100 behind a colon; repeatable
    #[arg(long = "service", value_name = "SERVICE[:WEIGHT]")]
    services: Vec<Weighted<ServiceName>>,
    /// The same as a backup: it gets new flows only while fewer members are eligible than the quorum
    #[arg(long = "backup-for", value_name = "SERVICE[:WEIGHT]")]
    backups: Vec<Weighted<ServiceName>>,
    /// Id of a VLAN tag of the frames to it; twice for two tags, the outer one first [default: the tags that a frame
    /// came with]
    #[arg(long = "vlan", value_name = "ID", conflicts_with = "untagged")]
    vlans: Vec<u16>,
    /// Frames to it have no VLAN tag
    #[arg(long)]
    untagged: bool,
    /// It is itself a director of the same VIPs
    #[arg(long)]
    director: bool,
}

/// A backend, in one service or in all of its services.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The backend
    name: BackendName,
    /// In this service alone
    #[arg(long)]
    service: Option<ServiceName>,
}

/// A backend that is to be drained.
#[derive(Args, Debug)]
pub(crate) struct Drain {
    #[command(flatten)]
    which: Which,
    /// When its flows are gone, and after this time at the latest, it is disabled, 1s to 168h [default: it drains for ever]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Wait until its flows are gone or the time is over, and show how many are left
    #[arg(long)]
    wait: bool,
}

/// A backend's weight.
#[derive(Args, Debug)]
pub(crate) struct Weight {
    /// The backend
    name: BackendName,
    /// Share of new flows, 0 to 1000; 100 is usual, 0 gets none
    weight: u32,
    /// In this service alone
    #[arg(long)]
    service: Option<ServiceName>,
}

impl BackendVerb {
    /// The command that it is; `None` for the list, which changes nothing.
    ///
    /// # Errors
    /// Options that do not belong together: a message.
    pub(super) fn command(&self) -> Result<Option<Command>, &'static str> {
        Ok(Some(match self {
            Self::List => return Ok(None),
            Self::Add(add) => add.command()?,
            Self::Remove(Which { name, service }) => {
                Command::RemoveBackend { name: name.clone(), service: service.clone() }
            }
            Self::Enable(which) => which.command(Admin::Enabled, None),
            Self::Drain(Drain { which, timeout, .. }) => which.command(Admin::Draining, *timeout),
            Self::Disable(which) => which.command(Admin::Disabled, None),
            Self::Weight(Weight { name, weight, service }) => {
                Command::SetWeight { backend: name.clone(), service: service.clone(), weight: *weight }
            }
        }))
    }

    /// What is to be waited for then.
    pub(super) fn wait(&self) -> Option<Wait> {
        match self {
            Self::Drain(Drain { which: Which { name, service }, wait: true, .. }) => {
                Some(Wait { backend: name.clone(), service: service.clone() })
            }
            _ => None,
        }
    }
}

impl Which {
    fn command(&self, admin: Admin, timeout: Option<Duration>) -> Command {
        Command::SetAdmin { backend: self.name.clone(), service: self.service.clone(), admin, timeout }
    }
}

impl Add {
    fn command(&self) -> Result<Command, &'static str> {
        let vlans = (self.untagged || !self.vlans.is_empty()).then(|| self.vlans.clone());
        let (name, mac, director) = (self.name.clone(), self.mac, self.director);
        let mut backend = Backend { mac, vlans, director, ..Backend::new(name) };
        for address in &self.addresses {
            let former = match address {
                IpAddr::V4(address) => backend.ipv4.replace(*address).is_some(),
                IpAddr::V6(address) => backend.ipv6.replace(*address).is_some(),
            };
            if former {
                return Err("a backend has one IPv4 address and one IPv6 address at most");
            }
        }
        let membership = |weighted: &Weighted<ServiceName>, backup| Membership {
            service: weighted.name.clone(),
            weight: weighted.weight,
            backup,
        };
        let regular = self.services.iter().map(|service| membership(service, false));
        let backups = self.backups.iter().map(|service| membership(service, true));
        Ok(Command::AddBackend { backend, services: regular.chain(backups).collect() })
    }
}
