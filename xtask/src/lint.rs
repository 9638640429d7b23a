//! `cargo xtask lint`: runs every check even if one fails, so that one run tells all. The house rules are tables in
//! `imports.rs`, `unsafety.rs` and `sizes.rs`; this file decides none of them.

use std::{env::consts::ARCH, fs, path::PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    imports, setup,
    shell::{self, say},
    sizes,
    source::Source,
    toolchain::{Machine, build_args, program},
    unsafety,
};

/// The document that names the files with unsafe code.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Says itself what it finds, and fails if that is anything.
type Check = fn() -> Result<()>;

pub(crate) fn run() -> Result<()> {
    setup::ensure(setup::Need::Toolchain)?;
    components()?;
    let checks: [(&str, Check); 6] = [
        ("formatting", || shell::run(shell::cargo().args(["fmt", "--all", "--check"]))),
        ("clippy", clippy),
        ("warnings of the BPF programs", bpf_warnings),
        ("documentation", documentation),
        ("imports", || report(&imports::violations(&sources("vip-userspace/src")?))),
        ("unsafe code", unsafe_code),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        say(format!("checking {name}"));
        if let Err(error) = check() {
            say(format!("{error:#}"));
            failed.push(name);
        }
    }
    for hint in sizes::hints(&all_sources()?) {
        say(format!("hint: {hint}"));
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Adds what rustup's smallest profile leaves out.
fn components() -> Result<()> {
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let there =
            shell::cargo().args([command, "--version"]).output().is_ok_and(|output| output.status.success());
        if there {
            continue;
        }
        let Some(rustup) = program("rustup") else {
            bail!("cargo {command} is missing; install {component} beside this cargo");
        };
        say(format!("rustup component add {component}"));
        shell::run(std::process::Command::new(rustup).args(["component", "add", component]))?;
    }
    Ok(())
}

fn clippy() -> Result<()> {
    shell::run(shell::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The programs are checked by clippy as if for the host; this compiles them for BPF, where warnings may differ.
fn bpf_warnings() -> Result<()> {
    let target = shell::target_dir()?.join("bpf-lint");
    let machine = Machine::look();
    let way = machine.ready().map_err(|error| anyhow!(error))?;
    let mut command = machine.cargo(way, &shell::cargo_path(), ARCH, "-Dwarnings");
    command.current_dir(shell::workspace()).arg("check").args(build_args(way, &target));
    let output = command.output().context("run cargo for BPF")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn documentation() -> Result<()> {
    let mut command = shell::cargo();
    command.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    shell::run(&mut command)
}

fn unsafe_code() -> Result<()> {
    let text = fs::read_to_string(shell::workspace().join(ARCHITECTURE))
        .with_context(|| format!("read {ARCHITECTURE}"))?;
    report(&unsafety::violations(&all_sources()?, &text))
}

fn report(violations: &[String]) -> Result<()> {
    for violation in violations {
        say(violation);
    }
    match violations.len() {
        0 => Ok(()),
        count => bail!("{count} against the rules of the house"),
    }
}

fn all_sources() -> Result<Vec<Source>> {
    let mut all = Vec::new();
    for package in ["vip-common", "vip-ebpf", "vip-userspace", "xtask", "tests", "fuzz"] {
        all.extend(sources(package)?);
    }
    Ok(all)
}

/// Every source file below a directory of the workspace.
fn sources(below: &str) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    let mut dirs = vec![PathBuf::from(below)];
    while let Some(dir) = dirs.pop() {
        let entries =
            fs::read_dir(shell::workspace().join(&dir)).with_context(|| format!("read {}", dir.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("read {}", dir.display()))?;
            let path = dir.join(entry.file_name());
            if entry.file_type().with_context(|| format!("read {}", path.display()))?.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files.into_iter().map(|path| read(&path.to_string_lossy())).collect()
}

fn read(path: &str) -> Result<Source> {
    let text = fs::read_to_string(shell::workspace().join(path)).with_context(|| format!("read {path}"))?;
    Source::parse(path, &text).map_err(|error| anyhow!("{path}: {error}"))
}
