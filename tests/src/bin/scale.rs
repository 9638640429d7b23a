//! `cargo xtask scale`: measures what control costs at scale, prints it beside what is asked for, and says whether that
//! holds.

use std::{
    io::{IsTerminal as _, Write as _, stderr, stdout},
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser;
use vip_tests::scale::{Figure, measure, table};

/// Measure what control costs at scale: a thousand services of a hundred members, each of a thousand backends in a hundred
/// of them.
///
/// Example: cargo xtask scale --services 100
#[derive(Parser)]
#[command(name = "scale")]
struct Options {
    /// Print one JSON object a figure instead of a table
    #[arg(long)]
    json: bool,
    /// Services, and as many backends; a tenth as many members in each. What is asked for, is for 1,000
    #[arg(long, default_value_t = 1000, value_parser = services)]
    services: u32,
}

fn services(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 100..=10_000) if number % 100 == 0 => Ok(number),
        _ => Err("a multiple of 100, at most 10,000".to_owned()),
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let figures = measure(options.services, &mut progress)?;
    progress("");
    let mut out = stdout().lock();
    if options.json {
        for figure in &figures {
            writeln!(out, "{}", serde_json::to_string(figure)?)?;
        }
    } else {
        let members = options.services / 10;
        writeln!(out, "{} services of {members} members, {} backends\n", options.services, options.services)?;
        write!(out, "{}", table(&figures))?;
    }
    Ok(if figures.iter().all(Figure::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows what is being done; on a terminal one line that is written over.
fn progress(text: &str) {
    let mut terminal = stderr().lock();
    // Who does not read it does not mind.
    let _ = match (terminal.is_terminal(), text) {
        (true, _) => write!(terminal, "\r\x1b[K{text}").and_then(|()| terminal.flush()),
        (false, "") => Ok(()),
        (false, _) => writeln!(terminal, "{text}"),
    };
}
