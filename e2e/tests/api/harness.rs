//! The server that the other tests use.

use std::time::{Duration, Instant};

use serde_json::json;
use sotto_e2e::{ApiServer, Operator, Outcome, Signal, ensure};

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_server_knows_our_kinds_and_rights_and_comes_back_after_its_end() -> Outcome {
    let begin = Instant::now();
    let api = ApiServer::start()?;
    eprintln!("API server: {:.1} s", begin.elapsed().as_secs_f64());
    api.install_crds()?;
    api.namespace("chat")?;
    let group = json!({
        "apiVersion": "sotto.dev/v1alpha1", "kind": "SecurityGroup",
        "metadata": {"name": "staff", "namespace": "chat"}, "spec": {"networkRef": {"name": "chat"}},
    });
    api.apply(&group)?;
    // Rights: somebody without a role sees nothing, an editor what his role says.
    let list = |more: &[&str]| api.kubectl().args(["get", "securitygroups", "--namespace", "chat"]).args(more);
    let refused = list(&["--as", "nobody"]).refused()?;
    ensure(refused.contains("forbidden"), || refused)?;
    list(&["--as", "root", "--as-group", "system:masters"]).output()?;
    let nobody = api.kubeconfig_for("nobody", &["people"])?;
    let refused = list(&[]).env("KUBECONFIG", nobody).refused()?;
    ensure(refused.contains("\"nobody\""), || refused)?;

    // Gone and back on the same port; what it knew it knows, and its history is gone.
    api.stop_apiserver()?;
    api.compact_etcd()?;
    list(&[]).refused()?;
    api.start_apiserver()?;
    list(&[]).output()?;

    // Controllers end a namespace.
    api.controllers()?;
    api.kubectl().args(["delete", "namespace", "chat", "--wait=false"]).output()?;
    api.wait(PATIENCE, &["--for=delete", "namespace/chat"])?;
    Ok(())
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn an_operator_runs_beside_it_and_ends_when_asked() -> Outcome {
    let api = ApiServer::start()?;
    api.install_crds()?;
    let mut operator = Operator::start(&api, &[])?;
    operator.wait_ready()?;
    ensure(operator.http("/healthz")?.code == 200, || "not healthy".into())?;
    ensure(operator.http("/metrics")?.code == 200, || "no metrics".into())?;
    operator.signal(Signal::TERM);
    let status = operator.wait_end(PATIENCE)?;
    ensure(status.success(), || format!("{status}\n{}", operator.log().unwrap_or_default()))
}
