//! The examples on a real API server, applied the way people and tools do.

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Outcome, ensure, objects, repository};

use crate::chart::{CHAT, install, object, until_refused};

/// The folders of `examples/` that kustomize builds.
const FOLDERS: [&str; 3] = ["federation", "retention-s3", "single-network"];

/// Every object of ours.
fn ours(api: &ApiServer) -> Outcome<Vec<Value>> {
    api.list(&["networks,securitygroups,users,retentionpolicies", "--all-namespaces"])
}

/// As tools compare them: without what the API server counts.
fn without_version(mut objects: Vec<Value>) -> Vec<Value> {
    for metadata in objects.iter_mut().filter_map(|o| o["metadata"].as_object_mut()) {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    objects
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_examples_apply_and_apply_again_without_a_change() -> Outcome {
    let api = ApiServer::start()?;
    api.install_crds()?;
    for folder in FOLDERS {
        let path = repository().join("examples").join(folder);
        let apply = |more: &[&str]| api.kubectl().arg("apply").args(more).arg("--kustomize").arg(&path);
        let wanted = objects(&api.kubectl().arg("kustomize").arg(&path).output()?)?.len();
        // As Argo CD and Flux apply; strictly: no field that the definitions do not know.
        apply(&["--server-side", "--validate=strict"]).output()?;
        let first = ours(&api)?;
        ensure(first.len() + 1 == wanted, || format!("{folder}: {} of {wanted}", first.len()))?;
        apply(&["--server-side", "--validate=strict"]).output()?;
        let second = ours(&api)?;
        ensure(without_version(first) == without_version(second.clone()), || format!("{folder}: changed"))?;
        // The API server has stored the default status with that; a third time it writes nothing at all.
        apply(&["--server-side", "--validate=strict"]).output()?;
        ensure(ours(&api)? == second, || format!("{folder}: written again"))?;
        let diff = api.kubectl().args(["diff", "--server-side", "--kustomize"]).arg(&path).output()?;
        ensure(diff.is_empty(), || format!("{folder}: {diff}"))?;
        api.kubectl().args(["delete", "--wait=false", "--kustomize"]).arg(&path).output()?;
        ensure(ours(&api)?.is_empty(), || format!("{folder}: something is left"))?;

        // The old way, in a namespace that is not ending: no controller runs here that would let it go.
        let text = api.kubectl().arg("kustomize").arg(&path).output()?;
        let mut old = objects(&text)?;
        old.retain(|o| o["kind"] != "Namespace");
        let namespace = format!("{folder}-old");
        api.namespace(&namespace)?;
        for object in &mut old {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": old}).to_string();
        let apply = || api.kubectl().args(["apply", "--filename", "-"]).input(list.clone());
        let said = apply().output()?;
        ensure(said.lines().all(|l| l.ends_with(" created")), || said.clone())?;
        let said = apply().output()?;
        ensure(said.lines().count() == wanted - 1 && said.lines().all(|l| l.ends_with(" unchanged")), || said.clone())?;
        api.kubectl().args(["delete", "--wait=false", "--filename", "-"]).input(list.clone()).output()?;
    }
    Ok(())
}

/// What the chart installs refuses contradictions between objects: the examples hold none, in whatever order they come.
#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_charts_policies_let_the_examples_through() -> Outcome {
    let api = ApiServer::start()?;
    install(&api, &json!({}))?;
    // They are in force: a second default group is refused.
    api.namespace(CHAT)?;
    let group = |name: &str| object("SecurityGroup", name, &json!({"networkRef": {"name": "acme"}, "default": true}));
    api.apply(&group("one"))?;
    let second = api.kubectl().args(["apply", "--filename", "-"]).input(group("two").to_string());
    until_refused("a second default group", "default group", &second, || {
        api.kubectl().args(["delete", "securitygroup", "two", "--namespace", CHAT]).output().map(drop)
    })?;
    for folder in FOLDERS {
        let path = repository().join("examples").join(folder);
        let apply =
            |more: &[&str]| api.kubectl().args(["apply", "--server-side"]).args(more).arg("--kustomize").arg(&path);
        // The namespace is asked for first, as with every tool: a dry run needs it.
        let namespace = repository().join("examples").join(folder).join("namespace.yaml");
        api.kubectl().args(["apply", "--server-side", "--filename"]).arg(&namespace).output()?;
        apply(&["--dry-run=server"]).output()?;
        apply(&[]).output()?;
        apply(&["--dry-run=server"]).output()?;
        apply(&[]).output()?;
    }
    Ok(())
}

/// Definitions that do not fit into an annotation, and definitions that the API server gives back otherwise than they were written, are a
/// difference that never ends.
#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_definitions_apply_either_way_and_show_no_difference() -> Outcome {
    let api = ApiServer::start()?;
    let names = ["networks", "securitygroups", "users", "retentionpolicies"];
    let kubectl = |arguments: &[&str]| {
        let files = names.map(|name| format!("--filename={}/crds/{name}.sotto.dev.yaml", repository().display()));
        api.kubectl().args(arguments).args(files)
    };
    let client = ["apply", "--validate=strict"];
    let said = kubectl(&client).output()?;
    ensure(said.lines().count() == 4 && said.lines().all(|l| l.ends_with(" created")), || said.clone())?;
    let said = kubectl(&client).output()?;
    ensure(said.lines().count() == 4 && said.lines().all(|l| l.ends_with(" unchanged")), || said.clone())?;
    let server = ["apply", "--server-side", "--force-conflicts"];
    kubectl(&server).output()?;
    let diff = kubectl(&["diff", "--server-side", "--force-conflicts"]).output()?;
    ensure(diff.is_empty(), || diff.clone())
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn a_new_object_is_in_progress_until_an_operator_has_seen_it() -> Outcome {
    let api = ApiServer::start()?;
    api.install_crds()?;
    api.kubectl()
        .args(["apply", "--server-side", "--kustomize"])
        .arg(repository().join("examples/single-network"))
        .output()?;
    let list = api.list(&["networks,securitygroups,users", "--namespace", "acme"])?;
    ensure(list.len() == 6, || format!("{} objects", list.len()))?;
    for object in list {
        // kstatus, Flux and Argo CD compare these two.
        let (generation, observed) = (&object["metadata"]["generation"], &object["status"]["observedGeneration"]);
        ensure(*generation == 1 && *observed == -1, || object.to_string())?;
    }
    let waited =
        api.kubectl().args(["wait", "--for=condition=Ready", "network/acme", "--namespace", "acme", "--timeout=1s"]);
    let said = waited.refused()?;
    ensure(said.contains("timed out"), || said.clone())
}
