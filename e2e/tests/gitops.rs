//! The examples as GitOps tools render them: what the AWS CDK has synthesised is what the plain YAML says, and the patches of the
//! Argo CD and Flux examples protect what they say. Needs kubectl and the output of `cdk synth`, no cluster: `make gitops`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sotto_e2e::{Failure, Outcome, Run, ensure, fail, objects, repository, tool};

/// The folders that kustomize builds.
const FOLDERS: [&str; 3] = ["federation", "retention-s3", "single-network"];

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| Failure(format!("{}: {error}", path.display())))
}

fn kustomize(folder: &Path) -> Outcome<Vec<Value>> {
    objects(&Run::new(tool("kubectl")).arg("kustomize").arg(folder).output()?)
}

/// By kind and name.
fn sorted(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let name = |o: &Value| {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{} {}", word(&o["kind"]), word(&o["metadata"]["name"]))
    };
    objects.into_iter().map(|o| (name(&o), o)).collect()
}

#[test]
#[ignore = "needs kubectl: `make gitops`"]
fn every_folder_builds_and_leaves_out_no_file() -> Outcome {
    for name in FOLDERS {
        let folder = repository().join("examples").join(name);
        let built = sorted(kustomize(&folder)?);
        let mut written = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|n| n != "kustomization.yaml") {
                written.extend(objects(&read(&path)?)?);
            }
        }
        let written = sorted(written);
        ensure(built.keys().eq(written.keys()), || format!("{name}: {:?} / {:?}", built.keys(), written.keys()))?;
        let namespace =
            built.iter().find(|(name, _)| name.starts_with("Namespace ")).map(|(_, o)| &o["metadata"]["name"]);
        for (title, object) in &built {
            let own = title.starts_with("Namespace ") || Some(&object["metadata"]["namespace"]) == namespace;
            ensure(own && object["spec"] == written[title]["spec"], || format!("{name}: {title}: {object}"))?;
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs the output of `cdk synth`: `make gitops`"]
fn the_cdk_makes_the_objects_of_the_single_network() -> Outcome {
    let template = repository().join("examples/cdk/cdk.out/Sotto.template.json");
    let template: Value = serde_json::from_str(&read(&template)?)?;
    let mut made = Vec::new();
    for (name, resource) in template["Resources"].as_object().into_iter().flatten() {
        if resource["Type"] != "Custom::AWSCDK-EKS-KubernetesResource" {
            continue;
        }
        // A text: nothing in it waits for a value that only AWS knows.
        let Some(text) = resource["Properties"]["Manifest"].as_str() else {
            return fail(format!("{name}: its manifest is not plain: {}", resource["Properties"]["Manifest"]));
        };
        made.extend(serde_json::from_str::<Vec<Value>>(text)?);
        // Our objects come after the chart, which brings their definitions.
        if text.contains("sotto.dev/v1alpha1") {
            let after = resource["DependsOn"].to_string();
            ensure(after.contains("chartOperator"), || format!("{name} depends on {after}"))?;
        }
    }
    for object in &mut made {
        // The CDK's own mark on what it deletes by label.
        let labels = object["metadata"]["labels"].as_object_mut();
        if let Some(labels) = labels {
            labels.retain(|key, _| !key.starts_with("aws.cdk.eks/prune-"));
            if labels.is_empty()
                && let Some(metadata) = object["metadata"].as_object_mut()
            {
                metadata.remove("labels");
            }
        }
    }
    let (made, plain) = (sorted(made), sorted(kustomize(&repository().join("examples/single-network"))?));
    ensure(made.len() == 7, || format!("{:?}", made.keys()))?;
    ensure(made == plain, || format!("the CDK makes\n{}\nthe YAML says\n{}", json!(made), json!(plain)))
}

#[test]
#[ignore = "needs kubectl: `make gitops`"]
fn pruning_spares_what_must_not_go() -> Outcome {
    let patches = |file: &str, pointer: &str| -> Outcome<Value> {
        let found = objects(&read(&repository().join("examples").join(file))?)?;
        let found = found.iter().find_map(|o| o.pointer(pointer)).cloned();
        found.ok_or_else(|| Failure(format!("{file} has no {pointer}")))
    };
    for (patches, annotation, value) in [
        (
            patches("argocd/application.yaml", "/spec/source/kustomize/patches")?,
            "argocd.argoproj.io/sync-options",
            "Prune=false,Delete=false",
        ),
        (patches("flux/kustomization.yaml", "/spec/patches")?, "kustomize.toolkit.fluxcd.io/prune", "disabled"),
    ] {
        // Both tools hand their patches to kustomize as they are.
        let work = tempfile::Builder::new().prefix("gitops-").tempdir_in(repository().join("examples"))?;
        let index = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "resources": ["../single-network", "../retention-s3/retention.yaml"], "patches": patches,
        });
        // The file is from beside: kustomize takes folders from there, and no files.
        fs::copy(repository().join("examples/retention-s3/retention.yaml"), work.path().join("retention.yaml"))?;
        let index = index.to_string().replace("../retention-s3/retention.yaml", "retention.yaml");
        fs::write(work.path().join("kustomization.yaml"), index)?;
        let built = kustomize(work.path())?;
        let mut spared = 0;
        for object in &built {
            let kept = object["metadata"]["annotations"][annotation] == value;
            let wanted = matches!(object["kind"].as_str(), Some("Namespace" | "Network" | "RetentionPolicy"));
            ensure(kept == wanted, || format!("{annotation} on {object}"))?;
            spared += usize::from(kept);
        }
        ensure(spared == 3 && built.len() == 8, || format!("{spared} of {}", built.len()))?;
    }
    Ok(())
}
