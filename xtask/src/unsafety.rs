//! Unsafe code is where ARCHITECTURE.md says it is, and nowhere else.

use proc_macro2::TokenTree;

use crate::source::{Source, is_word};

/// Each file with unsafe code that the document does not name in its section about that.
pub(crate) fn violations(sources: &[Source], document: &str) -> Vec<String> {
    let section = section(document);
    let named = |path: &str| section.contains(&format!("`{path}`"));
    sources
        .iter()
        .filter(|source| has_unsafe(&source.tokens) && !named(&source.path))
        .map(|source| {
            format!(
                "{}: unsafe code, but the section of ARCHITECTURE.md about that does not name this file",
                source.path
            )
        })
        .collect()
}

/// What stands below the heading that speaks of unsafe code, up to the next one.
fn section(document: &str) -> String {
    let mut lines = document
        .lines()
        .skip_while(|line| !(line.starts_with('#') && line.to_lowercase().contains("unsafe")));
    lines.next();
    lines.take_while(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

fn has_unsafe(tokens: &[TokenTree]) -> bool {
    tokens.iter().any(|token| match token {
        TokenTree::Group(group) => has_unsafe(&group.stream().into_iter().collect::<Vec<_>>()),
        token => is_word(token, "unsafe"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# Map\n`src/frame.rs`: no unsafe.\n# Unsafe code\nFiles:\n\n| `src/maps.rs` |\n# More\n`src/main.rs`";

    fn check(path: &str, text: &str) -> Vec<String> {
        violations(&[Source::parse(path, text).expect("valid tokens")], DOCUMENT)
    }

    #[test]
    fn a_file_that_the_section_names_may_have_unsafe_code() {
        assert!(check("src/maps.rs", "fn f() { unsafe { g() } }").is_empty());
    }

    #[test]
    fn a_file_that_is_named_elsewhere_may_not() {
        for path in ["src/frame.rs", "src/main.rs", "maps.rs"] {
            let found = check(path, "fn f() { unsafe { g() } }");
            assert!(found[0].starts_with(&format!("{path}: unsafe code")), "{found:?}");
        }
    }

    #[test]
    fn a_file_that_only_speaks_of_it_is_left_alone() {
        assert!(check("src/frame.rs", "#![expect(unsafe_code, reason = \"unsafe\")] // unsafe").is_empty());
    }
}
