//! What a guest says, line by line: which of it is worth showing, and how its tests ended. It knows neither guest nor
//! kernel.

use crate::{counts::Counts, printed::Printed};

/// How the first process of a guest begins what it says itself.
const GUEST: &str = "guest: ";
/// How a test tells what the kernel's verifier did.
const VERIFIER: &str = "the verifier processed ";

/// What a guest has said up to now.
#[derive(Default)]
pub(super) struct Transcript {
    /// How its tests ended.
    pub(super) counts: Counts,
    /// What they say of the verifier.
    pub(super) verifier: Vec<String>,
    /// All test programs have been run.
    pub(super) ended: bool,
    /// What the test programs before this one counted.
    before: Counts,
    printed: Printed,
}

impl Transcript {
    /// Takes one line, and says whether a reader should see it.
    pub(super) fn read(&mut self, line: &str) -> bool {
        self.counts.read(line);
        if line.starts_with(VERIFIER) {
            self.verifier.push(line.to_owned());
        }
        if let Some(said) = line.strip_prefix(GUEST) {
            self.said(said);
        }
        self.printed.read(line)
    }

    fn said(&mut self, line: &str) {
        self.printed.end_program();
        self.ended |= line == "that is all";
        let Some((_, code)) = line.split_once(" ended with ") else { return };
        // A program that was killed counts nothing; one that has no tests says that all is well.
        let silent = self.counts.failed == self.before.failed && code != "0";
        if silent || self.counts.passed + self.counts.failed == self.before.passed + self.before.failed {
            self.counts.failed += 1;
        }
        self.before = self.counts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Transcript, Vec<&str>) {
        let mut transcript = Transcript::default();
        let shown = text.lines().filter(|line| transcript.read(line)).collect();
        (transcript, shown)
    }

    #[test]
    fn results_are_counted_and_what_passed_is_shown_once() {
        let (transcript, shown) = read(
            "guest: packets starts\n\nrunning 2 tests\ntest a ... ok\ntest b ... ok\n\nsuccesses:\n\n\
             ---- a stdout ----\nthe verifier processed 9 instructions\n\n\nsuccesses:\n    a\n    b\n\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n\nguest: packets ended with 0\n\
             guest: that is all",
        );
        assert_eq!(transcript.counts, Counts { passed: 2, failed: 0, skipped: 0 });
        assert_eq!(transcript.verifier, ["the verifier processed 9 instructions"]);
        assert!(transcript.ended);
        let wanted = [
            "guest: packets starts",
            "running 2 tests",
            "test a ... ok",
            "test b ... ok",
            "the verifier processed 9 instructions",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured",
            "guest: packets ended with 0",
            "guest: that is all",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn what_failed_is_shown_whole() {
        let (transcript, shown) = read(
            "successes:\n\nsuccesses:\n    a\n\nfailures:\n\n---- b stdout ----\n    thread panicked\n\nfailures:\n    b\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored\nguest: packets ended with 101",
        );
        assert_eq!(transcript.counts, Counts { passed: 1, failed: 1, skipped: 0 });
        assert!(!transcript.ended && shown.contains(&"    thread panicked") && !shown.contains(&"    a"));
    }

    #[test]
    fn a_program_that_dies_or_has_no_tests_has_failed() {
        let (died, _) = read("test a ... ok\nguest: packets ended with 143");
        assert_eq!(died.counts.failed, 1);
        let (empty, _) = read("test result: ok. 0 passed; 0 failed; 0 ignored\nguest: packets ended with 0");
        assert_eq!(empty.counts.failed, 1);
        let (crashed, _) =
            read("test result: ok. 3 passed; 0 failed; 0 ignored\nguest: packets ended with 139");
        assert_eq!(crashed.counts, Counts { passed: 3, failed: 1, skipped: 0 });
    }
}
