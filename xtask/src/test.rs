//! `cargo xtask test`: runs every test of the workspace and adds up the counts that cargo prints for each test
//! program. It does not know what is tested.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{setup, shell};

#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Passed to `cargo test`, such as a part of a test's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    shell::need_root("loading programs into the kernel and making network namespaces, as the tests do,")?;
    setup::ensure(setup::Need::Everything)?;
    // Stories run the binaries themselves, and `cargo test` alone does not build those of other packages.
    // The programs of vip-ebpf have no tests: they are tested through the kernel, by vip-tests.
    let packages = ["--workspace", "--exclude", "vip-ebpf", "--locked"];
    shell::run(shell::cargo().arg("build").args(packages))?;
    // Not in release mode: overflow checks and debug assertions are worth more to a test than speed.
    let mut command = shell::cargo();
    command.arg("test").args(packages).arg("--no-fail-fast").args(&arguments.cargo);
    let mut child = command.stdout(Stdio::piped()).spawn().context("run cargo test")?;
    let mut counts = stream(&mut child)?;
    if !child.wait().context("wait for cargo test")?.success() {
        // A test program that did not compile, or died, counted nothing.
        counts.failed = counts.failed.max(1);
    }
    shell::print(&counts.to_string());
    if counts.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

/// Shows what the tests print as it comes, and adds up their counts.
fn stream(child: &mut Child) -> Result<Counts> {
    let stdout = child.stdout.take().context("read from cargo test")?;
    let mut counts = Counts::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("read from cargo test")?;
        let line = String::from_utf8_lossy(&line);
        shell::print(&line);
        counts.add(&line);
    }
    Ok(counts)
}

/// How many tests did what, in all test programs.
#[derive(Default, Debug, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Counts {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`; others count nothing.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let number: u64 = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 {
            write!(formatter, ", {} skipped", self.ignored)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_all_test_programs_are_added_up() {
        let mut counts = Counts::default();
        counts.add(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s",
        );
        counts.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!(counts, Counts { passed: 15, failed: 2, ignored: 1 });
        assert_eq!(counts.to_string(), "15 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_line_that_only_looks_like_a_result_counts_nothing() {
        let mut counts = Counts::default();
        counts.add("note: test result: ok. 12 passed; 0 failed");
        counts.add("test stories::spread ... ok");
        assert_eq!(counts.to_string(), "0 passed, 0 failed");
    }
}
