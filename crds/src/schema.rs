//! From the Rust types to the CustomResourceDefinitions that a cluster takes.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::{Network, RetentionPolicy, SecurityGroup, User};

static CRDS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    [Network::crd(), SecurityGroup::crd(), User::crd(), RetentionPolicy::crd()].into_iter().map(finish).collect()
});

/// The four CustomResourceDefinitions as JSON, as they are installed.
pub fn crds() -> &'static [Value] {
    &CRDS
}

/// The four CustomResourceDefinitions as (file name, YAML), as they stand beside this crate.
pub fn yaml() -> Vec<(&'static str, String)> {
    let names = [
        "networks.sotto.dev.yaml",
        "securitygroups.sotto.dev.yaml",
        "users.sotto.dev.yaml",
        "retentionpolicies.sotto.dev.yaml",
    ];
    names.into_iter().zip(crds()).map(|(name, crd)| (name, document(crd))).collect()
}

fn document(crd: &Value) -> String {
    // A JSON value always has a YAML form.
    let body = serde_yaml::to_string(crd).unwrap_or_default();
    format!("# Generated from the types in crds/src by `cargo run --release -p sotto-crds --example generate`.\n{body}")
}

/// What the derive macro leaves to be done.
fn finish(crd: CustomResourceDefinition) -> Value {
    let mut crd = serde_json::to_value(crd).unwrap_or_default();
    if let Some(schema) = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        tidy(schema);
        if let Some(status) = schema.pointer_mut("/properties/status") {
            // Before the operator has seen an object, tools that compare generations (kstatus, Flux, Argo CD) must see it
            // as in progress, not as current.
            status["default"] = json!({ "observedGeneration": -1 });
            status["properties"]["observedGeneration"]["default"] = json!(-1);
        }
    }
    crd
}

fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            // An explicit null in a manifest means "not set": without `nullable` the API server drops it and applies the
            // default, with it the null would stay.
            if map.get("nullable") == Some(&Value::Bool(true)) {
                map.remove("nullable");
            }
            // The Rust type's name teaches nobody.
            if map.get("title").is_some_and(Value::is_string) {
                map.remove("title");
            }
            // The doc comments are wrapped for readers of the source; `kubectl explain` wraps by itself.
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace("\n\n", "\u{0}").replace('\n', " ").replace('\u{0}', "\n\n");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        // `maximum: 65535.0` comes back from the API server as 65535, which tools show as a difference for ever.
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|n| number.is_f64() && n.fract() == 0.0 && n.abs() < 1e9) {
                #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
                let whole = whole as i64;
                *number = whole.into();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
        visit(path, schema);
        for (name, child) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), child, visit);
        }
        for key in ["items", "additionalProperties"] {
            if schema[key].is_object() {
                walk(&format!("{path}[]"), &schema[key], visit);
            }
        }
    }

    fn each_field(mut visit: impl FnMut(&str, &Value)) {
        for crd in crds() {
            let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
            let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            walk(kind, schema, &mut visit);
        }
    }

    #[test]
    fn yaml_beside_the_crate_is_current() {
        for (name, text) in yaml() {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(there == text, "{name} is stale: run `cargo run --release -p sotto-crds --example generate`");
        }
    }

    #[test]
    fn every_field_is_documented() {
        each_field(|path, schema| {
            let depth = path.matches('.').count();
            if path.contains(".conditions") || path.ends_with("[]") || (depth == 1 && path.ends_with(".metadata")) {
                return;
            }
            if depth == 0 || (depth == 1 && ["spec", "status"].iter().any(|name| path.ends_with(name))) {
                return;
            }
            let text = schema["description"].as_str().unwrap_or_default();
            assert!(text.len() > 10 && text.ends_with(['.', ')']), "{path}: {text:?}");
        });
    }

    #[test]
    fn api_servers_take_the_schema() {
        each_field(|path, schema| {
            let format = schema["format"].as_str().unwrap_or_default();
            assert!(["", "int32", "int64", "date-time"].contains(&format), "{path}: format {format}");
            for word in ["anyOf", "oneOf", "allOf", "nullable", "$ref", "title"] {
                assert!(schema.get(word).is_none(), "{path} has {word}");
            }
            let typed = schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true;
            assert!(typed, "{path} has no type: {schema}");
            if schema["default"].is_number() && schema["minimum"].is_number() {
                assert!(schema["default"].as_f64() >= schema["minimum"].as_f64(), "{path}: default below minimum");
            }
            // Without bounds the API server refuses the CEL rules above as too costly.
            if schema["type"] == "string" && path.contains(".spec") && schema["enum"].is_null() {
                assert!(schema["maxLength"].is_number(), "{path} has no maxLength");
            }
            if schema["type"] == "array" && path.contains(".spec") {
                assert!(schema["maxItems"].is_number(), "{path} has no maxItems");
            }
        });
    }

    #[test]
    fn status_is_in_progress_until_seen() {
        for crd in crds() {
            let status = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
            assert_eq!(status["default"]["observedGeneration"], -1);
            assert_eq!(status["properties"]["conditions"]["x-kubernetes-list-map-keys"][0], "type");
            assert_eq!(crd["spec"]["names"]["categories"][0], "sotto");
            assert_eq!(crd["spec"]["scope"], "Namespaced");
        }
    }
}
