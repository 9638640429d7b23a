//! What a guest says, line by line: which of it is worth showing, and how its tests ended. It knows neither guest nor
//! kernel.

use crate::{counts::Counts, outcome::Outcome, printed::Printed};

/// How the first process of a guest begins what it says itself.
const GUEST: &str = "guest: ";
/// How a test tells what the kernel's verifier did.
const VERIFIER: &str = "the verifier processed ";

/// What a guest has said up to now.
#[derive(Default)]
pub(super) struct Transcript {
    /// How its tests ended.
    pub(super) outcome: Outcome,
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
        self.outcome.counts.read(line);
        if line.starts_with(VERIFIER) {
            self.verifier.push(line.to_owned());
        }
        if let Some(said) = line.strip_prefix(GUEST) {
            self.said(said);
        } else {
            self.outcome.failures.read(line);
        }
        self.printed.read(line)
    }

    fn said(&mut self, line: &str) {
        self.printed.end_program();
        self.ended |= line == "that is all";
        if let Some(program) = line.strip_suffix(" starts") {
            self.outcome.failures.begin(program);
        }
        let Some((program, code)) = line.split_once(" ended with ") else { return };
        if code != "0" {
            self.outcome.failures.ends_by(&format!("exit status: {code}"));
        }
        self.outcome.end();
        let (now, before) = (self.outcome.counts, self.before);
        if now.passed + now.failed == before.passed + before.failed {
            self.outcome.fail(format!("{program} ran no test"));
        }
        self.before = self.outcome.counts;
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
        assert_eq!(transcript.outcome.counts, Counts { passed: 2, failed: 0, skipped: 0 });
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
            "guest: packets starts\nsuccesses:\n\nsuccesses:\n    a\n\nfailures:\n\n---- b stdout ----\n    thread panicked\n\nfailures:\n    b\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored\nguest: packets ended with 101",
        );
        assert_eq!(transcript.outcome.counts, Counts { passed: 1, failed: 1, skipped: 0 });
        assert_eq!(transcript.outcome.failures.names().collect::<Vec<_>>(), ["packets::b"]);
        assert!(!transcript.ended && shown.contains(&"    thread panicked") && !shown.contains(&"    a"));
    }

    #[test]
    fn a_program_that_dies_or_has_no_tests_has_failed() {
        let failed = |text: &str| {
            let (Transcript { outcome, .. }, _) = read(text);
            (
                outcome.counts.failed,
                outcome.failures.names().map(str::to_owned).collect::<Vec<_>>().join(", "),
            )
        };
        let died = failed("guest: packets starts\ntest a ... ok\nguest: packets ended with 143");
        assert_eq!(died, (1, "packets ended without a result (exit status: 143)".to_owned()));
        let empty = failed(
            "guest: packets starts\ntest result: ok. 0 passed; 0 failed; 0 ignored\nguest: packets ended with 0",
        );
        assert_eq!(empty, (1, "packets ran no test".to_owned()));
        let crashed = failed(
            "guest: packets starts\ntest result: ok. 3 passed; 0 failed; 0 ignored\nguest: packets ended with 139",
        );
        assert_eq!(crashed, (1, "packets ended badly after a good result (exit status: 139)".to_owned()));
        let next = failed("guest: packets starts\ntest a ... FAILED\nguest: through starts");
        assert_eq!(next.1, "packets::a, packets ended without a result");
    }
}
