//! Unsafe code is where ARCHITECTURE.md says it is, and nowhere else.

use proc_macro2::TokenTree;

use crate::source::{Source, is_word};

/// Each file with unsafe code that no paragraph about `unsafe` in the document names.
pub(crate) fn violations(sources: &[Source], document: &str) -> Vec<String> {
    let about: Vec<&str> = document.split("\n\n").filter(|paragraph| paragraph.contains("unsafe")).collect();
    let named = |path: &str| about.iter().any(|paragraph| paragraph.contains(path));
    sources
        .iter()
        .filter(|source| has_unsafe(&source.tokens) && !named(&source.path))
        .map(|source| {
            format!(
                "{}: unsafe code, but ARCHITECTURE.md does not name this file where it speaks of `unsafe`",
                source.path
            )
        })
        .collect()
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

    const DOCUMENT: &str = "The frame is `src/frame.rs`.\n\nInvariant: `unsafe` is only in `src/maps.rs`.";

    fn check(path: &str, text: &str) -> Vec<String> {
        violations(&[Source::parse(path, text).expect("valid tokens")], DOCUMENT)
    }

    #[test]
    fn a_file_that_the_paragraph_names_may_have_unsafe_code() {
        assert!(check("src/maps.rs", "fn f() { unsafe { g() } }").is_empty());
    }

    #[test]
    fn a_file_that_is_named_elsewhere_may_not() {
        let found = check("src/frame.rs", "fn f() { unsafe { g() } }");
        assert!(found[0].starts_with("src/frame.rs: unsafe code"), "{found:?}");
    }

    #[test]
    fn a_file_that_only_speaks_of_it_is_left_alone() {
        assert!(check("src/frame.rs", "#![expect(unsafe_code, reason = \"unsafe\")] // unsafe").is_empty());
    }
}
