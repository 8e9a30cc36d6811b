//! Durations as people write them: `30d`, `12h`, `90m`, `45s`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One whole number and one unit; the digits are few enough that nothing that computes with them can overflow.
pub(crate) const PATTERN: &str = "^([1-9][0-9]{0,3}d|[1-9][0-9]{0,5}h|[1-9][0-9]{0,6}m|[1-9][0-9]{0,7}s)$";

/// A duration in a manifest: one number and one unit of `d`, `h`, `m`, `s`, such as `30d` or `12h`.
///
/// It is kept as it was written; [`Duration::seconds`] is the checked reading of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(pub String);

/// A duration that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write a whole number and one unit of d, h, m or s, such as 30d or 12h")]
pub struct DurationError(pub String);

impl Duration {
    /// The number of seconds; at most about 27 years.
    pub fn seconds(&self) -> Result<u64, DurationError> {
        let fail = || DurationError(self.0.clone());
        let unit = self.0.chars().last().ok_or_else(fail)?;
        let (factor, digits) = match unit {
            'd' => (86_400, 4),
            'h' => (3_600, 6),
            'm' => (60, 7),
            's' => (1, 8),
            _ => return Err(fail()),
        };
        let number = &self.0[..self.0.len() - 1];
        let plain = !number.is_empty() && number.len() <= digits && number.bytes().all(|b| b.is_ascii_digit());
        if !plain || number.starts_with('0') {
            return Err(fail());
        }
        number.parse::<u64>().map(|n| n * factor).map_err(|_| fail())
    }
}

impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Duration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "maxLength": 9 })
    }
}

/// The CEL expression for the seconds of a duration field. CEL knows no days, we do; and it must be built of parts whose cost the API
/// server can bound from `maxLength`: it cannot for `string(int)`.
pub(crate) fn cel(field: &str) -> String {
    format!(
        "({field}.endsWith('d') ? duration({field}.replace('d', 'h')).getSeconds() * 24 : duration({field}).getSeconds())"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit() {
        for (text, seconds) in
            [("30d", 2_592_000), ("12h", 43_200), ("90m", 5_400), ("45s", 45), ("9999d", 863_913_600)]
        {
            assert_eq!(Duration::from(text).seconds(), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn refuses_what_the_pattern_refuses() {
        let pattern = regex::Regex::new(PATTERN).unwrap();
        for text in ["", "d", "0d", "01d", "-1d", "1.5h", "1d12h", "10000d", "1w", "30", "30 d", "٣d", "1é"] {
            assert!(Duration::from(text).seconds().is_err(), "{text}");
            assert!(!pattern.is_match(text), "{text}");
        }
        let said = Duration::from("soon").seconds().unwrap_err().to_string();
        assert!(said.contains("`soon`") && said.contains("30d"), "{said}");
    }
}
