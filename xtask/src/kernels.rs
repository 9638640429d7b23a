//! `cargo xtask kernels`: runs tests on other kernels than this machine's, which is how the oldest kernel that is promised
//! keeps accepting the program. It decides which kernels, and what their results mean; what is tested is the tests' own.

mod boot;
mod cpio;
mod fetch;
mod guest;
mod transcript;

use std::{env::consts::ARCH, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use fetch::Kernel;
use transcript::Transcript;

use crate::{
    outcome::Outcome,
    setup,
    shell::{self, say},
};

/// What boots a guest: the program, and Debian's package of it.
pub(crate) const PROGRAMS: [(&str, &str); 3] =
    [("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("setpriv", "util-linux")];
/// What a guest needs besides the programs that the tests run.
const PROGRAMS_IN_GUEST: [(&str, &str); 2] = [("busybox", "busybox-static"), ("nsenter", "util-linux")];
/// The oldest kernel that is promised, and the one of Debian 13.
const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// How long a guest may take; on two cores that nobody else wants it is a minute and a half.
const LIMIT: Duration = Duration::from_mins(20);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Boot this version alone, any that apt has; may be given more than once [default: 6.1 and 6.12]
    #[arg(long = "kernel", value_name = "VERSION")]
    kernels: Vec<String>,
    /// Fetch the newest package of each version, even if there is one
    #[arg(long)]
    fetch: bool,
    /// Run no tests, but a shell in the guest; Ctrl-A and X leave it
    #[arg(long)]
    shell: bool,
}

/// The kernels that nothing was run on, each with the reason.
pub(crate) type Skipped = Vec<String>;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(setup::Need::Everything)?;
    let versions = match arguments.kernels.as_slice() {
        [] => KERNELS.map(str::to_owned).to_vec(),
        some => some.to_vec(),
    };
    if arguments.shell {
        return open_shell(&versions[0], arguments.fetch);
    }
    let (outcome, skipped) = check(&versions, arguments.fetch)?;
    outcome.print();
    for skipped in &skipped {
        say(format!("not run: {skipped}"));
    }
    ensure!(skipped.is_empty(), "{} of {} kernels not run", skipped.len(), versions.len());
    ensure!(outcome.counts.failed == 0, "tests failed");
    Ok(())
}

/// Runs the tests on every kernel that can be had, as a part of all tests.
pub(crate) fn test() -> Result<(Outcome, Skipped)> {
    check(&KERNELS.map(str::to_owned), false)
}

fn check(versions: &[String], fresh: bool) -> Result<(Outcome, Skipped)> {
    let (mut outcome, mut skipped) = (Outcome::default(), Skipped::new());
    let mut kernels = Vec::new();
    let ready = ready();
    for version in versions {
        match &ready {
            Ok(dir) => match Kernel::get(version, dir, fresh) {
                Ok(kernel) => kernels.push(kernel),
                Err(error) => skipped.push(format!("Linux {version}: {error:#}")),
            },
            Err(error) => skipped.push(format!("Linux {version}: {error:#}")),
        }
    }
    if kernels.is_empty() {
        return Ok((outcome, skipped));
    }
    let programs = guest::build()?;
    let mut reports = Vec::new();
    for kernel in &kernels {
        let (of_kernel, report) = boot(kernel, &programs)?;
        outcome.add(of_kernel);
        reports.extend(report);
    }
    reports.iter().for_each(|line| shell::print(line));
    Ok((outcome, skipped))
}

/// Installs what boots a kernel; says where kernels are kept.
fn ready() -> Result<PathBuf> {
    ensure!(ARCH == "x86_64", "kernels are booted for x86-64 alone, and this machine is {ARCH}");
    setup::ensure_programs(&PROGRAMS)?;
    Ok(shell::target_dir()?.join("kernels"))
}

/// Runs the tests on one kernel; says how they ended, and what of it is to be told when all kernels have been run.
fn boot(kernel: &Kernel, programs: &[(String, PathBuf)]) -> Result<(Outcome, Vec<String>)> {
    let release = &kernel.release;
    let files = kernel.dir().join("files.cpio");
    guest::write(kernel, programs, &files)?;
    say(format!("booting Linux {release} in qemu (a minute or two)"));
    let mut transcript = Transcript::default();
    let took = boot::run(kernel, &files, LIMIT, |line| {
        if transcript.read(line) {
            shell::print(&format!("{}: {line}", kernel.version));
        }
    })?;
    let Transcript { mut outcome, verifier, ended, .. } = transcript;
    outcome.end();
    let how = match took {
        Some(took) if ended => format!("{} s", took.as_secs()),
        Some(took) => format!("{} s, when it died", took.as_secs()),
        None => format!("{} s, when it was ended", LIMIT.as_secs()),
    };
    if !ended {
        outcome.fail("the guest did not come to the end");
        say(format!("Linux {release} did not come to the end; it said last:\n{}", boot::last_words(kernel)));
    }
    let mut report = vec![format!("Linux {release}: {} in {how}", outcome.counts)];
    report.extend(verifier.into_iter().map(|line| format!("Linux {release}: {line}")));
    outcome.failures = outcome.failures.at(&kernel.version);
    Ok((outcome, report))
}

fn open_shell(version: &str, fresh: bool) -> Result<()> {
    let kernel = Kernel::get(version, &ready()?, fresh)?;
    let files = kernel.dir().join("files.cpio");
    guest::write(&kernel, &guest::build()?, &files)?;
    boot::shell(&kernel, &files)
}
