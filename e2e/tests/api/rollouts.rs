//! What restarts workloads and what does not: upgrades of the operator, certificates, referenced Secrets, autoscalers, drift.

use std::time::Duration;

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Operator, Outcome, Relays, ensure, wait_until, workloads};

const PATIENCE: Duration = Duration::from_mins(1);

struct Scene {
    api: ApiServer,
    relays: Relays,
    _workloads: workloads::Workloads,
}

impl Scene {
    fn new() -> Outcome<Self> {
        let api = ApiServer::start()?;
        api.install_crds()?;
        api.namespace("chat")?;
        let workloads = workloads::simulate(&api)?;
        let relays = Relays::start(&api)?;
        Ok(Self { api, relays, _workloads: workloads })
    }

    fn operator(&self, image: &str) -> Outcome<Operator> {
        let address = self.relays.address().to_string();
        let mut operator = Operator::start(&self.api, &[("SOTTO_ADMIN_RESOLVE", &address), ("SOTTO_IMAGE", image)])?;
        operator.wait_ready()?;
        Ok(operator)
    }

    fn get(&self, what: &str) -> Outcome<Value> {
        self.api.get(&[what, "--namespace", "chat"])
    }

    fn ready(&self, what: &str) -> Outcome {
        self.api.wait(PATIENCE, &["--for=condition=Ready", "--namespace", "chat", what]).map(drop)
    }

    /// Waits for a field of the Network's status.
    fn status(&self, field: &str, wanted: &Value) -> Outcome {
        wait_until(&format!("status.{field} {wanted}"), PATIENCE, || {
            let network = self.get("network/acme")?;
            ensure(&network["status"][field] == wanted, || network["status"].to_string())
        })
    }

    /// Changes something that no workload knows, and waits until the operator has seen it: what it would do it has done then.
    fn pass(&self, name: &str) -> Outcome {
        let patch = json!({"spec": {"displayName": name}}).to_string();
        self.kubectl(&["patch", "network", "acme", "--type=merge", "--patch", &patch])?;
        wait_until("the change is seen", PATIENCE, || {
            let network = self.get("network/acme")?;
            let seen = network["status"]["observedGeneration"] == network["metadata"]["generation"];
            ensure(seen, || network["status"].to_string())
        })?;
        self.ready("network/acme")
    }

    fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        self.api.kubectl().args(["--namespace", "chat"]).args(arguments).output()
    }

    /// Generations of the workloads: they grow with every change of what they run.
    fn generations(&self) -> Outcome<Vec<Value>> {
        let workloads = ["statefulset/acme-relay", "deployment/acme-gateway", "statefulset/keep-retention"];
        workloads.iter().map(|name| Ok(self.get(name)?["metadata"]["generation"].clone())).collect()
    }

    fn image(&self, workload: &str) -> Outcome<String> {
        let object = self.get(workload)?;
        Ok(object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned())
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": "chat"});
    json!({"apiVersion": "sotto.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

fn leaf(secret: &Value) -> (Value, Value) {
    (secret["data"]["tls.key"].clone(), secret["data"]["ca.crt"].clone())
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn an_upgrade_of_the_operator_and_new_certificates_restart_nothing() -> Outcome {
    let scene = Scene::new()?;
    let mut operator = scene.operator("registry.example/sotto:1")?;
    let network =
        object("Network", "acme", &json!({"domain": "chat.acme.example", "federation": {"mode": "Restricted"}}));
    scene.api.apply(&network)?;
    let keep = json!({"networkRef": {"name": "acme"}, "destination": {"volume": {}}});
    scene.api.apply(&object("RetentionPolicy", "keep", &keep))?;
    scene.ready("network/acme")?;
    wait_until("the retention process is made", PATIENCE, || scene.get("statefulset/keep-retention"))?;
    scene.status("image", &json!("registry.example/sotto:1"))?;
    scene.pass("before")?;
    let generations = scene.generations()?;

    // Another version: nothing is rolled, and it is told.
    operator.kill();
    let _operator = scene.operator("registry.example/sotto:2")?;
    scene.status("availableImage", &json!("registry.example/sotto:2"))?;
    scene.pass("after")?;
    ensure(scene.generations()? == generations, || "the upgrade has changed a workload".into())?;
    ensure(scene.image("statefulset/acme-relay")? == "registry.example/sotto:1", || "another image".into())?;

    // Certificates on demand: new ones from the same authority, once for the word, and no workload is touched.
    let secrets = ["secret/acme-relay-tls", "secret/acme-gateway-tls", "secret/acme-operator-tls"];
    let leaves = || secrets.iter().map(|name| Ok(leaf(&scene.get(name)?))).collect::<Outcome<Vec<_>>>();
    let before = leaves()?;
    scene.kubectl(&["annotate", "network", "acme", "sotto.dev/rotate=2026-11-23"])?;
    scene.status("rotated", &json!("2026-11-23"))?;
    let after = leaves()?;
    for ((old, new), name) in before.iter().zip(&after).zip(secrets) {
        ensure(old.0 != new.0 && old.1 == new.1, || format!("{name} has the old key, or another authority"))?;
    }
    scene.pass("rotated")?;
    ensure(leaves()? == after, || "the certificates were made a second time".into())?;
    ensure(scene.generations()? == generations, || "new certificates have changed a workload".into())?;
    scene.kubectl(&["annotate", "network", "acme", "--overwrite", "sotto.dev/rotate=two words"])?;
    wait_until("the bad word is told", PATIENCE, || {
        let said = scene.get("network/acme")?["status"]["conditions"].to_string();
        ensure(said.contains("metadata.annotations[sotto.dev/rotate]"), || said)
    })?;
    scene.kubectl(&["annotate", "network", "acme", "sotto.dev/rotate-"])?;
    scene.ready("network/acme")?;

    // The upgrade that was asked for.
    let patch = json!({"spec": {"image": "registry.example/sotto:2"}}).to_string();
    scene.kubectl(&["patch", "network", "acme", "--type=merge", "--patch", &patch])?;
    scene.status("image", &json!("registry.example/sotto:2"))?;
    for workload in ["statefulset/acme-relay", "deployment/acme-gateway", "statefulset/keep-retention"] {
        ensure(scene.image(workload)? == "registry.example/sotto:2", || format!("{workload} has the old image"))?;
    }
    scene.status("availableImage", &Value::Null)
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn what_is_an_autoscalers_is_left_alone_and_what_is_the_operators_is_put_right() -> Outcome {
    let scene = Scene::new()?;
    let _operator = scene.operator("registry.example/sotto:1")?;
    let network =
        object("Network", "acme", &json!({"domain": "chat.acme.example", "federation": {"mode": "Restricted"}}));
    scene.api.apply(&network)?;
    scene.ready("network/acme")?;
    scene.kubectl(&["scale", "deployment/acme-gateway", "--replicas=3"])?;
    scene.pass("scaled")?;
    let replicas = || Ok::<_, sotto_e2e::Failure>(scene.get("deployment/acme-gateway")?["spec"]["replicas"].clone());
    ensure(replicas()? == 3, || "the operator has scaled the gateways".into())?;
    // A number in the object is the operator's.
    let patch = json!({"spec": {"federation": {"gateway": {"replicas": 2}}}}).to_string();
    scene.kubectl(&["patch", "network", "acme", "--type=merge", "--patch", &patch])?;
    let wants = |wanted: i64| {
        wait_until("the number of gateways", PATIENCE, || {
            let have = replicas()?;
            ensure(have == wanted, || have.to_string())
        })
    };
    wants(2)?;
    scene.kubectl(&["scale", "deployment/acme-gateway", "--replicas=5"])?;
    wants(2)?;

    // NetworkPolicies: there by default, put right, gone when they are switched off.
    for name in ["acme-relay", "acme-gateway"] {
        scene.get(&format!("networkpolicy/{name}"))?;
    }
    let open = json!({"spec": {"ingress": [{}]}}).to_string();
    scene.kubectl(&["patch", "networkpolicy", "acme-relay", "--type=merge", "--patch", &open])?;
    wait_until("the NetworkPolicy is put right", PATIENCE, || {
        let policy = scene.get("networkpolicy/acme-relay")?;
        ensure(policy["spec"]["ingress"].as_array().is_some_and(|rules| rules.len() == 3), || policy.to_string())
    })?;
    let patch = json!({"spec": {"networkPolicy": "Disabled"}}).to_string();
    scene.kubectl(&["patch", "network", "acme", "--type=merge", "--patch", &patch])?;
    wait_until("the NetworkPolicies are gone", PATIENCE, || {
        let left = scene.api.list(&["networkpolicies", "--namespace", "chat"])?;
        ensure(left.is_empty(), || format!("{left:?}"))
    })
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn what_a_deleted_policy_leaves_is_taken_up_again_by_one_of_its_name() -> Outcome {
    let scene = Scene::new()?;
    scene.api.controllers()?;
    let _operator = scene.operator("registry.example/sotto:1")?;
    scene.api.apply(&object("Network", "acme", &json!({"domain": "chat.acme.example"})))?;
    let policy = |deletion: &str| {
        let destination = json!({"volume": {}});
        let spec = json!({"networkRef": {"name": "acme"}, "destination": destination, "deletionPolicy": deletion});
        object("RetentionPolicy", "keep", &spec)
    };
    // Retain is the default.
    let keep = json!({"networkRef": {"name": "acme"}, "destination": {"volume": {}}});
    scene.api.apply(&object("RetentionPolicy", "keep", &keep))?;
    let parts = ["pvc/keep-retention-records", "pvc/keep-retention-state", "secret/keep-retention"];
    let left = || {
        let uid = |name: &&str| Ok(scene.get(name)?["metadata"]["uid"].clone());
        parts.iter().map(uid).collect::<Outcome<Vec<_>>>()
    };
    let made = || wait_until("the workload is made", PATIENCE, || scene.get("statefulset/keep-retention"));
    let gone = |what: &str| scene.api.wait(PATIENCE, &["--for=delete", "--namespace", "chat", what]).map(drop);
    made()?;
    let before = (left()?, scene.get("secret/keep-retention")?["data"].clone());
    scene.kubectl(&["delete", "retentionpolicy", "keep", "--wait=false"])?;
    gone("retentionpolicy/keep")?;
    gone("statefulset/keep-retention")?;
    ensure((left()?, scene.get("secret/keep-retention")?["data"].clone()) == before, || "something was lost".into())?;

    // Taken up, with the same identity and account.
    scene.api.apply(&policy("Delete"))?;
    made()?;
    ensure((left()?, scene.get("secret/keep-retention")?["data"].clone()) == before, || "it was made anew".into())?;
    // And it goes with its new owner, who says so.
    wait_until("the claims have an owner", PATIENCE, || {
        let claim = scene.get("pvc/keep-retention-records")?;
        ensure(claim["metadata"]["ownerReferences"].is_array(), || claim["metadata"].to_string())
    })?;
    scene.kubectl(&["delete", "retentionpolicy", "keep", "--wait=false"])?;
    parts.iter().try_for_each(|part| gone(part))
}
