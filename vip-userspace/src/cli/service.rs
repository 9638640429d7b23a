//! `vip service …`: its arguments, and the commands that they are.

use std::{str::FromStr, time::Duration};

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use vip_userspace::{
    control::Command,
    model::{
        BackendName, Check, Member, Probe, Service, ServiceAddress, ServiceName, Target, duration,
        service::{DEFAULT_SLOTS, DEFAULT_WEIGHT},
    },
};

use super::placing::PlacingArgs;

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

#[derive(Args, Debug)]
struct CheckArgs {
    /// How members are checked: tcp, or http:PATH; not at all without it
    #[arg(long, value_name = "PROBE")]
    check: Option<ProbeArg>,
    /// Time from one probe to the next, like 500ms or 2s [default: 1s]
    #[arg(long, value_name = "TIME", requires = "check", value_parser = duration::parse)]
    interval: Option<Duration>,
    /// The same while the last probe speaks against the member's health [default: the interval]
    #[arg(long, value_name = "TIME", requires = "check", value_parser = duration::parse)]
    fast_interval: Option<Duration>,
    /// The same while the member is down [default: the interval]
    #[arg(long, value_name = "TIME", requires = "check", value_parser = duration::parse)]
    down_interval: Option<Duration>,
    /// Time that a probe has to succeed [default: 500ms, or the interval where that is shorter]
    #[arg(long, value_name = "TIME", requires = "check", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Successes in a row that take a member in
    #[arg(long, value_name = "COUNT", requires = "check", default_value_t = Check::DEFAULT_RISE)]
    rise: u32,
    /// Failures in a row that take a member out
    #[arg(long, value_name = "COUNT", requires = "check", default_value_t = Check::DEFAULT_FALL)]
    fall: u32,
    /// Port that is probed [default: the service's own]
    #[arg(long, value_name = "PORT", requires = "check")]
    check_port: Option<u16>,
    /// Where probes go: to the VIP through the backend, or to the backend's own address
    #[arg(long, requires = "check", default_value_t, value_name = "PLACE",
        value_parser = PossibleValuesParser::new(Target::WORDS).try_map(|word| word.parse::<Target>()))]
    probe: Target,
    /// Host header of an HTTP probe [default: the probed address]
    #[arg(long, value_name = "HOST", requires = "check")]
    check_host: Option<String>,
    /// Statuses that are a success of an HTTP probe, like 200 or 200-299
    #[arg(long, value_name = "STATUS", requires = "check")]
    expect: Option<Statuses>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum ProbeArg {
    Tcp,
    Http(String),
}

impl FromStr for ProbeArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "tcp" => Ok(Self::Tcp),
            None if text == "http" => Ok(Self::Http("/".to_owned())),
            Some(("http", path)) => Ok(Self::Http(path.to_owned())),
            _ => Err("write tcp, or http:PATH like http:/health"),
        }
    }
}

/// Lowest and highest status.
#[derive(Clone, Copy, Debug)]
struct Statuses(u16, u16);

impl FromStr for Statuses {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let statuses = low.parse().ok().zip(high.parse().ok());
        statuses
            .map(|(low, high)| Self(low, high))
            .ok_or("write a status, like 200, or a range, like 200-299")
    }
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

impl CheckArgs {
    fn check(&self) -> Result<Option<Check>, &'static str> {
        let probe = match &self.check {
            None => return Ok(None),
            Some(ProbeArg::Tcp) if self.check_host.is_some() => {
                return Err("--check-host needs --check http:PATH: a TCP check sends no request");
            }
            Some(ProbeArg::Tcp) if self.expect.is_some() => {
                return Err("--expect needs --check http:PATH: a TCP check sends no request");
            }
            Some(ProbeArg::Tcp) => Probe::Tcp,
            Some(ProbeArg::Http(path)) => Probe::Http {
                path: path.clone(),
                host: self.check_host.clone(),
                expect: self.expect.map_or(Check::DEFAULT_EXPECT, |Statuses(low, high)| (low, high)),
            },
        };
        let interval = self.interval.unwrap_or(Check::DEFAULT_INTERVAL);
        let timeout = self.timeout.unwrap_or(Check::DEFAULT_TIMEOUT.min(interval));
        let Self { fast_interval, down_interval, rise, fall, check_port: port, probe: target, .. } = *self;
        Ok(Some(Check { probe, interval, fast_interval, down_interval, timeout, rise, fall, port, target }))
    }
}
