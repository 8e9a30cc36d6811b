//! The examples on a real API server, applied the way people and tools do.

use std::time::Duration;

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Operator, Outcome, Relays, ensure, objects, repository, wait_until, workloads};

use crate::chart::{CHAT, install, object, object_in, until_refused};

const PATIENCE: Duration = Duration::from_mins(2);

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

/// The condition of this type, where it is there.
fn condition(object: &Value, kind: &str) -> Option<Value> {
    object["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind).cloned()
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn examples_become_ready_and_what_is_wrong_is_said_stalls_and_goes_on() -> Outcome {
    let api = ApiServer::start()?;
    api.install_crds()?;
    let workloads = workloads::simulate(&api)?;
    let relays = Relays::start(&api)?;
    let mut operator = Operator::start(&api, &[("SOTTO_ADMIN_RESOLVE", &relays.address().to_string())])?;
    operator.wait_ready()?;

    for (folder, namespace) in [("single-network", "acme"), ("federation", "partners")] {
        let path = repository().join("examples").join(folder);
        api.kubectl().args(["apply", "--server-side", "--kustomize"]).arg(&path).output()?;
        let all = ["networks,securitygroups,users", "--all", "--namespace", namespace];
        api.wait(PATIENCE, &[&["--for=condition=Ready"], &all[..]].concat())?;
        // The operator has changed nothing that the manifests say.
        let diff = api.kubectl().args(["diff", "--server-side", "--kustomize"]).arg(&path).output()?;
        ensure(diff.is_empty(), || format!("{folder}: {diff}"))?;
    }

    // Argo CD's old way to know its own: what carries the label and is not in git is deleted.
    let label = "app.kubernetes.io/instance";
    let mark = format!("{label}=argo");
    api.kubectl().args(["label", "networks,securitygroups,users", "--all", "--namespace", "acme", &mark]).output()?;
    api.kubectl()
        .args(["patch", "network", "acme", "--namespace", "acme", "--type=merge"])
        .args(["--patch", r#"{"spec":{"relay":{"port":8443}}}"#])
        .output()?;
    wait_until("the service follows the spec", PATIENCE, || {
        let service = api.get(&["service", "acme-relay", "--namespace", "acme"])?;
        ensure(service["spec"]["ports"].to_string().contains("8443"), || service["spec"]["ports"].to_string())
    })?;
    let kinds = "statefulsets,deployments,services,secrets,configmaps,serviceaccounts,persistentvolumeclaims";
    let made =
        api.list(&[kinds, "--namespace", "acme", "--selector", "app.kubernetes.io/managed-by=sotto-operator"])?;
    ensure(made.len() > 8, || format!("only {} objects", made.len()))?;
    for object in &made {
        ensure(object["metadata"]["labels"][label] != "argo", || format!("copied: {}", object["metadata"]))?;
    }

    // A pause: what is asked for meanwhile waits, and no tool takes it for done.
    let acme = || api.get(&["network", "acme", "--namespace", "acme"]);
    let annotate = |word: &str| {
        api.kubectl().args(["annotate", "network", "acme", "--namespace", "acme", "--overwrite", word]).output()
    };
    let port = |number: &str| {
        let patch = format!(r#"{{"spec":{{"relay":{{"port":{number}}}}}}}"#);
        api.kubectl()
            .args(["patch", "network", "acme", "--namespace", "acme", "--type=merge", "--patch", &patch])
            .output()
    };
    let served = || {
        Ok::<_, sotto_e2e::Failure>(
            api.get(&["service", "acme-relay", "--namespace", "acme"])?["spec"]["ports"].to_string(),
        )
    };
    api.wait(PATIENCE, &["--for=condition=Ready", "network/acme", "--namespace", "acme"])?;
    annotate("sotto.dev/paused=true")?;
    api.wait(PATIENCE, &["--for=condition=Paused", "network/acme", "--namespace", "acme"])?;
    port("9443")?;
    wait_until("the pause speaks of the change", PATIENCE, || {
        let (acme, seen) = (acme()?, "observedGeneration");
        let paused = condition(&acme, "Paused").unwrap_or_default();
        ensure(paused[seen] == acme["metadata"]["generation"], || acme["status"].to_string())?;
        ensure(acme["status"][seen] != acme["metadata"]["generation"], || acme["status"].to_string())
    })?;
    ensure(!served()?.contains("9443"), || "changed in a pause".into())?;
    annotate("sotto.dev/paused-")?;
    wait_until("it goes on", PATIENCE, || {
        let (acme, served) = (acme()?, served()?);
        let done = acme["status"]["observedGeneration"] == acme["metadata"]["generation"];
        ensure(done && condition(&acme, "Paused").is_none() && served.contains("9443"), || acme["status"].to_string())
    })?;

    // A pause of one object; the others go on.
    let alice = || api.get(&["user", "alice", "--namespace", "acme"]);
    let annotate = |word: &str| {
        api.kubectl().args(["annotate", "user", "alice", "--namespace", "acme", "--overwrite", word]).output()
    };
    annotate("sotto.dev/paused=true")?;
    api.wait(PATIENCE, &["--for=condition=Paused", "user/alice", "--namespace", "acme"])?;
    for user in ["alice", "bob"] {
        let patch = ["--type=merge", "--patch", r#"{"spec":{"suspended":true}}"#];
        api.kubectl().args(["patch", "user", user, "--namespace", "acme"]).args(patch).output()?;
    }
    let suspended = ["--for=jsonpath={.status.state}=Suspended", "--namespace", "acme"];
    api.wait(PATIENCE, &[&suspended[..], &["user/bob"]].concat())?;
    wait_until("the pause of alice speaks of the change", PATIENCE, || {
        let alice = alice()?;
        let paused = condition(&alice, "Paused").unwrap_or_default();
        let (generation, seen) = (&alice["metadata"]["generation"], &alice["status"]["observedGeneration"]);
        ensure(paused["observedGeneration"] == *generation && seen != generation, || alice["status"].to_string())
    })?;
    ensure(alice()?["status"]["state"] != "Suspended", || "changed in a pause".into())?;
    annotate("sotto.dev/paused-")?;
    api.wait(PATIENCE, &[&suspended[..], &["user/alice"]].concat())?;
    ensure(condition(&alice()?, "Paused").is_none(), || "still paused".into())?;

    // A mistake that no schema sees: said with field and remedy, and after a while as one that does not go away by itself.
    api.apply(&object_in("acme", "User", "eve", &json!({"networkRef": {"name": "acmee"}})))?;
    let eve = || api.get(&["user", "eve", "--namespace", "acme"]);
    let degraded = wait_until("eve is degraded", PATIENCE, || {
        let eve = eve()?;
        ensure(eve["status"]["observedGeneration"] == 1, || eve["status"].to_string())?;
        match condition(&eve, "Degraded") {
            Some(degraded) if degraded["status"] == "True" => {
                ensure(condition(&eve, "Stalled").is_none(), || format!("stalled at once: {eve}"))?;
                Ok(degraded)
            }
            _ => sotto_e2e::fail(eve["status"].to_string()),
        }
    })?;
    let message = degraded["message"].as_str().unwrap_or_default();
    ensure(message.contains("spec.networkRef.name") && message.contains("apply the Network"), || message.to_owned())?;
    let stalled = wait_until("eve is stalled", PATIENCE, || {
        let eve = eve()?;
        condition(&eve, "Stalled").map_or_else(|| sotto_e2e::fail(eve["status"].to_string()), Ok)
    })?;
    ensure(stalled["status"] == "True" && stalled["message"] == degraded["message"], || stalled.to_string())?;

    // The other object comes, later.
    api.apply(&object_in("acme", "Network", "acmee", &json!({"domain": "chat.acmee.example"})))?;
    api.wait(PATIENCE, &["--for=condition=Ready", "user/eve", "--namespace", "acme"])?;
    let eve = eve()?;
    ensure(condition(&eve, "Stalled").is_none(), || eve["status"].to_string())?;
    drop(workloads);
    operator.still_runs()
}
