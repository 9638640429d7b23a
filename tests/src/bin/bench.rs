//! `cargo xtask bench`: measures what a packet costs, prints it, and says whether the bars are met.

use std::{
    io::{IsTerminal as _, Write as _, stderr, stdout},
    process::ExitCode,
};

use anyhow::{Result, ensure};
use clap::Parser;
use vip_tests::bench::{BARE, Bar, FLOOR, Rig, Scenario, all, bars, rows, table};

/// Measure what a packet costs: ns per packet of the director beside a floor program, in the kernel.
///
/// Example: cargo xtask bench --only tcp-v4
#[derive(Parser)]
#[command(name = "bench")]
struct Options {
    /// Print one JSON object a row instead of a table
    #[arg(long)]
    json: bool,
    /// Rounds; in each, every scenario takes its turn
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Packets of a scenario in a round
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    packets: u32,
    /// Measure only scenarios whose names contain this (and what they are compared with)
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let scenarios = chosen(options.only.as_deref().unwrap_or_default())?;
    let times = measure(&scenarios, &options)?;
    let rows = rows(&scenarios, &times);
    let bars = bars(&scenarios, &times);
    let mut out = stdout().lock();
    if options.json {
        for row in &rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        write!(stderr(), "{}", verdicts(&bars))?;
    } else {
        let (rounds, packets) = (options.rounds, options.packets);
        writeln!(out, "{rounds} rounds of {packets} packets; ratio to the floor of the same round\n")?;
        write!(out, "{}\n{}", table(&rows), verdicts(&bars))?;
    }
    Ok(if bars.iter().all(Bar::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(only: &str) -> Result<Vec<Scenario>> {
    let matches = |scenario: &Scenario| scenario.name.contains(only);
    ensure!(all().iter().any(matches), "no scenario's name contains {only}");
    Ok(all().into_iter().filter(|row| [BARE, FLOOR].contains(&row.name) || matches(row)).collect())
}

/// Times by round and scenario, in ns: interleaved, so that whatever slows the machine down slows all of a round down.
fn measure(scenarios: &[Scenario], options: &Options) -> Result<Vec<Vec<f64>>> {
    let mut rig = Rig::load()?;
    let mut times = Vec::new();
    for number in 1..=options.rounds {
        let mut round = Vec::new();
        for (at, scenario) in scenarios.iter().enumerate() {
            progress(&format!("round {number}/{}, {}/{}", options.rounds, at + 1, scenarios.len()))?;
            round.push(rig.time(scenario, options.packets)?);
        }
        times.push(round);
    }
    progress("")?;
    Ok(times)
}

/// Shows on a terminal how far it is; nothing elsewhere.
fn progress(text: &str) -> Result<()> {
    let mut terminal = stderr().lock();
    if terminal.is_terminal() {
        write!(terminal, "\r\x1b[K{text}")?;
        terminal.flush()?;
    }
    Ok(())
}

fn verdicts(bars: &[Bar]) -> String {
    bars.iter()
        .map(|bar| {
            let verdict = if bar.holds() { "ok" } else { "MISSED" };
            format!("{:<40} {:>5.2} (at most {:.1}) {verdict}\n", bar.name, bar.figure, bar.limit)
        })
        .collect()
}
