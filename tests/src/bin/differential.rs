//! `cargo xtask differential`: sends random packets through the decision on the host and in the kernel, and tells how
//! often each reason was met, or on which packet they differ.

use std::{
    io::{IsTerminal as _, Write as _, stderr, stdout},
    process::ExitCode,
    time::Instant,
};

use anyhow::Result;
use clap::Parser;
use vip_tests::{
    differential::{self, Comparison, random_seed},
    packet::hex,
};

/// Send random and mutated packets to the decision on the host and in the kernel: they must agree in
/// what they do, in every byte and in every counter.
///
/// Examples:
///   cargo xtask differential
///   cargo xtask differential --packets 10000 --seed 7
#[derive(Parser)]
#[command(name = "differential", verbatim_doc_comment)]
struct Options {
    /// How many packets
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    packets: u64,
    /// Decides which packets; a number that nobody chose, if left out
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> Result<ExitCode> {
    let Options { packets, seed } = Options::parse();
    let seed = seed.unwrap_or_else(random_seed);
    let mut out = stdout().lock();
    writeln!(out, "{packets} packets of seed {seed}")?;
    let started = Instant::now();
    let outcome =
        differential::run(&Comparison::of_seed(seed), packets, &mut |sent| progress(sent, packets))?;
    match outcome {
        Ok(report) => {
            let seconds = started.elapsed().as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let rate = packets as f64 / seconds;
            writeln!(out, "{report}")?;
            for reason in report.not_met() {
                writeln!(out, "not met: {}", reason.name())?;
            }
            writeln!(
                out,
                "host and kernel agree on all {packets}: {seconds:.1} s, {rate:.0} packets a second"
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(difference) => {
            writeln!(out, "packet {} of seed {seed} is a difference:", difference.number)?;
            writeln!(out, "  {}\n{}", hex(&difference.frame), difference.what)?;
            writeln!(out, "It is repeated by\n  cargo xtask differential --seed {seed} --packets {packets}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Shows on a terminal how far it is; nothing elsewhere.
fn progress(sent: u64, packets: u64) -> Result<()> {
    let mut terminal = stderr().lock();
    if terminal.is_terminal() && (sent.is_multiple_of(16_384) || sent == packets) {
        write!(
            terminal,
            "\r\x1b[K{}",
            if sent == packets { String::new() } else { format!("{sent}/{packets}") }
        )?;
        terminal.flush()?;
    }
    Ok(())
}
