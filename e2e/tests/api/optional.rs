//! Kinds that a cluster may not know: told where they are missing, taken up when they come, and nobody waits meanwhile.

use std::time::Duration;

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Operator, Outcome, Relays, ensure, wait_until, workloads};

/// A watch of a kind that is not there is tried again every 30 seconds.
const PATIENCE: Duration = Duration::from_secs(90);

fn network(name: &str, relay: &Value) -> Value {
    json!({
        "apiVersion": "sotto.dev/v1alpha1", "kind": "Network",
        "metadata": {"name": name, "namespace": "chat"},
        "spec": {"domain": format!("chat.{name}.example"), "relay": relay},
    })
}

/// A definition that takes anything.
fn definition(group: &str, kind: &str, plural: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// Status, reason and message of a condition.
fn condition(api: &ApiServer, network: &str, kind: &str) -> Outcome<String> {
    let object = api.get(&["network", network, "--namespace", "chat"])?;
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == kind).cloned().unwrap_or_default();
    Ok(format!("{} {}: {}", found["status"], found["reason"], found["message"]))
}

fn says(api: &ApiServer, network: &str, kind: &str, wanted: &[&str]) -> Outcome {
    wait_until(&format!("{network} {kind} {wanted:?}"), PATIENCE, || {
        let said = condition(api, network, kind)?;
        ensure(wanted.iter().all(|words| said.contains(words)), || said)
    })
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn a_kind_that_the_cluster_does_not_know_is_told_and_holds_nothing_up() -> Outcome {
    let api = ApiServer::start()?;
    api.install_crds()?;
    api.namespace("chat")?;
    let _workloads = workloads::simulate(&api)?;
    let relays = Relays::start(&api)?;
    let address = relays.address().to_string();
    let mut operator = Operator::start(&api, &[("SOTTO_ADMIN_RESOLVE", &address)])?;
    // It starts without the kinds.
    operator.wait_ready()?;
    let url = |name: &str| format!("https://chat.{name}.example");
    let route = json!({"publicURL": url("routed"), "route": {"parentRefs": [{"name": "public"}]}});
    api.apply(&network("routed", &route))?;
    let issuer = json!({"mode": "CertManager", "issuerRef": {"name": "letsencrypt"}});
    api.apply(&network("issued", &json!({"publicURL": url("issued"), "tls": issuer})))?;
    api.apply(&network("plain", &json!({})))?;
    let ready = |name: &str| api.wait(PATIENCE, &["--for=condition=Ready", "--namespace", "chat", name]).map(drop);
    ready("network/plain")?;
    says(&api, "routed", "Degraded", &["True", "KindMissing", "TLSRoute", "install the Gateway API 1.5"])?;
    says(&api, "issued", "Degraded", &["True", "KindMissing", "Certificate", "install cert-manager"])?;
    // All else is made.
    for name in ["statefulset/routed-relay", "service/routed-relay", "networkpolicy/issued-relay"] {
        api.get(&[name, "--namespace", "chat"])?;
    }

    // The kinds come: no restart, no change of a spec.
    api.apply(&definition("gateway.networking.k8s.io", "TLSRoute", "tlsroutes"))?;
    api.apply(&definition("cert-manager.io", "Certificate", "certificates"))?;
    ready("network/routed")?;
    let made = api.get(&["tlsroute", "routed-relay", "--namespace", "chat"])?;
    ensure(made["spec"]["hostnames"] == json!(["chat.routed.example"]), || made.to_string())?;
    says(
        &api,
        "issued",
        "Progressing",
        &["True", "WaitingForCertificate", "kubectl describe certificate issued-relay"],
    )?;
    let status = |ready: &str| {
        let conditions = json!([{"type": "Ready", "status": ready, "message": "the issuer is not there"}]);
        let patch = json!({"status": {"conditions": conditions}}).to_string();
        let arguments =
            ["patch", "certificate", "issued-relay", "--namespace", "chat", "--subresource=status", "--type=merge"];
        api.kubectl().args(arguments).args(["--patch", &patch]).output().map(drop)
    };
    status("False")?;
    says(&api, "issued", "Progressing", &["the issuer is not there"])?;
    status("True")?;
    ready("network/issued")?;

    // What is no longer asked for goes.
    let patch = json!({"spec": {"relay": {"route": null}}}).to_string();
    api.kubectl()
        .args(["patch", "network", "routed", "--namespace", "chat", "--type=merge", "--patch", &patch])
        .output()?;
    wait_until("the route is gone", PATIENCE, || {
        let left = api.list(&["tlsroutes", "--namespace", "chat"])?;
        ensure(left.is_empty(), || format!("{left:?}"))
    })
}
