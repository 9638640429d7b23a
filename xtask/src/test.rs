//! `cargo xtask test`: runs every test of the workspace, then those of `fuzz.rs` and `kernels.rs`, and adds up the counts
//! that each test program prints. It does not know what is tested.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    counts::Counts,
    fuzz, kernels,
    printed::Printed,
    setup,
    shell::{self, say},
};

/// What is built and tested. The programs of vip-ebpf have no tests: they are tested through the kernel, by vip-tests.
pub(crate) const PACKAGES: [&str; 4] = ["--workspace", "--exclude", "vip-ebpf", "--locked"];

#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Leave out the tests on other kernels; so does anything that is passed to cargo
    #[arg(long)]
    no_kernels: bool,
    /// Leave out the fuzzing; so does anything that is passed to cargo
    #[arg(long)]
    no_fuzzing: bool,
    /// Passed to `cargo test`, such as a part of a test's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    shell::need_root("loading programs into the kernel and making network namespaces, as the tests do,")?;
    setup::ensure(setup::Need::Everything)?;
    // Stories run the binaries themselves, and `cargo test` alone does not build those of other packages.
    shell::run(shell::cargo().arg("build").args(PACKAGES))?;
    // Not in release mode: overflow checks and debug assertions are worth more to a test than speed.
    let mut command = shell::cargo();
    command.arg("test").args(PACKAGES).arg("--no-fail-fast").args(showing_output(&arguments.cargo));
    let mut child = command.stdout(Stdio::piped()).spawn().context("run cargo test")?;
    let mut counts = stream(&mut child)?;
    if !child.wait().context("wait for cargo test")?.success() {
        // A test program that did not compile, or died, counted nothing.
        counts.failed = counts.failed.max(1);
    }
    counts.add(fuzzing(arguments));
    counts.add(on_other_kernels(arguments));
    shell::print(&counts.to_string());
    if counts.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

/// Counts as two tests: a planted mistake is found, and in the decision as it is there is none.
fn fuzzing(arguments: &Arguments) -> Counts {
    if arguments.no_fuzzing || !arguments.cargo.is_empty() {
        say("fuzzing is left out, as asked");
        return Counts::default();
    }
    let fuzzer = match fuzz::Fuzzer::build() {
        Ok(fuzzer) => fuzzer,
        Err(error) => {
            say(format!("the fuzzer can't be built: {error:#}"));
            return Counts { failed: 1, ..Counts::default() };
        }
    };
    let mut counts = Counts::default();
    for looked in [fuzzer.find_planted(), fuzzer.look(fuzz::SECONDS)] {
        match looked {
            Ok(()) => counts.passed += 1,
            Err(error) => {
                say(format!("{error:#}"));
                counts.failed += 1;
            }
        }
    }
    counts
}

/// A kernel that can't be had counts as one skipped test, and says why; what else goes wrong is a failure.
fn on_other_kernels(arguments: &Arguments) -> Counts {
    if arguments.no_kernels || !arguments.cargo.is_empty() {
        say("other kernels are left out, as asked");
        return Counts::default();
    }
    let outcome = match kernels::test() {
        Ok(outcome) => outcome,
        Err(error) => {
            say(format!("on other kernels: {error:#}"));
            return Counts { failed: 1, ..Counts::default() };
        }
    };
    for skipped in &outcome.skipped {
        say(format!("SKIPPED: nothing was tested on {skipped}"));
    }
    let skipped = Counts { skipped: outcome.skipped.len() as u64, ..Counts::default() };
    let mut counts = outcome.counts;
    counts.add(skipped);
    counts
}

/// The arguments of cargo, with which test programs also show what tests printed that passed: figures and tables.
fn showing_output(cargo: &[String]) -> Vec<String> {
    const SHOW: &str = "--show-output";
    let mut arguments = cargo.to_vec();
    if !arguments.iter().any(|argument| argument == "--") {
        arguments.push("--".into());
    }
    // No test program takes it twice.
    if !arguments.iter().any(|argument| argument == SHOW) {
        arguments.push(SHOW.into());
    }
    arguments
}

/// Shows how the tests end and what they were made to say, as it comes, and adds up their counts.
fn stream(child: &mut Child) -> Result<Counts> {
    let stdout = child.stdout.take().context("read from cargo test")?;
    let (mut counts, mut printed) = (Counts::default(), Printed::default());
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("read from cargo test")?;
        let line = String::from_utf8_lossy(&line);
        if printed.read(&line) {
            shell::print(&line);
        }
        counts.read(&line);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::showing_output;

    #[test]
    fn test_programs_are_asked_once_to_show_what_tests_print() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(showing_output(&[]), words("-- --show-output"));
        assert_eq!(showing_output(&words("floods")), words("floods -- --show-output"));
        assert_eq!(showing_output(&words("-- --exact a")), words("-- --exact a --show-output"));
        assert_eq!(showing_output(&words("-- --show-output")), words("-- --show-output"));
    }
}
