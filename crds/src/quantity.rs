//! Kubernetes quantities (`10Gi`, `500m`), kept as written and comparable.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What a quantity of memory, processor or storage looks like here: no exponents, no signs.
pub(crate) const PATTERN: &str = "^[0-9]{1,12}([.][0-9]{1,3})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";

/// A Kubernetes quantity, such as `500m` (half a processor) or `10Gi`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

/// A quantity that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a quantity: write a number with a unit, such as 500m, 256Mi or 10Gi")]
pub struct QuantityError(pub String);

impl Quantity {
    /// The value in thousandths of the base unit (bytes, processors).
    pub fn thousandths(&self) -> Result<u128, QuantityError> {
        let fail = || QuantityError(self.0.clone());
        let end = self.0.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.0.len());
        let (number, unit) = self.0.split_at(end);
        let factor: u128 = match unit {
            "m" => 1,
            "" => 1_000,
            "k" => 1_000_000,
            "M" => 1_000_000_000,
            "G" => 1_000_000_000_000,
            "T" => 1_000_000_000_000_000,
            "P" => 1_000_000_000_000_000_000,
            "Ki" => 1_000 << 10,
            "Mi" => 1_000 << 20,
            "Gi" => 1_000 << 30,
            "Ti" => 1_000 << 40,
            "Pi" => 1_000 << 50,
            _ => return Err(fail()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let bad_fraction = fraction.len() > 3 || (number.contains('.') && fraction.is_empty());
        if whole.is_empty() || whole.len() > 12 || bad_fraction {
            return Err(fail());
        }
        let whole: u128 = whole.parse().map_err(|_| fail())?;
        let fraction: u128 = format!("{fraction:0<3}").parse().map_err(|_| fail())?;
        Ok(whole * factor + fraction * factor / 1_000)
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // People write `cpu: 2`, and the API server lets them.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Whole(u64),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => Self(text),
            Written::Whole(number) => Self(number.to_string()),
        })
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "pattern": PATTERN, "maxLength": 20 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_across_units() {
        let value = |text: &str| Quantity::from(text).thousandths().unwrap();
        assert_eq!(value("500m"), 500);
        assert_eq!(value("2"), 2_000);
        assert_eq!(value("1.5Gi"), value("1536Mi"));
        assert!(value("1Gi") > value("1G"));
    }

    #[test]
    fn refuses_what_the_pattern_refuses() {
        let pattern = regex::Regex::new(PATTERN).unwrap();
        for text in ["", "Gi", "-1Gi", "1e3", "1.Gi", "1.2345Gi", "10 Gi", "10gb", "1234567890123"] {
            assert!(Quantity::from(text).thousandths().is_err(), "{text}");
            assert!(!pattern.is_match(text), "{text}");
        }
    }

    #[test]
    fn reads_numbers_too() {
        assert_eq!(serde_json::from_str::<Quantity>("2").unwrap(), Quantity::from("2"));
    }
}
