//! The lab: a VIP survives the death of a backend, on real packets, shown step by step. It runs the real `vip` in network
//! namespaces, and touches nothing else of the machine.

mod comeback;
mod death;
pub(crate) mod interrupt;
mod place;
mod report;
mod restart;
mod screen;
mod show;
mod spread;
mod visit;

use anyhow::{Result, bail};

use self::{
    interrupt::{Interrupt, Interrupted},
    place::{Place, Record},
    screen::Screen,
    show::{STEPS, Show},
};
use crate::{
    net::{Host, require_root},
    stage::Stage,
};

/// Shows a VIP surviving the death of a backend, on real packets, in network namespaces of its own.
#[derive(Debug, clap::Parser)]
#[command(name = "lab", bin_name = "cargo xtask lab", after_help = EXAMPLES)]
pub struct Options {
    #[command(subcommand)]
    visit: Option<Visit>,
    /// Leave the lab up when the show is over
    #[arg(long)]
    keep: bool,
    /// Set the lab up and leave it up, without a show
    #[arg(long)]
    no_show: bool,
    /// Show plain lines on a terminal, too
    #[arg(long)]
    plain: bool,
}

const EXAMPLES: &str = "Examples:
  cargo xtask lab --keep
  cargo xtask lab shell client -- curl http://10.200.0.1/
  cargo xtask lab shell director -- vip status
  cargo xtask lab down";

#[derive(Debug, clap::Subcommand)]
enum Visit {
    /// Open a shell, or run a program, on a host of a lab that was left up
    Shell {
        /// client, director, switch, or b1 to b4
        host: String,
        /// A program with its arguments, instead of a shell
        #[arg(last = true)]
        program: Vec<String>,
        /// Name of the lab, if several are up
        #[arg(long)]
        name: Option<String>,
    },
    /// Show the lab that was left up
    Status {
        /// Name of the lab, if several are up
        #[arg(long)]
        name: Option<String>,
    },
    /// Remove every lab that was left up, or was left behind when its program was killed
    Down {
        /// Name of the only one to be removed
        #[arg(long)]
        name: Option<String>,
    },
}

/// Does it; what it shows goes to stdout. Whatever happens, the lab is removed unless it is to be kept.
///
/// # Errors
/// An expectation did not hold, something went wrong, or it was interrupted.
pub fn run(options: &Options) -> Result<()> {
    match &options.visit {
        Some(Visit::Shell { host, program, name }) => visit::shell(name.as_deref(), host, program),
        Some(Visit::Status { name }) => visit::status(name.as_deref()),
        Some(Visit::Down { name }) => visit::down(name.as_deref()),
        None => show(options),
    }
}

/// The exit code that tells of an error of [`run`]: 128 and the signal's number after an interruption, as shells have
/// it, otherwise 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref() {
        Some(Interrupted(signal)) => u8::try_from(128 + signal).unwrap_or(1),
        None => 1,
    }
}

fn show(options: &Options) -> Result<()> {
    require_root()?;
    let interrupt = Interrupt::listen()?;
    sweep_remains()?;
    let steps = if options.no_show { 1 } else { STEPS };
    let screen = Screen::new(steps, options.plain);
    let place = Place::new()?;
    let mut show = Show::set_up(&place, screen, interrupt)?;
    if !options.no_show {
        show.play()?;
    }
    let (stage, report, screen) = show.end();
    screen.say("");
    report.table().iter().for_each(|line| screen.say(line));
    screen.say("");
    if report.failed() == 0 {
        screen.say(&format!("all {} expectations held", report.all()));
    }
    if options.keep || options.no_show {
        keep(place, stage, &screen)?;
    }
    match report.failed() {
        0 => Ok(()),
        1 => bail!("one expectation did not hold"),
        failed => bail!("{failed} expectations did not hold"),
    }
}

/// Labs of which nothing is left but what their programs had no time to remove.
fn sweep_remains() -> Result<()> {
    for (name, record) in place::left()? {
        if record.is_none() {
            place::remove(&name);
        }
    }
    Ok(())
}

/// Leaves it up, and tells how to enter it.
fn keep(place: Place, stage: Stage, screen: &Screen) -> Result<()> {
    let topology = &stage.topology;
    let hosts = topology.clients.iter().chain([&topology.director]).chain(&topology.backends);
    let addressed = |host: &Host| (host.name.clone(), vec![host.address4.into(), host.address6.into()]);
    let record = Record {
        name: place.name().to_owned(),
        program: stage.vip.program().to_owned(),
        options: stage.vip.options(),
        vips: topology.vips.clone(),
        hosts: hosts.map(addressed).chain([("switch".to_owned(), Vec::new())]).collect(),
    };
    stage.keep()?;
    place.keep(&record)?;
    screen.say(&format!("{} is left up:", record.name));
    record.describe().iter().for_each(|line| screen.say(line));
    Ok(())
}
