//! How members are checked, as the options of `vip service add` state it.

use std::{str::FromStr, time::Duration};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use vip_userspace::model::{Check, Dns, Grpc, Http, Method, Probe, Rcode, Record, Target, Tls, duration};

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[arg(
        long,
        value_name = "PROBE",
        help = "How members are checked: tcp, tls, http:PATH, https:PATH, grpc:SERVICE, grpcs:SERVICE, dns:NAME or ping; not at all without it"
    )]
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
    #[command(flatten)]
    options: ProbeOptions,
}

/// What not every kind of probe knows.
#[derive(Args, Debug)]
struct ProbeOptions {
    /// Host of an HTTP or gRPC probe [default: the probed address]
    #[arg(long, value_name = "HOST", requires = "check")]
    check_host: Option<String>,
    /// Method of an HTTP probe [default: GET]
    #[arg(long, value_name = "METHOD", requires = "check",
        value_parser = PossibleValuesParser::new(Method::WORDS).try_map(|word| word.parse::<Method>()))]
    check_method: Option<Method>,
    /// Statuses that are a success of an HTTP probe, like 200 or 200-299
    #[arg(long, value_name = "STATUS", requires = "check")]
    expect: Option<Statuses>,
    /// Text that the body of the answer to an HTTP probe is to have
    #[arg(long, value_name = "TEXT", requires = "check")]
    check_body: Option<String>,
    /// Name that a TLS probe asks for, and that the certificate is to be for [default: the host, or the probed address]
    #[arg(long, value_name = "NAME", requires = "check")]
    check_sni: Option<String>,
    /// File of the certificates that a TLS probe trusts, in PEM [default: those that the director's box trusts]
    #[arg(long, value_name = "FILE", requires = "check")]
    check_ca: Option<String>,
    /// A TLS probe takes any certificate
    #[arg(long, requires = "check", conflicts_with = "check_ca")]
    check_insecure: bool,
    /// Type of the records that a DNS probe asks for [default: A]
    #[arg(long, value_name = "TYPE", requires = "check", ignore_case = true,
        value_parser = PossibleValuesParser::new(Record::WORDS).try_map(|word| word.to_uppercase().parse::<Record>()))]
    check_record: Option<Record>,
    /// Code of the answer that is a success of a DNS probe [default: NOERROR]
    #[arg(long, value_name = "CODE", requires = "check", ignore_case = true,
        value_parser = PossibleValuesParser::new(Rcode::WORDS).try_map(|word| word.to_uppercase().parse::<Rcode>()))]
    check_rcode: Option<Rcode>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum ProbeArg {
    Tcp,
    Tls,
    Http(String),
    Https(String),
    Grpc(String),
    Grpcs(String),
    Dns(String),
    Ping,
}

impl FromStr for ProbeArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, of) = text.split_once(':').map_or((text, None), |(kind, of)| (kind, Some(of.to_owned())));
        let path = of.clone().unwrap_or_else(|| "/".to_owned());
        match (kind, of) {
            ("tcp", None) => Ok(Self::Tcp),
            ("tls", None) => Ok(Self::Tls),
            ("http", _) => Ok(Self::Http(path)),
            ("https", _) => Ok(Self::Https(path)),
            ("grpc", of) => Ok(Self::Grpc(of.unwrap_or_default())),
            ("grpcs", of) => Ok(Self::Grpcs(of.unwrap_or_default())),
            ("dns", Some(name)) => Ok(Self::Dns(name)),
            ("ping", None) => Ok(Self::Ping),
            ("script", _) => {
                Err("a script is stated in the configuration file alone: commands run no programs")
            }
            _ => Err(
                "write tcp, tls, http:PATH like http:/health, https:PATH, grpc:SERVICE, grpcs:SERVICE, dns:NAME or ping",
            ),
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

impl CheckArgs {
    /// The check that they state, if any.
    ///
    /// # Errors
    /// Options that the probe does not know: a message.
    pub(super) fn check(&self) -> Result<Option<Check>, &'static str> {
        let Some(kind) = &self.check else { return Ok(None) };
        self.options.refuse_strangers(kind)?;
        let probe = self.options.probe(kind);
        let interval = self.interval.unwrap_or(Check::DEFAULT_INTERVAL);
        let timeout = self.timeout.unwrap_or(Check::DEFAULT_TIMEOUT.min(interval));
        let Self { fast_interval, down_interval, rise, fall, check_port: port, probe: target, .. } = *self;
        Ok(Some(Check { probe, interval, fast_interval, down_interval, timeout, rise, fall, port, target }))
    }
}

impl ProbeOptions {
    /// Refuses what that kind of probe does not know.
    fn refuse_strangers(&self, kind: &ProbeArg) -> Result<(), &'static str> {
        use ProbeArg::{Dns, Grpc, Grpcs, Http, Https, Tls};
        let http = matches!(kind, Http(_) | Https(_));
        let host = http || matches!(kind, Grpc(_) | Grpcs(_));
        let tls = matches!(kind, Tls | Https(_) | Grpcs(_));
        let dns = matches!(kind, Dns(_));
        let strangers = [
            (self.check_host.is_some() && !host, "--check-host needs --check http, https, grpc or grpcs"),
            (self.check_method.is_some() && !http, "--check-method needs --check http or https"),
            (self.expect.is_some() && !http, "--expect needs --check http or https"),
            (self.check_body.is_some() && !http, "--check-body needs --check http or https"),
            (self.check_sni.is_some() && !tls, "--check-sni needs --check tls, https or grpcs"),
            (self.check_ca.is_some() && !tls, "--check-ca needs --check tls, https or grpcs"),
            (self.check_insecure && !tls, "--check-insecure needs --check tls, https or grpcs"),
            (self.check_record.is_some() && !dns, "--check-record needs --check dns:NAME"),
            (self.check_rcode.is_some() && !dns, "--check-rcode needs --check dns:NAME"),
        ];
        strangers.into_iter().find(|(is_stranger, _)| *is_stranger).map_or(Ok(()), |(_, said)| Err(said))
    }

    fn probe(&self, kind: &ProbeArg) -> Probe {
        match kind {
            ProbeArg::Tcp => Probe::Tcp,
            ProbeArg::Tls => Probe::Tls(self.tls()),
            ProbeArg::Http(path) => Probe::Http(self.http(path)),
            ProbeArg::Https(path) => Probe::Http(Http { tls: Some(self.tls()), ..self.http(path) }),
            ProbeArg::Grpc(service) => Probe::Grpc(self.grpc(service)),
            ProbeArg::Grpcs(service) => Probe::Grpc(Grpc { tls: Some(self.tls()), ..self.grpc(service) }),
            ProbeArg::Ping => Probe::Ping,
            ProbeArg::Dns(name) => Probe::Dns(Dns {
                name: name.clone(),
                record: self.check_record.unwrap_or_default(),
                rcode: self.check_rcode.unwrap_or_default(),
            }),
        }
    }

    fn http(&self, path: &str) -> Http {
        Http {
            method: self.check_method.unwrap_or_default(),
            host: self.check_host.clone(),
            expect: self.expect.map_or(Check::DEFAULT_EXPECT, |Statuses(low, high)| (low, high)),
            body: self.check_body.clone(),
            ..Http::get(path)
        }
    }

    fn grpc(&self, service: &str) -> Grpc {
        Grpc { service: service.to_owned(), host: self.check_host.clone(), tls: None }
    }

    fn tls(&self) -> Tls {
        Tls { sni: self.check_sni.clone(), ca: self.check_ca.clone(), insecure: self.check_insecure }
    }
}
