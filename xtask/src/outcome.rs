//! What came of tests: how many did what, and the names of those that failed. The two agree: what has failed is counted and
//! named, be it a test or a program that died before it could count.

use std::{fmt, process::ExitStatus};

use crate::{counts::Counts, failures::Failures, shell};

/// What came of some tests.
#[derive(Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) failures: Failures,
}

impl Outcome {
    /// Takes a line of cargo, or of a test program that it runs. True if it is the first one of another program.
    pub(crate) fn read_cargo(&mut self, line: &str) -> bool {
        self.counts.read(line);
        self.failures.read_cargo(line)
    }

    /// Cargo has ended.
    pub(crate) fn end_cargo(&mut self, status: ExitStatus) {
        self.end();
        if !status.success() && self.counts.failed == 0 {
            self.fail(format!("cargo test ended with {status}"));
        }
    }

    /// The test program that ran has ended. One that died counted nothing, nor did one that was not compiled.
    pub(crate) fn end(&mut self) {
        self.failures.end();
        let named = self.failures.names().len() as u64;
        self.counts.failed = self.counts.failed.max(named);
    }

    /// Something that is no test has failed.
    pub(crate) fn fail(&mut self, what: impl fmt::Display) {
        self.counts.failed += 1;
        self.failures.add(what);
    }

    /// Adds what came of others.
    pub(crate) fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        self.failures.add_all(other.failures);
    }

    /// Prints the names of what failed, and last the counts.
    pub(crate) fn print(&self) {
        self.failures.names().for_each(|name| shell::print(&format!("failed: {name}")));
        shell::print(&self.counts.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn outcome(output: &str, code: i32) -> (u64, Vec<String>) {
        let mut outcome = Outcome::default();
        for line in output.lines() {
            outcome.read_cargo(line);
        }
        outcome.end_cargo(ExitStatus::from_raw(code << 8));
        (outcome.counts.failed, outcome.failures.names().map(str::to_owned).collect())
    }

    #[test]
    fn as_many_are_named_as_are_counted() {
        let life = "     Running tests/life.rs (target/debug/deps/life-1)\n";
        let failed =
            outcome(&format!("{life}test b ... FAILED\ntest result: FAILED. 0 passed; 1 failed"), 101);
        assert_eq!(failed, (1, vec!["life::b".to_owned()]));
        assert_eq!(outcome(life, 101), (1, vec!["life ended without a result".to_owned()]));
        assert_eq!(outcome("", 101), (1, vec!["cargo test ended with exit status: 101".to_owned()]));
        assert_eq!(outcome(&format!("{life}test result: ok. 1 passed; 0 failed"), 0), (0, Vec::new()));
    }
}
