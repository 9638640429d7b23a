//! What was measured, beside what is asked for. Pure.

use std::fmt::Write as _;

use serde::Serialize;

/// A figure, and the bound that it must keep.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: &'static str,
    /// The worst of it.
    pub measured: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The most that it may be; without one it is told alone.
    pub bound: Option<f64>,
}

impl Figure {
    /// True if it keeps its bound.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.bound.is_none_or(|bound| self.measured <= bound)
    }
}

/// All of them as text.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut text = format!("{:<66} {:>10} {:<6} {:>8}\n", "what", "measured", "", "bound");
    for Figure { what, measured, unit, bound } in figures {
        let places = usize::from(*measured < 100.0 && measured.fract() != 0.0);
        let bound_text = bound.map_or("-".to_owned(), |bound| format!("{bound}"));
        let verdict = match bound {
            None => "",
            Some(bound) if measured <= bound => "  ok",
            Some(_) => "  OVER",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{what:<66} {measured:>10.places$} {unit:<6} {bound_text:>8}{verdict}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_over_its_bound_is_marked_and_columns_line_up() {
        let figure = |measured, bound| Figure { what: "a death", measured, unit: "ms", bound };
        let figures = [figure(12.345, Some(300.0)), figure(1234.5, Some(300.0)), figure(7.0, None)];
        assert_eq!(figures.iter().map(Figure::holds).collect::<Vec<_>>(), [true, false, true]);
        let text = table(&figures);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].ends_with("12.3 ms          300  ok"), "{text}");
        assert!(lines[2].ends_with("1234 ms          300  OVER"), "{text}");
        assert!(lines[3].ends_with("7 ms            -"), "{text}");
    }
}
