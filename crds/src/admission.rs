//! What an API server would answer to a manifest, offline: structure, unknown fields, bounds, defaults and CEL rules.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kube::core::cel::{Validator, apply_defaults};
use regex::Regex;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One thing wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, such as `spec.relay.port`; empty for the object as a whole.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.field, self.message) }
    }
}

struct Kind {
    schema: Value,
    patterns: BTreeMap<String, Regex>,
}

static KINDS: LazyLock<BTreeMap<String, Kind>> = LazyLock::new(|| {
    let kind = |crd: &Value| {
        let name = crd["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
        let schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        let mut patterns = BTreeMap::new();
        collect_patterns(&schema, &mut patterns);
        (name, Kind { schema, patterns })
    };
    crate::crds().iter().map(kind).collect()
});

fn collect_patterns(schema: &Value, patterns: &mut BTreeMap<String, Regex>) {
    match schema {
        Value::Object(map) => {
            if let Some(text) = map.get("pattern").and_then(Value::as_str)
                && let Ok(regex) = Regex::new(text)
            {
                patterns.insert(text.to_owned(), regex);
            }
            map.values().for_each(|child| collect_patterns(child, patterns));
        }
        Value::Array(items) => items.iter().for_each(|child| collect_patterns(child, patterns)),
        _ => {}
    }
}

/// Reads a manifest of the kind that `K` is, as a cluster would admit it: defaults filled in, or every reason why not.
/// `old` is the object as it stood before, for the rules about changes.
pub fn admit<K: kube::Resource<DynamicType = ()> + DeserializeOwned>(
    manifest: &Value,
    old: Option<&Value>,
) -> Result<K, Vec<Violation>> {
    let name = K::kind(&());
    let whole = |message: String| vec![Violation { field: String::new(), message }];
    let Some(kind) = KINDS.get(&*name) else {
        return Err(whole(format!("{name} is not a kind of {}", crate::GROUP)));
    };
    let manifest = without_nulls(manifest);
    let mut violations = check(kind, &manifest);
    if !violations.is_empty() {
        return Err(violations);
    }
    let full = apply_defaults(&kind.schema, &manifest);
    let old = old.map(|old| apply_defaults(&kind.schema, &without_nulls(old)));
    if let Err(errors) = Validator::new().validate(&kind.schema, &full, old.as_ref()) {
        for error in errors {
            let field = error.field_path.trim_start_matches('.').replace("..", ".");
            violations.push(Violation { field, message: error.message });
        }
        return Err(violations);
    }
    serde_json::from_value(full).map_err(|error| whole(error.to_string()))
}

/// The API server drops explicit nulls of fields that are not nullable, and none of ours are.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

fn check(kind: &Kind, manifest: &Value) -> Vec<Violation> {
    let mut violations = Vec::new();
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if !is_object_name(name) {
        violations.push(Violation {
            field: "metadata.name".into(),
            message: "must be 1 to 253 characters of a-z, 0-9, - and ., with a letter or digit at either end".into(),
        });
    }
    let Some(map) = manifest.as_object() else {
        return vec![Violation { field: String::new(), message: "must be an object".into() }];
    };
    let mut checker = Checker { patterns: &kind.patterns, violations };
    for (key, value) in map {
        match key.as_str() {
            "apiVersion" | "kind" | "metadata" | "status" => {}
            _ => checker.property("", &kind.schema, key, value),
        }
    }
    checker.required("", &kind.schema, map);
    checker.violations
}

fn is_object_name(name: &str) -> bool {
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
    name.len() <= 253 && edge(name.bytes().next()) && edge(name.bytes().last()) && name.bytes().all(inner)
}

struct Checker<'a> {
    patterns: &'a BTreeMap<String, Regex>,
    violations: Vec<Violation>,
}

impl Checker<'_> {
    fn fail(&mut self, field: &str, message: impl Into<String>) {
        self.violations.push(Violation { field: field.to_owned(), message: message.into() });
    }

    fn property(&mut self, path: &str, schema: &Value, key: &str, value: &Value) {
        let field = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        if let Some(child) = schema["properties"].get(key) {
            self.value(&field, child, value);
        } else if schema["additionalProperties"].is_object() {
            self.value(&field, &schema["additionalProperties"], value);
        } else if schema["x-kubernetes-preserve-unknown-fields"] == true {
            // Kubernetes' own types say what may stand there; the operator reads it by them.
        } else {
            let known = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
            let known = known.filter(|name| !["apiVersion", "kind", "metadata", "status"].contains(name));
            let known = known.collect::<Vec<_>>();
            let nearest = known.iter().map(|name| (distance(key, name), *name)).min();
            let message = match nearest {
                Some((far, name)) if far <= 1 + name.len() / 4 => format!("unknown field; did you mean `{name}`?"),
                _ => format!("unknown field; known here: {}", known.join(", ")),
            };
            self.fail(&field, message);
        }
    }

    fn required(&mut self, path: &str, schema: &Value, map: &serde_json::Map<String, Value>) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !map.contains_key(name) {
                let field = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                let meaning = schema["properties"][name]["description"].as_str().unwrap_or_default();
                self.fail(&field, format!("is required. {meaning}"));
            }
        }
    }

    fn value(&mut self, field: &str, schema: &Value, value: &Value) {
        if schema["x-kubernetes-int-or-string"] == true {
            match value {
                Value::String(text) => self.text(field, schema, text),
                Value::Number(number) if number.is_u64() => {}
                _ => self.fail(field, "must be a text or a whole number, such as 500m or 2"),
            }
            return;
        }
        match (schema["type"].as_str().unwrap_or_default(), value) {
            ("object", Value::Object(map)) => {
                for (key, child) in map {
                    self.property(field, schema, key, child);
                }
                self.required(field, schema, map);
                self.at_most(field, schema, "maxProperties", map.len(), "entries");
            }
            ("array", Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(&format!("{field}[{index}]"), &schema["items"], item);
                }
                self.at_most(field, schema, "maxItems", items.len(), "entries");
                self.distinct(field, schema, items);
            }
            ("string", Value::String(text)) => self.text(field, schema, text),
            ("boolean", Value::Bool(_)) => {}
            ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {
                let number = number.as_i64().unwrap_or(i64::MAX);
                let (min, max) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
                #[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^53")]
                let beyond = min.is_some_and(|min| (number as f64) < min) || max.is_some_and(|max| number as f64 > max);
                if beyond {
                    let (min, max) = (min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX));
                    self.fail(field, format!("{number} is out of bounds: must be from {min} to {max}"));
                }
            }
            (wanted, _) => self.fail(field, format!("must be {}", words(wanted))),
        }
    }

    fn at_most(&mut self, field: &str, schema: &Value, keyword: &str, count: usize, what: &str) {
        if let Some(max) = schema[keyword].as_u64()
            && count as u64 > max
        {
            self.fail(field, format!("has {count} {what}, at most {max} are allowed"));
        }
    }

    fn distinct(&mut self, field: &str, schema: &Value, items: &[Value]) {
        let key = |item: &Value| match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => Some(item.clone()),
            Some("map") => schema["x-kubernetes-list-map-keys"][0].as_str().and_then(|name| item.get(name)).cloned(),
            _ => None,
        };
        let mut seen = Vec::new();
        for (index, key) in items.iter().map(key).enumerate() {
            let Some(key) = key else { continue };
            if seen.contains(&key) {
                self.fail(&format!("{field}[{index}]"), format!("{key} stands twice in the list: remove one"));
            }
            seen.push(key);
        }
    }

    fn text(&mut self, field: &str, schema: &Value, text: &str) {
        if let Some(words) = schema["enum"].as_array()
            && !words.iter().any(|word| word == text)
        {
            let words = words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
            return self.fail(field, format!("`{text}` is not one of: {words}"));
        }
        let length = text.chars().count() as u64;
        let (min, max) = (schema["minLength"].as_u64().unwrap_or(0), schema["maxLength"].as_u64().unwrap_or(u64::MAX));
        if length < min || length > max {
            return self.fail(field, format!("has {length} characters, {min} to {max} are allowed"));
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && !self.patterns.get(pattern).is_some_and(|regex| regex.is_match(text))
        {
            let meaning = schema["description"].as_str().unwrap_or_default();
            self.fail(field, format!("`{text}` does not have the right form ({pattern}). {meaning}"));
        }
    }
}

/// How many letters have to be added, removed or changed to make one word of the other, without regard to case.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.to_lowercase().chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

fn words(kind: &str) -> &'static str {
    match kind {
        "object" => "an object (name: value lines)",
        "array" => "a list",
        "string" => "a text; put it in quotes",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "another type",
    }
}
