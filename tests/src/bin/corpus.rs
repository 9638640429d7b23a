//! Writes the packet cases as inputs of the fuzzer, for `cargo xtask fuzz`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use vip_tests::corpus;

/// Write every packet case as an input of the fuzzer.
///
/// Example: corpus target/fuzz/seeds
#[derive(Parser)]
#[command(name = "corpus")]
struct Options {
    /// The directory that they are written to, a file each
    directory: PathBuf,
}

fn main() -> Result<()> {
    let directory = Options::parse().directory;
    fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    for (number, seed) in corpus::seeds().iter().enumerate() {
        let file = directory.join(format!("case-{number:04}"));
        fs::write(&file, seed).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}
