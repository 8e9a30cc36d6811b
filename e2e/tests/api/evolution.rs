//! A second version of a definition, as docs/crd-versions.md describes one: fields move, what is stored is migrated, the old version goes.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Failure, Finished, Outcome, Run, ensure, objects, repository, sotto_program};

use crate::chart::{CHAT, PATIENCE, object, object_in};

const CRD: &str = "networks.sotto.dev";

fn migrate(api: &ApiServer, arguments: &[&str]) -> Outcome<Finished> {
    let run = Run::new(sotto_program()?).args(["crds", "migrate", "--output", "json"]).args(arguments);
    run.env("KUBECONFIG", api.kubeconfig()).limit(PATIENCE).finish()
}

/// What is said of Networks.
fn report(finished: &Finished) -> Outcome<Value> {
    let all: Value =
        serde_json::from_str(&finished.stdout).map_err(|e| Failure(format!("{e}\n{}", finished.shown())))?;
    let items = all["items"].as_array().cloned().unwrap_or_default();
    ensure(items.len() == 4, || format!("{all}"))?;
    items.into_iter().find(|item| item["definition"] == CRD).ok_or_else(|| Failure(format!("no Network in {all}")))
}

/// The definition of Network with a version v1beta1 that is stored, in which two fields have another place and one has other words. The
/// new fields are in both versions: nothing converts between them, and what a version does not have is lost when it is written.
fn second_version() -> Outcome<Value> {
    let text = fs::read_to_string(repository().join("crds").join(format!("{CRD}.yaml")))?;
    let mut definition = objects(&text)?.pop().ok_or_else(|| Failure("no definition".into()))?;
    definition["metadata"]["annotations"]["sotto.dev/moves"] = json!([
        {"from": "spec.consentPopup.header", "to": "spec.signIn.title"},
        {"from": "spec.consentPopup.body", "to": "spec.signIn.text"},
        {"from": "spec.consentPopup.button", "to": "spec.signIn.button"},
        {"from": "spec.readReceipts", "to": "spec.receipts", "words":
            {"Disabled": "Never", "Enabled": "AsUsersChoose", "ForceEnabled": "Always"}},
    ])
    .to_string()
    .into();
    let version = &mut definition["spec"]["versions"][0];
    let spec = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let text = |length: u32| json!({"type": "string", "maxLength": length});
    spec["signIn"] =
        json!({"type": "object", "properties": {"title": text(100), "text": text(5000), "button": text(20)}});
    spec["receipts"] = json!({"type": "string", "enum": ["Never", "AsUsersChoose", "Always"]});
    // As long as the old field has a default, every object would have both.
    if let Some(receipts) = spec["readReceipts"].as_object_mut() {
        receipts.remove("default");
    }
    let mut newer = version.clone();
    newer["name"] = "v1beta1".into();
    version["storage"] = false.into();
    if let Some(versions) = definition["spec"]["versions"].as_array_mut() {
        versions.push(newer);
    }
    Ok(definition)
}

fn apply(api: &ApiServer, definition: &Value) -> Run {
    let run = api.kubectl().args(["apply", "--server-side", "--force-conflicts", "--filename", "-"]);
    run.input(definition.to_string())
}

fn stored(api: &ApiServer) -> Outcome<Value> {
    Ok(api.get(&["crd", CRD])?["status"]["storedVersions"].take())
}

fn versions(api: &ApiServer) -> Outcome<Vec<(Value, Value)>> {
    let networks = api.list(&["networks", "--all-namespaces"])?;
    Ok(networks.iter().map(|n| (n["metadata"]["name"].clone(), n["metadata"]["resourceVersion"].clone())).collect())
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn a_second_version_comes_objects_are_migrated_and_the_first_goes() -> Outcome {
    let api = ApiServer::start()?;
    let nothing = migrate(&api, &[])?;
    ensure(!nothing.status.success() && nothing.stderr.contains("install them first"), || nothing.shown())?;
    api.install_crds()?;
    api.namespace(CHAT)?;
    api.namespace("elsewhere")?;
    let many: Vec<Value> = (0..250)
        .map(|n| {
            let mut spec = json!({"domain": format!("n{n}.example"), "readReceipts": "ForceEnabled"});
            if n % 2 == 0 {
                spec["consentPopup"] = json!({"header": "Notice", "body": format!("The {n}th.")});
            }
            object_in(if n % 5 == 0 { "elsewhere" } else { CHAT }, "Network", &format!("n{n}"), &spec)
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": many});
    api.kubectl().args(["create", "--filename", "-"]).input(list.to_string()).limit(PATIENCE).output()?;
    api.apply(&object("User", "alice", &json!({"networkRef": {"name": "n1"}})))?;

    // With one version there is nothing to do, and nothing is written.
    let before = versions(&api)?;
    let current = report(&migrate(&api, &[])?)?;
    ensure(current["done"] == true && current["objects"] == 0 && versions(&api)? == before, || current.to_string())?;

    // The second one is there: the first may not go as long as something may lie in it.
    let definition = second_version()?;
    apply(&api, &definition).output()?;
    sotto_e2e::wait_until("the second version", PATIENCE, || {
        api.get(&["networks.v1beta1.sotto.dev", "n1", "--namespace", CHAT])?;
        ensure(stored(&api)? == json!(["v1alpha1", "v1beta1"]), || "not stored yet".into())
    })?;
    let mut alone = definition.clone();
    if let Some(versions) = alone["spec"]["versions"].as_array_mut() {
        versions.remove(0);
    }
    let said = apply(&api, &alone).refused()?;
    ensure(said.contains("storedVersions"), || said)?;

    dry_run(&api)?;
    refusals(&api)?;
    finish(&api)?;

    // What was moved, and what was not touched.
    let networks = api.list(&["networks.v1beta1.sotto.dev", "--all-namespaces"])?;
    ensure(networks.len() == 250, || format!("{} Networks", networks.len()))?;
    for network in &networks {
        let (spec, name) = (&network["spec"], network["metadata"]["name"].as_str().unwrap_or_default());
        let moved = spec["receipts"] == "Always" && spec["readReceipts"].is_null() && spec["consentPopup"].is_null();
        ensure(moved, || format!("{name}: {spec}"))?;
        let number: u32 = name[1..].parse().unwrap_or(1);
        let wanted = if number.is_multiple_of(2) {
            json!({"title": "Notice", "text": format!("The {number}th."), "button": "Acknowledge"})
        } else {
            Value::Null
        };
        ensure(spec["signIn"] == wanted, || format!("{name}: {spec}"))?;
        ensure(network["status"]["observedGeneration"] == -1, || format!("{name}: {}", network["status"]))?;
    }
    // Now the old version can go, and every object is still read: none lies in it.
    apply(&api, &alone).output()?;
    sotto_e2e::wait_until("the end of the first version", PATIENCE, || {
        let served = api.kubectl().args(["get", "networks.v1alpha1.sotto.dev", "n1", "--namespace", CHAT]).finish()?;
        ensure(!served.status.success(), || "v1alpha1 is still served".into())
    })?;
    api.stop_apiserver()?;
    api.start_apiserver()?;
    sotto_e2e::wait_until("the Networks", PATIENCE, || {
        let count = api.list(&["networks", "--all-namespaces"])?.len();
        ensure(count == 250, || format!("{count} Networks"))
    })
}

/// A dry run says what there is to do, and does nothing.
fn dry_run(api: &ApiServer) -> Outcome {
    let before = versions(api)?;
    let would = report(&migrate(api, &["--dry-run"])?)?;
    let wanted = json!([250, 250, 0, false, ["v1alpha1", "v1beta1"]]);
    let found = json!([would["objects"], would["moved"], would["rewritten"], would["done"], would["storedVersions"]]);
    ensure(found == wanted, || would.to_string())?;
    ensure(versions(api)? == before, || "a dry run has written".into())
}

/// What cannot be moved is named; all else is done, but not called done.
fn refusals(api: &ApiServer) -> Outcome {
    let patch = |text: &str| {
        let run = api.kubectl().args(["patch", "networks.v1beta1.sotto.dev", "n2", "--namespace", CHAT]);
        run.args(["--type=merge", "--patch", text]).output()
    };
    patch(r#"{"spec":{"receipts":"Never"}}"#)?;
    let finished = migrate(api, &[])?;
    let partly = report(&finished)?;
    ensure(finished.status.code() == Some(3) && partly["done"] == false, || finished.shown())?;
    ensure(partly["refused"].as_array().map(Vec::len) == Some(1) && partly["rewritten"] == 249, || partly.to_string())?;
    let why = partly["refused"][0].to_string();
    ensure(why.contains("n2") && why.contains("spec.receipts") && why.contains("remove one"), || why)?;
    ensure(finished.stderr.contains("chat/n2"), || finished.shown())?;
    ensure(stored(api)? == json!(["v1alpha1", "v1beta1"]), || "called done in spite of a refusal".into())?;
    patch(r#"{"spec":{"receipts":null}}"#).map(drop)
}

/// To the end, while somebody else writes the same objects.
fn finish(api: &ApiServer) -> Outcome {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| touch(api, &ended));
        let finished = migrate(api, &[]);
        ended.store(true, Ordering::Relaxed);
        let touched = writer.join().map_err(|_| Failure("the other writer failed".into()))??;
        let finished = finished?;
        let done = report(&finished)?;
        ensure(finished.status.success() && done["done"] == true && done["objects"] == 250, || finished.shown())?;
        ensure(touched > 0, || "nobody else has written".into())
    })?;
    ensure(stored(api)? == json!(["v1beta1"]), || "the definition does not say that it is done".into())?;
    // A second run finds everything in its place: it is asked again because there are moves, and writes nothing.
    let before = versions(api)?;
    let again = report(&migrate(api, &[])?)?;
    ensure(again["rewritten"] == 0 && again["moved"] == 0 && again["done"] == true, || again.to_string())?;
    ensure(versions(api)? == before, || "a second run has written".into())
}

/// Annotates all objects again and again.
fn touch(api: &ApiServer, ended: &AtomicBool) -> Outcome<u32> {
    let mut round = 0;
    while !ended.load(Ordering::Relaxed) {
        round += 1;
        let value = format!("example.com/round={round}");
        api.kubectl().args(["annotate", "networks", "--all", "--overwrite", &value, "--namespace", CHAT]).output()?;
    }
    Ok(round)
}
