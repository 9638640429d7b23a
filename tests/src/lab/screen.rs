//! Shows how far the lab is: a progress display on a terminal, plain lines elsewhere.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the display moves by itself.
const TICK: Duration = Duration::from_millis(100);

/// Where the lab shows what it does.
#[derive(Debug)]
pub(super) struct Screen {
    /// Only on a terminal.
    bar: Option<ProgressBar>,
    steps: u64,
    step: u64,
}

impl Screen {
    /// A screen for so many steps; plain also on a terminal, if asked for.
    pub(super) fn new(steps: u64, plain: bool) -> Self {
        let terminal = !plain && io::stdout().is_terminal();
        Self { bar: terminal.then(|| bar(steps)), steps, step: 0 }
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, title: &str) {
        self.step += 1;
        self.say("");
        self.say(&format!("{}/{} {title}", self.step, self.steps));
        if let Some(bar) = &self.bar {
            bar.set_position(self.step - 1);
        }
    }

    /// What is being done: on a terminal until something else is, elsewhere not shown.
    pub(super) fn doing(&self, what: impl Into<String>) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.into());
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            // Nobody may be listening any more: that is no reason to end.
            None => drop(writeln!(io::stdout(), "{line}")),
        }
    }

    /// Lines of a table, below what they belong to.
    pub(super) fn lines(&self, lines: &[String]) {
        lines.iter().for_each(|line| self.say(&format!("    {line}")));
    }

    /// Takes the display away: only what was said stays.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(steps: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stdout());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:24} {elapsed:>3} {wide_msg}") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.enable_steady_tick(TICK);
    bar
}
