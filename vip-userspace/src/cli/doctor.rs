//! `vip doctor`: its arguments, and what is looked at.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use serde_json::json;
use vip_userspace::{
    control::{Code, Refused},
    doctor::{self, Scope},
    places::Places,
};

use super::Output;
use crate::render;

/// Something breaks traffic.
const BROKEN: u8 = 1;

/// What is looked at.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Doctor {
    /// Only this interface [default: those of the configuration, or else all that could forward]
    interface: Option<String>,
    #[command(flatten)]
    source: Source,
    /// For how long the load of queues and CPUs is looked at; 0 leaves it out
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3600))]
    seconds: u32,
    #[command(subcommand)]
    verb: Option<DoctorVerb>,
}

#[derive(Subcommand, Debug)]
enum DoctorVerb {
    /// Print a script that checks a backend, and mends it with --fix
    ///
    /// The VIPs on its loopback, arp_ignore, arp_announce, rp_filter, IPv6 and duplicate address detection; what listens is
    /// told. It is for any POSIX shell with iproute2; run there, it exits with 1 if something is wrong, and changes nothing
    /// without --fix.
    #[command(after_help = "Examples:
  vip doctor backend
  vip doctor backend --vip 10.200.0.1 --vip fd00:200::1
On the backend:
  sh backend.sh
  sh backend.sh --fix")]
    Backend(Backend),
}

#[derive(Args, Debug)]
struct Backend {
    /// A VIP that the backend serves, once for each [default: all that are configured]
    #[arg(long = "vip", value_name = "ADDRESS")]
    vips: Vec<IpAddr>,
    #[command(flatten)]
    source: Source,
}

#[derive(Args, Debug)]
struct Source {
    /// The configuration [default: what runs, or is in /etc/vip/vip.toml, or is pinned]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Doctor {
    pub(super) async fn carry_out(self, places: Places, socket: PathBuf) -> Result<Output, Refused> {
        let Self { interface, source, seconds, verb } = self;
        let scope = |source: Source| Scope { places, socket, config: source.config };
        if let Some(DoctorVerb::Backend(backend)) = verb {
            return backend.carry_out(scope).await;
        }
        let time = Duration::from_secs(seconds.into());
        let report = doctor::examine(&scope(source), interface.as_deref(), time).await?;
        let exit = if report.breaks() { BROKEN } else { 0 };
        let counts = doctor::Severity::ALL.map(|severity| (json!(severity), report.count(severity)));
        let counts: serde_json::Map<_, _> = counts
            .into_iter()
            .filter_map(|(name, count)| Some((name.as_str()?.to_owned(), json!(count))))
            .collect();
        let json = json!({ "findings": report.findings, "load": report.load, "counts": counts });
        Ok(Output { text: render::report(&report), json, but: None, exit })
    }
}

impl Backend {
    async fn carry_out(self, scope: impl FnOnce(Source) -> Scope) -> Result<Output, Refused> {
        let Self { vips, source } = self;
        let vips: BTreeSet<_> = vips.into_iter().collect();
        let demands = doctor::demands(&scope(source), &vips).await?;
        if demands.vips.is_empty() {
            let message = "there is no VIP: no controller runs, and neither a configuration nor anything pinned tells one";
            return Err(
                Refused::new(Code::Usage, message).with_remedy("name them: vip doctor backend --vip ADDRESS")
            );
        }
        let text = doctor::script(&demands);
        Ok(Output { json: json!({ "vips": demands.vips, "script": text }), text, but: None, exit: 0 })
    }
}
