//! Hints, never errors: a file over 400 lines or a function over 50 is asking to be two.

use proc_macro2::TokenTree;

use crate::source::{Source, is, is_body, is_word};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 50;

/// What is longer than it should be, tests excepted.
pub(crate) fn hints(sources: &[Source]) -> Vec<String> {
    let mut hints = Vec::new();
    for source in sources {
        if source.lines > FILE_LINES {
            hints.push(format!("{} has {} lines", source.path, source.lines));
        }
        functions(&source.tokens, &mut |name, line, lines| {
            if lines > FUNCTION_LINES {
                hints.push(format!("{}:{line}: function {name} has {lines} lines", source.path));
            }
        });
    }
    hints
}

/// Calls `found` with the name, first line and number of lines of every function that has a body.
fn functions(tokens: &[TokenTree], found: &mut impl FnMut(&str, usize, usize)) {
    for (at, token) in tokens.iter().enumerate() {
        if let [keyword, TokenTree::Ident(name), rest @ ..] = &tokens[at..]
            && is_word(keyword, "fn")
            && let Some(TokenTree::Group(body)) = rest.iter().find(|token| is(token, ';') || is_body(token))
        {
            let first = name.span().start().line;
            found(&name.to_string(), first, body.span().end().line - first + 1);
        }
        if let TokenTree::Group(group) = token {
            functions(&group.stream().into_iter().collect::<Vec<_>>(), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_hinted_at_and_a_short_one_is_not() {
        let long = format!("impl A {{\nfn short() {{}}\nfn long() {{\n{}}}\n}}", "a();\n".repeat(60));
        let source = Source::parse("src/some.rs", &long).expect("valid tokens");
        assert_eq!(hints(&[source]), ["src/some.rs:3: function long has 62 lines"]);
    }

    #[test]
    fn a_long_file_is_hinted_at() {
        let source = Source::parse("src/some.rs", &"const A: u8 = 1;\n".repeat(401)).expect("valid tokens");
        assert_eq!(hints(&[source]), ["src/some.rs has 401 lines"]);
    }
}
