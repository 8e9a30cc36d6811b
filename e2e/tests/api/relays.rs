//! The stand-in relays and simulated workloads that other tests and the bench stand on.

use std::time::Duration;

use serde_json::{Value, json};
use sotto_e2e::relays::Mode;
use sotto_e2e::{ApiServer, Operator, Outcome, Relays, ensure, wait_until, workloads};

const PATIENCE: Duration = Duration::from_mins(1);

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": "chat"});
    json!({"apiVersion": "sotto.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn networks_get_ready_without_pods_and_show_what_their_relays_do() -> Outcome {
    let api = ApiServer::start()?;
    api.install_crds()?;
    api.namespace("chat")?;
    let workloads = workloads::simulate(&api)?;
    workloads.hold("chat", "acme-relay");
    let relays = Relays::start(&api)?;
    let address = relays.address().to_string();
    let mut operator = Operator::start(&api, &[("SOTTO_ADMIN_RESOLVE", &address)])?;
    operator.wait_ready()?;
    for name in ["acme", "zeta"] {
        api.apply(&object("Network", name, &json!({"domain": format!("chat.{name}.example")})))?;
        let network = json!({"name": name});
        api.apply(&object("SecurityGroup", &format!("{name}-staff"), &json!({"networkRef": network})))?;
        let group = json!({"name": format!("{name}-staff")});
        let user = json!({"networkRef": network, "securityGroupRef": group, "username": "alice"});
        api.apply(&object("User", &format!("{name}-alice"), &user))?;
    }
    let ready = |name: &str| api.wait(PATIENCE, &["--for=condition=Ready", "--namespace", "chat", name]).map(drop);
    for name in ["network/zeta", "securitygroup/zeta-staff", "user/zeta-alice"] {
        ready(name)?;
    }
    ensure(relays.state("chat", "zeta").users.contains_key("alice"), || "the relay has no alice".into())?;
    ensure(relays.calls("chat", "zeta").refused == 0, || format!("{:?}", relays.calls("chat", "zeta")))?;

    // A workload that is held is not ready; its relay is another one.
    let reason = |name: &str| {
        let object = api.get(&[name, "--namespace", "chat"])?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|c| c["type"] == "Ready").cloned().unwrap_or_default();
        Ok::<_, sotto_e2e::Failure>(format!("{} {}", ready["status"], ready["reason"]))
    };
    let becomes = |name: &str, wanted: &str| {
        wait_until(&format!("{name} {wanted}"), PATIENCE, || {
            let reason = reason(name)?;
            ensure(reason == wanted, || reason.clone())
        })
    };
    becomes("network/acme", r#""False" "RollingOut""#)?;
    workloads.release("chat", "acme-relay");
    ready("network/acme")?;

    // One relay that is away or talks nonsense is told of in its own network alone.
    relays.set("chat", "acme", Mode::Down);
    becomes("network/acme", r#""False" "RelayUnreachable""#)?;
    relays.set("chat", "acme", Mode::Nonsense);
    becomes("network/acme", r#""False" "RelayUnreachable""#)?;
    ensure(reason("network/zeta")? == r#""True" "Reconciled""#, || "zeta too".into())?;
    relays.set("chat", "acme", Mode::Slow(Duration::from_millis(300)));
    ready("network/acme")?;

    // What the relay lost it gets again.
    relays.edit("chat", "zeta", |state| state.users.clear());
    wait_until("alice is back", PATIENCE, || {
        ensure(relays.state("chat", "zeta").users.contains_key("alice"), || "not yet".into())
    })
}
