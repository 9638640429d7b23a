//! How a doctor's report looks: a line for each check, those about one thing together, with remedies beneath.

use anstyle::Style;
use vip_userspace::doctor::{Report, Severity};

use super::{
    BAD, GOOD, STRONG, WARNING,
    table::{Cell, Side, Table},
};

/// All findings, and how many there are of each kind.
pub(crate) fn report(report: &Report) -> String {
    let mut table = Table::new(&[
        ("ABOUT", Side::Left),
        ("CHECK", Side::Left),
        ("IS", Side::Left),
        ("FOUND", Side::Left),
    ]);
    let mut last = "";
    for finding in &report.findings {
        let about = if finding.about == last { "" } else { finding.about.as_str() };
        last = &finding.about;
        let (word, style) = named(finding.severity);
        table.row([
            Cell::styled(about, STRONG),
            Cell::plain(finding.check),
            Cell::styled(word, style),
            Cell::plain(&finding.words),
        ]);
        if let Some(remedy) = &finding.remedy {
            let nothing = || Cell::plain("");
            table.row([nothing(), nothing(), nothing(), Cell::plain(format!("do: {remedy}"))]);
        }
    }
    format!("{}\n{}\n", table.text(0), summary(report))
}

const fn named(severity: Severity) -> (&'static str, Style) {
    match severity {
        Severity::Good => ("good", GOOD),
        Severity::Note => ("note", Style::new()),
        Severity::Warning => ("warning", WARNING),
        Severity::Breaks => ("breaks", BAD),
    }
}

fn summary(report: &Report) -> String {
    let many = |severity, one: &str, more: &str| match report.count(severity) {
        1 => format!("1 {one}"),
        count => format!("{count} {more}"),
    };
    let rest = [
        many(Severity::Warning, "warning", "warnings"),
        many(Severity::Note, "note", "notes"),
        format!("{} good", report.count(Severity::Good)),
    ]
    .join(", ");
    match report.count(Severity::Breaks) {
        0 => format!("{GOOD}nothing breaks traffic{GOOD:#}; {rest}"),
        1 => format!("{BAD}1 finding breaks traffic{BAD:#}; {rest}"),
        count => format!("{BAD}{count} findings break traffic{BAD:#}; {rest}"),
    }
}
