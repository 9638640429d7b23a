//! A source file as the house rules see it: tokens with their lines, and the paths it names, without what is only
//! compiled for tests. Comments and strings are no tokens, so they break no rule. It knows no rule.

use std::str::FromStr as _;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A source file.
pub(crate) struct Source {
    /// The path in the workspace.
    pub(crate) path: String,
    /// How many lines it has.
    pub(crate) lines: usize,
    /// Its tokens, without tests.
    pub(crate) tokens: Vec<TokenTree>,
    /// The modules that it declares for tests alone, and has in files of their own.
    pub(crate) test_modules: Vec<String>,
}

/// A path that a source file names, such as `std::time::Duration`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its words; a glob is `*`.
    pub(crate) words: Vec<String>,
    /// The line it stands on, from 1.
    pub(crate) line: usize,
}

impl Named {
    /// The path as written.
    pub(crate) fn text(&self) -> String {
        self.words.join("::")
    }
}

impl Source {
    /// Splits a file into tokens.
    ///
    /// # Errors
    /// The text is no Rust.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, proc_macro2::LexError> {
        let mut test_modules = Vec::new();
        let tokens = without_tests(TokenStream::from_str(text)?, &mut test_modules);
        Ok(Self { path: path.to_owned(), lines: text.lines().count(), tokens, test_modules })
    }

    /// Every path of two words or more, and every path that is imported.
    pub(crate) fn names(&self) -> Vec<Named> {
        let mut names = Vec::new();
        collect(&self.tokens, &mut names);
        names
    }
}

/// Drops each item that follows `#[cfg(test)]`, at any depth, and keeps the names of modules among them.
fn without_tests(stream: TokenStream, modules: &mut Vec<String>) -> Vec<TokenTree> {
    let mut kept: Vec<TokenTree> = Vec::new();
    let mut tokens = stream.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group)
                if is_cfg_test(&group) && kept.last().is_some_and(|hash| is(hash, '#')) =>
            {
                kept.pop();
                modules.extend(skip_item(&mut tokens));
            }
            TokenTree::Group(group) => {
                let stream = without_tests(group.stream(), modules);
                let mut inner = Group::new(group.delimiter(), stream.into_iter().collect());
                inner.set_span(group.span());
                kept.push(inner.into());
            }
            token => kept.push(token),
        }
    }
    kept
}

/// Goes on to the end of an item, a body or a semicolon; returns its name if it is a module.
fn skip_item(tokens: &mut impl Iterator<Item = TokenTree>) -> Option<String> {
    let mut module = None;
    let mut after_mod = false;
    for token in tokens {
        if is(&token, ';') || is_body(&token) {
            break;
        }
        if after_mod {
            module = Some(token.to_string());
        }
        after_mod = is_word(&token, "mod");
    }
    module
}

fn is_cfg_test(group: &Group) -> bool {
    group.delimiter() == Delimiter::Bracket && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Whether a token is a group in braces.
pub(crate) fn is_body(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Whether a token is a certain character.
pub(crate) fn is(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Whether a token is a certain word.
pub(crate) fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn collect(tokens: &[TokenTree], names: &mut Vec<Named>) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Ident(word) if word == "use" => {
                let end =
                    tokens[at..].iter().position(|token| is(token, ';')).map_or(tokens.len(), |end| at + end);
                imported(&tokens[at..end], &[], names);
                at = end;
            }
            TokenTree::Ident(word) => {
                let mut named = Named { words: vec![word.to_string()], line: word.span().start().line };
                while let [TokenTree::Punct(first), TokenTree::Punct(second), TokenTree::Ident(word), ..] =
                    &tokens[at..]
                    && (first.as_char(), second.as_char()) == (':', ':')
                {
                    named.words.push(word.to_string());
                    at += 3;
                }
                if named.words.len() > 1 {
                    names.push(named);
                }
            }
            TokenTree::Group(group) => collect(&group.stream().into_iter().collect::<Vec<_>>(), names),
            _ => {}
        }
    }
}

/// The leaves of a tree of imports below `above`: `a::{b, c::*}` are `a::b` and `a::c::*`.
fn imported(tree: &[TokenTree], above: &[String], names: &mut Vec<Named>) {
    for branch in tree.split(|token| is(token, ',')) {
        let mut words = above.to_vec();
        let mut line = 0;
        for token in branch {
            match token {
                // What follows is a name of this file's own.
                TokenTree::Ident(word) if word == "as" => break,
                // `a::{self}` is `a`.
                TokenTree::Ident(word) if word == "self" && !words.is_empty() => {}
                TokenTree::Ident(word) => words.push(word.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '*' => words.push("*".into()),
                TokenTree::Group(group) => {
                    imported(&group.stream().into_iter().collect::<Vec<_>>(), &words, names);
                    words.clear();
                }
                _ => {}
            }
            line = token.span().start().line;
        }
        if line > 0 && !words.is_empty() {
            names.push(Named { words, line });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let source = Source::parse("src/some.rs", text).expect("valid tokens");
        source.names().iter().map(Named::text).collect()
    }

    #[test]
    fn a_tree_of_imports_is_read_to_its_leaves() {
        let tree = "use crate::{model::{self, Model as M}, net::*};";
        assert_eq!(names(tree), ["crate::model", "crate::model::Model", "crate::net::*"]);
    }

    #[test]
    fn a_path_is_found_in_an_expression_a_type_and_a_macro() {
        let text = "fn f(a: crate::model::Model) { select! { x = crate::net::y() => std::fs::read(p) } }";
        assert_eq!(names(text), ["crate::model::Model", "crate::net::y", "std::fs::read"]);
    }

    #[test]
    fn comments_strings_and_tests_name_nothing() {
        let text = "/// `crate::a::b`\n// crate::c::d\nconst E: &str = \"crate::e::f\";\n\
                    #[cfg(test)]\nmod tests { use crate::g::h; }\n#[cfg(test)]\nuse crate::i::j;\nuse crate::k::l;";
        assert_eq!(names(text), ["crate::k::l"]);
    }

    #[test]
    fn a_name_keeps_its_line() {
        let source =
            Source::parse("src/some.rs", "\nuse crate::{\n    model,\n    net,\n};").expect("valid tokens");
        assert_eq!(source.names().iter().map(|name| name.line).collect::<Vec<_>>(), [3, 4]);
    }
}
