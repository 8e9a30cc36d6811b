//! The Kustomize base, made from what the chart renders with its own defaults.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::{Failure, Outcome, Run, repository, tool};

/// The namespace of the base's operator.
const NAMESPACE: &str = "sotto-system";

/// The objects in a text of YAML documents.
pub fn objects(text: &str) -> Outcome<Vec<Value>> {
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|error| Failure(format!("no YAML: {error}\n{text}")))?;
        if !value.is_null() {
            objects.push(value);
        }
    }
    Ok(objects)
}

/// The files of `deploy/kustomize/base`: name and content.
pub fn kustomize_base() -> Outcome<Vec<(String, String)>> {
    let chart = repository().join("charts/sotto");
    let rendered = Run::new(tool("helm"))
        .args(["template", "sotto"])
        .arg(chart)
        .args(["--namespace", NAMESPACE])
        .args(["--set", "crds.enabled=false"]);
    let mut files: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    files.entry("namespace").or_default().push(json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }));
    for mut object in objects(&rendered.output()?)? {
        let file = match object["kind"].as_str().unwrap_or_default() {
            "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding" | "ServiceAccount" => "rights",
            "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding" => "admission",
            _ => "operator",
        };
        without_helm(&mut object);
        files.entry(file).or_default().push(object);
    }
    let note = "# Made from charts/sotto by `make generate`. Change the chart.\n";
    let mut texts = Vec::new();
    // The definitions are taken from where they are.
    let mut names = vec!["../../../crds".to_owned()];
    names.extend(files.keys().map(|name| format!("{name}.yaml")));
    for (name, objects) in files {
        let mut text = note.to_owned();
        for object in objects {
            text += "---\n";
            text += &yaml(&object)?;
        }
        texts.push((format!("{name}.yaml"), text));
    }
    let index = json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names});
    texts.push(("kustomization.yaml".into(), format!("{note}{}", yaml(&index)?)));
    Ok(texts)
}

fn yaml(value: &Value) -> Outcome<String> {
    serde_yaml::to_string(value).map_err(|error| Failure(format!("no YAML of {value}: {error}")))
}

/// Takes away what is only true of a Helm release.
fn without_helm(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("helm.sh/chart");
            if map.get("app.kubernetes.io/managed-by") == Some(&json!("Helm")) {
                map.remove("app.kubernetes.io/managed-by");
            }
            map.values_mut().for_each(without_helm);
        }
        Value::Array(items) => items.iter_mut().for_each(without_helm),
        _ => {}
    }
}
