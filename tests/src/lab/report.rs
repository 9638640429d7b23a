//! What was expected and what was seen: a list, and tables of text. It judges nothing itself.

use std::{fmt::Display, iter};

/// One expectation, held or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Expectation {
    step: &'static str,
    expected: String,
    seen: String,
    held: bool,
}

/// All that was expected.
#[derive(Default, Debug)]
pub(super) struct Report(Vec<Expectation>);

impl Report {
    pub(super) fn expect(
        &mut self,
        step: &'static str,
        expected: impl Into<String>,
        seen: impl Display,
        held: bool,
    ) {
        self.0.push(Expectation { step, expected: expected.into(), seen: seen.to_string(), held });
    }

    /// Expectations that did not hold; at once, also where there is none.
    pub(super) fn failed(&self) -> usize {
        self.0.iter().filter(|expectation| !expectation.held).count()
    }

    /// Expectations.
    pub(super) fn all(&self) -> usize {
        self.0.len()
    }

    /// The closing table.
    pub(super) fn table(&self) -> Vec<String> {
        let mut rows = vec![["step", "expected", "seen", ""].map(str::to_owned)];
        let mut last = "";
        for Expectation { step, expected, seen, held } in &self.0 {
            let first = if last == *step { "" } else { step };
            last = step;
            let verdict = if *held { "ok" } else { "FAILED" };
            rows.push([first.to_owned(), expected.clone(), seen.clone(), verdict.to_owned()]);
        }
        table(&rows)
    }
}

/// Lines of a table whose first row is its head. A column of numbers is aligned to the right.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let numbers: [bool; N] = std::array::from_fn(|column| {
        let numeric = |cell: &String| cell.chars().all(|c| c.is_ascii_digit() || ". %".contains(c));
        rows.iter().skip(1).all(|row| numeric(&row[column]))
    });
    let line = |row: &[String; N]| {
        let cells = iter::zip(row, iter::zip(width, numbers)).map(|(cell, (width, number))| match number {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_expectation_is_counted_and_shown() {
        let mut report = Report::default();
        report.expect("spread", "25 %", "24 %", true);
        report.expect("death", "0 broken", 3, false);
        assert_eq!(report.failed(), 1);
        assert_eq!(
            report.table(),
            ["step    expected  seen", "spread  25 %      24 %  ok", "death   0 broken     3  FAILED",]
        );
    }

    #[test]
    fn numbers_stand_below_each_other() {
        let rows = [["name", "count"], ["one", "5"], ["other", "1234"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), ["name   count", "one        5", "other   1234"]);
    }
}
