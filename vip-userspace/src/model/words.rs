//! Choices that operators make by a word: one list of words makes the type, its text form, its JSON and its errors, and a
//! word that is none of them is told with the nearest one. It knows no choice.

/// A text that is none of the words of a choice.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no {what}: {}{}", listed(.words), advice(.text, .words))]
pub struct BadWord {
    pub(super) text: String,
    pub(super) what: &'static str,
    pub(super) words: Vec<&'static str>,
}

/// `a`, `a or b`, `a, b or c`.
fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [some @ .., last] => format!("{} or {last}", some.join(", ")),
    }
}

fn advice(text: &str, words: &[&str]) -> String {
    nearest(text, words.iter().copied()).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

/// The one of `known` that `word` was most likely meant to be, if any is like it: one letter off, or two swapped, or
/// with much the same letters from the start on.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let likeness = |known: &str| {
        // In a word of two letters one letter is no slip.
        let slip = word.chars().count() > 2 && strsim::osa_distance(word, known) == 1;
        strsim::jaro_winkler(word, known) + if slip { 1.0 } else { 0.0 }
    };
    let scored = known.into_iter().map(|known| (likeness(known), known));
    let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, known)| known)
}

macro_rules! words {
    (
        $(#[$meta:meta])*
        $name:ident is a $what:literal {
            $(#[doc = $default_doc:literal])+ $default:ident = $default_word:literal,
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, schemars::JsonSchema, serde::Serialize,
            serde::Deserialize,
        )]
        pub enum $name {
            $(#[doc = $default_doc])+
            #[default]
            #[serde(rename = $default_word)]
            $default,
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// The words for it, the default first.
            pub const WORDS: &[&str] = &[$default_word, $($word,)*];

            /// The word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    Self::$default => $default_word,
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::BadWord;

            fn from_str(text: &str) -> Result<Self, $crate::model::BadWord> {
                match text {
                    $default_word => Ok(Self::$default),
                    $($word => Ok(Self::$variant),)*
                    _ => Err($crate::model::BadWord { text: text.to_owned(), what: $what, words: Self::WORDS.to_vec() }),
                }
            }
        }
    };
}
pub(super) use words;

#[cfg(test)]
mod tests {
    use crate::model::{OnDead, Scheduler};

    #[test]
    fn a_choice_is_read_by_its_words_and_by_no_others() {
        for word in OnDead::WORDS {
            assert_eq!(word.parse::<OnDead>().map(|choice| choice.to_string()), Ok((*word).to_owned()));
            assert_eq!(serde_json::from_str::<OnDead>(&format!("{word:?}")).expect("JSON").word(), *word);
        }
        let said = |text: &str| text.parse::<OnDead>().expect_err("no word").to_string();
        assert_eq!(said("kill"), r#""kill" is no wish for a dead member's flows: move, reset, drop or keep"#);
    }

    #[test]
    fn every_scheduler_is_read_by_its_name_and_a_slip_is_told() {
        for scheduler in Scheduler::all() {
            let (word, json) = (scheduler.word(), serde_json::to_string(&scheduler).expect("JSON"));
            assert_eq!(json, format!("{word:?}"));
            assert_eq!(serde_json::from_str::<Scheduler>(&json).expect("a scheduler"), scheduler);
            assert_eq!(word.parse::<Scheduler>(), Ok(scheduler));
            let slip = format!("{word}s");
            let said = slip.parse::<Scheduler>().expect_err("no scheduler").to_string();
            assert!(said.starts_with(&format!("{slip:?} is no scheduler: maglev")), "{said}");
            assert!(said.ends_with(&format!("; did you mean {word:?}?")), "{said}");
        }
        let said = serde_json::from_str::<Scheduler>("\"rr\"").expect_err("no scheduler").to_string();
        assert!(said.starts_with(r#""rr" is no scheduler: maglev"#), "{said}");
    }
}
