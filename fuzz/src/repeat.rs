//! Repeats inputs of the fuzzer, given as files or as hex, and tells what each of their frames gets: the only file here
//! that prints.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::{env, fs, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use vip_common::direct;
use vip_fuzz::{
    hex,
    input::{Record, decode},
    run,
};

pub(crate) fn main() -> ExitCode {
    let inputs: Vec<_> = env::args().skip(1).collect();
    if inputs.is_empty() {
        eprintln!("name inputs of the fuzzer: files, or their bytes in hex");
        return ExitCode::from(2);
    }
    let mut code = ExitCode::SUCCESS;
    for input in &inputs {
        if let Err(error) = repeat(input) {
            eprintln!("{error:#}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn repeat(name: &str) -> Result<()> {
    let input = match fs::read(name) {
        Ok(bytes) => bytes,
        Err(error) => {
            bytes_of(name).with_context(|| format!("{name} is neither hex nor a file ({error})"))?
        }
    };
    for record in decode(&input) {
        match record {
            Record::Frame(ingress, bytes) => println!("frame by {ingress}: {}", hex(&bytes)),
            entry => println!("{entry:?}"),
        }
    }
    match run(&input, &direct) {
        Ok(actions) => {
            for (number, action) in actions.iter().enumerate() {
                println!("frame {number}: {action:?}");
            }
            Ok(())
        }
        Err(failure) => bail!("{failure}"),
    }
}

fn bytes_of(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>().context("digits are 0 to f")?;
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Ok(u8::try_from(high << 4 | low)?),
            _ => bail!("the number of digits is odd"),
        })
        .collect()
}
