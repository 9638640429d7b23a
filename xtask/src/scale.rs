//! `cargo xtask scale`: builds the measurement and the controller as a user would, and becomes the measurement. What it
//! measures is its own.

use std::process::Command;

use anyhow::Result;

use crate::{setup, shell};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Arguments of the measurement, such as `--json`; `cargo xtask scale --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    scale: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(setup::Need::Everything)?;
    // Optimised: the controller itself is what is measured.
    let packages = ["--locked", "--release", "--package", "vip-userspace", "--package", "vip-tests"];
    shell::run(shell::cargo().arg("build").args(packages).args(["--bin", "vip", "--bin", "scale"]))?;
    let path = shell::target_dir()?.join("release").join("scale");
    shell::become_program(Command::new(path).args(&arguments.scale))
}
