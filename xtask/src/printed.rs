//! What Rust's test programs print with `--show-output`, line by line: which of it a reader should see. That is how each
//! test ended and what tests were made to say, such as a table of figures; not the names of those that passed once more.

/// Where in a test program's output a line stands.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Part {
    /// Among results, or what failed tests printed.
    #[default]
    Results,
    /// Among what tests that passed printed.
    Printed,
    /// Among the names of those that passed.
    Names,
}

/// Reads the output of test programs that run one after the other.
#[derive(Default, Debug)]
pub(crate) struct Printed {
    part: Part,
}

impl Printed {
    /// Takes one line, and says whether a reader should see it.
    pub(crate) fn read(&mut self, line: &str) -> bool {
        match line {
            // Twice in each output: above what they printed, and above their names.
            "successes:" => {
                self.part = if self.part == Part::Results { Part::Printed } else { Part::Names };
                return false;
            }
            "failures:" => self.part = Part::Results,
            _ if line.starts_with("test result: ") => self.part = Part::Results,
            _ => {}
        }
        match self.part {
            Part::Results => !line.is_empty(),
            Part::Printed => !line.is_empty() && !line.starts_with("---- "),
            Part::Names => false,
        }
    }

    /// A test program has ended, or died: what follows is of another one.
    pub(crate) fn end_program(&mut self) {
        self.part = Part::Results;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<&str> {
        let mut printed = Printed::default();
        text.lines().filter(|line| printed.read(line)).collect()
    }

    #[test]
    fn what_passed_tests_print_is_shown_whole_and_their_names_once() {
        let shown = shown(
            "running 2 tests\ntest a ... ok\ntest b ... ok\n\nsuccesses:\n\n\
             ---- a stdout ----\nflood   sent\n    4    200\n\n\nsuccesses:\n    a\n    b\n\n\
             test result: ok. 2 passed; 0 failed\n\nrunning 0 tests\n\nsuccesses:\n\nsuccesses:\n\n\
             test result: ok. 0 passed; 0 failed",
        );
        let wanted = [
            "running 2 tests",
            "test a ... ok",
            "test b ... ok",
            "flood   sent",
            "    4    200",
            "test result: ok. 2 passed; 0 failed",
            "running 0 tests",
            "test result: ok. 0 passed; 0 failed",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn what_failed_is_shown_whole() {
        let shown = shown(
            "successes:\n\nsuccesses:\n    a\n\nfailures:\n\n---- b stdout ----\n    thread panicked\n\n\
             failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed",
        );
        let wanted = [
            "failures:",
            "---- b stdout ----",
            "    thread panicked",
            "failures:",
            "    b",
            "test result: FAILED. 1 passed; 1 failed",
        ];
        assert_eq!(shown, wanted);
    }
}
