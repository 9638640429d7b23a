//! `cargo xtask differential`: builds the comparison of host and kernel and becomes it. What it sends is its own.

use anyhow::Result;

use crate::{lab, shell};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Arguments of the comparison, such as `--packets`; `cargo xtask differential --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    differential: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    shell::need_root("loading programs into the kernel")?;
    lab::become_binary("differential", &arguments.differential)
}
