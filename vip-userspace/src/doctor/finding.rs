//! Findings: what was looked at, how it is, and what to do about it. They say nothing of how it was found out.

use serde::Serialize;

use super::load::Load;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// As it should be.
    Good,
    /// Nothing is wrong with it, but somebody may want to know; also what could not be looked at.
    Note,
    /// It costs speed or room, or will hurt once something else changes.
    Warning,
    /// Packets are lost or go astray by it, or will once the director runs.
    Breaks,
}

impl Severity {
    /// All of them, the worst one first.
    pub const ALL: [Self; 4] = [Self::Breaks, Self::Warning, Self::Note, Self::Good];
}

/// What one check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What it is about: `machine`, an interface, a VIP, a backend.
    pub about: String,
    /// What was looked at: `rp_filter`.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// For programs, stable: `good`, `unknown`, or a name for just this finding.
    pub code: &'static str,
    /// For people: one sentence without a full stop.
    pub words: String,
    /// What to do about it, in the imperative; of what is good, nothing.
    pub remedy: Option<String>,
}

/// All that was found.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// In the order in which they are best read.
    pub findings: Vec<Finding>,
    /// What queues and CPUs had to do meanwhile; absent where nobody asked for it.
    pub load: Option<Load>,
}

impl Report {
    /// Whether something breaks traffic.
    #[must_use]
    pub fn breaks(&self) -> bool {
        self.count(Severity::Breaks) > 0
    }

    /// How many findings are that bad.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Findings about one thing, while they are written.
#[derive(Debug)]
pub(super) struct Sheet {
    about: String,
    findings: Vec<Finding>,
}

impl Sheet {
    pub(super) fn about(about: &(impl ToString + ?Sized)) -> Self {
        Self { about: about.to_string(), findings: Vec::new() }
    }

    pub(super) fn good(&mut self, check: &'static str, words: impl Into<String>) {
        self.put(check, Severity::Good, "good", words.into(), None);
    }

    /// It could not be looked at.
    pub(super) fn unknown(&mut self, check: &'static str, why: &str) {
        self.put(check, Severity::Note, "unknown", format!("can't be told: {why}"), None);
    }

    pub(super) fn note(&mut self, check: &'static str, code: &'static str, words: impl Into<String>) {
        self.put(check, Severity::Note, code, words.into(), None);
    }

    pub(super) fn advise(
        &mut self,
        check: &'static str,
        code: &'static str,
        words: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.put(check, Severity::Note, code, words.into(), Some(remedy.into()));
    }

    pub(super) fn warning(
        &mut self,
        check: &'static str,
        code: &'static str,
        words: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.put(check, Severity::Warning, code, words.into(), Some(remedy.into()));
    }

    pub(super) fn breaks(
        &mut self,
        check: &'static str,
        code: &'static str,
        words: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.put(check, Severity::Breaks, code, words.into(), Some(remedy.into()));
    }

    pub(super) fn finish(self) -> Vec<Finding> {
        self.findings
    }

    fn put(
        &mut self,
        check: &'static str,
        severity: Severity,
        code: &'static str,
        words: String,
        remedy: Option<String>,
    ) {
        let about = self.about.clone();
        self.findings.push(Finding { about, check, severity, code, words, remedy });
    }
}
