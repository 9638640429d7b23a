//! What is wrong with a configuration, and where. It knows no rule of the configuration.

use std::{fmt, ops::Range};

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// Line that it is on, from 1 on; 0 for the file as a whole.
    pub line: usize,
    /// Column of its first character in that line, from 1 on; 0 for the file as a whole.
    pub column: usize,
    /// What is wrong, without the place.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

/// All that is wrong with a configuration, in the order of the file: never nothing. Prints a line for each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Problems, in any order; `None` if there are none.
    pub(super) fn new(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// Each problem, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Bytes of the text that something is stated in.
pub(super) type Span = Range<usize>;

/// Collects problems by their place in a text.
pub(super) struct Findings<'a> {
    text: &'a str,
    found: Vec<Problem>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Something is wrong at the start of `span`.
    pub(super) fn add(&mut self, span: &Span, message: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.found.push(Problem {
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + before[line_start..].chars().count(),
            message: message.into(),
        });
    }

    /// Something is wrong with the file as a whole.
    pub(super) fn add_whole(&mut self, message: impl Into<String>) {
        self.found.push(Problem { line: 0, column: 0, message: message.into() });
    }

    /// How many have been found so far.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// `value`, unless something was found.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Problems> {
        Problems::new(self.found).map_or(Ok(value), Err)
    }
}
