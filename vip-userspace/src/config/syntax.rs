//! What is no TOML, or states something twice, in words for operators. It knows no key.

use toml::de::Error;

use super::problem::{Findings, Span};

/// Tells the errors of the TOML reader; whether the document can be read nevertheless: if keys are stated twice, and
/// nothing else is wrong.
pub(super) fn report(text: &str, errors: &[Error], findings: &mut Findings<'_>) -> bool {
    let mut readable = true;
    let mut headers: Vec<usize> = Vec::new();
    let mut last_line = None;
    for error in errors {
        let span = error.span().unwrap_or_default();
        // The reader names its errors by nothing but this text; a test of ours breaks when it changes.
        if error.message() == "duplicate key" {
            report_duplicate(text, &span, &mut headers, findings);
            continue;
        }
        readable = false;
        // What follows an error in its line is mostly its consequence.
        let line = line_start(text, span.start);
        if last_line.replace(line) != Some(line) {
            let hint = if is_bare(text, &span) { " (a text needs quotes, like \"eth0\")" } else { "" };
            findings.add(&span, format!("{}{hint}", error.message()));
        }
    }
    readable
}

/// Whether what is wrong is a value that starts like a word or a number. It is not repeated: it may be the seed.
fn is_bare(text: &str, span: &Span) -> bool {
    let line = &text[line_start(text, span.start)..];
    let value =
        line.lines().next().and_then(|line| line.split_once('=')).map(|(_, value)| value.trim_start());
    value.is_some_and(|value| value.starts_with(char::is_alphanumeric))
}

/// `headers` are the starts of the table headers that were told of already: what is stated twice below them is their
/// consequence.
fn report_duplicate(text: &str, span: &Span, headers: &mut Vec<usize>, findings: &mut Findings<'_>) {
    let line = line_start(text, span.start);
    let own = text[line..].lines().next().unwrap_or_default().trim();
    if own.starts_with('[') {
        headers.push(line);
        let header = own.split_inclusive(']').next().unwrap_or(own);
        findings.add(span, format!("{header} is stated a second time"));
        return;
    }
    let header = text[..line].match_indices('\n').map(|(newline, _)| newline + 1).chain([0]);
    let header = header.filter(|start| text[*start..].trim_start_matches([' ', '\t']).starts_with('[')).max();
    if !header.is_some_and(|header| headers.contains(&header)) {
        let key = text.get(span.clone()).unwrap_or_default().trim_matches('"');
        findings.add(span, format!("{key:?} is stated a second time"));
    }
}

/// Where the line of a byte starts.
fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}
