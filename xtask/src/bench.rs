//! `cargo xtask bench`: builds the measurement and becomes it. What it measures is its own.

use anyhow::Result;

use crate::lab;

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Arguments of the measurement, such as `--json`; `cargo xtask bench --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    lab::become_binary("bench", &arguments.bench)
}
