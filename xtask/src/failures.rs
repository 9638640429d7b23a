//! What failed, by name: read from the lines of cargo and of Rust's test programs, which know it long before a reader looks
//! for it. It counts nothing, and does not know what is tested.

use std::fmt;

/// How cargo tells that a program starts, that documentation is tested, and that it could not compile something.
const RUNNING: &str = "     Running ";
const DOCUMENTATION: &str = "   Doc-tests ";
const NOT_COMPILED: &str = "error: could not compile ";
/// How cargo tells of a program's end that is more than a failed test, such as a signal.
const ENDED: &str = "  process didn't exit successfully: ";

/// What failed, in words: `life::a_name`.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Failures {
    found: Vec<String>,
    program: Option<Program>,
}

/// A test program that runs.
#[derive(Default, Debug, PartialEq, Eq)]
struct Program {
    name: String,
    failed: Vec<String>,
    /// It has come to its last line.
    has_result: bool,
    /// Names of failed tests follow.
    lists: bool,
    /// How it ended, if cargo has told.
    how: Option<String>,
}

impl Failures {
    /// Adds something that is no test of a test program.
    pub(crate) fn add(&mut self, what: impl fmt::Display) {
        self.found.push(what.to_string());
    }

    /// Adds what failed elsewhere.
    pub(crate) fn add_all(&mut self, others: Self) {
        self.found.extend(others.found);
    }

    /// Says of each where it failed.
    pub(crate) fn at(self, place: &str) -> Self {
        let found = self.found.iter().map(|name| format!("{place}: {name}")).collect();
        Self { found, ..self }
    }

    /// What failed.
    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.found.iter().map(String::as_str)
    }

    /// Takes a line of cargo, which runs one program after the other, or of such a program. True if one starts.
    pub(crate) fn read_cargo(&mut self, line: &str) -> bool {
        if let Some(program) = line.strip_prefix(RUNNING).map(program_name) {
            self.begin(program);
            return true;
        }
        if let Some(package) = line.strip_prefix(DOCUMENTATION) {
            self.begin(&format!("documentation of {package}"));
            return true;
        }
        if let Some(what) = line.strip_prefix(NOT_COMPILED) {
            let what = what.split(" due to ").next().unwrap_or(what);
            self.add(format!("{what} could not be compiled"));
        } else if let Some((_, how)) = line.strip_prefix(ENDED).and_then(|rest| rest.rsplit_once("` (")) {
            self.ends_by(how.trim_end_matches(')'));
        } else {
            self.read(line);
        }
        false
    }

    /// A program starts, and so the one before it has ended.
    pub(crate) fn begin(&mut self, program: &str) {
        self.end();
        self.program = Some(Program { name: program.to_owned(), ..Program::default() });
    }

    /// How the program that runs ends, where that is not with a mere test that failed: `signal: 9, SIGKILL: kill`.
    pub(crate) fn ends_by(&mut self, how: &str) {
        if let Some(program) = &mut self.program {
            program.how = Some(how.to_owned());
        }
    }

    /// Takes a line of the program that runs.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(program) = &mut self.program {
            program.read(line);
        }
    }

    /// The program that ran has ended. One that came to no result, or ended badly after a good one, has failed as well.
    pub(crate) fn end(&mut self) {
        let Some(Program { name, failed, has_result, how, .. }) = self.program.take() else { return };
        let how = how.map(|how| format!(" ({how})"));
        let died = match &how {
            _ if !has_result => Some(format!("{name} ended without a result{}", how.unwrap_or_default())),
            Some(how) if failed.is_empty() => Some(format!("{name} ended badly after a good result{how}")),
            _ => None,
        };
        self.found.extend(failed.iter().map(|test| format!("{name}::{test}")));
        self.found.extend(died);
    }
}

impl Program {
    fn read(&mut self, line: &str) {
        // Once as the test ends, which is all that a program tells which dies; and once in the list, which is told in one
        // piece, whatever other threads print.
        let listed = line.strip_prefix("    ").filter(|_| self.lists);
        let told = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"));
        if let Some(test) = listed.or(told) {
            let test = test.trim_end_matches(" - should panic").to_owned();
            if !self.failed.contains(&test) {
                self.failed.push(test);
            }
        }
        // That is also the line above what failed tests printed, but then an empty one follows.
        self.lists = line == "failures:" || listed.is_some();
        self.has_result |= line.starts_with("test result: ");
    }
}

/// `tests/life.rs (target/debug/deps/life-5e0…)` is `life`.
fn program_name(running: &str) -> &str {
    let path = running.rsplit_once(" (").map_or(running, |(_, path)| path.trim_end_matches(')'));
    let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
    file.rsplit_once('-').map_or(file, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(output: &str) -> Vec<String> {
        let mut failures = Failures::default();
        for line in output.lines() {
            failures.read_cargo(line);
        }
        failures.end();
        failures.found
    }

    #[test]
    fn failed_tests_are_named_with_their_program() {
        let found = failures(
            "     Running unittests src/lib.rs (target/debug/deps/vip_userspace-ab62f81d2f09528d)\n\
             running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed; 0 failed\n\
             \x20    Running tests/life.rs (target/debug/deps/life-71c757cd4af55826)\n\
             running 3 tests\ntest b ... FAILED\ntest c - should panic ... FAILED\ntest d ... ok\n\n\
             failures:\n\n---- b stdout ----\n    no name of a test\n\nfailures:\n    b\n    c\n\n\
             test result: FAILED. 1 passed; 2 failed\n\n\
             error: test failed, to rerun pass `-p vip-tests --test life`\n\
             \x20  Doc-tests vip_common\nrunning 1 test\n\
             test vip-common/src/a.rs - f (line 3) ... FAILED\n\ntest result: FAILED. 0 passed; 1 failed\n",
        );
        let wanted = ["life::b", "life::c", "documentation of vip_common::vip-common/src/a.rs - f (line 3)"];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_name_that_other_threads_talk_into_is_found_in_the_list() {
        let found = failures(
            "     Running tests/life.rs (target/debug/deps/life-71c7)\ntest b ... thread panicked\nFAILED\n\n\
             failures:\n\nfailures:\n    b\n\ntest result: FAILED. 0 passed; 1 failed",
        );
        assert_eq!(found, ["life::b"]);
    }

    #[test]
    fn a_program_without_a_result_is_named_with_its_end_and_what_had_failed_before() {
        let found = failures(
            "     Running tests/life.rs (target/debug/deps/life-71c7)\nrunning 3 tests\ntest b ... FAILED\n\
             error: test failed, to rerun pass `-p vip-tests --test life`\n\nCaused by:\n\
             \x20 process didn't exit successfully: `/target/debug/deps/life-71c7 --show-output` (signal: 9, SIGKILL: kill)\n\
             \x20    Running tests/links.rs (target/debug/deps/links-0a1b)\nrunning 1 test\n",
        );
        let life = "life ended without a result (signal: 9, SIGKILL: kill)";
        assert_eq!(found, ["life::b", life, "links ended without a result"]);
    }

    #[test]
    fn a_program_that_dies_of_cleaning_up_is_named() {
        let found = failures(
            "     Running tests/life.rs (target/debug/deps/life-71c7)\ntest result: ok. 1 passed; 0 failed\n\
             \x20 process didn't exit successfully: `/deps/life-71c7` (signal: 11, SIGSEGV: invalid memory reference)",
        );
        let life = "life ended badly after a good result (signal: 11, SIGSEGV: invalid memory reference)";
        assert_eq!(found, [life]);
    }

    #[test]
    fn what_does_not_compile_is_named() {
        let found = failures(
            "error[E0308]: mismatched types\n\
             error: could not compile `vip-tests` (test \"life\") due to 1 previous error; 2 warnings emitted\n\
             error: could not compile `vip-common` (lib)",
        );
        let wanted =
            ["`vip-tests` (test \"life\") could not be compiled", "`vip-common` (lib) could not be compiled"];
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_failed_elsewhere_is_named_with_the_place() {
        let (mut there, mut all) = (Failures::default(), Failures::default());
        there.add("through::a_name");
        all.add_all(there.at("6.1"));
        assert_eq!(all.names().collect::<Vec<_>>(), ["6.1: through::a_name"]);
    }
}
