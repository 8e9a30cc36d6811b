//! What is made from the chart is as the chart is now.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use sotto_e2e::{Failure, Outcome, Run, ensure, fail, kustomize_base, objects, repository, tool, values_schema_file};

use crate::{chart, place, template};

#[test]
#[ignore = "needs Helm: `make chart`"]
fn the_schema_of_the_values_is_that_of_the_file() -> Outcome {
    let wanted = values_schema_file(&fs::read_to_string(chart().join("values.yaml"))?)?;
    ensure(fs::read_to_string(chart().join("values.schema.json"))? == wanted, || {
        "charts/sotto/values.schema.json is stale: make generate".into()
    })
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn the_kustomize_base_is_what_the_chart_renders() -> Outcome {
    let folder = repository().join("deploy/kustomize/base");
    let wanted = kustomize_base()?;
    for (name, text) in &wanted {
        ensure(fs::read_to_string(folder.join(name)).is_ok_and(|there| there == *text), || {
            format!("deploy/kustomize/base/{name} is stale: make generate")
        })?;
    }
    let files = fs::read_dir(&folder)?.count();
    ensure(files == wanted.len(), || format!("{files} files in {}, made are {}", folder.display(), wanted.len()))?;
    // It holds the same objects as the chart with its defaults, and the namespace.
    let built = objects(&Run::new(tool("kubectl")).arg("kustomize").arg(&folder).output()?)?;
    let places: BTreeSet<String> = built.iter().map(place).collect();
    let mut rendered: BTreeSet<String> = objects(&template("{}").output()?)?.iter().map(place).collect();
    rendered.insert("Namespace/sotto-system@".into());
    ensure(places == rendered, || {
        format!("only in one of the two: {:?}", places.symmetric_difference(&rendered).collect::<Vec<_>>())
    })?;
    let helm = built.iter().find(|object| object.to_string().contains("helm"));
    ensure(helm.is_none(), || format!("a trace of Helm in the base: {}", helm.map(place).unwrap_or_default()))
}

/// The overlay with another namespace leaves no trace of the base's, also not in the expressions of policies.
#[test]
#[ignore = "needs Helm: `make chart`"]
fn the_overlay_is_in_another_namespace_as_a_whole() -> Outcome {
    let build = |folder: &str| -> Outcome<String> {
        Run::new(tool("kubectl")).arg("kustomize").arg(repository().join("deploy/kustomize").join(folder)).output()
    };
    let (base, overlay) = (build("base")?, build("another-namespace")?);
    ensure(!overlay.contains("sotto-system"), || "the overlay speaks of sotto-system".into())?;
    let sorted = |text: &str| -> Outcome<Vec<String>> {
        let mut all = objects(text)?;
        for object in &mut all {
            // Kustomize takes these kinds for namespaced ones; the API server drops it.
            if object["kind"].as_str().is_some_and(|kind| kind.starts_with("ValidatingAdmissionPolicy"))
                && let Some(metadata) = object["metadata"].as_object_mut()
            {
                metadata.remove("namespace");
            }
        }
        let mut all: Vec<String> = all.iter().map(Value::to_string).collect();
        all.sort();
        Ok(all)
    };
    let wanted = sorted(&base.replace("sotto-system", "messages"))?;
    let other = sorted(&overlay)?.into_iter().find(|object| !wanted.contains(object));
    ensure(other.is_none(), || format!("more than the namespace is changed: {}", other.unwrap_or_default()))?;
    ensure(objects(&overlay)?.len() == wanted.len(), || "the overlay has another number of objects".into())?;
    let account = "'system:serviceaccount:messages:sotto-operator'";
    ensure(overlay.contains(account), || format!("no policy is about {account}"))
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn its_version_is_the_programs() -> Outcome {
    let text = fs::read_to_string(chart().join("Chart.yaml"))?;
    let metadata: Value = serde_yaml::from_str(&text).map_err(|e| Failure(e.to_string()))?;
    for field in ["version", "appVersion"] {
        if metadata[field] != env!("CARGO_PKG_VERSION") {
            return fail(format!(
                "Chart.yaml: {field} is {}, the workspace's is {}",
                metadata[field],
                env!("CARGO_PKG_VERSION")
            ));
        }
    }
    Ok(())
}
