//! The end: what stays by design, and that nothing else does.

use std::time::Instant;

use serde_json::{Value, json};
use sotto_e2e::{Outcome, ensure, wait_until};

use crate::apply::all_ready;
use crate::{CHAT, KINDS, PATIENCE, SYSTEM, Scene};

/// Says that a network shall go although it has users.
const CONFIRM: &str = "sotto.dev/confirm-deletion=true";

/// What a namespace holds of everything that can be deleted, but for what Kubernetes or this test itself put there.
fn remains(scene: &Scene, namespace: &str) -> Outcome<Vec<Value>> {
    let kinds = scene
        .cluster
        .kubectl()
        .args(["api-resources", "--namespaced", "--verbs=list,delete", "--output=name"])
        .output()?;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let mut objects = scene.cluster.list(&[&kinds.join(","), "--namespace", namespace])?;
    objects.retain(|object| {
        let (kind, name) =
            (object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default());
        !matches!((kind, name), ("ConfigMap", "kube-root-ca.crt") | ("ServiceAccount", "default") | ("Secret", "aws"))
    });
    Ok(objects)
}

fn named(objects: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = objects
        .iter()
        .map(|o| {
            format!("{}/{}", o["kind"].as_str().unwrap_or_default(), o["metadata"]["name"].as_str().unwrap_or_default())
        })
        .collect();
    names.sort();
    names
}

fn delete_manifests(scene: &Scene) -> Outcome {
    scene
        .cluster
        .kubectl()
        .args(["delete", "--namespace", CHAT, "--timeout=120s", "--filename"])
        .arg(Scene::manifests())
        .limit(PATIENCE)
        .output()
        .map(drop)
}

/// The policy key's fingerprint of each network: it is the network's identity.
fn fingerprints(scene: &Scene) -> Outcome<Vec<Value>> {
    Ok(scene
        .all("networks")?
        .iter()
        .map(|n| json!([n["metadata"]["name"], n["status"]["policyKeyFingerprint"]]))
        .collect())
}

pub(crate) fn retain(scene: &mut Scene) -> Outcome {
    let identities = fingerprints(scene)?;
    let path = scene.state().map(|state| state.join("identities.json"));
    // By mistake it is not done: the networks have users.
    let network = ["delete", "network", "acme", "--namespace", CHAT, "--dry-run=server"];
    let said = scene.cluster.kubectl().args(network).refused()?;
    ensure(said.contains("delete the User objects first") && said.contains(CONFIRM), || said)?;
    let annotate = ["annotate", "networks,securitygroups", "--all", CONFIRM, "--namespace", CHAT];
    scene.cluster.kubectl().args(annotate).output()?;
    let begin = Instant::now();
    delete_manifests(scene)?;
    scene.figures.time("kubectl_delete_until_gone", begin.elapsed());
    let stays = wait_until("the end of everything that is not kept", PATIENCE, || {
        let objects = remains(scene, CHAT)?;
        let kept = |o: &Value| matches!(o["kind"].as_str(), Some("Secret" | "PersistentVolumeClaim"));
        let more: Vec<Value> = objects.iter().filter(|o| !kept(o)).cloned().collect();
        ensure(more.is_empty(), || format!("there still are {}", named(&more).join(", ")))?;
        Ok(objects)
    })?;
    eprintln!("            kept by design: {}", named(&stays).join(", "));
    let invites = stays.iter().filter(|o| o["kind"] == "Secret" && !o["data"]["url"].is_null()).count();
    ensure(invites == 0, || format!("{invites} invites of deleted users are left"))?;
    ensure(stays.iter().any(|o| o["kind"] == "PersistentVolumeClaim"), || {
        "the volumes are gone in spite of Retain".into()
    })?;
    if let Some(path) = path {
        std::fs::write(path, serde_json::to_vec(&identities)?)?;
    }
    Ok(())
}

pub(crate) fn taken_up_again(scene: &mut Scene) -> Outcome {
    scene.cluster.kubectl().args(["apply", "--namespace", CHAT, "--filename"]).arg(Scene::manifests()).output()?;
    all_ready(scene, PATIENCE)?;
    if let Some(state) = scene.state() {
        let before: Vec<Value> = serde_json::from_slice(&std::fs::read(state.join("identities.json"))?)?;
        let now = fingerprints(scene)?;
        ensure(before == now, || format!("the networks' keys were {before:?} and are {now:?}"))?;
    }
    Ok(())
}

pub(crate) fn delete(scene: &mut Scene) -> Outcome {
    for kind in ["networks", "retentionpolicies"] {
        for object in scene.all(kind)? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let patch = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
            scene
                .cluster
                .kubectl()
                .args(["patch", kind, name, "--namespace", CHAT, "--type=merge", "--patch", patch])
                .output()?;
        }
    }
    all_ready(scene, PATIENCE)?;
    delete_manifests(scene)?;
    wait_until("the end of everything", PATIENCE, || {
        let objects = remains(scene, CHAT)?;
        ensure(objects.is_empty(), || format!("there still are {}", named(&objects).join(", ")))
    })
}

pub(crate) fn uninstall(scene: &mut Scene) -> Outcome {
    scene
        .cluster
        .helm()
        .args(["uninstall", "sotto", "--namespace", SYSTEM, "--wait", "--timeout", "60s"])
        .limit(PATIENCE)
        .output()?;
    wait_until("the end of the operator", PATIENCE, || {
        // The lease is the operator's own; it ends with the namespace.
        let mut objects = remains(scene, SYSTEM)?;
        objects.retain(|o| o["kind"] != "Lease");
        ensure(objects.is_empty(), || format!("there still are {}", named(&objects).join(", ")))
    })?;
    let roles = scene.cluster.list(&[
        "clusterroles,clusterrolebindings,validatingadmissionpolicies",
        "--selector",
        "app.kubernetes.io/name=sotto",
    ])?;
    ensure(roles.is_empty(), || format!("cluster-wide rights are left: {}", named(&roles).join(", ")))?;
    for kind in KINDS {
        scene.cluster.get(&["crd", &format!("{kind}.sotto.dev")])?;
    }
    let kubectl = |arguments: &[&str]| scene.cluster.kubectl().args(arguments).limit(PATIENCE).output();
    kubectl(&["delete", "namespace", SYSTEM, CHAT, "--timeout=120s"])?;
    let definitions: Vec<String> = KINDS.iter().map(|kind| format!("{kind}.sotto.dev")).collect();
    let mut arguments = vec!["delete", "crd"];
    arguments.extend(definitions.iter().map(String::as_str));
    kubectl(&arguments).map(drop)
}
