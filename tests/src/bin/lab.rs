//! The program behind `cargo xtask lab`. It only reads its arguments and tells errors; the lab is `vip_tests::lab`.

use std::process::ExitCode;

use clap::Parser as _;
use vip_tests::lab::{Options, exit_code, run};

#[expect(clippy::print_stderr, reason = "this is where errors are told")]
fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}
