//! `cargo xtask lab`: builds the lab and becomes it. What the lab shows, and its arguments, are its own.

use std::process::Command;

use anyhow::Result;

use crate::{setup, shell};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Arguments of the lab; `cargo xtask lab --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    lab: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    become_binary("lab", &arguments.lab)
}

/// Builds the binaries and becomes the one of `vip-tests` that has this name. In the profile of the tests: what is
/// measured runs in the kernel, whose programs are always optimised, and nobody waits for a second build.
pub(crate) fn become_binary(binary: &str, arguments: &[String]) -> Result<()> {
    setup::ensure(setup::Need::Everything)?;
    build_binaries()?;
    // Not `cargo run`, which takes one package alone, and may so pick other features and build all of it again.
    let path = shell::target_dir()?.join("debug").join(binary);
    shell::become_program(Command::new(path).args(arguments))
}

/// Builds every binary but the BPF programs and the fuzzer.
pub(crate) fn build_binaries() -> Result<()> {
    // The lab starts `vip` itself, which must be there and as new.
    let packages = ["--locked", "--package", "vip-userspace", "--package", "vip-tests", "--bins"];
    shell::run(shell::cargo().arg("build").args(packages))
}
