//! `cargo xtask test`: runs every test of the workspace, then those of `fuzz.rs` and `kernels.rs`, and adds up the counts
//! that each test program prints, and names at last what failed. It does not know what is tested.

use anyhow::{Result, bail};

use crate::{
    fuzz, kernels,
    outcome::Outcome,
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
    let mut outcome = on_this_kernel(arguments)?;
    outcome.add(fuzzing(arguments));
    outcome.add(on_other_kernels(arguments));
    outcome.print();
    if outcome.counts.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

/// Shows how the tests end and what they were made to say, as it comes.
fn on_this_kernel(arguments: &Arguments) -> Result<Outcome> {
    // Not in release mode: overflow checks and debug assertions are worth more to a test than speed.
    let mut command = shell::cargo();
    command.arg("test").args(PACKAGES).arg("--no-fail-fast").args(showing_output(&arguments.cargo));
    let (mut outcome, mut printed) = (Outcome::default(), Printed::default());
    let status = shell::read_lines(command, |line| {
        if outcome.read_cargo(line) {
            printed.end_program();
        }
        if printed.read(line) {
            shell::print(line);
        }
    })?;
    outcome.end_cargo(status);
    Ok(outcome)
}

/// Counts as two tests: a planted mistake is found, and in the decision as it is there is none.
fn fuzzing(arguments: &Arguments) -> Outcome {
    let mut outcome = Outcome::default();
    if arguments.no_fuzzing || !arguments.cargo.is_empty() {
        say("fuzzing is left out, as asked");
        return outcome;
    }
    let fuzzer = match fuzz::Fuzzer::build() {
        Ok(fuzzer) => fuzzer,
        Err(error) => {
            say(format!("the fuzzer can't be built: {error:#}"));
            outcome.fail("fuzzing: the fuzzer can't be built");
            return outcome;
        }
    };
    let looks: [(_, &dyn Fn() -> Result<()>); 2] = [
        ("a planted mistake was not found", &|| fuzzer.find_planted()),
        ("a mistake in the decision as it is", &|| fuzzer.look(fuzz::SECONDS)),
    ];
    for (what, look) in looks {
        match look() {
            Ok(()) => outcome.counts.passed += 1,
            Err(error) => {
                say(format!("{error:#}"));
                outcome.fail(format!("fuzzing: {what}"));
            }
        }
    }
    outcome
}

/// A kernel that can't be had counts as one skipped test, and says why; what else goes wrong is a failure.
fn on_other_kernels(arguments: &Arguments) -> Outcome {
    let mut outcome = Outcome::default();
    if arguments.no_kernels || !arguments.cargo.is_empty() {
        say("other kernels are left out, as asked");
        return outcome;
    }
    match kernels::test() {
        Ok((tested, skipped)) => {
            outcome.add(tested);
            outcome.counts.skipped += skipped.len() as u64;
            skipped.iter().for_each(|kernel| say(format!("SKIPPED: nothing was tested on {kernel}")));
        }
        Err(error) => {
            say(format!("on other kernels: {error:#}"));
            outcome.fail(format!("on other kernels: {error:#}"));
        }
    }
    outcome
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
