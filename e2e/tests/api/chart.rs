//! The chart, installed on an API server: what several tests begin with, and that the API server takes what it renders.

use std::time::Duration;

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Outcome, Run, ensure, repository, wait_until};

pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// The release's namespace.
pub(crate) const SYSTEM: &str = "sotto-system";
/// A namespace with networks.
pub(crate) const CHAT: &str = "chat";

/// Installs the chart with these values, and waits until its definitions are served. Without nodes no operator starts.
pub(crate) fn install(api: &ApiServer, values: &Value) -> Outcome {
    helm_upgrade(api, values).arg("--create-namespace").output()?;
    let names = ["networks", "securitygroups", "users", "retentionpolicies"];
    let definitions: Vec<String> = names.iter().map(|name| format!("crd/{name}.sotto.dev")).collect();
    let mut arguments = vec!["--for=condition=Established"];
    arguments.extend(definitions.iter().map(String::as_str));
    api.wait(PATIENCE, &arguments).map(drop)
}

pub(crate) fn helm_upgrade(api: &ApiServer, values: &Value) -> Run {
    api.helm()
        .args(["upgrade", "--install", "sotto"])
        .arg(repository().join("charts/sotto"))
        .args(["--namespace", SYSTEM, "--values", "-"])
        .input(values.to_string())
}

/// One of our objects, in the namespace of networks.
pub(crate) fn object(kind: &str, name: &str, spec: &Value) -> Value {
    object_in(CHAT, kind, name, spec)
}

pub(crate) fn object_in(namespace: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "sotto.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
}

/// Writes a status, as the operator would.
pub(crate) fn set_status(api: &ApiServer, kind: &str, name: &str, status: &Value) -> Outcome {
    api.kubectl()
        .args(["patch", kind, name, "--namespace", CHAT, "--subresource=status", "--type=merge", "--patch"])
        .arg(json!({"status": status}).to_string())
        .output()
        .map(drop)
}

/// Waits until a request is refused with this word: the API server learns of new policies, roles and objects after a moment. What a
/// request did that was taken until then, `undo` takes back.
pub(crate) fn until_refused(what: &str, word: &str, run: &Run, undo: impl Fn() -> Outcome) -> Outcome<String> {
    wait_until(what, PATIENCE, || match run.refused() {
        Ok(said) => {
            ensure(said.contains(word), || said.clone())?;
            Ok(said)
        }
        Err(taken) => {
            undo()?;
            Err(taken)
        }
    })
}

/// Nothing to take back.
#[expect(clippy::unnecessary_wraps, reason = "where an undoing is asked for")]
pub(crate) fn nothing() -> Outcome {
    Ok(())
}

/// Waits until a request is taken.
pub(crate) fn until_taken(what: &str, run: &Run) -> Outcome<String> {
    wait_until(what, PATIENCE, || run.output())
}

/// What no schema of values can tell: that a real API server takes every object that is rendered.
#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_api_server_takes_the_chart_with_every_file_of_values() -> Outcome {
    let api = ApiServer::start()?;
    api.install_crds()?;
    for namespace in [SYSTEM, CHAT, "chat-test"] {
        api.namespace(namespace)?;
    }
    let mut tried = 0;
    for entry in std::fs::read_dir(repository().join("charts/sotto/ci"))? {
        let path = entry?.path();
        let rendered = api
            .helm()
            .args(["template", "sotto"])
            .arg(repository().join("charts/sotto"))
            // Its definition is not here.
            .args(["--namespace", SYSTEM, "--set", "metrics.serviceMonitor.enabled=false", "--values"])
            .arg(&path)
            .output()?;
        let said = api
            .kubectl()
            .args(["apply", "--dry-run=server", "--server-side", "--force-conflicts", "--filename", "-"])
            .input(rendered)
            .finish()?;
        ensure(said.status.success() && !said.stderr.contains("Warning"), || {
            format!("{}: {}", path.display(), said.shown())
        })?;
        tried += 1;
    }
    ensure(tried >= 5, || format!("only {tried} files of values"))?;
    for (folder, namespace) in [("base", SYSTEM), ("another-namespace", "messages")] {
        if namespace != SYSTEM {
            api.namespace(namespace)?;
        }
        let path = repository().join("deploy/kustomize").join(folder);
        let run =
            api.kubectl().args(["apply", "--dry-run=server", "--server-side", "--force-conflicts", "--kustomize"]);
        run.arg(path).output()?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn helm_upgrades_the_definitions_and_keeps_them_on_uninstall() -> Outcome {
    let api = ApiServer::start()?;
    // An earlier version: without a field that the schema has now.
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/displayName";
    install(&api, &json!({}))?;
    let older = json!([{"op": "remove", "path": path}]).to_string();
    api.kubectl().args(["patch", "crd", "networks.sotto.dev", "--type=json", "--patch", &older]).output()?;
    let has = || -> Outcome<bool> {
        Ok(api.get(&["crd", "networks.sotto.dev"])?.pointer(path).is_some_and(|field| !field.is_null()))
    };
    ensure(!has()?, || "the earlier version is not there".into())?;
    api.namespace(CHAT)?;
    api.apply(&object("Network", "acme", &json!({"domain": "chat.acme.example"})))?;
    // The field was taken away by another hand, which Helm does not take for its own.
    helm_upgrade(&api, &json!({"operator": {"logLevel": "debug"}})).arg("--force-conflicts").output()?;
    ensure(has()?, || "helm upgrade has left the definition as it was".into())?;
    api.helm().args(["uninstall", "sotto", "--namespace", SYSTEM]).output()?;
    api.get(&["network", "acme", "--namespace", CHAT])?;
    let left =
        api.list(&["clusterroles,clusterrolebindings,validatingadmissionpolicies", "--selector", "helm.sh/chart"])?;
    ensure(left.is_empty(), || format!("left behind: {left:?}"))?;
    // And a new release takes them up.
    install(&api, &json!({}))
}
