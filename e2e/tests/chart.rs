//! The Helm chart: what it renders under many values keeps the promises that are made about it. Needs Helm, no cluster.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sotto_e2e::{Outcome, Run, ensure, fail, repository, tool};

fn chart() -> PathBuf {
    repository().join("charts/sotto")
}

/// Values worth trying: a name, and the values as JSON.
fn variants() -> Vec<(&'static str, Value)> {
    vec![
        ("default", json!({})),
        ("two namespaces", json!({"operator": {"watchNamespaces": ["chat", "chat-test"], "replicas": 0}})),
        (
            "everything on",
            json!({
                "image": {"repository": "registry.example/sotto", "digest": format!("sha256:{}", "0".repeat(64))},
                "imagePullSecrets": [{"name": "registry"}],
                "operator": {
                    "replicas": 1, "logLevel": "debug",
                    "extraEnv": [{"name": "AWS_ENDPOINT_URL", "value": "http://10.0.0.1:5555"}],
                    "extraEnvFrom": [{"secretRef": {"name": "aws"}}],
                    "podAnnotations": {"a": "b"}, "podLabels": {"team": "chat"}, "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"operator": "Exists"}], "affinity": {"podAntiAffinity": {}}, "priorityClassName": "high",
                },
                "serviceAccount": {"name": "own", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
                "metrics": {"service": {"enabled": true}, "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}}},
                "commonLabels": {"cost-centre": "7"},
            }),
        ),
        (
            "nothing that can be left out",
            json!({
                "crds": {"enabled": false}, "rbac": {"create": false, "aggregateClusterRoles": false},
                "serviceAccount": {"create": false, "name": "given"},
            }),
        ),
        ("definitions that go with the release", json!({"crds": {"keep": false}})),
    ]
}

fn helm_template(values: &Value) -> Run {
    Run::new(tool("helm"))
        .args(["template", "sotto"])
        .arg(chart())
        .args(["--namespace", "sotto-system", "--values", "-"])
        .input(values.to_string())
}

fn render(values: &Value) -> Outcome<Vec<Value>> {
    let text = helm_template(values).output()?;
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let value: Value =
            serde::Deserialize::deserialize(document).map_err(|e| sotto_e2e::Failure(format!("{e}\n{text}")))?;
        if !value.is_null() {
            objects.push(value);
        }
    }
    Ok(objects)
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|o| o["kind"] == kind).collect()
}

/// Every rule of every role.
fn rules(objects: &[Value]) -> Vec<Value> {
    objects
        .iter()
        .filter(|o| matches!(o["kind"].as_str(), Some("Role" | "ClusterRole")))
        .flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default())
        .collect()
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn lint_is_content() -> Outcome {
    Run::new(tool("helm")).args(["lint", "--strict"]).arg(chart()).output().map(drop)
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn pods_are_restricted_and_watched_over() -> Outcome {
    for (name, values) in variants() {
        let objects = render(&values)?;
        let deployments = of_kind(&objects, "Deployment");
        ensure(deployments.len() == 1, || format!("{name}: {} Deployments", deployments.len()))?;
        let pod = &deployments[0]["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let expected = [
            (&pod["securityContext"]["runAsNonRoot"], json!(true)),
            (&pod["securityContext"]["seccompProfile"]["type"], json!("RuntimeDefault")),
            (&container["securityContext"]["allowPrivilegeEscalation"], json!(false)),
            (&container["securityContext"]["readOnlyRootFilesystem"], json!(true)),
            (&container["securityContext"]["capabilities"]["drop"], json!(["ALL"])),
            (&container["args"], json!(["operator"])),
            (&container["livenessProbe"]["httpGet"]["path"], json!("/healthz")),
            (&container["readinessProbe"]["httpGet"]["path"], json!("/readyz")),
        ];
        for (found, wanted) in expected {
            ensure(*found == wanted, || format!("{name}: {found} where {wanted} is wanted"))?;
        }
        ensure(!container["resources"]["requests"]["memory"].is_null(), || format!("{name}: no memory request"))?;
        // The workloads run the operator's own image.
        let environment = container["env"].as_array().cloned().unwrap_or_default();
        let own = environment.iter().find(|e| e["name"] == "SOTTO_IMAGE").map(|e| &e["value"]);
        ensure(own == Some(&container["image"]), || format!("{name}: SOTTO_IMAGE is {own:?}"))?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn every_object_carries_the_charts_labels() -> Outcome {
    for (name, values) in variants() {
        for object in render(&values)? {
            // Custom resource definitions are exact copies of what the code generates.
            if object["kind"] == "CustomResourceDefinition" {
                continue;
            }
            let labels = &object["metadata"]["labels"];
            ensure(labels["app.kubernetes.io/instance"] == "sotto" && !labels["helm.sh/chart"].is_null(), || {
                format!("{name}: {} {} has the labels {labels}", object["kind"], object["metadata"]["name"])
            })?;
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn rights_are_the_least() -> Outcome {
    for (name, values) in variants() {
        let objects = render(&values)?;
        for rule in rules(&objects) {
            let text = rule.to_string();
            ensure(!text.contains("\"*\""), || format!("{name}: a wildcard in {text}"))?;
            for word in ["escalate", "bind", "impersonate", "pods/exec", "nodes"] {
                ensure(!text.contains(&format!("\"{word}\"")), || format!("{name}: {word} in {text}"))?;
            }
        }
    }
    let objects = render(&json!({"operator": {"watchNamespaces": ["chat"]}}))?;
    for role in of_kind(&objects, "ClusterRole") {
        let text = role["rules"].to_string();
        ensure(!text.contains("secrets"), || format!("with a list of namespaces, a cluster role has {text}"))?;
    }
    ensure(of_kind(&objects, "ClusterRoleBinding").is_empty(), || {
        "a cluster role binding with a list of namespaces".into()
    })?;
    let places: BTreeSet<_> =
        of_kind(&objects, "RoleBinding").iter().filter_map(|b| b["metadata"]["namespace"].as_str()).collect();
    ensure(places == BTreeSet::from(["chat"]), || format!("role bindings in {places:?}"))
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn definitions_are_those_of_the_code_and_stay() -> Outcome {
    let generated = repository().join("crds");
    let names = |folder: &PathBuf| -> Outcome<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        Ok(names)
    };
    let copies = chart().join("files/crds");
    let files = names(&generated)?;
    ensure(!files.is_empty() && files == names(&copies)?, || {
        "crds/ and charts/sotto/files/crds hold different files: make generate".into()
    })?;
    for file in &files {
        ensure(fs::read(generated.join(file))? == fs::read(copies.join(file))?, || {
            format!("{file} differs: make generate")
        })?;
    }
    for (values, keep) in [(json!({}), true), (json!({"crds": {"keep": false}}), false)] {
        let objects = render(&values)?;
        let definitions = of_kind(&objects, "CustomResourceDefinition");
        ensure(definitions.len() == files.len(), || format!("{} definitions of {}", definitions.len(), files.len()))?;
        for definition in definitions {
            let policy = &definition["metadata"]["annotations"]["helm.sh/resource-policy"];
            ensure((*policy == "keep") == keep, || {
                format!("{}: resource policy {policy}", definition["metadata"]["name"])
            })?;
            ensure(definition["spec"]["group"] == "sotto.dev", || "another group".into())?;
        }
    }
    ensure(of_kind(&render(&json!({"crds": {"enabled": false}}))?, "CustomResourceDefinition").is_empty(), || {
        "definitions in spite of enabled: false".into()
    })
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn bad_values_are_refused_by_name() -> Outcome {
    let bad = [
        (json!({"operator": {"replicas": "two"}}), "replicas"),
        (json!({"operator": {"replicas": 2}}), "replicas"),
        (json!({"operator": {"watchNamespaces": "chat"}}), "watchNamespaces"),
        (json!({"operator": {"watchNamespace": ["chat"]}}), "watchNamespace"),
        (json!({"image": {"pullPolicy": "Sometimes"}}), "pullPolicy"),
        (json!({"image": {"digest": "sha256:abc"}}), "digest"),
        (json!({"metrics": {"serviceMonitor": {"enabled": true}}}), "metrics.service"),
        (json!({"serviceAccount": {"create": false}}), "serviceAccount.name"),
    ];
    for (values, name) in bad {
        let said = helm_template(&values).refused()?;
        ensure(said.contains(name), || format!("{values}: the refusal does not name {name}:\n{said}"))?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn its_version_is_the_programs() -> Outcome {
    let text = fs::read_to_string(chart().join("Chart.yaml"))?;
    let metadata: Value = serde_yaml::from_str(&text).map_err(|e| sotto_e2e::Failure(e.to_string()))?;
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
