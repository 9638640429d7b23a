//! The project's own commands, `cargo xtask …`: which verbs there are. Each verb is a file of its own; this one
//! only reads the command line. It compiles without a BPF toolchain, because `setup` installs that.

mod bench;
mod build;
mod ci;
mod counts;
mod differential;
mod failures;
mod fuzz;
mod imports;
mod kernels;
mod lab;
mod lint;
mod outcome;
mod printed;
mod python;
mod scale;
mod setup;
mod shell;
mod sizes;
mod source;
mod test;
mod toolchain;
mod unsafety;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands. Each one installs what it needs first.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing: a BPF toolchain, and the programs that the tests and the lab run
    Setup(setup::Arguments),
    /// Build the controller, the tools and the BPF programs
    Build(build::Arguments),
    /// Run every test and print the counts; needs root
    Test(test::Arguments),
    /// Check formatting, lints, documentation and the house rules
    Lint,
    /// Show a VIP surviving the death of a backend, in network namespaces; needs root
    Lab(lab::Arguments),
    /// Measure the cost of a packet; needs root
    Bench(bench::Arguments),
    /// Measure the cost of control: a thousand services of a hundred members each; needs root
    Scale(scale::Arguments),
    /// Run tests on Linux 6.1 and 6.12, booted in qemu
    ///
    /// Packet cases, the program attached natively and generically, and HTTP through the director, on the oldest kernel
    /// that is promised and on a later one. The kernels are Debian's: apt fetches their packages into `kernels` in
    /// cargo's target directory, where they are kept; nothing of them is installed.
    Kernels(kernels::Arguments),
    /// Look for packets and tables that make the decision do what it must not
    Fuzz(fuzz::Arguments),
    /// Send packets through the decision on the host and in the kernel, which must agree; needs root
    Differential(differential::Arguments),
    /// All that a change must pass: setup, lint and test
    Ci,
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Setup(arguments) => setup::run(&arguments),
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Lint => lint::run(),
        Verb::Lab(arguments) => lab::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Scale(arguments) => scale::run(&arguments),
        Verb::Kernels(arguments) => kernels::run(&arguments),
        Verb::Fuzz(arguments) => fuzz::run(&arguments),
        Verb::Differential(arguments) => differential::run(&arguments),
        Verb::Ci => ci::run(),
    }
}
