//! Durations as operators write them: `500ms`, `2s`, `1m`, `1h`.

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration: write a whole number and a unit, like 500ms, 2s, 1m or 1h")]
pub struct BadDuration(pub String);

/// Units with their milliseconds, the largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Most digits of one: any such number of hours can be counted in milliseconds.
const MAX_DIGITS: usize = 12;

/// What a duration is in JSON, for who describes it there.
#[derive(Debug)]
pub enum Text {}

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]{1,12}(ms|s|m|h)$",
            "description": "A whole number and a unit, like 500ms, 2s, 1m or 1h.",
        })
    }
}

/// Reads a whole number with a unit: `ms`, `s`, `m` or `h`.
///
/// # Errors
/// It is something else, or too long to count in milliseconds.
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let bad = || BadDuration(text.to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if digits > MAX_DIGITS {
        return Err(bad());
    }
    let number: u64 = number.parse().map_err(|_| bad())?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    number.checked_mul(*millis).map(Duration::from_millis).ok_or_else(bad)
}

/// Writes a duration in the largest unit that leaves a whole number. Parts of a millisecond are left out.
#[must_use]
pub fn print(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match UNITS.iter().find(|(_, unit)| millis != 0 && millis.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => "0s".to_owned(),
    }
}

/// For `#[serde(with = "duration")]`: writes it as text.
///
/// # Errors
/// Only those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&print(*duration))
}

/// For `#[serde(with = "duration")]`: reads it from text.
///
/// # Errors
/// It is no text, or no duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// For `#[serde(with = "duration::optional")]`: the same for a duration that may be absent.
pub mod optional {
    use super::{Deserialize, Deserializer, Duration, Error, Serializer, parse, print};

    /// Writes it as text.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_str(&print(*duration)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads it from text.
    ///
    /// # Errors
    /// It is no text, or no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| parse(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_with_a_unit() {
        for (text, millis) in [("500ms", 500), ("2s", 2000), ("1m", 60_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)));
            assert_eq!(print(Duration::from_millis(millis)), text);
        }
        for bad in ["", "1", "s", "1.5s", "-1s", "1 s", "1d", "99999999999999999999s", "9999999999999999999h"]
        {
            assert_eq!(parse(bad), Err(BadDuration(bad.to_owned())));
        }
    }

    #[test]
    fn a_duration_prints_in_the_largest_unit_that_is_exact() {
        for (millis, text) in [(1500, "1500ms"), (90_000, "90s"), (120_000, "2m"), (86_400_000, "24h")] {
            assert_eq!(print(Duration::from_millis(millis)), text);
        }
    }
}
