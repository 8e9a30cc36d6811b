//! The chart is upgraded to a next version and rolled back: the definitions follow, and nothing of the networks restarts.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sotto_e2e::{Outcome, ensure, fail, repository, wait_until};

use crate::apply::all_ready;
use crate::{CHAT, PATIENCE, SYSTEM, Scene};

/// A field that only the next version's definition has.
const NEW_FIELD: &str = "fromTheNextVersion";

/// What must not change: the pods of the networks with their restarts, and what they were made from.
fn workloads(scene: &Scene) -> Outcome<Value> {
    let of = |kind: &str, pointers: &[&str]| -> Outcome<Vec<Value>> {
        let objects = scene.all(kind)?;
        Ok(objects
            .iter()
            .map(|o| pointers.iter().map(|p| o.pointer(p).cloned().unwrap_or_default()).collect())
            .collect())
    };
    Ok(json!([
        of("pods", &["/metadata/name", "/metadata/uid", "/status/containerStatuses/0/restartCount"])?,
        of("statefulsets", &["/metadata/name", "/metadata/generation"])?,
        of("deployments", &["/metadata/name", "/metadata/generation"])?,
        of("secrets", &["/metadata/name", "/metadata/resourceVersion"])?,
    ]))
}

/// The chart as a later version might be: another number, and one more field in a definition.
fn next_version(folder: &Path) -> Outcome {
    copy(&repository().join("charts/sotto"), folder)?;
    let replace = |file: &str, from: &str, to: &str| -> Outcome {
        let path = folder.join(file);
        let text = fs::read_to_string(&path)?;
        ensure(text.contains(from), || format!("{file} has no {from:?}"))?;
        Ok(fs::write(&path, text.replacen(from, to, 1))?)
    };
    let version = env!("CARGO_PKG_VERSION");
    replace("Chart.yaml", &format!("\nversion: {version}"), "\nversion: 99.0.0")?;
    replace("Chart.yaml", &format!("\nappVersion: \"{version}\""), "\nappVersion: \"99.0.0\"")?;
    let field = "              displayName:\n";
    let more =
        format!("              {NEW_FIELD}:\n                type: string\n                maxLength: 20\n{field}");
    replace("files/crds/networks.sotto.dev.yaml", field, &more)
}

fn copy(from: &Path, to: &Path) -> Outcome {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn revision(scene: &Scene) -> Outcome<String> {
    let history = scene.cluster.helm().args(["history", "sotto", "--namespace", SYSTEM, "--output", "json"]).json()?;
    match history.as_array().and_then(|all| all.last()) {
        Some(last) => Ok(last["revision"].to_string()),
        None => fail("Helm knows no revision"),
    }
}

/// Waits until the operators are those of this version, one leads, and all is Ready as before.
fn settled(scene: &mut Scene, version: &str) -> Outcome {
    let rollout = ["rollout", "status", "deployment/sotto-operator", "--namespace", SYSTEM, "--timeout=120s"];
    scene.cluster.kubectl().args(rollout).limit(PATIENCE).output()?;
    wait_until("a leader of the version", PATIENCE, || {
        let selector = "app.kubernetes.io/component=operator";
        let pods = scene.cluster.list(&["pods", "--namespace", SYSTEM, "--selector", selector])?;
        let running: Vec<&Value> = pods.iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()).collect();
        let of = |pod: &Value| pod["metadata"]["labels"]["app.kubernetes.io/version"] == version;
        ensure(running.len() == 2 && running.iter().all(|pod| of(pod)), || format!("{} pods", running.len()))?;
        let lease = scene.cluster.get(&["lease", "sotto-operator", "--namespace", SYSTEM])?;
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        let leads = |pod: &&Value| pod["metadata"]["name"].as_str().is_some_and(|name| holder.contains(name));
        ensure(running.iter().any(leads), || format!("`{holder}` leads"))
    })?;
    all_ready(scene, PATIENCE)
}

fn has_new_field(scene: &Scene) -> Outcome<bool> {
    let definition = scene.cluster.get(&["crd", "networks.sotto.dev"])?;
    let path = format!("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{NEW_FIELD}");
    Ok(definition.pointer(&path).is_some())
}

pub(crate) fn there_and_back(scene: &mut Scene) -> Outcome {
    let before = workloads(scene)?;
    let first = revision(scene)?;
    let folder = tempfile::tempdir()?;
    let chart = folder.path().join("sotto");
    next_version(&chart)?;
    let unchanged = |scene: &Scene, when: &str| {
        let now = workloads(scene)?;
        ensure(now == before, || format!("{when}, what was\n{before}\nis\n{now}"))
    };
    let helm = |arguments: &[&str]| scene.cluster.helm().args(arguments).limit(PATIENCE);
    let wait = ["--namespace", SYSTEM, "--wait", "--timeout", "120s"];
    helm(&["upgrade", "sotto"])
        .arg(&chart)
        .args(wait)
        .args(["--reuse-values", "--set", "operator.logLevel=debug"])
        .output()?;
    settled(scene, "99.0.0")?;
    ensure(has_new_field(scene)?, || "helm upgrade has left the definitions as they were".into())?;
    unchanged(scene, "after the upgrade")?;

    let helm = |arguments: &[&str]| scene.cluster.helm().args(arguments).limit(PATIENCE);
    helm(&["rollback", "sotto", &first]).args(wait).output()?;
    settled(scene, env!("CARGO_PKG_VERSION"))?;
    ensure(!has_new_field(scene)?, || "helm rollback has left the later definitions".into())?;
    unchanged(scene, "after the rollback")?;
    let networks = scene.all("networks")?.len();
    ensure(networks >= 2, || format!("{networks} Networks in {CHAT}"))
}
