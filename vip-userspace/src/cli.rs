//! What can be said on the command line: verbs, options and their help. It knows nothing of what they do.

use std::path::PathBuf;

use clap::{Args, ColorChoice, Parser, Subcommand};
use vip_userspace::{
    model::AttachMode,
    places::{Instance, Places},
};

use self::{backend::BackendVerb, maintenance::MaintenanceVerb, service::ServiceVerb};
pub(crate) use self::{
    dispatch::{Output, carry_out},
    wait::{Progress, Show},
};

mod backend;
mod capture;
mod check;
mod dispatch;
mod doctor;
mod events;
mod explain;
mod flows;
mod life;
mod maintenance;
mod placing;
mod service;
#[cfg(test)]
mod tests;
mod trace;
mod wait;

const EXAMPLES: &str = "\
Examples:
  vip run --config /etc/vip/vip.toml
  vip status
  vip backend drain b1 --timeout 10m --wait

Exit codes: 0 done, 1 refused, 2 usage, 3 no controller, 4 differences (vip diff); vip doctor: 1 if something breaks traffic";

/// A packet director: many machines answer for one virtual IP address, and it survives their death.
#[derive(Parser, Debug)]
#[command(name = "vip", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Global {
    /// Name of the instance; two of them never touch each other
    #[arg(long, global = true, env = "VIP_INSTANCE", value_name = "NAME", default_value_t)]
    instance: Instance,
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        help = "The control socket [default: RUN-DIR/INSTANCE.sock]"
    )]
    socket: Option<PathBuf>,
    /// Mount point of the BPF file system
    #[arg(long, global = true, value_name = "PATH", default_value = "/sys/fs/bpf")]
    bpffs: PathBuf,
    /// Directory of sockets and locks
    #[arg(long, global = true, value_name = "PATH", default_value = "/run/vip")]
    run_dir: PathBuf,
    /// Directory of the operator's wishes by command
    #[arg(long, global = true, value_name = "PATH", default_value = "/var/lib/vip")]
    state_dir: PathBuf,
    /// Print JSON: results on stdout, errors on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
}

impl Global {
    fn places(&self) -> Places {
        let (bpffs, run, state) = (self.bpffs.clone(), self.run_dir.clone(), self.state_dir.clone());
        Places { bpffs, run, state, instance: self.instance.clone() }
    }

    fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.places().socket())
    }
}

/// What is to be done.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Run the controller: attach the director, and keep its tables right
    ///
    /// It runs until Ctrl-C or SIGTERM; forwarding then stays in place, and the next `vip run` takes it over without
    /// losing a packet. `vip detach` ends forwarding.
    #[command(after_help = "Example:\n  vip run --config /etc/vip/vip.toml --mode native")]
    Run(Run),
    /// Check a configuration file
    ///
    /// Says everything that is wrong with it, each with its line. Nothing of the machine is looked at.
    #[command(after_help = "Example:\n  vip check /etc/vip/vip.toml")]
    Check {
        /// The configuration
        file: PathBuf,
    },
    /// Show services, members, counters and what packets met
    ///
    /// Without a controller it shows what is pinned in the kernel, says so on stderr, and exits with 3.
    #[command(after_help = "Examples:\n  vip status\n  vip status --json")]
    Status,
    /// List the flows that are tracked
    ///
    /// Those that live in slots that have just changed hands, and all of services that track every flow; at rest there are
    /// none. It reads what is pinned, as root, whether a controller runs or not, and changes nothing. Entries that count for
    /// nothing any more are left out.
    #[command(
        after_help = "Examples:\n  vip flows --backend b1\n  vip flows --service web --limit 20 --json"
    )]
    Flows(flows::Flows),
    /// Follow the changes: who is in and out and why, commands, drains, reloads, links, shortages
    ///
    /// One line each, with its time (UTC), until Ctrl-C or the controller's end. Who reads too slowly is told what was missed,
    /// and cut off: it exits with 1 then. With --json each line is an object.
    #[command(after_help = "Examples:\n  vip events\n  vip events --json")]
    Events,
    /// Tell what a packet would get now, and why, step by step
    ///
    /// The packet is made from addresses, or taken from a file. The decision runs over the tables that are pinned, as root,
    /// whether a controller runs or not; nothing is sent, counted, remembered or changed.
    #[command(after_help = "Examples:
  vip explain --src 192.0.2.7:40000 --dst 10.200.0.1:80 --syn
  vip explain --src [2001:db8::7]:5353 --dst [fd00:200::1]:53 --proto udp --in eth0
  vip explain --pcap strange.pcap --count 10 --json")]
    Explain(explain::Explain),
    /// Show live packets, and what each of them gets
    ///
    /// A line each, as they come, until Ctrl-C, --count or --seconds; at last how many were seen, told and lost. While it goes
    /// on, the program on the interfaces is one that also tells what it does; before and after, it costs nothing. It needs the
    /// right to change things. One trace goes on at a time.
    #[command(after_help = "Examples:
  vip trace --dst 10.200.0.1:80 --count 20
  vip trace --dst [fd00:200::1]:443 --reason dropped --steps
  vip trace --src 192.0.2.7 --in eth0 --sample 100 --seconds 600 --pcap out.pcapng")]
    Trace(trace::Trace),
    /// Look for what keeps packets from getting where they should, each with its remedy
    ///
    /// Kernel, drivers, queues, offloads, MTUs and filters of the director's interfaces (or of INTERFACE alone), the load of
    /// queues and CPUs, and on the wire: who else answers for the VIPs. With a controller or without, with a configuration or
    /// without; it changes nothing. It exits with 1 if something breaks traffic.
    ///
    /// An interface that is called `backend` comes behind two dashes: vip doctor -- backend
    #[command(after_help = "Examples:
  vip doctor
  vip doctor eth0 --seconds 10
  vip doctor --config /etc/vip/vip.toml --json
  vip doctor backend --vip 10.200.0.1")]
    Doctor(doctor::Doctor),
    /// Read the configuration file again, and make what runs what it says
    ///
    /// What differs is changed without losing a packet: services, members, weights, checks, backends, interfaces. Wishes by
    /// command are laid over the file again. A bad file changes nothing. SIGHUP does the same, and tells it on the log.
    #[command(after_help = "Examples:\n  vip reload\n  vip reload --reset\n  vip reload --force")]
    Reload(life::Reload),
    /// Show what a reload would change
    ///
    /// It exits with 0 if that is nothing, with 4 if there are differences, and with 1 if the reload would be refused.
    #[command(after_help = "Examples:\n  vip diff\n  vip diff /etc/vip/new.toml\n  vip diff --json")]
    Diff(life::Diff),
    /// Write what runs as a configuration file
    ///
    /// With the wishes by command in it, and without the seed, which is never shown. A file is replaced as a whole, and is
    /// for its owner alone.
    #[command(after_help = "Examples:\n  vip save\n  vip save /etc/vip/saved.toml")]
    Save(life::Save),
    /// List, add and remove services
    #[command(subcommand)]
    Service(ServiceVerb),
    /// List, add, remove, enable, drain, disable and weigh backends
    #[command(subcommand)]
    Backend(BackendVerb),
    /// Take whole backends out of service for maintenance, and back
    #[command(subcommand)]
    Maintenance(MaintenanceVerb),
    /// End forwarding: remove program, tables and links from the kernel
    ///
    /// A running controller ends with it. It works without a controller as well; it exits with 3 if then nothing is
    /// there to remove.
    #[command(after_help = "Examples:\n  vip detach\n  vip detach --instance lab")]
    Detach,
    /// Print completions for a shell
    #[command(after_help = "Example:\n  vip completions bash")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How the controller is run.
#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to attach: auto, native or generic [default: what the configuration says, else auto]
    #[arg(long)]
    mode: Option<AttachMode>,
    /// Drop the wishes by command of earlier runs: only the file holds
    #[arg(long)]
    reset: bool,
    /// Log every packet: slow, to look into a problem
    #[arg(long)]
    log_packets: bool,
}
