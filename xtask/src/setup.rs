//! `cargo xtask setup`: installs what is missing, and nothing else. What is needed is decided by `toolchain.rs`;
//! this file only knows apt, rustup and `cargo install`. A machine that has it all is told so within a second.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    kernels, python,
    shell::{self, say},
    toolchain::{self, LINKER, LLVM, Machine, Missing, NIGHTLY, Way},
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only tell what is missing; exits with 1 if anything is
    #[arg(long)]
    check: bool,
}

/// What a verb cannot do without.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// The BPF toolchain.
    Toolchain,
    /// That, and the programs which the tests and the lab run.
    Everything,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.check {
        true => check()?,
        false => ensure(Need::Everything)?,
    }
    // All else works without: nothing is tested on other kernels then, and `test` says so.
    let nothing = ensure_programs(&kernels::PROGRAMS).map_or_else(
        |error| {
            say(format!("`cargo xtask kernels` will not run: {error:#}"));
            "nothing else"
        },
        |()| "nothing",
    );
    let machine = Machine::look();
    let way = machine.ready().map_err(|error| anyhow!(error))?;
    let linker = machine.linker.unwrap_or_default();
    say(format!("{nothing} is missing: BPF by the {way} way, {} {LINKER}, LLVM {LLVM}", linker.display()));
    Ok(())
}

fn check() -> Result<()> {
    let machine = Machine::look();
    let way = machine.choose().map_err(|error| anyhow!(error))?;
    let mut count = 0;
    for missing in machine.missing(way) {
        say(format!("missing: {missing}; install it with `{}`", install_command(&missing)));
        count += 1;
    }
    for (program, package) in missing_of(&toolchain::PROGRAMS).chain(missing_of(&kernels::PROGRAMS)) {
        say(format!("missing: {program}; install it with `{}`", apt_install(&[package])));
        count += 1;
    }
    if let Some(missing) = python::missing()? {
        say(format!("missing: {missing}; install it with `{}`", python::install_commands()?.join(" && ")));
        count += 1;
    }
    if count > 0 {
        bail!("{count} missing; `cargo xtask setup` installs all of it");
    }
    Ok(())
}

/// Installs what is missing of what a verb needs; says nothing if nothing is.
pub(crate) fn ensure(need: Need) -> Result<()> {
    ensure_machine(need)?;
    if need == Need::Everything { python::ensure() } else { Ok(()) }
}

fn ensure_machine(need: Need) -> Result<()> {
    let mut machine = Machine::look();
    let mut way = machine.choose().map_err(|error| anyhow!(error))?;
    let programs = if need == Need::Everything { missing_programs() } else { Vec::new() };
    if machine.missing(way).is_empty() && programs.is_empty() {
        return Ok(());
    }
    let incomplete = !machine.missing(way).is_empty();
    if incomplete && !machine.offered() && machine.wanted.is_none() && can_update() {
        // Which way to go depends on what apt has, and on a fresh machine its lists are empty.
        apt_update();
        machine = Machine::look();
        way = machine.choose().map_err(|error| anyhow!(error))?;
    }
    install(&machine, way, &programs)?;
    Machine::look().ready().map_err(|error| anyhow!("everything was installed, and still {error}"))?;
    match missing_programs().as_slice() {
        [(program, package), ..] if need == Need::Everything => {
            bail!("{program} is still missing; package {package} should have brought it")
        }
        _ => Ok(()),
    }
}

fn install(machine: &Machine, way: Way, programs: &[(&str, &str)]) -> Result<()> {
    let missing = machine.missing(way);
    for piece in &missing {
        say(format!("missing: {piece}"));
    }
    for (program, _) in programs {
        say(format!("missing: {program}"));
    }
    let mut packages: Vec<&str> = missing.iter().flat_map(packages_of).copied().collect();
    packages.extend(programs.iter().map(|(_, package)| *package));
    apt(&packages)?;
    if missing.contains(&Missing::Rustup) {
        bail!(
            "rustup is missing, and apt has no {}: install rustup as https://rustup.rs says",
            toolchain::COMPILER_PACKAGE
        );
    }
    if missing.contains(&Missing::Nightly) {
        say(rustup_install());
        shell::run(Command::new("rustup").args(rustup_install().split(' ').skip(1)))?;
    }
    if missing.iter().any(|piece| matches!(piece, Missing::Linker(_))) {
        install_linker()?;
    }
    Ok(())
}

/// Debian's packages that bring a missing piece, where they can.
fn packages_of(missing: &Missing) -> &'static [&'static str] {
    match missing {
        Missing::Rustc(_) | Missing::Core => &toolchain::COMPILER_PACKAGES,
        Missing::Llvm => &toolchain::LLVM_PACKAGES,
        Missing::Rustup | Missing::Nightly | Missing::Linker(_) => &[],
    }
}

fn install_command(missing: &Missing) -> String {
    match missing {
        Missing::Rustc(_) | Missing::Core | Missing::Llvm => apt_install(packages_of(missing)),
        Missing::Rustup => "a way that https://rustup.rs names".into(),
        Missing::Nightly => rustup_install(),
        Missing::Linker(_) => {
            let prefix = Machine::look().llvm.unwrap_or_else(|| format!("/usr/lib/llvm-{LLVM}").into());
            format!("LLVM_PREFIX={} cargo {}", prefix.display(), linker_install())
        }
    }
}

fn rustup_install() -> String {
    format!("rustup toolchain install {NIGHTLY} --profile minimal --component rust-src")
}

fn linker_install() -> String {
    format!("install bpf-linker --version {LINKER} --locked --no-default-features --features llvm-{LLVM}")
}

fn install_linker() -> Result<()> {
    let Some(prefix) = Machine::look().llvm else {
        bail!(
            "bpf-linker {LINKER} is missing, and so is LLVM {LLVM} to compile it with: install LLVM's development \
             files and set LLVM_PREFIX to where they are, or put a released bpf-linker {LINKER} on PATH \
             (`cargo binstall bpf-linker@{LINKER}`)"
        );
    };
    say(format!("LLVM_PREFIX={} cargo {} (a minute or two)", prefix.display(), linker_install()));
    let mut command = shell::cargo();
    // Not for the project's own code, so not with the flags that its build may be given.
    command.env("LLVM_PREFIX", prefix).env_remove("RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
    shell::run(command.args(linker_install().split(' ')))
}

/// Installs programs that are missing; says nothing if none is.
pub(crate) fn ensure_programs(programs: &[(&'static str, &'static str)]) -> Result<()> {
    let packages: Vec<&str> = missing_of(programs).map(|(_, package)| package).collect();
    missing_of(programs).for_each(|(program, _)| say(format!("missing: {program}")));
    apt(&packages)?;
    match missing_of(programs).next() {
        Some((program, package)) => {
            bail!("{program} is still missing; package {package} should have brought it")
        }
        None => Ok(()),
    }
}

fn missing_programs() -> Vec<(&'static str, &'static str)> {
    missing_of(&toolchain::PROGRAMS).collect()
}

fn missing_of(
    programs: &[(&'static str, &'static str)],
) -> impl Iterator<Item = (&'static str, &'static str)> {
    programs.iter().copied().filter(|(program, _)| toolchain::program(program).is_none())
}

fn apt_install(packages: &[&str]) -> String {
    format!("apt-get install --yes --no-install-recommends {}", packages.join(" "))
}

/// Whether apt's lists can be fetched.
pub(crate) fn can_update() -> bool {
    shell::is_root() && toolchain::program("apt-get").is_some()
}

/// Fetches apt's lists. One archive out of reach is no reason to stop: another may have what is wanted.
pub(crate) fn apt_update() {
    say("apt-get update");
    let mut command = Command::new("apt-get");
    command.args(["--quiet", "--quiet", "update"]).stdin(Stdio::null());
    if let Err(error) = shell::run(&mut command) {
        say(error);
    }
}

/// Installs packages, after an update of apt's lists if they turn out to be empty or old.
fn apt(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let mut packages = packages.to_vec();
    packages.sort_unstable();
    packages.dedup();
    let command = apt_install(&packages);
    if toolchain::program("apt-get").is_none() {
        bail!("this machine has no apt; install what Debian calls {}", packages.join(", "));
    }
    if !shell::is_root() {
        bail!("installing needs root; run `sudo {command}`, and this again");
    }
    say(&command);
    if install_packages(&packages).is_err() {
        apt_update();
        install_packages(&packages).with_context(|| format!("`{command}` failed"))?;
    }
    Ok(())
}

/// A package that brings a server would start it: the web server that the lab uses must not run on this machine.
const WITHOUT_SERVICES: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
"$@"
"#;

fn install_packages(packages: &[&str]) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", WITHOUT_SERVICES, "sh", "apt-get", "--quiet", "--quiet"]);
    command.args(["--option", "DPkg::Lock::Timeout=300", "--option", "Dpkg::Use-Pty=0"]);
    command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    shell::run(command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()))
}
