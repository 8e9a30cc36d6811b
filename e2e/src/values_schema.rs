//! The JSON schema of the chart's values, made from `values.yaml`: types and defaults from what stands there, descriptions from the
//! comments, and from lines `# @schema {…}` what a default cannot tell. Unknown names are refused wherever the names are known.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{Failure, Outcome, ensure, fail};

/// What the comment above a value says.
#[derive(Debug, Default)]
struct Remark {
    text: Vec<String>,
    schema: Map<String, Value>,
}

/// The schema of these values.
pub fn values_schema(yaml: &str) -> Outcome<Value> {
    let values: Value = serde_yaml::from_str(yaml).map_err(|error| Failure(format!("values.yaml: {error}")))?;
    let mut remarks = remarks(yaml)?;
    let mut schema = describe("", &values, &mut remarks)?;
    ensure(remarks.is_empty(), || format!("values.yaml: comments above no value: {:?}", remarks.keys()))?;
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("Values of the Sotto chart");
    // What Helm hands to every chart.
    schema["properties"]["global"] = json!({"type": "object"});
    schema["definitions"] = json!({
        "dnsLabel": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"},
        "objectList": {"type": "array", "items": {"type": "object"}},
        "seconds": {"type": "string", "pattern": "^[1-9][0-9]{0,3}s$"},
        "stringMap": {"type": "object", "additionalProperties": {"type": "string"}},
    });
    Ok(schema)
}

/// The schema as the file beside the values.
pub fn values_schema_file(yaml: &str) -> Outcome<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(&values_schema(yaml)?)?))
}

fn describe(path: &str, value: &Value, remarks: &mut BTreeMap<String, Remark>) -> Outcome<Value> {
    let remark = remarks.remove(path);
    let has_remark = remark.is_some();
    let remark = remark.unwrap_or_default();
    let mut schema = remark.schema;
    if !remark.text.is_empty() {
        schema.insert("description".into(), remark.text.join(" ").into());
    }
    let kind = match value {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => return fail(format!("{path}: null has no type; give a default")),
    };
    let described = schema.contains_key("$ref") || schema.contains_key("additionalProperties");
    if let Value::Object(map) = value
        && !described
    {
        ensure(!map.is_empty(), || format!("{path}: an empty map says nothing; add a line @schema"))?;
        let mut properties = Map::new();
        for (name, child) in map {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            properties.insert(name.clone(), describe(&path, child, remarks)?);
        }
        schema.insert("additionalProperties".into(), false.into());
        schema.insert("properties".into(), properties.into());
    } else {
        ensure(has_remark && schema.contains_key("description"), || format!("{path}: no comment says what it is"))?;
        ensure(kind != "array" || described || schema.contains_key("items"), || {
            format!("{path}: an empty list says nothing; add a line @schema with items")
        })?;
        schema.insert("default".into(), value.clone());
        if let Some(Value::String(reference)) = schema.remove("$ref") {
            // Beside a $ref, draft 7 reads nothing else.
            schema.insert("allOf".into(), json!([{"$ref": reference}]));
        }
    }
    schema.insert("type".into(), kind.into());
    Ok(schema.into())
}

/// The comment above each value, by the value's path. Comments with an empty line below them belong to nothing.
fn remarks(yaml: &str) -> Outcome<BTreeMap<String, Remark>> {
    let mut remarks = BTreeMap::new();
    let mut remark = Remark::default();
    let mut place: Vec<(usize, String)> = Vec::new();
    for line in yaml.lines() {
        let words = line.trim_start();
        let depth = line.len() - words.len();
        if let Some(comment) = words.strip_prefix('#') {
            if let Some(text) = comment.strip_prefix(" @schema ") {
                remark.schema.append(&mut serde_json::from_str(text).map_err(|e| Failure(format!("{text}: {e}")))?);
            } else if !comment.starts_with("   ") {
                // Further to the right stand examples.
                remark.text.push(comment.trim().to_owned());
            }
            continue;
        }
        let told = std::mem::take(&mut remark);
        let Some((name, _)) = words.split_once(':') else { continue };
        place.retain(|(other, _)| *other < depth);
        place.push((depth, name.to_owned()));
        if !told.text.is_empty() || !told.schema.is_empty() {
            let path: Vec<&str> = place.iter().map(|(_, name)| name.as_str()).collect();
            remarks.insert(path.join("."), told);
        }
    }
    Ok(remarks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_descriptions_and_bounds() {
        let yaml = "# About all.\n\nouter:\n  # How many.\n  #   example: 7\n  # @schema {\"minimum\": 0}\n  count: 1\n  # Words.\n  # @schema {\"$ref\": \"#/definitions/stringMap\"}\n  words: {}\n";
        let schema = values_schema(yaml).unwrap();
        let outer = &schema["properties"]["outer"];
        assert_eq!(outer["additionalProperties"], false);
        assert_eq!(
            outer["properties"]["count"],
            json!({"type": "integer", "minimum": 0, "default": 1, "description": "How many."})
        );
        assert_eq!(outer["properties"]["words"]["allOf"][0]["$ref"], "#/definitions/stringMap");
    }

    #[test]
    fn what_says_too_little_is_refused() {
        for (yaml, word) in [
            ("a: 1\n", "no comment"),
            ("# A.\na: {}\n", "empty map"),
            ("# A.\na: []\n", "empty list"),
            ("# A.\na:\n", "null"),
        ] {
            let said = values_schema(yaml).unwrap_err().0;
            assert!(said.contains(word), "{yaml}: {said}");
        }
    }
}
