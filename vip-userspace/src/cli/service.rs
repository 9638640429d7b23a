//! `vip service …`: its arguments, and the commands that they are.

use std::str::FromStr;

use clap::{Args, Subcommand};
use vip_userspace::{
    control::Command,
    model::{
        BackendName, Member, Service, ServiceAddress, ServiceName,
        service::{DEFAULT_SLOTS, DEFAULT_WEIGHT},
    },
};

use super::{check::CheckArgs, placing::PlacingArgs};

/// What is to be done with services.
#[derive(Subcommand, Debug)]
pub(crate) enum ServiceVerb {
    /// List services
    #[command(after_help = "Example:\n  vip service list")]
    List,
    /// Add a service
    #[command(after_help = "Examples:
  vip service add web 10.200.0.1:80/tcp --member b1 --member b2:50 --check http:/health
  vip service add dns [fd00:200::1]:53/udp --check tcp --check-port 53 --interval 2s --timeout 1s
  vip service add shop 10.200.0.4:443 --member b1 --check https:/health --check-host shop.example.org --check-body ok
  vip service add sip 10.200.0.1:5060-5069/udp --member b1 --backup b2 --affinity source --affinity-prefix 24
  vip service add all 10.200.0.2:*/any --member b1 --on-dead reset --fragments 3-tuple
  vip service add api 10.200.0.3:443 --member b1 --member b2 --backup b3 --check tcp --quorum 2 --slow-start 30s
  vip service add ntp 10.200.0.1:123/udp --member b1 --member b2 --scheduler round-robin --window 0s")]
    Add(Box<Add>),
    /// Remove a service; its backends stay
    #[command(after_help = "Example:\n  vip service remove web")]
    Remove {
        /// Its name
        name: ServiceName,
    },
}

/// A service, as the command line states it.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Its name
    name: ServiceName,
    #[arg(
        help = "Where clients find it: VIP:PORT/PROTOCOL, like 10.200.0.1:80/tcp, [fd00:200::1]:8000-8999/udp or \
                  10.200.0.1:*/any; the protocols are tcp, udp, sctp and any, and * is every port"
    )]
    address: ServiceAddress,
    /// A backend that answers for it, with a weight other than 100 behind a colon; repeatable
    #[arg(long = "member", value_name = "BACKEND[:WEIGHT]")]
    members: Vec<Weighted<BackendName>>,
    /// The same for a backup: it gets new flows only while fewer members are eligible than --quorum
    #[arg(long = "backup", value_name = "BACKEND[:WEIGHT]")]
    backups: Vec<Weighted<BackendName>>,
    /// Slots of its ring, a prime at best; fixed for its life
    #[arg(long, default_value_t = DEFAULT_SLOTS)]
    slots: u32,
    #[command(flatten)]
    placing: PlacingArgs,
    #[command(flatten)]
    check: CheckArgs,
}

/// `NAME` or `NAME:WEIGHT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Weighted<T> {
    pub(super) name: T,
    pub(super) weight: u32,
}

impl<T: FromStr<Err: ToString>> FromStr for Weighted<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, weight) = match text.split_once(':') {
            Some((name, weight)) => (name, weight.parse().map_err(|_| format!("{weight:?} is no weight"))?),
            None => (text, DEFAULT_WEIGHT),
        };
        Ok(Self { name: name.parse().map_err(|error: T::Err| error.to_string())?, weight })
    }
}

impl Add {
    /// The command that it is.
    ///
    /// # Errors
    /// Options that do not belong together: a message.
    pub(super) fn command(&self) -> Result<Command, &'static str> {
        let member =
            |of: &Weighted<BackendName>| Member { weight: of.weight, ..Member::new(of.name.clone()) };
        let backups = self.backups.iter().map(|backup| Member { backup: true, ..member(backup) });
        let service = self.placing.apply(Service {
            slots: self.slots,
            check: self.check.check()?,
            members: self.members.iter().map(member).chain(backups).collect(),
            ..Service::new(self.name.clone(), self.address)
        })?;
        Ok(Command::AddService { service: Box::new(service) })
    }
}
