//! `cargo xtask build`: what a plain `cargo build` does, after `setup`.

use anyhow::Result;

use crate::{setup, shell};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Optimise, as for use
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(setup::Need::Toolchain)?;
    shell::run(shell::cargo().args(["build", "--locked"]).args(arguments.release.then_some("--release")))
}
