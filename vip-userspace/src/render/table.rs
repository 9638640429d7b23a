//! Tables that line up: columns as wide as their widest cell, two blanks apart, colours not counted.

use std::fmt::Display;

use anstyle::Style;

use super::NONE;

/// Where a column's cells are flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// For words.
    Left,
    /// For figures.
    Right,
}

/// A text with a colour.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn plain(text: impl Display) -> Self {
        Self::styled(text, Style::new())
    }

    pub(super) fn styled(text: impl Display, style: Style) -> Self {
        // One line, whatever a backend said: no control character of somebody else reaches a terminal.
        let text = text.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { text, style }
    }

    pub(super) fn or_none(text: Option<impl Display>) -> Self {
        text.map_or_else(|| Self::plain(NONE), Self::plain)
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Rows below a heading.
pub(super) struct Table<const N: usize> {
    sides: [Side; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(super) fn new(columns: &[(&str, Side); N]) -> Self {
        let heading = columns.map(|(name, _)| Cell::styled(name, Style::new().dimmed()));
        Self { sides: columns.map(|(_, side)| side), rows: vec![heading] }
    }

    pub(super) fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    /// The table, each line `indent` blanks from the left and without blanks at its end. A column without a cell
    /// that says something is left out.
    pub(super) fn text(&self, indent: usize) -> String {
        let said = |at: usize| self.rows[1..].iter().any(|row| !row[at].text.is_empty());
        let columns: Vec<_> = (0..N).filter(|at| self.rows.len() == 1 || said(*at)).collect();
        let width = |at: usize| self.rows.iter().map(|row| row[at].width()).max().unwrap_or_default();
        let widths: Vec<_> = columns.iter().map(|at| width(*at)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut blanks = indent;
            for (at, width) in columns.iter().zip(&widths) {
                let Cell { text: cell, style } = &row[*at];
                let padding = width - row[*at].width();
                let (before, after) = match self.sides[*at] {
                    Side::Left => (0, padding),
                    Side::Right => (padding, 0),
                };
                if !cell.is_empty() {
                    text += &" ".repeat(blanks + before);
                    text += &format!("{style}{cell}{style:#}");
                    blanks = after + 2;
                } else {
                    blanks += width + 2;
                }
            }
            text.push('\n');
        }
        text
    }
}
