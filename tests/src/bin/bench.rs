//! `cargo xtask bench`: measures what a packet costs, prints it, and says whether the bars are met.

use std::{
    io::{IsTerminal as _, Write as _, stderr, stdout},
    process::ExitCode,
};

use anyhow::{Result, ensure};
use clap::Parser;
use vip_tests::bench::{
    BARE, Bar, FLOOR, Live, LiveRow, Rig, Scenario, all, bars, compared_with, live_bar, rows, table,
};

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
    let only = options.only.as_deref().unwrap_or_default();
    let scenarios = chosen(only);
    let live_too = LIVE.contains(only);
    ensure!(live_too || scenarios.len() > 1, "no scenario's name contains {only}");
    let times = if scenarios.len() > 1 { measure(&scenarios, &options)? } else { Vec::new() };
    let live = if live_too { measure_live(&options)? } else { Vec::new() };
    let rows = if times.is_empty() { Vec::new() } else { rows(&scenarios, &times) };
    let (mut bars, mut unmeasured) = bars(&scenarios, &times);
    match live_bar(&live) {
        Some(bar) => bars.push(bar),
        None => unmeasured.push(LIVE),
    }
    let verdicts = verdicts(&bars, &unmeasured);
    let mut out = stdout().lock();
    if options.json {
        for row in &rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        for row in &live {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        write!(stderr(), "{verdicts}")?;
    } else {
        let (rounds, packets) = (options.rounds, options.packets);
        writeln!(out, "{rounds} rounds of {packets} packets; ratio to the floor of the same round\n")?;
        write!(out, "{}\n{}\n{verdicts}", table(&rows), live_table(&live))?;
    }
    Ok(if bars.iter().all(Bar::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `--only` names live traffic by.
const LIVE: &str = "live-traffic";

/// The scenarios whose names contain `only`, and what they are compared with.
fn chosen(only: &str) -> Vec<Scenario> {
    let wanted: Vec<_> = all().into_iter().filter(|row| row.name.contains(only)).collect();
    if wanted.is_empty() {
        return wanted;
    }
    let others = compared_with(only);
    let needed = |name: &str| [BARE, FLOOR].contains(&name) || others.contains(&name) || name.contains(only);
    all().into_iter().filter(|row| needed(row.name)).collect()
}

fn measure_live(options: &Options) -> Result<Vec<LiveRow>> {
    let mut live = Live::start()?;
    let mut rates = Vec::new();
    for number in 1..=options.rounds {
        progress(&format!("live traffic, round {number}/{}", options.rounds))?;
        rates.push(live.round(options.packets)?);
    }
    progress("")?;
    Ok(Live::rows(&rates))
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

fn live_table(rows: &[LiveRow]) -> String {
    let line = |LiveRow { scenario, flows, packets_a_second, ratio }: &LiveRow| {
        format!("{scenario:<32} {flows:>6} {packets_a_second:>16.0} {ratio:>7.2}\n")
    };
    let head = format!("{:<32} {:>6} {:>16} {:>7}\n", "live traffic", "flows", "packets a second", "ratio");
    if rows.is_empty() { String::new() } else { head + &rows.iter().map(line).collect::<String>() }
}

fn verdicts(bars: &[Bar], unmeasured: &[&str]) -> String {
    let measured = bars.iter().map(|bar| format!("{bar}\n"));
    let others = unmeasured.iter().map(|name| format!("{name:<48} not measured\n"));
    measured.chain(others).collect()
}
