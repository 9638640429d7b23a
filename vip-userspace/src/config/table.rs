//! Reads the values of one TOML table by their types, and says what is wrong with them. It knows no key.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::problem::{Findings, Span};
use crate::model::{duration, words::nearest};

/// A value and where it is.
pub(super) type Field<'a> = Spanned<DeValue<'a>>;

/// A table, what it states, and where.
pub(super) struct Table<'a> {
    /// What messages about it start with: `service web: `; nothing for the file itself.
    context: String,
    /// The key that it is the value of; `None` for the file itself.
    span: Option<Span>,
    entries: &'a DeTable<'a>,
    /// Keys that unknown ones were most likely meant to be.
    meant: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The file itself.
    pub(super) fn root(entries: &'a DeTable<'a>) -> Self {
        Self { context: String::new(), span: None, entries, meant: Vec::new() }
    }

    /// The table `field`, which is what `context` names; `None` if it is no table.
    pub(super) fn read(
        context: &str,
        span: Span,
        field: &'a Field<'a>,
        findings: &mut Findings<'_>,
    ) -> Option<Self> {
        let Some(entries) = field.get_ref().as_table() else {
            findings.add(&field.span(), format!("{context} is a table, not {}", type_of(field)));
            return None;
        };
        Some(Self { context: format!("{context}: "), span: Some(span), entries, meant: Vec::new() })
    }

    /// A table within this one, whose messages start with those of this one.
    pub(super) fn within(
        &self,
        what: &str,
        field: &'a Field<'a>,
        findings: &mut Findings<'_>,
    ) -> Option<Self> {
        Self::read(&format!("{}{what}", self.context), field.span(), field, findings)
    }

    /// Says of each key whether it is one of `known`.
    pub(super) fn allow(&mut self, known: &[&'static str], findings: &mut Findings<'_>) {
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let advice = match nearest(name, known.iter().copied()) {
                Some(near) => {
                    self.meant.extend(known.iter().filter(|key| **key == near));
                    format!("did you mean {near:?}?")
                }
                None => format!("the keys here are {}", known.join(", ")),
            };
            findings.add(&key.span(), format!("{}unknown key {name:?}: {advice}", self.context));
        }
    }

    /// Says that a key is missing, unless it is there, or was probably misspelt.
    pub(super) fn require(&self, key: &str, advice: &str, findings: &mut Findings<'_>) {
        if !self.has(key) && !self.is_meant(key) {
            self.say(self.span.as_ref(), &format!("{key:?} is missing: {advice}"), findings);
        }
    }

    /// Whether an unknown key was probably meant to be this one.
    pub(super) fn is_meant(&self, key: &str) -> bool {
        self.meant.contains(&key)
    }

    /// Whether it has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Where the value of a key is; the table, if it has no such key.
    pub(super) fn span_of(&self, key: &str) -> Span {
        self.entries.get(key).map(Spanned::span).or_else(|| self.span.clone()).unwrap_or_default()
    }

    /// The value of a key, whatever its type.
    pub(super) fn field(&self, key: &str) -> Option<&'a Field<'a>> {
        self.entries.get(key)
    }

    /// The tables within the table of this key, by name and in the order of the file. `name` stands for one of them.
    pub(super) fn tables(
        &self,
        key: &str,
        name: &str,
        findings: &mut Findings<'_>,
    ) -> Vec<(&'a str, Span, &'a Field<'a>)> {
        let Some(field) = self.field(key) else { return Vec::new() };
        let Some(tables) = field.get_ref().as_table() else {
            let message =
                format!("{key:?} takes tables with a name, like [{key}.{name}], not {}", type_of(field));
            findings.add(&field.span(), message);
            return Vec::new();
        };
        let mut tables: Vec<_> =
            tables.iter().map(|(name, field)| (name.get_ref().as_ref(), name.span(), field)).collect();
        tables.sort_by_key(|(_, span, _)| span.start);
        tables
    }

    /// A text.
    pub(super) fn text(&self, key: &str, findings: &mut Findings<'_>) -> Option<&'a str> {
        let field = self.field(key)?;
        field.get_ref().as_str().or_else(|| self.mistyped(key, "a string", field, findings))
    }

    /// A text that says something of type `T`; what is wrong with it, `T` knows.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &self,
        key: &str,
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        let text = self.text(key, findings)?;
        self.accept(key, text.parse(), findings)
    }

    /// A duration, like `"500ms"`.
    pub(super) fn duration(&self, key: &str, findings: &mut Findings<'_>) -> Option<Duration> {
        let field = self.field(key)?;
        let Some(text) = field.get_ref().as_str() else {
            return self.mistyped(key, "a duration, like \"500ms\" or \"2s\"", field, findings);
        };
        self.accept(key, duration::parse(text), findings)
    }

    /// A whole number in a range.
    pub(super) fn number<N>(
        &self,
        key: &str,
        range: RangeInclusive<N>,
        findings: &mut Findings<'_>,
    ) -> Option<N>
    where
        N: TryFrom<i128> + PartialOrd + Display,
    {
        self.number_at(key, self.field(key)?, range, findings)
    }

    /// A whole number in a range, in a list of `key` or as its value.
    pub(super) fn number_at<N>(
        &self,
        key: &str,
        field: &Field<'_>,
        range: RangeInclusive<N>,
        findings: &mut Findings<'_>,
    ) -> Option<N>
    where
        N: TryFrom<i128> + PartialOrd + Display,
    {
        let Some(integer) = field.get_ref().as_integer() else {
            return self.mistyped(key, "a whole number", field, findings);
        };
        let value = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let fitting = value.and_then(|value| N::try_from(value).ok()).filter(|value| range.contains(value));
        if fitting.is_none() {
            let message = format!("{key} {integer} is out of range: {} to {}", range.start(), range.end());
            self.say(Some(&field.span()), &message, findings);
        }
        fitting
    }

    /// True or false.
    pub(super) fn switch(&self, key: &str, findings: &mut Findings<'_>) -> Option<bool> {
        let field = self.field(key)?;
        field.get_ref().as_bool().or_else(|| self.mistyped(key, "true or false", field, findings))
    }

    /// A list.
    pub(super) fn list(
        &self,
        key: &str,
        example: &str,
        findings: &mut Findings<'_>,
    ) -> Option<&'a DeArray<'a>> {
        let field = self.field(key)?;
        let list = field.get_ref().as_array();
        list.or_else(|| self.mistyped(key, &format!("a list, like {example}"), field, findings))
    }

    /// Something is wrong at `span` (or with this table as a whole).
    pub(super) fn say(&self, span: Option<&Span>, message: &str, findings: &mut Findings<'_>) {
        let message = format!("{}{message}", self.context);
        match span {
            Some(span) => findings.add(span, message),
            None => findings.add_whole(message),
        }
    }

    /// The value of `key` is not of the type that it takes.
    pub(super) fn mistyped<T>(
        &self,
        key: &str,
        takes: &str,
        field: &Field<'_>,
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        self.say(Some(&field.span()), &format!("{key:?} takes {takes}, not {}", type_of(field)), findings);
        None
    }

    fn accept<T, E: Display>(
        &self,
        key: &str,
        parsed: Result<T, E>,
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        let said =
            parsed.map_err(|error| self.say(Some(&self.span_of(key)), &format!("{key}: {error}"), findings));
        said.ok()
    }
}

fn type_of(field: &Field<'_>) -> &'static str {
    match field.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
