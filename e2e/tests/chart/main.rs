//! The Helm chart: what it renders under every file of `charts/sotto/ci/` keeps the promises that are made about it. Needs Helm, no
//! cluster. What an API server makes of it is in `tests/api/`.

mod definitions;
mod generated;
mod pods;
mod refusals;
mod rights;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use sotto_e2e::{Outcome, Run, ensure, fail, objects, repository, tool};

pub(crate) fn chart() -> PathBuf {
    repository().join("charts/sotto")
}

/// What the chart renders under one file of values.
pub(crate) struct Variant {
    /// The file's name.
    pub(crate) name: String,
    /// All values: those of the file over the defaults.
    pub(crate) values: Value,
    pub(crate) objects: Vec<Value>,
}

/// Every file of values that the chart is tested with.
pub(crate) fn variants() -> Outcome<Vec<Variant>> {
    let mut variants = Vec::new();
    let defaults = yaml(&fs::read_to_string(chart().join("values.yaml"))?)?;
    for entry in fs::read_dir(chart().join("ci"))? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = fs::read_to_string(&path)?;
        let mut values = defaults.clone();
        merge(&mut values, yaml(&text)?);
        variants.push(Variant { name, values, objects: objects(&template(&text).output()?)? });
    }
    ensure(variants.len() >= 5, || format!("only {} files in charts/sotto/ci", variants.len()))?;
    variants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(variants)
}

fn yaml(text: &str) -> Outcome<Value> {
    match objects(text)?.pop() {
        Some(value) => Ok(value),
        None => fail("no values"),
    }
}

/// As Helm does it: maps are merged, everything else is replaced.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// `helm template` with these values.
pub(crate) fn template(values: &str) -> Run {
    Run::new(tool("helm"))
        .args(["template", "sotto"])
        .arg(chart())
        .args(["--namespace", "sotto-system", "--values", "-"])
        .input(values)
}

impl Variant {
    pub(crate) fn of_kind<'a>(&'a self, kind: &str) -> Vec<&'a Value> {
        self.objects.iter().filter(|o| o["kind"] == kind).collect()
    }

    /// The one Deployment.
    pub(crate) fn deployment(&self) -> Outcome<&Value> {
        match self.of_kind("Deployment").as_slice() {
            [one] => Ok(one),
            several => fail(format!("{}: {} Deployments", self.name, several.len())),
        }
    }

    /// Fails with what is wrong under which values.
    pub(crate) fn ensure(&self, condition: bool, what: impl FnOnce() -> String) -> Outcome {
        ensure(condition, || format!("{}: {}", self.name, what()))
    }
}

/// `Kind/name` in its namespace.
pub(crate) fn place(object: &Value) -> String {
    let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}@{}", word("/kind"), word("/metadata/name"), word("/metadata/namespace"))
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn lint_is_content_with_every_file_of_values() -> Outcome {
    let mut run = Run::new(tool("helm")).args(["lint", "--strict"]).arg(chart());
    run.output()?;
    for variant in variants()? {
        run = Run::new(tool("helm")).args(["lint", "--strict"]).arg(chart());
        run.arg("--values").arg(chart().join("ci").join(&variant.name)).output()?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn every_object_has_its_labels_its_namespace_and_a_name_of_its_own() -> Outcome {
    let cluster_wide = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    for variant in variants()? {
        let mut seen = BTreeSet::new();
        for object in &variant.objects {
            variant.ensure(seen.insert(place(object)), || format!("{} is there twice", place(object)))?;
            let kind = object["kind"].as_str().unwrap_or_default();
            let namespaced = object["metadata"]["namespace"].is_string();
            variant.ensure(namespaced != cluster_wide.contains(&kind), || {
                format!("{}: a namespace where there is none, or none where it is needed", place(object))
            })?;
            // Custom resource definitions are exact copies of what the code generates.
            if kind == "CustomResourceDefinition" {
                continue;
            }
            let labels = &object["metadata"]["labels"];
            variant.ensure(
                labels["app.kubernetes.io/instance"] == "sotto" && labels["helm.sh/chart"].is_string(),
                || format!("{} has the labels {labels}", place(object)),
            )?;
            for (name, value) in variant.values["commonLabels"].as_object().into_iter().flatten() {
                variant.ensure(&labels[name] == value, || format!("{} lacks the label {name}", place(object)))?;
            }
        }
    }
    Ok(())
}

/// Nothing in the chart is made by chance or by the clock: who compares renderings sees no difference where there is none.
#[test]
#[ignore = "needs Helm: `make chart`"]
fn a_second_rendering_is_the_same() -> Outcome {
    for variant in variants()? {
        let text = fs::read_to_string(chart().join("ci").join(&variant.name))?;
        let again = objects(&template(&text).output()?)?;
        variant.ensure(again == variant.objects, || "the second rendering differs from the first".into())?;
    }
    Ok(())
}
